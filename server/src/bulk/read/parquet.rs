//! Rows as columns with types: flat ones only.

use super::layout::{Draft, Given, Role, roles};
use super::{Person, Problem, ReadError, ReadOptions};
use ::parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::RowIter;
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use tributary_model::Timestamp;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Reads rows from one row group after another.
pub(crate) struct ParquetRows {
    columns: Vec<Column>,
    rows: RowIter<'static>,
    done: u64,
    total: u64,
}

struct Column {
    name: String,
    role: Role,
    form: Form,
}

/// How the values of a column are to be understood, where their own type does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As they are.
    Plain,
    /// Texts that are JSON.
    Json,
    /// Nanoseconds since 1970.
    Nanos,
    /// Sixteen bytes of a UUID.
    Uuid,
}

impl ParquetRows {
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Self, ReadError> {
        let file = SerializedFileReader::new(File::open(path)?).map_err(|error| unusable(&error))?;
        check_compression(file.metadata())?;
        let metadata = file.metadata().file_metadata();
        let total = u64::try_from(metadata.num_rows()).unwrap_or_default();
        let mut forms = Vec::new();
        for field in metadata.schema_descr().root_schema().get_fields() {
            let form = form(field).map_err(|what| {
                let name = field.name();
                ReadError::Unusable(format!("column `{name}` is {what}: leave it out, or write it as text"))
            })?;
            forms.push((field.name().to_owned(), form));
        }
        let names: Vec<String> = forms.iter().map(|(name, _)| name.clone()).collect();
        let roles = roles(&names, options).map_err(ReadError::Unusable)?;
        let columns = forms.into_iter().zip(roles).map(|((name, form), role)| Column { name, role, form });
        let columns = columns.collect();
        Ok(Self { columns, rows: RowIter::from_file_into(Box::new(file)), done: 0, total })
    }

    pub(super) fn next(&mut self) -> Result<Option<Result<Person, Problem>>, ReadError> {
        let Some(row) = self.rows.next() else { return Ok(None) };
        self.done += 1;
        let place = self.done;
        // What the reader says may show values.
        let row =
            row.map_err(|_| ReadError::Unusable(format!("row {place} can't be read: is the file whole?")))?;
        let draft = draft(&self.columns, row);
        Ok(Some(draft.map(|draft| draft.person(place)).map_err(|reason| Problem { place, reason })))
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

/// Whether what the file is compressed with can be undone. It would fail at a row else, and not say why.
fn check_compression(metadata: &ParquetMetaData) -> Result<(), ReadError> {
    for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let codec = match chunk.compression() {
            Compression::UNCOMPRESSED | Compression::SNAPPY => continue,
            Compression::GZIP(_) => "GZIP",
            Compression::LZO => "LZO",
            Compression::BROTLI(_) => "BROTLI",
            Compression::LZ4 => "LZ4",
            Compression::ZSTD(_) => "ZSTD",
            Compression::LZ4_RAW => "LZ4_RAW",
        };
        let name = chunk.column_path().string();
        return Err(ReadError::Unusable(format!(
            "column `{name}` is compressed with {codec}: write the file with Snappy, or uncompressed"
        )));
    }
    Ok(())
}

fn draft(columns: &[Column], row: Row) -> Result<Draft, String> {
    let mut draft = Draft::default();
    for (column, (_, field)) in columns.iter().zip(row.into_columns()) {
        let given = given(field, column.form).map_err(|what| format!("`{}` is {what}", column.name))?;
        draft.take(column.role, &column.name, given)?;
    }
    Ok(draft)
}

/// How the values of a column are to be understood. What the reader would not take is refused here, in words.
fn form(field: &Type) -> Result<Form, &'static str> {
    let info = field.get_basic_info();
    if !field.is_primitive() || (info.has_repetition() && info.repetition() == Repetition::REPEATED) {
        return Err("nested");
    }
    let (converted, logical) = (info.converted_type(), info.logical_type_ref());
    let is = |types: &[ConvertedType]| types.contains(&converted);
    match (field.get_physical_type(), logical) {
        (_, Some(LogicalType::Time(_))) => Err("a time of day"),
        (Physical::INT32 | Physical::INT64, _)
            if is(&[ConvertedType::TIME_MILLIS, ConvertedType::TIME_MICROS]) =>
        {
            Err("a time of day")
        }
        (Physical::INT64, Some(LogicalType::Timestamp(time))) if time.unit == TimeUnit::NANOS => {
            Ok(Form::Nanos)
        }
        (Physical::BYTE_ARRAY, _) if is(&[ConvertedType::JSON]) => Ok(Form::Json),
        (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid)) => Ok(Form::Uuid),
        (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16)) => Ok(Form::Plain),
        (Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT | Physical::DOUBLE, _) => Ok(Form::Plain),
        (Physical::INT32 | Physical::INT64 | Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY, _)
            if is(&[ConvertedType::DECIMAL]) && (0..=field.get_precision()).contains(&field.get_scale()) =>
        {
            Ok(Form::Plain)
        }
        (Physical::INT32, _) if is(&INT32) => Ok(Form::Plain),
        (Physical::INT64, _) if is(&INT64) => Ok(Form::Plain),
        (Physical::BYTE_ARRAY, _) if is(&[ConvertedType::UTF8, ConvertedType::ENUM]) => Ok(Form::Plain),
        (Physical::BYTE_ARRAY, None) if is(&[ConvertedType::NONE]) => Ok(Form::Plain),
        _ => Err("of a type that is not read"),
    }
}

const INT32: [ConvertedType; 8] = [
    ConvertedType::NONE,
    ConvertedType::INT_8,
    ConvertedType::INT_16,
    ConvertedType::INT_32,
    ConvertedType::UINT_8,
    ConvertedType::UINT_16,
    ConvertedType::UINT_32,
    ConvertedType::DATE,
];

const INT64: [ConvertedType; 5] = [
    ConvertedType::NONE,
    ConvertedType::INT_64,
    ConvertedType::UINT_64,
    ConvertedType::TIMESTAMP_MILLIS,
    ConvertedType::TIMESTAMP_MICROS,
];

/// A value, or what is wrong with it.
fn given(field: Field, form: Form) -> Result<Given<'static>, &'static str> {
    let json = |json: String| Ok(Given::Json(Cow::Owned(json)));
    let text = |text: String| Ok(Given::Text(Cow::Owned(text)));
    match field {
        Field::Null => Ok(Given::Null),
        Field::Bool(value) => json(value.to_string()),
        Field::Byte(value) => json(value.to_string()),
        Field::Short(value) => json(value.to_string()),
        Field::Int(value) => json(value.to_string()),
        Field::Long(value) if form == Form::Nanos => text(time(value.div_euclid(1000))),
        Field::Long(value) => json(value.to_string()),
        Field::UByte(value) => json(value.to_string()),
        Field::UShort(value) => json(value.to_string()),
        Field::UInt(value) => json(value.to_string()),
        Field::ULong(value) => json(value.to_string()),
        Field::Float16(value) => {
            number(f64::from(value).is_finite(), serde_json::to_string(&f64::from(value)))
        }
        // In the shortest writing that is this number among those of its size.
        Field::Float(value) => number(value.is_finite(), serde_json::to_string(&value)),
        Field::Double(value) => number(value.is_finite(), serde_json::to_string(&value)),
        // Without places the text ends with the point.
        Field::Decimal(_) => json(field.to_string().trim_end_matches('.').to_owned()),
        Field::Str(value) if form == Form::Json => match RawValue::from_string(value) {
            Ok(value) => json(String::from(Box::<str>::from(value))),
            Err(_) => Err("no JSON"),
        },
        Field::Str(value) => text(value),
        Field::Bytes(bytes) if form == Form::Uuid => text(uuid(bytes.data())),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(value) => text(value.to_owned()),
            Err(_) => Err("no UTF-8"),
        },
        Field::Date(days) => {
            let at = time(i64::from(days) * DAY_MICROS);
            text(at.split_once('T').map_or(at.as_str(), |(date, _)| date).to_owned())
        }
        Field::TimestampMillis(millis) => text(time(millis.saturating_mul(1000))),
        Field::TimestampMicros(micros) => text(time(micros)),
        Field::TimeMillis(_) | Field::TimeMicros(_) => Err("a time of day"),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => Err("nested"),
    }
}

fn number(is_finite: bool, json: serde_json::Result<String>) -> Result<Given<'static>, &'static str> {
    match json {
        Ok(json) if is_finite => Ok(Given::Json(Cow::Owned(json))),
        Ok(_) | Err(_) => Err("no finite number"),
    }
}

fn time(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

fn uuid(bytes: &[u8]) -> String {
    let hex = hex::encode(bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// What is wrong with a file as a whole: its beginning and end hold no values.
fn unusable(error: &ParquetError) -> ReadError {
    ReadError::Unusable(format!("the file is no Parquet: {error}"))
}
