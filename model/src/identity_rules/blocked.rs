//! Which values are no identifiers, although they stand where identifiers do.

use super::NamespaceRule;
use crate::identifier::Identifier;
use regex::Regex;
use std::collections::HashSet;

/// What clients send where they have nothing to send. Zeros and dashes in any number, and blanks, are blocked
/// along with these.
const SUGGESTED: [&str; 16] = [
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "anonymous",
    "guest",
    "unknown",
    "true",
    "false",
    "n/a",
    "id",
    "email",
    "distinct_id",
    "not_authenticated",
    "[object Object]",
];

/// A pattern, compiled.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("is empty, which would block every value; leave it out".to_owned());
    }
    let pattern = crate::pattern::compile(text)?;
    if pattern.find("x").is_some_and(|found| found.is_empty()) {
        return Err("finds a match in every value, an empty one: anchor it with ^ and $".to_owned());
    }
    Ok(pattern)
}

/// What a rule blocks.
#[derive(Debug)]
pub(super) struct Blocked {
    values: HashSet<Box<str>>,
    patterns: Vec<Regex>,
    suggested: bool,
}

impl Blocked {
    /// # Errors
    /// Which pattern doesn't work, and why.
    pub(super) fn new(rule: &NamespaceRule) -> Result<Self, (usize, String)> {
        // A value that has not the form of its namespace never comes, so it may as well be blocked as it is.
        let normal = |value: &String| -> Box<str> {
            match Identifier::normalized(rule.name.clone(), value, &rule.normalize) {
                Ok(identifier) => identifier.value().into(),
                Err(_) => value.as_str().into(),
            }
        };
        let patterns = rule.blocked_patterns.iter().enumerate();
        let patterns = patterns.map(|(place, text)| pattern(text).map_err(|why| (place, why)));
        Ok(Self {
            values: rule.blocked.iter().map(normal).collect(),
            patterns: patterns.collect::<Result<_, _>>()?,
            suggested: rule.block_suggested,
        })
    }

    /// Whether a value, normalized, is blocked.
    pub(super) fn holds(&self, value: &str) -> bool {
        self.suggested && is_suggested(value)
            || !self.values.is_empty() && self.values.contains(value)
            || self.patterns.iter().any(|pattern| pattern.is_match(value))
    }
}

/// Whether a value is of the suggested set. ASCII case and blanks around it make no difference.
fn is_suggested(value: &str) -> bool {
    let value = value.trim();
    value.bytes().all(|byte| matches!(byte, b'0' | b'-'))
        || value == "-1"
        || SUGGESTED.iter().any(|blocked| value.eq_ignore_ascii_case(blocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggested_set_is_never_somebody() {
        let blocked = [
            "null",
            "NULL",
            " Undefined ",
            "none",
            "nil",
            "NaN",
            "anonymous",
            "guest",
            "Unknown",
            "true",
            "False",
            "N/A",
            "id",
            "email",
            "distinct_id",
            "not_authenticated",
            "[object Object]",
            "-1",
            "0",
            "00000000-0000-0000-0000-000000000000",
            "---",
            " ",
            "\t\n",
        ];
        for value in blocked {
            assert!(is_suggested(value), "{value:?}");
        }
        for value in ["1", "u1", "nulls", "null@example.com", "01", "-2", "0x0", "guest1", "id-1", "ñ"] {
            assert!(!is_suggested(value), "{value:?}");
        }
    }

    /// (pattern, what is said)
    #[test]
    fn patterns_that_cannot_work_are_refused() {
        let long = "a".repeat(513);
        let cases = [
            ("", "is empty, which would block every value"),
            ("(", "is no regular expression: unclosed group"),
            ("a{2,1}", "is no regular expression: invalid repetition count range"),
            ("(?=x)", "is no regular expression: look-around"),
            ("((((a{100}){100}){100}){100}){100}", "explodes to more than 256 KB"),
            (r"\w{500}", "write [0-9A-Za-z_] for \\w"),
            (&long, "has 513 bytes; the limit is 512"),
        ];
        for (text, part) in cases {
            let why = pattern(text).map(|_| ()).expect_err(text);
            assert!(why.contains(part) && !why.contains('\n'), "{text}: {why}");
        }
        for text in ["^[0-]*$", "(a*)*b", "^test-", r"@example\.(com|org)$", "[0-9A-Za-z_]{1,64}"] {
            assert!(pattern(text).is_ok(), "{text}");
        }
    }
}
