//! Personal values made unreadable before they are sent.

use crate::definition::Hashing;
use sha2::{Digest, Sha256};

/// How many hexadecimal digits a hash has.
const DIGITS: usize = 64;

/// The hash of a value in the form that vendors compare; the value itself, in lower case, if it is one already; `None` if
/// nothing is left of it in that form.
pub(super) fn hashed(text: &str, hashing: Hashing) -> Option<String> {
    let text = text.trim();
    if text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    let form = match hashing {
        Hashing::Email | Hashing::Name => text.to_lowercase(),
        Hashing::Phone => phone(text),
        Hashing::Text => text.to_owned(),
    };
    (!form.is_empty()).then(|| hex::encode(Sha256::digest(form.as_bytes())))
}

/// Digits with a leading plus; empty if there are no digits.
fn phone(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_dialled = !text.starts_with('+') && digits.starts_with("00");
    let number = if is_dialled { &digits[2..] } else { digits.as_str() };
    if number.is_empty() { String::new() } else { format!("+{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_in_the_form_that_vendors_compare() {
        let cases = [
            (Hashing::Email, " Ada@Example.COM\n", Some("ada@example.com")),
            (Hashing::Email, "GRÜN@example.com", Some("grün@example.com")),
            (Hashing::Email, "  ", None),
            (Hashing::Phone, "+49 (170) 123-45", Some("+4917012345")),
            (Hashing::Phone, "0049 170 12345", Some("+4917012345")),
            (Hashing::Phone, "4917012345", Some("+4917012345")),
            (Hashing::Phone, "none", None),
            (Hashing::Name, " Lovelace ", Some("lovelace")),
            (Hashing::Text, " A-7 ", Some("A-7")),
        ];
        for (hashing, text, form) in cases {
            let want = form.map(|form| hex::encode(Sha256::digest(form.as_bytes())));
            assert_eq!(hashed(text, hashing), want, "{hashing:?} {text:?}");
        }
    }

    #[test]
    fn a_hash_stays_a_hash() {
        let hash = "973DFE463EC85785F5F95AF5BA3906EEDB2D931C24E69824A89EA65DBA4E813B";
        for hashing in [Hashing::Email, Hashing::Phone, Hashing::Name, Hashing::Text] {
            assert_eq!(hashed(&format!(" {hash} "), hashing), Some(hash.to_ascii_lowercase()));
        }
        // That of `test@example.com`, as every vendor's documentation has it.
        assert_eq!(hashed("Test@Example.com", Hashing::Email), Some(hash.to_ascii_lowercase()));
        let almost = &hash[1..];
        assert_ne!(hashed(almost, Hashing::Text), Some(almost.to_ascii_lowercase()));
    }
}
