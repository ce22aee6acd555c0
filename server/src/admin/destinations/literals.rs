//! The fields of mappings as they were sent: their numbers are kept digit by digit, or refused. Pure.
//!
//! A number is kept as a whole number of 64 bits or as a double. One that either would give back with other digits is
//! refused with its place: what is saved is shown and sent as it was written, but for its form (`12.50` is `12.5`).

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Number, Value};
use tributary_model::json::{Members, depth};

use crate::admin::edit::invalid_at;
use crate::workspaces::Refusal;

/// How deeply a field may be nested to be read. How deeply it may be to work, the definition's check tells.
const DEPTH_MAX: usize = 100;
/// How much of a number a refusal shows, in bytes.
const SHOWN_BYTES_MAX: usize = 40;

/// A number that would not be kept.
struct Changed {
    /// Where it stands, from where it was looked for: `.items[0].id`.
    place: String,
    /// Its text, or the beginning of it.
    number: String,
}

/// Reads the fields of a mapping that stand at a place.
///
/// # Errors
/// If a number would change, a field is nested too deeply, or its texts can't be read.
pub(super) fn fields(
    sent: BTreeMap<String, Box<RawValue>>,
    place: &str,
) -> Result<BTreeMap<String, Value>, Refusal> {
    let read = |(name, json): (String, Box<RawValue>)| {
        let value = value(json.get(), &format!("{place}.{name}"))?;
        Ok((name, value))
    };
    sent.into_iter().map(read).collect()
}

fn value(json: &str, place: &str) -> Result<Value, Refusal> {
    if depth(json.as_bytes()) > DEPTH_MAX {
        return Err(invalid_at(place, &format!(" is nested deeper than {DEPTH_MAX} levels; flatten it")));
    }
    check(json).map_err(|changed| {
        let advice = format!(": {} can't be kept digit by digit; write it as a text", changed.number);
        invalid_at(&format!("{place}{}", changed.place), &advice)
    })?;
    serde_json::from_str(json).map_err(|error| invalid_at(place, &format!(": can't be read: {error}")))
}

/// Looks for a number that would not be kept. Of what can't be read, reading it tells.
fn check(json: &str) -> Result<(), Changed> {
    match json.as_bytes().first() {
        Some(b'{') => {
            let Ok(members) = Members::parse(json) else { return Ok(()) };
            members.iter().try_for_each(|(name, value)| {
                check(value.get()).map_err(|changed| changed.within(&format!(".{name}")))
            })
        }
        Some(b'[') => {
            let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else { return Ok(()) };
            elements.iter().enumerate().try_for_each(|(at, element)| {
                check(element.get()).map_err(|changed| changed.within(&format!("[{at}]")))
            })
        }
        Some(b'-' | b'0'..=b'9') if !is_kept(json) => Err(Changed::of(json)),
        Some(_) | None => Ok(()),
    }
}

impl Changed {
    fn of(number: &str) -> Self {
        let number = match number.get(..SHOWN_BYTES_MAX) {
            Some(begin) if begin.len() < number.len() => format!("{begin}…"),
            Some(_) | None => number.to_owned(),
        };
        Self { place: String::new(), number }
    }

    fn within(self, name: &str) -> Self {
        Self { place: format!("{name}{}", self.place), ..self }
    }
}

/// Whether what is kept of a number has its value.
fn is_kept(number: &str) -> bool {
    let kept = serde_json::from_str::<Number>(number);
    kept.is_ok_and(|kept| decimal(&kept.to_string()) == decimal(number))
}

/// What a JSON number is worth, whatever its form: whether it is negative, its digits without zeros at either end, and which
/// power of ten the last of them counts.
fn decimal(number: &str) -> (bool, String, i64) {
    let (is_negative, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    let zeros = all.len() - digits.len();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return (false, String::new(), 0);
    }
    // One that is too long to be read belongs to a number that is not kept, in any case.
    let exponent = exponent.parse().unwrap_or(i64::MAX);
    let power = exponent.saturating_add(zeros as i64).saturating_sub(fraction.len() as i64);
    (is_negative, digits.to_owned(), power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(json: &str) -> Result<BTreeMap<String, Value>, Refusal> {
        let raw = RawValue::from_string(json.to_owned()).expect("JSON");
        fields([("event".to_owned(), raw)].into(), "mappings[0].fields")
    }

    #[test]
    fn numbers_that_keep_their_value_are_read() {
        let cases = [
            ("12.50", "12.5"),
            ("1E5", "100000.0"),
            ("0", "0"),
            ("-0.0", "-0.0"),
            ("0e9", "0.0"),
            ("0.1", "0.1"),
            ("-1.5e-3", "-0.0015"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            (
                r#"{"@literal":[9007199254740993,{"a":"1e400"}]}"#,
                r#"{"@literal":[9007199254740993,{"a":"1e400"}]}"#,
            ),
        ];
        for (json, want) in cases {
            let read = sent(json).unwrap_or_else(|refusal| panic!("{json}: {}", refusal.message));
            assert_eq!(read["event"].to_string(), want, "{json}");
        }
    }

    #[test]
    fn numbers_that_would_change_are_refused_with_their_place() {
        let cases = [
            (r#"{"id":12345678901234567890123}"#, ".id", "12345678901234567890123 can't"),
            (r#"{"p": 0.1234567890123456789 }"#, ".p", "0.1234567890123456789 can't"),
            (
                r#"{"@literal":{"a":[1,{"b":18446744073709551617}]}}"#,
                ".@literal.a[1].b",
                "18446744073709551617",
            ),
            ("-9223372036854775809", "", "-9223372036854775809"),
            ("1e400", "", "1e400"),
            ("1e-400", "", "1e-400"),
            ("1e-99999999999999999999", "", "1e-99999999999999999999"),
            (
                "0.12345678901234567890123456789012345678901234567890",
                "",
                "0.12345678901234567890123456789012345678… can't",
            ),
            (r#"{"a":1e400,"a":1}"#, ".a", "1e400"),
        ];
        for (json, place, part) in cases {
            let refusal = sent(json).expect_err(json);
            let want = format!("mappings[0].fields.event{place}");
            assert_eq!(refusal.fault.map(|fault| fault.place).as_deref(), Some(want.as_str()), "{json}");
            let is_told = refusal.message.contains(part) && refusal.message.ends_with("write it as a text");
            assert!(is_told, "{json}: {}", refusal.message);
        }
    }

    #[test]
    fn what_can_not_be_read_is_refused_with_its_field() {
        let deep = format!("{}1{}", "[".repeat(101), "]".repeat(101));
        for json in [deep.as_str(), r#"{"a":"\ud800"}"#, r#"{"\ud800":1}"#] {
            let refusal = sent(json).expect_err(json);
            let place = refusal.fault.map(|fault| fault.place);
            assert_eq!(place.as_deref(), Some("mappings[0].fields.event"), "{json}: {}", refusal.message);
        }
    }
}
