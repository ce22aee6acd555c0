//! Values brought to the type that a field takes, where they mean the same.

use super::number;
use super::read::Shape;
use super::value::Value;
use crate::definition::FieldKind;
use std::borrow::Cow;
use tributary_model::Timestamp;

/// Numbers below this are seconds since 1970, at or above it milliseconds: the year 5138, and March 1973.
const SECONDS_MAX: i128 = 100_000_000_000;
/// Numbers below this are milliseconds since 1970, at or above it microseconds.
const MILLIS_MAX: i128 = 1_000 * SECONDS_MAX;
/// Numbers at or above this are no moments.
const MICROS_MAX: i128 = 1_000 * MILLIS_MAX;
/// The first moment of the year 0 in microseconds: RFC 3339 has no earlier ones.
const EARLIEST_MICROS: i64 = -62_167_219_200_000_000;

/// A value of the type that a field takes.
///
/// # Errors
/// What it has to be, to be read after the field's name.
pub(super) fn coerced(value: Value<'_>, kind: FieldKind) -> Result<Value<'_>, &'static str> {
    match kind {
        FieldKind::Any => Ok(value),
        FieldKind::Text => as_text(value).ok_or("must be a text"),
        FieldKind::Number => as_number(value).ok_or("must be a number"),
        FieldKind::Integer => as_integer(value).ok_or("must be a whole number"),
        FieldKind::Boolean => as_boolean(value).ok_or("must be true or false"),
        FieldKind::Datetime => as_datetime(value)
            .ok_or("must be a moment, as RFC 3339 text or as a number of seconds or milliseconds"),
        FieldKind::UnixMicros => {
            let micros = moment(&value).map(|at| Value::Number(Cow::Owned(at.as_micros().to_string())));
            micros.ok_or("must be a moment, as RFC 3339 text or as a number of seconds or milliseconds")
        }
        FieldKind::Object if value.shape() == Shape::Object => Ok(value),
        FieldKind::Object => Err("must be an object"),
        FieldKind::List if value.shape() == Shape::List => Ok(value),
        FieldKind::List => Ok(Value::List(vec![value])),
    }
}

fn as_text(value: Value<'_>) -> Option<Value<'_>> {
    match value.shape() {
        Shape::Text => Some(value),
        Shape::Number | Shape::Bool(_) => value.into_text().map(Value::Text),
        Shape::Null | Shape::List | Shape::Object => None,
    }
}

fn as_number(value: Value<'_>) -> Option<Value<'_>> {
    match value.shape() {
        Shape::Number => Some(value),
        Shape::Text => {
            let digits = trimmed(value.into_text()?);
            number::is_number(&digits).then_some(Value::Number(digits))
        }
        Shape::Null | Shape::Bool(_) | Shape::List | Shape::Object => None,
    }
}

fn as_integer(value: Value<'_>) -> Option<Value<'_>> {
    let digits = match value.shape() {
        Shape::Number | Shape::Text => trimmed(value.into_text()?),
        Shape::Null | Shape::Bool(_) | Shape::List | Shape::Object => return None,
    };
    let whole = match digits {
        Cow::Borrowed(digits) => number::whole(digits)?,
        Cow::Owned(digits) => Cow::Owned(number::whole(&digits)?.into_owned()),
    };
    Some(Value::Number(whole))
}

fn as_boolean(value: Value<'_>) -> Option<Value<'_>> {
    match value.shape() {
        Shape::Bool(value) => Some(Value::Bool(value)),
        Shape::Text => match value.text().as_deref() {
            Some("true") => Some(Value::Bool(true)),
            Some("false") => Some(Value::Bool(false)),
            Some(_) | None => None,
        },
        Shape::Null | Shape::Number | Shape::List | Shape::Object => None,
    }
}

fn as_datetime(value: Value<'_>) -> Option<Value<'_>> {
    let at = moment(&value)?;
    let is_kept = value.shape() == Shape::Text && value.text().is_some_and(|text| is_rfc_3339(&text));
    if is_kept {
        return Some(value);
    }
    (at.as_micros() >= EARLIEST_MICROS).then(|| Value::Text(Cow::Owned(at.to_string())))
}

/// The moment that a text or a number means.
fn moment(value: &Value<'_>) -> Option<Timestamp> {
    match value.shape() {
        Shape::Number | Shape::Text => {}
        Shape::Null | Shape::Bool(_) | Shape::List | Shape::Object => return None,
    }
    let text = value.text()?;
    let text = text.trim();
    if !number::is_number(text) {
        return Timestamp::parse(text);
    }
    let size = number::scaled(text, 0)?.abs();
    let places = if size < SECONDS_MAX {
        6
    } else if size < MILLIS_MAX {
        3
    } else if size < MICROS_MAX {
        0
    } else {
        return None;
    };
    let micros = i64::try_from(number::scaled(text, places)?).ok()?;
    Some(Timestamp::from_micros(micros))
}

/// Whether a text that means a moment has the form of RFC 3339: `2026-11-20T10:00:00.25+01:00`.
fn is_rfc_3339(text: &str) -> bool {
    /// What stands where, up to the seconds: digits for zeros.
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let matches_form = |text: &[u8], form: &[u8]| {
        let fits =
            |(have, form): (&u8, &u8)| if *form == b'0' { have.is_ascii_digit() } else { have == form };
        text.len() == form.len() && text.iter().zip(form).all(fits)
    };
    let Some((seconds, rest)) = text.as_bytes().split_at_checked(FORM.len()) else { return false };
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    let has_zone = zone == b"Z" || matches_form(zone, b"+00:00") || matches_form(zone, b"-00:00");
    matches_form(seconds, FORM) && has_zone
}

/// Without blanks around it.
fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}
