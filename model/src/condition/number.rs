//! Numbers with an exact order and exact sums.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::AddAssign;

/// A decimal number with nine places, up to ±10²⁰: what is finer is rounded to the nearest, half away from zero, what
/// is larger counts as ±10²⁰. So sums do not depend on the order of their parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Number(i128);

const PLACES: i32 = 9;
const ONE: i128 = 1_000_000_000;
const MAX: i128 = 100_000_000_000_000_000_000 * ONE;

impl Number {
    /// A whole number.
    pub fn whole(value: i64) -> Self {
        Self(i128::from(value) * ONE)
    }

    /// How many there are of something.
    pub fn count(value: u64) -> Self {
        Self((i128::from(value) * ONE).min(MAX))
    }

    /// Reads the text of a JSON number; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0');
        // How many of the digits lie before the ninth place.
        let kept = whole.len() as i64 + exponent + i64::from(PLACES);
        let magnitude = magnitude(digits, (whole.len() + fraction.len()) as i64, kept);
        Some(Self(if is_negative { -magnitude } else { magnitude }))
    }

    /// Its average over so many, rounded to nine places; `None` over none.
    pub fn over(self, count: u64) -> Option<Self> {
        if count == 0 {
            return None;
        }
        let count = i128::from(count);
        let (quotient, rest) = (self.0 / count, self.0 % count);
        let rounding = if 2 * rest.abs() >= count { self.0.signum() } else { 0 };
        Some(Self(quotient + rounding))
    }

    /// In units of 10⁻⁹.
    pub const fn nanos(self) -> i128 {
        self.0
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Beyond this every number is zero or the largest.
    let size: i64 = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -size } else { size })
}

/// The first `kept` of `total` digits as a number, zeros behind them where there are fewer, rounded by the next digit.
fn magnitude(digits: impl Iterator<Item = u8>, total: i64, kept: i64) -> i128 {
    let mut value: i128 = 0;
    for (at, digit) in digits.enumerate() {
        match (at as i64).cmp(&kept) {
            std::cmp::Ordering::Less => value = (value * 10 + i128::from(digit)).min(MAX * 10),
            std::cmp::Ordering::Equal => value += i128::from(digit >= 5),
            std::cmp::Ordering::Greater => break,
        }
    }
    let mut missing = kept.saturating_sub(total);
    while missing > 0 && value != 0 && value < MAX {
        value *= 10;
        missing -= 1;
    }
    value.min(MAX)
}

impl AddAssign for Number {
    /// Adds within ±10²⁹: 10⁹ of the largest numbers fit.
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

/// Without an exponent, and without zeros at the end of the fraction.
impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / ONE as u128, magnitude % ONE as u128);
        if self.0 < 0 {
            out.write_str("-")?;
        }
        write!(out, "{whole}")?;
        if fraction > 0 {
            let digits = format!("{fraction:09}");
            write!(out, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// As a JSON number in JSON; in other forms as units of 10⁻⁹.
impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let text = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
            text.serialize(serializer)
        } else {
            serializer.serialize_i128(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            // Through the general number, so that it can be one of several forms of a value.
            let number = serde_json::Number::deserialize(deserializer)?;
            Self::parse(&number.to_string()).ok_or_else(|| D::Error::custom("is no number"))
        } else {
            i128::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        let cases = [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("100", Some("100")),
            ("-12.50", Some("-12.5")),
            ("0.1", Some("0.1")),
            ("1e3", Some("1000")),
            ("1.5E-3", Some("0.0015")),
            ("12345678901234567890", Some("12345678901234567890")),
            ("0.0000000005", Some("0.000000001")),
            ("0.0000000004", Some("0")),
            ("-0.0000000005", Some("-0.000000001")),
            ("1e400", Some("100000000000000000000")),
            ("-1e30", Some("-100000000000000000000")),
            ("1e-400", Some("0")),
            ("0e999999999999999999999", Some("0")),
            ("123456789012345678901234567890.5", Some("100000000000000000000")),
            ("", None),
            ("-", None),
            ("1.", None),
            (".5", None),
            ("01", None),
            ("1e", None),
            ("\"1\"", None),
            ("1 ", None),
        ];
        for (text, want) in cases {
            assert_eq!(Number::parse(text).map(|number| number.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn averages_are_rounded() {
        let number = |text| Number::parse(text).expect("a number");
        let cases = [
            ("10", 4, Some("2.5")),
            ("2", 3, Some("0.666666667")),
            ("-2", 3, Some("-0.666666667")),
            ("1", 0, None),
        ];
        for (sum, count, want) in cases {
            assert_eq!(
                number(sum).over(count).map(|average| average.to_string()).as_deref(),
                want,
                "{sum}/{count}"
            );
        }
    }

    #[test]
    fn both_forms_are_read_back() {
        for text in ["0", "-1.5", "100", "99999999999999999999"] {
            let number = Number::parse(text).expect("a number");
            let json = serde_json::to_string(&number).expect("it can be written");
            assert_eq!(json, text);
            let bytes = postcard::to_allocvec(&number).expect("it can be written");
            assert_eq!(postcard::from_bytes::<Number>(&bytes).expect("own bytes"), number);
        }
    }
}
