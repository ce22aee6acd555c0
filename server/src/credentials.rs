//! Write keys and API tokens: how they are made, what they may look like, how a token is stored.
//!
//! A write key is public and only writes. A token is a secret: it is shown once, and only its hash is kept.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that must not be printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(********)")
    }
}

/// The text can't be a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotACredential {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// It is longer than [`BYTES_MAX`].
    #[error("is longer than {BYTES_MAX} bytes")]
    TooLong,
    /// It holds a space, a control character, a colon or a character beyond ASCII.
    #[error("may hold only visible ASCII characters other than the colon")]
    Character,
}

/// The longest credential that is taken, in bytes.
pub const BYTES_MAX: usize = 256;

/// Whether a text can be a write key or a token: it must fit into a header, also as the user of Basic
/// authentication.
///
/// # Errors
/// What is wrong with it.
pub fn check(text: &str) -> Result<(), NotACredential> {
    match text {
        "" => Err(NotACredential::Empty),
        long if long.len() > BYTES_MAX => Err(NotACredential::TooLong),
        fine if fine.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') => Ok(()),
        _ => Err(NotACredential::Character),
    }
}

/// A new API token: `trb_` and 256 random bits.
pub fn random_token() -> Secret {
    Secret(format!("trb_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())))
}

/// A new write key: `wk_` and 192 random bits.
pub fn random_write_key() -> String {
    format!("wk_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>()))
}

/// What is stored of a token: the hexadecimal BLAKE3 hash. A token holds enough randomness for a plain hash to
/// be safe; one that an admin chose is only as good as the choice.
pub fn token_hash(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_fits_into_a_header() {
        let cases = [
            ("random token", random_token().expose().to_owned(), Ok(())),
            ("random write key", random_write_key(), Ok(())),
            ("short", "k".to_owned(), Ok(())),
            ("empty", String::new(), Err(NotACredential::Empty)),
            ("colon", "a:b".to_owned(), Err(NotACredential::Character)),
            ("space", "a b".to_owned(), Err(NotACredential::Character)),
            ("beyond ascii", "schlüssel".to_owned(), Err(NotACredential::Character)),
            ("long", "x".repeat(BYTES_MAX + 1), Err(NotACredential::TooLong)),
        ];
        for (name, text, want) in cases {
            assert_eq!(check(&text), want, "{name}");
        }
    }

    #[test]
    fn no_two_random_ones_are_equal_and_none_is_printed() {
        let token = random_token();
        assert_ne!(token, random_token());
        assert_ne!(random_write_key(), random_write_key());
        assert_eq!(token.expose().len(), 4 + 43);
        assert!(!format!("{token:?}").contains(token.expose()));
    }
}
