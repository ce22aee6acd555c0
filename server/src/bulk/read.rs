//! Reading rows about people, for imports.

mod csv;
mod layout;
mod ndjson;
mod parquet;

use self::csv::CsvRows;
use self::ndjson::NdjsonRows;
use self::parquet::ParquetRows;
use super::{Cells, Format};
use std::io;
use std::path::Path;

/// The largest row, in bytes. A longer one is no row about a person, but a file that is not what it says.
const ROW_BYTES_MAX: u64 = 4 << 20;

/// How a file is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadOptions {
    /// The column that holds the `user_id`.
    pub(crate) id_column: String,
    /// The column that says when a row was true; without, rows are of now.
    pub(crate) time_column: Option<String>,
    /// How cells of CSV are read.
    pub(crate) cells: Cells,
}

/// What a row says about somebody. It has no `Debug`: all of it is personal.
pub(crate) struct Person {
    /// Where the row stands: its line in NDJSON, its number in CSV (the names are row 1, empty lines are none) and in
    /// Parquet, from 1.
    pub(crate) place: u64,
    /// Not empty, if there is one.
    pub(crate) user_id: Option<String>,
    /// Not empty, if there is one.
    pub(crate) anonymous_id: Option<String>,
    /// When it was true, as it is written.
    pub(crate) time: Option<String>,
    /// The traits, as a JSON object.
    pub(crate) traits: String,
}

/// A row that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it stands.
    pub(crate) place: u64,
    /// Why; never a value of it.
    pub(crate) reason: String,
}

/// A file that can't be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The file can't be read.
    #[error("the file can't be read")]
    Io(#[from] io::Error),
    /// The file can't be read on from this row, the names being row 1.
    #[error("row {row} can't be read")]
    Row {
        /// The row.
        row: u64,
        /// Why.
        source: io::Error,
    },
    /// Its columns can't be used, or what it holds is not of its format.
    #[error("{0}")]
    Unusable(String),
}

/// The rows of a file.
pub(crate) enum Rows {
    /// A JSON object a line.
    Ndjson(NdjsonRows),
    /// Cells.
    Csv(Box<CsvRows>),
    /// Columns with types.
    Parquet(ParquetRows),
}

impl Rows {
    /// Opens a file and looks at its columns.
    ///
    /// # Errors
    /// If it can't be read, or its columns can't be used.
    pub(crate) fn open(path: &Path, format: Format, options: &ReadOptions) -> Result<Self, ReadError> {
        Ok(match format {
            Format::Ndjson => Self::Ndjson(NdjsonRows::open(path, options.clone())?),
            Format::Csv => Self::Csv(Box::new(CsvRows::open(path, options)?)),
            Format::Parquet => Self::Parquet(ParquetRows::open(path, options)?),
        })
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// If the file can't be read on.
    pub(crate) fn next(&mut self) -> Result<Option<Result<Person, Problem>>, ReadError> {
        match self {
            Self::Ndjson(rows) => rows.next(),
            Self::Csv(rows) => rows.next(),
            Self::Parquet(rows) => rows.next(),
        }
    }

    /// How far it is: bytes, or in Parquet rows.
    pub(crate) fn done(&self) -> u64 {
        match self {
            Self::Ndjson(rows) => rows.done(),
            Self::Csv(rows) => rows.done(),
            Self::Parquet(rows) => rows.done(),
        }
    }

    /// How far it is at the end, in the same measure.
    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Ndjson(rows) => rows.total(),
            Self::Csv(rows) => rows.total(),
            Self::Parquet(rows) => rows.total(),
        }
    }
}
