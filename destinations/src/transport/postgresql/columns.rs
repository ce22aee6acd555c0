//! Types of columns, and which JSON values fit them. Pure.
//!
//! Values keep their digits: a number goes into a statement as it was written, and PostgreSQL's `jsonb` and `numeric` keep
//! it so. What PostgreSQL would refuse is found here, so that a single value never fails a whole batch.

use std::borrow::Cow;
use tributary_model::Timestamp;

/// The longest number, in bytes, and the largest exponent. PostgreSQL has no room for much more.
const NUMBER_BYTES_MAX: usize = 1_000;

/// 0001-01-01T00:00:00Z in microseconds since 1970: PostgreSQL has no year 0, and writes earlier ones in another way.
const FIRST_MOMENT: Timestamp = Timestamp::from_micros(-62_135_596_800_000_000);

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ColumnType {
    Boolean,
    Bigint,
    Numeric,
    Timestamp,
    Text,
    Jsonb,
    /// One that somebody else gave it, as PostgreSQL writes it.
    Other(Box<str>),
}

/// Why a value can't be stored in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The column has another type, which PostgreSQL could not change.
    Type,
    /// A number has too many digits.
    Number,
    /// A text holds what PostgreSQL can't: NUL, or half of a surrogate pair.
    Text,
    /// The table has as many columns as it may, or PostgreSQL would not make this one.
    Column,
    /// The schema has as many tables as it may, or PostgreSQL would not make this one.
    Table,
    /// Another value of the row has the same column.
    Name,
    /// PostgreSQL refused it for a column that somebody else made.
    Refused,
    /// There was no room for more discarded values of the row.
    More,
}

impl Misfit {
    /// Why, in words, as the table of discarded values has it.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Type => "the column has another type",
            Self::Number => "the number has too many digits",
            Self::Text => "the text holds a character that PostgreSQL can't store",
            Self::Column => "the table has as many columns as it may have, or PostgreSQL refused this one",
            Self::Table => "the schema has as many tables as it may have, or PostgreSQL refused this one",
            Self::Name => "another value of the row has a name that becomes the same column",
            Self::Refused => "PostgreSQL refused the value for this column",
            Self::More => "more values of the row were discarded than are kept",
        }
    }
}

impl ColumnType {
    /// As statements have it.
    pub(super) fn sql(&self) -> &str {
        match self {
            Self::Boolean => "boolean",
            Self::Bigint => "bigint",
            Self::Numeric => "numeric",
            Self::Timestamp => "timestamp with time zone",
            Self::Text => "text",
            Self::Jsonb => "jsonb",
            Self::Other(name) => name,
        }
    }

    /// The type that PostgreSQL writes so.
    pub(super) fn of_sql(name: &str) -> Self {
        [Self::Boolean, Self::Bigint, Self::Numeric, Self::Timestamp, Self::Text, Self::Jsonb]
            .into_iter()
            .find(|known| known.sql() == name)
            .unwrap_or_else(|| Self::Other(name.into()))
    }

    /// The type of a column that is made for this JSON value; `None` for null.
    ///
    /// # Errors
    /// No type could hold it.
    pub(super) fn of_value(json: &str) -> Result<Option<Self>, Misfit> {
        match json.as_bytes().first() {
            None | Some(b'n') => Ok(None),
            Some(b't' | b'f') => Ok(Some(Self::Boolean)),
            Some(b'[' | b'{') => jsonb_takes(json).map(|()| Some(Self::Jsonb)),
            Some(b'"') => {
                let text = text_of(json)?;
                Ok(Some(if moment(&text).is_some() { Self::Timestamp } else { Self::Text }))
            }
            Some(_) if json.parse::<i64>().is_ok() => Ok(Some(Self::Bigint)),
            Some(_) => number_takes(json).map(|()| Some(Self::Numeric)),
        }
    }

    /// Whether a column of this type has to become `numeric` to hold that value.
    pub(super) fn is_widened_by(&self, value: &Self) -> bool {
        *self == Self::Bigint && *value == Self::Numeric
    }

    /// The value in the JSON form in which the column takes it.
    ///
    /// # Errors
    /// It does not fit.
    pub(super) fn fit<'a>(&self, json: &'a str) -> Result<Cow<'a, str>, Misfit> {
        let first = json.as_bytes().first().copied().unwrap_or(b'n');
        if first == b'n' {
            return Ok(Cow::Borrowed("null"));
        }
        let as_it_is = |fits: bool| if fits { Ok(Cow::Borrowed(json)) } else { Err(Misfit::Type) };
        match self {
            Self::Boolean => as_it_is(matches!(first, b't' | b'f')),
            Self::Bigint => as_it_is(json.parse::<i64>().is_ok()),
            Self::Numeric if matches!(first, b'-' | b'0'..=b'9') => number_takes(json).map(|()| json.into()),
            Self::Numeric => Err(Misfit::Type),
            Self::Timestamp if first == b'"' => {
                let at = Timestamp::parse(&text_of(json)?).filter(|at| *at >= FIRST_MOMENT);
                at.map(|at| Cow::Owned(format!("\"{at}\""))).ok_or(Misfit::Type)
            }
            Self::Timestamp => Err(Misfit::Type),
            Self::Text if first == b'"' => text_of(json).map(|_| json.into()),
            // The JSON text of anything else.
            Self::Text => jsonb_takes(json).map(|()| text_to_json(json).into()),
            Self::Jsonb | Self::Other(_) => jsonb_takes(json).map(|()| json.into()),
        }
    }
}

/// A text as JSON.
pub(super) fn text_to_json(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}

/// The text of a JSON string.
///
/// # Errors
/// PostgreSQL can't store it.
pub(super) fn text_of(json: &str) -> Result<Cow<'_, str>, Misfit> {
    let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).ok_or(Misfit::Type)?;
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let text: String = serde_json::from_str(json).map_err(|_| Misfit::Text)?;
    if text.contains('\0') { Err(Misfit::Text) } else { Ok(Cow::Owned(text)) }
}

/// The moment that an RFC 3339 text with date, time and offset names, if PostgreSQL knows it.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let has_form = bytes.len() > 19
        && bytes[..19].iter().zip(b"0000-00-00T00:00:00").all(|(have, form)| match form {
            b'0' => have.is_ascii_digit(),
            _ => have == form,
        })
        && is_offset(text[19..].trim_start_matches(|part: char| part == '.' || part.is_ascii_digit()));
    if !has_form {
        return None;
    }
    Timestamp::parse(text).filter(|at| *at >= FIRST_MOMENT)
}

fn is_offset(text: &str) -> bool {
    let bytes = text.as_bytes();
    text == "Z"
        || bytes.len() == 6
            && matches!(bytes[0], b'+' | b'-')
            && bytes[3] == b':'
            && [1, 2, 4, 5].into_iter().all(|place| bytes[place].is_ascii_digit())
}

/// Whether PostgreSQL takes a number as it is written.
fn number_takes(json: &str) -> Result<(), Misfit> {
    let exponent = json.split_once(['e', 'E']).map_or("0", |(_, exponent)| exponent);
    let exponent: i64 = exponent.trim_start_matches('+').parse().map_err(|_| Misfit::Number)?;
    let largest = u64::try_from(NUMBER_BYTES_MAX).expect("a small number");
    if json.len() <= NUMBER_BYTES_MAX && exponent.unsigned_abs() <= largest {
        Ok(())
    } else {
        Err(Misfit::Number)
    }
}

/// Whether PostgreSQL's `jsonb` takes a JSON text: every text and number within it has to be one that it can hold.
fn jsonb_takes(json: &str) -> Result<(), Misfit> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let length = match byte {
            b'"' => string_length(&bytes[at..]),
            b'-' | b'0'..=b'9' => bytes[at..].iter().take_while(|byte| is_of_number(**byte)).count(),
            _ => 1,
        };
        match byte {
            b'"' => drop(text_of(&json[at..at + length])?),
            b'-' | b'0'..=b'9' => number_takes(&json[at..at + length])?,
            _ => {}
        }
        at += length;
    }
    Ok(())
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// How long the string at the beginning is, with both quotes.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}
