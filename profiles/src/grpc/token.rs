//! Resume tokens: where a watch stands, as a text that a client hands back.
//!
//! A token names the activation from which the log is read again, which is the first of its record's, and which of
//! that record's activations were told already. What is in it is no secret of anybody's: a profile's id, or a hash of
//! an audience's key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tributary_model::{Position, ProfileId, WorkspaceId};

/// The version of the form; it is its first byte.
const VERSION: u8 = 1;
/// No token of ours is longer.
const TEXT_BYTES_MAX: usize = 200;

/// Whom a token is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TokenSubject {
    /// A profile: the one that the watch followed when it gave the token.
    Profile(ProfileId),
    /// An audience, by a hash of its key.
    Audience(u32),
}

/// Where a watch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    /// Whose activations are followed.
    pub(super) workspace: WorkspaceId,
    /// Whom the watch is about.
    pub(super) subject: TokenSubject,
    /// The sequence in the activations log from which on it is read.
    pub(super) sequence: u64,
    /// The record that the activation there is from. Activations of earlier ones are behind the watch.
    pub(super) position: Position,
    /// Activations of that record below this ordinal are behind the watch, too.
    pub(super) ordinal: u32,
}

impl Token {
    /// The text.
    pub(super) fn to_text(self) -> String {
        let bytes = postcard::to_extend(&self, vec![VERSION]).expect("plain values can be written");
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text; `None` if it is none of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        match bytes.split_first()? {
            (&VERSION, rest) => match postcard::take_from_bytes(rest).ok()? {
                (token, []) => Some(token),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What stands for an audience's key in a token.
pub(super) fn key_hash(key: &str) -> u32 {
    crc32fast::hash(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject() -> impl Strategy<Value = TokenSubject> {
        prop_oneof![
            any::<[u8; 16]>().prop_map(|id| TokenSubject::Profile(ProfileId(id))),
            any::<String>().prop_map(|key| TokenSubject::Audience(key_hash(&key))),
        ]
    }

    proptest! {
        #[test]
        fn tokens_are_read_back(
            subject in subject(),
            (workspace, partition, ordinal) in any::<(u32, u32, u32)>(),
            (sequence, position) in any::<(u64, u64)>(),
        ) {
            let position = Position { partition, sequence: position };
            let token = Token { workspace: WorkspaceId(workspace), subject, sequence, position, ordinal };
            let text = token.to_text();
            prop_assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
            prop_assert_eq!(Token::parse(&text), Some(token));
        }

        #[test]
        fn other_texts_are_refused(text in ".{0,300}") {
            if let Some(token) = Token::parse(&text) {
                prop_assert_eq!(token.to_text(), text);
            }
        }
    }

    #[test]
    fn texts_of_another_version_or_length_are_refused() {
        let subject = TokenSubject::Audience(key_hash("vip"));
        let position = Position::at(7);
        let token = Token { workspace: WorkspaceId(1), subject, sequence: 9, position, ordinal: 1 };
        let mut bytes = URL_SAFE_NO_PAD.decode(token.to_text()).expect("base64");
        bytes.push(0);
        assert_eq!(Token::parse(&URL_SAFE_NO_PAD.encode(&bytes)), None, "too long");
        bytes.truncate(bytes.len() - 2);
        assert_eq!(Token::parse(&URL_SAFE_NO_PAD.encode(&bytes)), None, "too short");
        bytes[0] = 2;
        assert_eq!(Token::parse(&URL_SAFE_NO_PAD.encode(&bytes)), None, "of another version");
        assert_eq!(Token::parse(""), None);
    }
}
