//! Rows as columns with types. They are kept until a row group is full; then it goes to the stream.

use super::{Others, list, told};
use crate::bulk::columns::{Held, Kind};
use crate::bulk::row::names;
use crate::bulk::{Columns, Row};
use ::parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::Type;
use std::io::{self, Write};
use std::mem::take;
use std::sync::Arc;

/// A row group has so many rows at most.
const ROWS_MAX: usize = 10_000;
/// A row group is written once its values have so many bytes.
const BYTES_MAX: usize = 8 << 20;

/// Writes row group after row group, then what a reader begins with.
pub(crate) struct ParquetWriter<W: Write + Send> {
    columns: Columns,
    out: SerializedFileWriter<W>,
    /// Those of profiles first, then those of traits.
    buffers: Vec<Buffer>,
    rows: usize,
    bytes: usize,
}

/// The values of a column since the last row group.
struct Buffer {
    values: Values,
    /// 1 for each row that has a value, 0 for each that has none.
    levels: Vec<i16>,
}

enum Values {
    Texts(Vec<ByteArray>),
    Wholes(Vec<i64>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(super) fn new(columns: Columns, out: W) -> io::Result<Self> {
        let mut fields: Vec<(String, Kind)> = Vec::new();
        let mut field = |name: &str, kind| fields.push((name.to_owned(), kind));
        for name in [names::PROFILE_ID, names::USER_ID, names::EMAIL] {
            field(name, Kind::Text);
        }
        for name in [names::ANONYMOUS_IDS, names::IDENTIFIERS, names::AUDIENCES] {
            field(name, Kind::Json);
        }
        if columns.has_since {
            field(names::SINCE, Kind::Text);
        }
        field(names::TRAITS, Kind::Json);
        field(names::COMPUTED, Kind::Json);
        for column in &columns.traits {
            field(&column.title(), column.kind);
        }
        let types = fields.iter().map(|(name, kind)| type_of(name, *kind).map(Arc::new));
        let types = types.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let schema = Type::group_type_builder("profiles").with_fields(types).build().map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by("tributary".to_owned())
            .build();
        let out = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let buffers = fields.iter().map(|(_, kind)| Buffer::of(*kind)).collect();
        Ok(Self { columns, out, buffers, rows: 0, bytes: 0 })
    }

    pub(super) fn write(&mut self, row: &Row) -> io::Result<()> {
        let mut held: Vec<Option<Held>> = vec![None; self.columns.traits.len()];
        let mut others = Others::default();
        for (family, name, json) in told(row, &self.columns) {
            let place = self.columns.place(family, name);
            match place.and_then(|place| Some((place, self.columns.traits[place].kind.hold(json)?))) {
                Some((place, value)) => held[place] = Some(value),
                None => others.push(family, name, json),
            }
        }
        let text = |text: Option<&String>| text.cloned().map(Held::Text);
        let mut values = vec![
            text(Some(&row.profile_id)),
            text(row.user_id.as_ref()),
            text(row.email.as_ref()),
            list(&row.anonymous_ids).map(Held::Text),
            list(&row.identifiers).map(Held::Text),
            list(&row.audiences).map(Held::Text),
        ];
        if self.columns.has_since {
            values.push(text(row.since.as_ref()));
        }
        values.extend(others.objects().map(|object| object.map(Held::Text)));
        values.extend(held);
        for (buffer, value) in self.buffers.iter_mut().zip(values) {
            self.bytes += buffer.push(value);
        }
        self.rows += 1;
        if self.rows >= ROWS_MAX || self.bytes >= BYTES_MAX {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.out.next_row_group().map_err(failed)?;
        for buffer in &mut self.buffers {
            let column = group.next_column().map_err(failed)?;
            let column = column.expect("there is a column for each field of the schema");
            buffer.write(column).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        self.out.flush()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.write_group()?;
        self.out.into_inner().map_err(failed)
    }
}

impl Buffer {
    fn of(kind: Kind) -> Self {
        let values = match kind {
            Kind::Text | Kind::Json => Values::Texts(Vec::new()),
            Kind::Whole => Values::Wholes(Vec::new()),
            Kind::Double => Values::Doubles(Vec::new()),
            Kind::Bool => Values::Bools(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    /// Adds a value, or that there is none. How many bytes that is.
    fn push(&mut self, value: Option<Held>) -> usize {
        self.levels.push(i16::from(value.is_some()));
        let bytes = match (&mut self.values, value) {
            (Values::Texts(texts), Some(Held::Text(text))) => {
                let bytes = text.len();
                texts.push(text.into_bytes().into());
                bytes
            }
            (Values::Wholes(wholes), Some(Held::Whole(whole))) => {
                wholes.push(whole);
                size_of::<i64>()
            }
            (Values::Doubles(doubles), Some(Held::Double(double))) => {
                doubles.push(double);
                size_of::<f64>()
            }
            (Values::Bools(bools), Some(Held::Bool(bool))) => {
                bools.push(bool);
                size_of::<bool>()
            }
            (_, None) => 0,
            (_, Some(_)) => unreachable!("a column's type decides what it holds"),
        };
        bytes + size_of::<i16>()
    }

    /// Writes what was added, and begins anew.
    fn write(&mut self, mut column: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = take(&mut self.levels);
        let levels = Some(levels.as_slice());
        match &mut self.values {
            Values::Texts(texts) => {
                column.typed::<ByteArrayType>().write_batch(&take(texts), levels, None)?;
            }
            Values::Wholes(wholes) => {
                column.typed::<Int64Type>().write_batch(&take(wholes), levels, None)?;
            }
            Values::Doubles(doubles) => {
                column.typed::<DoubleType>().write_batch(&take(doubles), levels, None)?;
            }
            Values::Bools(bools) => {
                column.typed::<BoolType>().write_batch(&take(bools), levels, None)?;
            }
        }
        column.close()
    }
}

fn type_of(name: &str, kind: Kind) -> Result<Type, ParquetError> {
    let (physical, logical) = match kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Kind::Whole => (Physical::INT64, None),
        Kind::Double => (Physical::DOUBLE, None),
        Kind::Bool => (Physical::BOOLEAN, None),
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    builder.with_logical_type(logical).build()
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
