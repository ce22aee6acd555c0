//! Lone surrogates in JSON text, put right without moving a byte.
//!
//! JavaScript and Python cut strings between the halves of a character and send the half as a legal JSON
//! escape (`"\ud83d"`), which names no character: no Rust string can hold it. Such an escape is replaced by
//! `\ufffd`, the replacement character, which is just as long; so every offset into the text stays right, and
//! what stood there can still be had from the original bytes.

use std::borrow::Cow;

/// A body as text: valid UTF-8 in which every `\u` escape names a character or belongs to a pair.
#[derive(Debug)]
pub struct Text<'a> {
    text: Cow<'a, str>,
    original: &'a str,
    /// Offsets of the replaced escapes, ascending.
    replaced: Vec<usize>,
}

impl<'a> Text<'a> {
    /// Takes a body. What it holds need not be JSON.
    ///
    /// # Errors
    /// If the bytes are not UTF-8.
    pub fn parse(body: &'a [u8]) -> Result<Self, std::str::Utf8Error> {
        std::str::from_utf8(body).map(Self::from)
    }

    /// The text with every lone surrogate replaced; as long as the original.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether something was replaced within `part`, which is a slice of [`Self::as_str`].
    pub fn is_repaired(&self, part: &str) -> bool {
        !self.replaced.is_empty()
            && offset_of(&self.text, part).is_some_and(|start| {
                let first = self.replaced.partition_point(|at| *at < start);
                self.replaced.get(first).is_some_and(|at| *at < start + part.len())
            })
    }

    /// What the client sent where `part` stands, which is a slice of [`Self::as_str`].
    ///
    /// # Panics
    /// If `part` is no slice of this text.
    pub fn original_of(&self, part: &str) -> &'a str {
        let start = offset_of(&self.text, part).expect("the part was cut from this text");
        &self.original[start..start + part.len()]
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(original: &'a str) -> Self {
        let replaced = lone_surrogates(original.as_bytes());
        let text = if replaced.is_empty() {
            Cow::Borrowed(original)
        } else {
            let mut repaired = String::with_capacity(original.len());
            let mut from = 0;
            for &at in &replaced {
                repaired.push_str(&original[from..at]);
                repaired.push_str("\\ufffd");
                from = at + ESCAPE_BYTES;
            }
            repaired.push_str(&original[from..]);
            Cow::Owned(repaired)
        };
        Self { text, original, replaced }
    }
}

/// Where `part` begins within `whole`; `None` if it is no slice of it.
pub fn offset_of(whole: &str, part: &str) -> Option<usize> {
    let offset = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (offset + part.len() <= whole.len()).then_some(offset)
}

/// The length of `\ud83d`.
const ESCAPE_BYTES: usize = 6;

/// The offsets of every `\u` escape that names one half of a pair without its other half. In JSON a backslash
/// stands only within strings and begins an escape, so reading from escape to escape is enough.
fn lone_surrogates(text: &[u8]) -> Vec<usize> {
    let mut lone = Vec::new();
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[from..]) {
        let at = from + found;
        from = match escaped_unit(text, at) {
            None => (at + 2).min(text.len()),
            Some(0xd800..=0xdbff) => match escaped_unit(text, at + ESCAPE_BYTES) {
                Some(0xdc00..=0xdfff) => at + 2 * ESCAPE_BYTES,
                _ => {
                    lone.push(at);
                    at + ESCAPE_BYTES
                }
            },
            Some(0xdc00..=0xdfff) => {
                lone.push(at);
                at + ESCAPE_BYTES
            }
            Some(_) => at + ESCAPE_BYTES,
        };
    }
    lone
}

/// The UTF-16 unit of the `\uXXXX` escape at `at`, if one stands there.
fn escaped_unit(text: &[u8], at: usize) -> Option<u16> {
    let escape = text.get(at..at + ESCAPE_BYTES)?;
    if escape[0] != b'\\' || escape[1] != b'u' {
        return None;
    }
    escape[2..].iter().try_fold(0u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lone_halves_are_replaced_in_place() {
        let cases = [
            ("nothing to do", r#"{"a":"b\n\u0041"}"#, r#"{"a":"b\n\u0041"}"#),
            ("a pair stays", r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            ("high alone", r#""\ud83d""#, r#""\ufffd""#),
            ("low alone", r#""\uDE00x""#, r#""\ufffdx""#),
            ("high before a character", r#""\ud83d\u0041""#, r#""\ufffd\u0041""#),
            ("high before a pair", r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            ("the wrong way round", r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            ("an escaped backslash is no escape", r#""\\ud83d""#, r#""\\ud83d""#),
            ("after an escaped backslash", r#""\\\ud83d""#, r#""\\\ufffd""#),
            ("in a name", r#"{"\ud83d":1}"#, r#"{"\ufffd":1}"#),
            ("cut off", r#""\ud83"#, r#""\ud83"#),
            ("ends in a backslash", "\"\\", "\"\\"),
        ];
        for (name, body, want) in cases {
            let text = Text::parse(body.as_bytes()).expect("UTF-8");
            assert_eq!(text.as_str(), want, "{name}");
            assert_eq!(text.is_repaired(text.as_str()), body != want, "{name}");
            assert_eq!(text.original_of(text.as_str()), body, "{name}");
        }
        assert!(Text::parse(b"\xff").is_err());
    }

    #[test]
    fn tells_which_part_was_repaired() {
        let body = r#"["a","\ud83d","c"]"#;
        let text = Text::parse(body.as_bytes()).expect("UTF-8");
        let part = |range: std::ops::Range<usize>| &text.as_str()[range];
        assert!(!text.is_repaired(part(1..4)));
        assert!(text.is_repaired(part(5..13)));
        assert!(!text.is_repaired(part(14..17)));
        assert_eq!(text.original_of(part(5..13)), r#""\ud83d""#);
    }

    proptest! {
        /// serde_json refuses a string exactly if it holds a lone surrogate; afterwards it never does.
        #[test]
        fn what_is_left_can_be_read(units in prop::collection::vec(
            prop::sample::select(vec!["\\ud83d", "\\ude00", "\\u0041", "\\\\", "\\n", "u", "x", "d83d", "é"]), 0..12,
        )) {
            let body = format!("\"{}\"", units.concat());
            let text = Text::parse(body.as_bytes()).expect("UTF-8");
            prop_assert!(serde_json::from_str::<String>(text.as_str()).is_ok());
            prop_assert_eq!(text.as_str().len(), body.len());
            let readable = serde_json::from_str::<String>(&body).is_ok();
            prop_assert_eq!(readable, text.as_str() == body);
        }
    }
}
