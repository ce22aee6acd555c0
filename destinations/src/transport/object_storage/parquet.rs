//! Payloads as rows of a Parquet file: columns with types, one row group, compressed by Snappy.
//!
//! All columns may be null. What a mapping leaves out is null, and so is what has another type than its column.

use super::format::Encoded;
use crate::exchange::Payload;
use crate::failure::{Failure, Reason};
use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::Type;
use serde_json::value::RawValue;
use std::io::Write;
use std::sync::Arc;
use tributary_model::Timestamp;
use tributary_model::json::{Members, as_text, is_null};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// Microseconds since 1970, UTC.
    Moment,
    /// JSON text.
    Json,
}

/// The columns: the fields of the action.
const COLUMNS: [(&str, Kind); 11] = [
    ("delivery_id", Kind::Text),
    ("message_id", Kind::Text),
    ("type", Kind::Text),
    ("event_name", Kind::Text),
    ("event_time", Kind::Moment),
    ("received_at", Kind::Moment),
    ("user_id", Kind::Text),
    ("anonymous_id", Kind::Text),
    ("profile_id", Kind::Text),
    ("kind", Kind::Text),
    ("event", Kind::Json),
];

/// The value of a column in a row.
enum Cell {
    Text(ByteArray),
    Moment(i64),
}

/// A row: a cell for each column, in order.
type Row = [Option<Cell>; COLUMNS.len()];

/// The values of a column.
enum Values {
    Texts(Vec<ByteArray>),
    Moments(Vec<i64>),
}

/// A column that is being filled.
struct Buffer {
    values: Values,
    /// 1 for each row that has a value, 0 for each that has none.
    levels: Vec<i16>,
}

/// The file of these payloads. Payloads that can't be read are not in it.
///
/// # Errors
/// If the file can't be made.
pub(super) fn encode(payloads: &[Payload]) -> Result<Encoded, Failure> {
    let mut buffers = COLUMNS.map(|(_, kind)| Buffer::new(kind, payloads.len()));
    let mut refused = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        match row(payload) {
            Ok(row) => {
                for (buffer, cell) in buffers.iter_mut().zip(row) {
                    buffer.push(cell);
                }
            }
            Err(failure) => refused.push((index, failure)),
        }
    }
    let bytes = write(&buffers);
    let bytes = bytes.map_err(|why| {
        Failure::new(Reason::InvalidRequest, format!("the parquet file can't be made: {why}"))
    })?;
    Ok(Encoded { bytes: bytes.into(), refused })
}

/// What is shown of a file to people instead of its bytes: its columns, and its first rows, which are given as lines of
/// JSON.
pub(super) fn described(rows: usize, lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() + 512);
    let columns: Vec<String> =
        COLUMNS.iter().map(|(name, kind)| format!("\"{name}\":\"{}\"", kind.name())).collect();
    write!(out, "{{\"columns\":{{{}}},\"rows\":{rows},\"first_rows\":[", columns.join(","))
        .expect("memory takes all that is written");
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    out.extend(lines.iter().map(|byte| if *byte == b'\n' { b',' } else { *byte }));
    out.extend_from_slice(b"]}");
    out
}

fn row(payload: &Payload) -> Result<Row, Failure> {
    let unreadable = || Failure::new(Reason::InvalidRequest, "the payload is not a JSON object");
    let text = std::str::from_utf8(&payload.body).map_err(|_| unreadable())?;
    let members = Members::parse(text).map_err(|_| unreadable())?;
    let mut row: Row = std::array::from_fn(|_| None);
    for (cell, (name, kind)) in row.iter_mut().zip(COLUMNS) {
        let value = members.get(name).filter(|value| !is_null(value));
        *cell = value.map(|value| kind.cell(name, value)).transpose()?.flatten();
    }
    Ok(row)
}

impl Kind {
    /// Its name for people.
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Moment => "timestamp",
            Self::Json => "json",
        }
    }

    /// What a value becomes in a column of this kind.
    fn cell(self, name: &str, value: &RawValue) -> Result<Option<Cell>, Failure> {
        let text = |text: &str| Cell::Text(ByteArray::from(text.as_bytes().to_vec()));
        match self {
            Self::Text => Ok(as_text(value).map(|value| text(&value))),
            Self::Json => Ok(Some(text(value.get()))),
            Self::Moment => {
                let at = as_text(value).and_then(|text| Timestamp::parse(&text)).ok_or_else(|| {
                    let text = format!("field {name} is not a moment: map it to an RFC 3339 text");
                    Failure::new(Reason::InvalidField, text)
                })?;
                Ok(Some(Cell::Moment(at.as_micros())))
            }
        }
    }

    fn column(self, name: &str) -> Result<Type, ParquetError> {
        let (physical, logical) = match self {
            Self::Text => (Physical::BYTE_ARRAY, LogicalType::String),
            Self::Json => (Physical::BYTE_ARRAY, LogicalType::Json),
            Self::Moment => (Physical::INT64, LogicalType::timestamp(true, TimeUnit::MICROS)),
        };
        let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        builder.with_logical_type(Some(logical)).build()
    }
}

impl Buffer {
    fn new(kind: Kind, rows: usize) -> Self {
        let values = match kind {
            Kind::Text | Kind::Json => Values::Texts(Vec::with_capacity(rows)),
            Kind::Moment => Values::Moments(Vec::with_capacity(rows)),
        };
        Self { values, levels: Vec::with_capacity(rows) }
    }

    fn push(&mut self, cell: Option<Cell>) {
        self.levels.push(i16::from(cell.is_some()));
        match (&mut self.values, cell) {
            (Values::Texts(texts), Some(Cell::Text(text))) => texts.push(text),
            (Values::Moments(moments), Some(Cell::Moment(moment))) => moments.push(moment),
            (Values::Texts(_) | Values::Moments(_), None) => {}
            (Values::Texts(_), Some(Cell::Moment(_))) | (Values::Moments(_), Some(Cell::Text(_))) => {
                unreachable!("a column's kind decides what its cells are")
            }
        }
    }

    fn write(&self, mut column: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(self.levels.as_slice());
        match &self.values {
            Values::Texts(texts) => column.typed::<ByteArrayType>().write_batch(texts, levels, None)?,
            Values::Moments(moments) => column.typed::<Int64Type>().write_batch(moments, levels, None)?,
        };
        column.close()
    }
}

fn write(buffers: &[Buffer]) -> Result<Vec<u8>, ParquetError> {
    let columns = COLUMNS.iter().map(|(name, kind)| kind.column(name).map(Arc::new));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("deliveries").with_fields(columns).build()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by("tributary".to_owned())
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for buffer in buffers {
        let column = group.next_column()?.expect("there is a column for each field of the schema");
        buffer.write(column)?;
    }
    group.close()?;
    file.into_inner()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{payload, spec};
    use super::*;
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::Field;

    const AT: i64 = 1_795_168_800_000_000;

    fn payloads() -> Vec<Payload> {
        let whole = r#"{"delivery_id":"msg_1","message_id":"m-1","type":"track","event_name":"Order \"Completed\"",
            "event_time":"2026-11-20T12:00:00.250001+02:00","received_at":"2026-11-20T10:00:00Z","user_id":"u-7",
            "anonymous_id":"a-1","profile_id":"p-1","kind":"event","event":{"n": 9007199254740993,"t":1.50}}"#;
        let bare =
            r#"{"delivery_id":"msg_2","user_id":null,"received_at":"2026-11-20T10:00:00Z","kind":"event"}"#;
        let broken = r#"{"delivery_id":"msg_3","received_at":"yesterday"}"#;
        let at = Timestamp::from_micros(AT);
        vec![payload("msg_1", at, whole), payload("msg_3", at, broken), payload("msg_2", at, bare)]
    }

    #[test]
    fn rows_are_read_back_as_they_were_with_their_types() {
        let encoded = encode(&payloads()).expect("a file");
        let file = SerializedFileReader::new(encoded.bytes).expect("a parquet file");
        let rows: Vec<Vec<(String, Field)>> =
            file.get_row_iter(None).expect("rows").map(|row| row.expect("a row").into_columns()).collect();
        let text = |name: &str, text: &str| (name.to_owned(), Field::Str(text.to_owned()));
        let moment = |name: &str, micros: i64| (name.to_owned(), Field::TimestampMicros(micros));
        let null = |name: &str| (name.to_owned(), Field::Null);
        let whole = vec![
            text("delivery_id", "msg_1"),
            text("message_id", "m-1"),
            text("type", "track"),
            text("event_name", "Order \"Completed\""),
            moment("event_time", AT + 250_001),
            moment("received_at", AT),
            text("user_id", "u-7"),
            text("anonymous_id", "a-1"),
            text("profile_id", "p-1"),
            text("kind", "event"),
            text("event", r#"{"n": 9007199254740993,"t":1.50}"#),
        ];
        let bare = vec![
            text("delivery_id", "msg_2"),
            null("message_id"),
            null("type"),
            null("event_name"),
            null("event_time"),
            moment("received_at", AT),
            null("user_id"),
            null("anonymous_id"),
            null("profile_id"),
            text("kind", "event"),
            null("event"),
        ];
        assert_eq!(rows, [whole, bare]);
    }

    #[test]
    fn what_can_not_be_read_is_named_and_left_out() {
        let encoded = encode(&payloads()).expect("a file");
        let refused: Vec<(usize, Reason)> =
            encoded.refused.iter().map(|(index, failure)| (*index, failure.reason)).collect();
        assert_eq!(refused, [(1, Reason::InvalidField)]);
        assert!(!encoded.refused[0].1.text.contains("yesterday"), "{}", encoded.refused[0].1.text);
    }

    #[test]
    fn columns_say_what_they_hold() {
        let file = SerializedFileReader::new(encode(&payloads()).expect("a file").bytes).expect("a file");
        let schema = file.metadata().file_metadata().schema_descr();
        let held: Vec<(&str, Option<&LogicalType>)> =
            schema.columns().iter().map(|column| (column.name(), column.logical_type_ref())).collect();
        let (text, json) = (LogicalType::String, LogicalType::Json);
        let moment = LogicalType::timestamp(true, TimeUnit::MICROS);
        let want = COLUMNS.map(|(name, kind)| match kind {
            Kind::Text => (name, Some(&text)),
            Kind::Json => (name, Some(&json)),
            Kind::Moment => (name, Some(&moment)),
        });
        assert_eq!(held, want);
    }

    #[test]
    fn there_is_a_column_for_each_field_of_the_action() {
        let action = spec().action("store").expect("the definition has this action");
        let fields: Vec<&str> = action.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(fields, COLUMNS.map(|(name, _)| name));
    }

    #[test]
    fn a_file_is_shown_as_json() {
        let shown = described(3, b"{\"a\":1}\n{\"a\":2}\n");
        let shown: serde_json::Value = serde_json::from_slice(&shown).expect("JSON");
        assert_eq!(shown["rows"], 3);
        assert_eq!(shown["columns"]["event_time"], "timestamp");
        assert_eq!(shown["first_rows"], serde_json::json!([{"a": 1}, {"a": 2}]));
    }
}
