//! Personal values made unreadable before they are sent.

use crate::definition::Hashing;
use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;

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
        Hashing::GoogleEmail => google_email(text)?,
        Hashing::Phone => phone(text)?,
        Hashing::Text => text.to_owned(),
    };
    (!form.is_empty()).then(|| hex::encode(Sha256::digest(form.as_bytes())))
}

/// Domains at which Google takes addresses for the same whatever dots stand before the `@`.
const DOTLESS: [&str; 2] = ["gmail.com", "googlemail.com"];

/// How many digits a phone number has, country code included: more than any short code, and at most what E.164 allows.
const PHONE_DIGITS: RangeInclusive<usize> = 7..=15;

/// `None` of what is no address.
fn google_email(text: &str) -> Option<String> {
    let address: String = text.to_lowercase().split_whitespace().collect();
    let (name, domain) = address.rsplit_once('@')?;
    if name.is_empty() || domain.is_empty() {
        return None;
    }
    let is_dotless = DOTLESS.contains(&domain);
    Some(if is_dotless { format!("{}@{domain}", name.replace('.', "")) } else { address })
}

/// Digits with a leading plus; `None` of a number that is not written so, whatever parts its digits.
fn phone(text: &str) -> Option<String> {
    let number = text.strip_prefix('+')?;
    // A zero in parentheses is dialled only within the country, so it is not of the number.
    if number.contains("(0)") || !number.chars().all(|c| c.is_ascii_digit() || is_between_digits(c)) {
        return None;
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let is_number = PHONE_DIGITS.contains(&digits.len()) && !digits.starts_with('0');
    is_number.then(|| format!("+{digits}"))
}

fn is_between_digits(character: char) -> bool {
    matches!(character, '(' | ')' | '-' | '.' | '/') || character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_in_the_form_that_vendors_compare() {
        let (email, google, phone) = (Hashing::Email, Hashing::GoogleEmail, Hashing::Phone);
        let cases = [
            (google, " Ada.Love lace@Example.COM\n", Some("ada.lovelace@example.com")),
            (google, "A.d.a@GMail.com", Some("ada@gmail.com")),
            (google, "a.da@googlemail.com", Some("ada@googlemail.com")),
            (google, "a.da@gmail.com.example", Some("a.da@gmail.com.example")),
            (google, "\"@\"@gmail.com", Some("\"@\"@gmail.com")),
            (google, "ada", None),
            (google, "@gmail.com", None),
            (google, "ada@", None),
            (email, " Ada@Example.COM\n", Some("ada@example.com")),
            (email, "GRÜN@example.com", Some("grün@example.com")),
            (email, "  ", None),
            (phone, " +49 (170) 123-45", Some("+4917012345")),
            (phone, "+1.650.253/0000", Some("+16502530000")),
            (phone, "0049 170 12345", None),
            (phone, "4917012345", None),
            (phone, "(650) 253-0000", None),
            (phone, "+49 (0) 170 12345", None),
            (phone, "+0 170 12345", None),
            (phone, "+49 170 12345 ext. 6", None),
            (phone, "+49 170 12345 +6", None),
            (phone, "+123456", None),
            (phone, "+1234567890123456", None),
            (phone, "none", None),
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
        for hashing in [Hashing::Email, Hashing::GoogleEmail, Hashing::Phone, Hashing::Name, Hashing::Text] {
            assert_eq!(hashed(&format!(" {hash} "), hashing), Some(hash.to_ascii_lowercase()));
        }
        // That of `test@example.com`, as every vendor's documentation has it.
        assert_eq!(hashed("Test@Example.com", Hashing::Email), Some(hash.to_ascii_lowercase()));
        let almost = &hash[1..];
        assert_ne!(hashed(almost, Hashing::Text), Some(almost.to_ascii_lowercase()));
    }
}
