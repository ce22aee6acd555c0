//! Lengths of time as people write them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A length of time in whole seconds, more than zero, ten years at most. Written as `30d`: a whole number with `s`, `m`
/// (minutes), `h`, `d` or `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span(u64);

/// The text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotASpan {
    /// Not in the form.
    #[error("write a length of time as a whole number and a unit: 30s, 15m, 12h, 30d or 2w")]
    Form,
    /// Zero.
    #[error("a window of zero holds nothing; write at least 1s")]
    Zero,
    /// Over the limit.
    #[error("is longer than ten years (3650d)")]
    TooLong,
}

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
const SECONDS_MAX: u64 = 3650 * 86_400;

impl Span {
    /// So many seconds.
    ///
    /// # Errors
    /// If that is zero or over ten years.
    pub const fn from_seconds(seconds: u64) -> Result<Self, NotASpan> {
        match seconds {
            0 => Err(NotASpan::Zero),
            SECONDS_MAX.. => {
                if seconds == SECONDS_MAX {
                    Ok(Self(seconds))
                } else {
                    Err(NotASpan::TooLong)
                }
            }
            _ => Ok(Self(seconds)),
        }
    }

    /// In seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// In microseconds.
    pub const fn micros(self) -> i64 {
        // At most ten years: no overflow.
        self.0 as i64 * 1_000_000
    }
}

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let mut characters = text.chars();
        let unit = characters.next_back().ok_or(NotASpan::Form)?;
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(NotASpan::Form)?;
        let digits = characters.as_str();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotASpan::Form);
        }
        let number: u64 = digits.parse().map_err(|_| NotASpan::TooLong)?;
        Self::from_seconds(number.checked_mul(seconds).ok_or(NotASpan::TooLong)?)
    }
}

/// With the largest unit that leaves no rest; weeks are written as days.
impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) = UNITS
            .into_iter()
            .skip(1)
            .find(|(_, seconds)| self.0.is_multiple_of(*seconds))
            .unwrap_or(('s', 1));
        write!(out, "{}{unit}", self.0 / seconds)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        let cases = [
            ("30d", Ok((30 * 86_400, "30d"))),
            ("2w", Ok((14 * 86_400, "14d"))),
            ("90m", Ok((5400, "90m"))),
            ("3600s", Ok((3600, "1h"))),
            ("7s", Ok((7, "7s"))),
            ("3650d", Ok((SECONDS_MAX, "3650d"))),
            ("0d", Err(NotASpan::Zero)),
            ("3651d", Err(NotASpan::TooLong)),
            ("99999999999999999999d", Err(NotASpan::TooLong)),
            ("d", Err(NotASpan::Form)),
            ("", Err(NotASpan::Form)),
            ("-1d", Err(NotASpan::Form)),
            ("1.5d", Err(NotASpan::Form)),
            ("30", Err(NotASpan::Form)),
            ("1y", Err(NotASpan::Form)),
            ("1é", Err(NotASpan::Form)),
        ];
        for (text, want) in cases {
            let got = text.parse::<Span>().map(|span| (span.seconds(), span.to_string()));
            assert_eq!(got, want.map(|(seconds, text)| (seconds, text.to_owned())), "{text}");
        }
    }
}
