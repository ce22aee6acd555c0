//! JSON numbers against the numbers of columns with types: whether one is exactly the other.

/// A number in one form: its sign, its digits without zeros around them, the power of ten that they are times.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a JSON number; `None` if its exponent is beyond all measure.
    fn parse(json: &str) -> Option<Self> {
        let (is_negative, unsigned) = match json.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, json),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_end_matches('0');
        let behind = (all.len() - digits.len()) as i64 - fraction.len() as i64;
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits: String::new(), exponent: 0 });
        }
        Some(Self { is_negative, digits: digits.to_owned(), exponent: exponent.checked_add(behind)? })
    }
}

/// The double whose shortest writing is this JSON number; `None` if there is none.
pub(super) fn exact_double(json: &str) -> Option<f64> {
    let double = json.parse::<f64>().ok().filter(|double| double.is_finite())?;
    is_same(json, &format!("{double:e}")).then_some(double)
}

/// Whether two JSON numbers are the same number.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (Decimal::parse(one), Decimal::parse(other));
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        let cases = [
            ("1", "1.0", true),
            ("1", "10e-1", true),
            ("-1200", "-1.2E+3", true),
            ("0.00120", "12e-4", true),
            ("0", "-0.0e7", true),
            ("1", "-1", false),
            ("1", "10", false),
            ("0.1", "0.10000000000000001", false),
            ("1e99999999999999999999", "1e99999999999999999999", false),
        ];
        for (one, other, want) in cases {
            assert_eq!(is_same(one, other), want, "{one} {other}");
            assert_eq!(is_same(other, one), want, "{other} {one}");
        }
    }

    #[test]
    fn a_double_is_exact_or_none() {
        let cases = [
            ("0.1", Some(0.1)),
            ("1", Some(1.0)),
            ("-2.50", Some(-2.5)),
            ("1e3", Some(1000.0)),
            ("9007199254740992", Some(9_007_199_254_740_992.0)),
            ("9007199254740993", None),
            ("0.1000000000000000000001", None),
            ("1e400", None),
            ("1e-400", None),
        ];
        for (json, want) in cases {
            assert_eq!(exact_double(json), want, "{json}");
        }
    }
}
