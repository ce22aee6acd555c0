//! Writing rows to a stream.

mod csv;
mod ndjson;
mod parquet;

use self::csv::CsvWriter;
use self::ndjson::NdjsonWriter;
use self::parquet::ParquetWriter;
use super::columns::{Family, traits_of};
use super::{Columns, Format, Formulas, Row};
use std::io::{self, Write};

/// Writes rows in one of the formats. What is written is whole only after [`RowWriter::finish`].
pub(crate) enum RowWriter<W: Write + Send> {
    /// A JSON object a line.
    Ndjson(NdjsonWriter<W>),
    /// Cells.
    Csv(CsvWriter<W>),
    /// Columns with types, a row group at a time.
    Parquet(ParquetWriter<W>),
}

impl<W: Write + Send> RowWriter<W> {
    /// A writer of rows with these columns. Only in CSV can there be formulas.
    ///
    /// # Errors
    /// If the beginning of the file can't be written.
    pub(crate) fn new(format: Format, formulas: Formulas, columns: Columns, out: W) -> io::Result<Self> {
        Ok(match format {
            Format::Ndjson => Self::Ndjson(NdjsonWriter::new(columns, out)),
            Format::Csv => Self::Csv(CsvWriter::new(formulas, columns, out)?),
            Format::Parquet => Self::Parquet(ParquetWriter::new(columns, out)?),
        })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn write(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Self::Ndjson(writer) => writer.write(row),
            Self::Csv(writer) => writer.write(row),
            Self::Parquet(writer) => writer.write(row),
        }
    }

    /// Writes what is left and gives the stream back.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Ndjson(writer) => Ok(writer.finish()),
            Self::Csv(writer) => writer.finish(),
            Self::Parquet(writer) => writer.finish(),
        }
    }
}

/// Traits as a JSON object, in their order.
fn object<'a>(traits: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut object = String::from("{");
    for (name, json) in traits {
        if object.len() > 1 {
            object.push(',');
        }
        object.push_str(&super::cell::quoted(name));
        object.push(':');
        object.push_str(json);
    }
    object.push('}');
    object
}

/// A list of texts as JSON; `None` if it is empty.
fn list(texts: &[String]) -> Option<String> {
    let json = || serde_json::to_string(texts).expect("texts can be written as JSON");
    (!texts.is_empty()).then(json)
}

/// The traits of a row that are told.
fn told<'a>(row: &'a Row, columns: &Columns) -> impl Iterator<Item = (Family, &'a str, &'a str)> {
    traits_of(row).filter(move |(family, name, _)| columns.tells(*family, name))
}

/// Traits that stand in no column of their own.
#[derive(Default)]
struct Others<'a> {
    sent: Vec<(&'a str, &'a str)>,
    computed: Vec<(&'a str, &'a str)>,
}

impl<'a> Others<'a> {
    fn push(&mut self, family: Family, name: &'a str, json: &'a str) {
        match family {
            Family::Sent => self.sent.push((name, json)),
            Family::Computed => self.computed.push((name, json)),
        }
    }

    /// Those of each family as an object; `None` if there are none.
    fn objects(self) -> [Option<String>; 2] {
        [self.sent, self.computed].map(|all| (!all.is_empty()).then(|| object(all.into_iter())))
    }
}
