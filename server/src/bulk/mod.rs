//! People in files, as rows: NDJSON, CSV and Parquet, written by exports and read by imports.
//!
//! The command line and the server share it. Values of traits are JSON texts throughout and are never converted, so that
//! a number keeps every digit. What was written is read back as the same traits, by each format; `docs/bulk.md` says what
//! a file looks like. Nothing here holds more of a file than a few rows, or a row group of Parquet.

mod cell;
mod columns;
mod format;
mod number;
pub(crate) mod read;
mod row;
pub(crate) mod write;

#[cfg(test)]
mod tests;

pub(crate) use cell::Cells;
pub(crate) use columns::{Asked, COLUMNS_MAX, Columns};
pub(crate) use format::{Format, Formulas};
pub use row::Row;
