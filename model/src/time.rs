//! Points in time, to the microsecond.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in time: microseconds since 1970-01-01T00:00:00Z. Any moment that a client's RFC 3339 text can
/// name fits (years −9999 to 9999).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The smallest value; sorts before every real moment.
    pub const MIN: Self = Self(i64::MIN);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole days since the epoch (UTC), rounded down.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(86_400_000_000)
    }

    /// This moment plus so many microseconds (negative: minus), kept within the range.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment; negative if `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same moment with everything below a millisecond cut off.
    #[must_use]
    pub const fn floor_to_millis(self) -> Self {
        Self(self.0.div_euclid(1000) * 1000)
    }

    /// Reads what SDKs send: RFC 3339 with any offset and up to nine fractional digits. Text without an
    /// offset is taken as UTC. Digits below a microsecond are cut off. `None` if it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Some(Self(at.as_microsecond()));
        }
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(zoned.timestamp().as_microsecond()))
    }
}

/// RFC 3339 in UTC with `Z`: milliseconds, or microseconds where they are not zero.
impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) if self.0 % 1000 == 0 => write!(out, "{at:.3}"),
            Ok(at) => write!(out, "{at:.6}"),
            Err(_) => write!(out, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_that_sdks_send() {
        let cases = [
            ("2026-11-20T10:00:00.123Z", Some("2026-11-20T10:00:00.123Z")),
            ("2026-11-20T10:00:00.123+00:00", Some("2026-11-20T10:00:00.123Z")),
            ("2026-11-20T12:00:00.123456+02:00", Some("2026-11-20T10:00:00.123456Z")),
            ("2026-11-20T10:00:00.123456789Z", Some("2026-11-20T10:00:00.123456Z")),
            ("2026-11-20T10:00:00", Some("2026-11-20T10:00:00.000Z")),
            ("1969-12-31T23:59:59.5Z", Some("1969-12-31T23:59:59.500Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00.000Z")),
            ("yesterday", None),
            ("", None),
            ("1732096800000", None),
        ];
        for (text, want) in cases {
            assert_eq!(Timestamp::parse(text).map(|at| at.to_string()).as_deref(), want, "{text}");
        }
    }
}
