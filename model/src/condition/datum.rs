//! Values as conditions see them.

use super::number::Number;
use super::tree::Literal;
use crate::json::{Members, as_text};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A value as conditions see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Datum {
    /// Missing, or the literal `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Datum>),
    /// An object. Conditions look at members of it, never at it as a whole: it equals nothing.
    Object,
    /// A length of time, in microseconds.
    Span(i64),
}

impl Datum {
    /// Reads JSON text; null if it is none.
    pub fn parse(json: &str) -> Self {
        match json.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<&RawValue>(json)
                .ok()
                .and_then(as_text)
                .map_or(Self::Null, |text| Self::Text(text.into_owned())),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'{') => Self::Object,
            Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(json) {
                Ok(values) => Self::List(values.into_iter().map(|value| Self::parse(value.get())).collect()),
                Err(_) => Self::Null,
            },
            _ => Number::parse(json).map_or(Self::Null, Self::Number),
        }
    }

    /// What stands at these names, one within the other, in JSON text; null if there is nothing.
    pub fn at(json: &str, names: &[Box<str>]) -> Self {
        let Some((name, rest)) = names.split_first() else { return Self::parse(json) };
        match Members::parse(json).ok().and_then(|members| members.get(name)) {
            Some(value) => Self::at(value.get(), rest),
            None => Self::Null,
        }
    }

    /// Whether it is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The moment that a text names: RFC 3339, or a date, whose first moment in UTC is meant.
    pub fn moment(&self) -> Option<Timestamp> {
        match self {
            Self::Text(text) => Timestamp::parse(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object | Self::Span(_) => {
                None
            }
        }
    }

    /// As JSON text; objects as an empty one, lengths of time in whole seconds.
    pub fn to_json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::List(values) => {
                let values: Vec<String> = values.iter().map(Self::to_json).collect();
                format!("[{}]", values.join(","))
            }
            Self::Object => "{}".to_owned(),
            Self::Span(micros) => micros.div_euclid(1_000_000).to_string(),
        }
    }
}

impl From<&Literal> for Datum {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(number) => Self::Number(*number),
            Literal::Text(text) => Self::Text(text.clone()),
        }
    }
}

/// JSON text in the one form in which equal values have equal texts: texts without needless escapes, numbers as
/// [`Number`] writes them. Lists, objects, and numbers that a [`Number`] would change stay as they are, so that
/// different ones stay different.
pub fn canonical(json: &str) -> Box<str> {
    let datum = Datum::parse(json);
    let is_kept = match &datum {
        Datum::List(_) | Datum::Object => true,
        Datum::Number(_) => !is_exact(json),
        Datum::Null | Datum::Bool(_) | Datum::Text(_) | Datum::Span(_) => false,
    };
    if is_kept { json.into() } else { datum.to_json().into() }
}

/// How many digits before and behind the point every [`Number`] has room for.
const DIGITS_MAX: (i64, i64) = (20, 9);

/// Whether a [`Number`] holds the number of this text as it is.
fn is_exact(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        None => (unsigned, Some(0)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let is_zero = |digit: &u8| *digit == b'0';
    let (all, leading) = (whole.len() + fraction.len(), digits().take_while(is_zero).count());
    if leading == all {
        return true;
    }
    // One that is too long to be read leads beyond every limit.
    let Some(exponent) = exponent else { return false };
    let trailing = digits().rev().take_while(is_zero).count();
    let point = exponent.saturating_add(whole.len() as i64);
    point.saturating_sub(leading as i64) <= DIGITS_MAX.0
        && ((all - trailing) as i64).saturating_sub(point) <= DIGITS_MAX.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read() {
        let text = |text: &str| Datum::Text(text.to_owned());
        let number = |value| Datum::Number(Number::whole(value));
        let cases = [
            ("null", Datum::Null),
            ("true", Datum::Bool(true)),
            ("-12", number(-12)),
            (r#""a\nb""#, text("a\nb")),
            (r#"[1,"x",[null]]"#, Datum::List(vec![number(1), text("x"), Datum::List(vec![Datum::Null])])),
            ("{\"a\":1}", Datum::Object),
        ];
        for (json, want) in cases {
            assert_eq!(Datum::parse(json), want, "{json}");
        }
    }

    #[test]
    fn paths_lead_into_objects() {
        let names = |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|name| (*name).into()).collect() };
        let json = r#"{"address":{"city":"Ulm","zip":null},"a":[{"b":1}]}"#;
        let cases: [(&[&str], &str); 5] = [
            (&["address", "city"], r#""Ulm""#),
            (&["address", "zip"], "null"),
            (&["address", "street"], "null"),
            (&["a", "b"], "null"),
            (&["address"], "{}"),
        ];
        for (path, want) in cases {
            assert_eq!(Datum::at(json, &names(path)).to_json(), want, "{path:?}");
        }
    }

    #[test]
    fn equal_values_have_one_text() {
        for (one, other) in [("1.0", "1"), (r#""\u0061""#, r#""a""#), ("1e2", "100")] {
            assert_eq!(canonical(one), canonical(other));
        }
        assert_ne!(canonical("1"), canonical("\"1\""));
    }

    #[test]
    fn numbers_that_would_change_keep_their_texts() {
        let exact = [
            ("0e999999999999999999999", "0"),
            ("-0.0", "0"),
            ("12345678901234567890", "12345678901234567890"),
            ("1.5000000000000", "1.5"),
            ("0.000000001", "0.000000001"),
            ("1000e-3", "1"),
            ("0.00012e4", "1.2"),
        ];
        for (json, want) in exact {
            assert_eq!(&*canonical(json), want, "{json}");
        }
        for json in [
            "123456789012345678901",
            "123456789012345678902",
            "0.0000000001",
            "1.0000000005",
            "1e400",
            "1e-400",
            "1e999999999999999999999",
            "1e-999999999999999999999",
        ] {
            assert_eq!(&*canonical(json), json);
        }
    }

    #[test]
    fn moments_are_read_of_dates_too() {
        let at = |text: &str| Datum::Text(text.to_owned()).moment().map(|at| at.to_string());
        assert_eq!(at("2026-11-20").as_deref(), Some("2026-11-20T00:00:00.000Z"));
        assert_eq!(at("2026-11-20T10:00:00+02:00").as_deref(), Some("2026-11-20T08:00:00.000Z"));
        assert_eq!(at("yesterday"), None);
    }
}
