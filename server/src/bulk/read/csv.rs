//! Rows as cells.

use super::layout::{Draft, Given, Role, roles};
use super::{Person, Problem, ROW_BYTES_MAX, ReadError, ReadOptions};
use crate::bulk::Cells;
use crate::bulk::cell::json_of;
use ::csv::{ByteRecord, Reader, ReaderBuilder, StringRecord};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a line of names, then a row from each further one. A cell in quotation marks may have lines of its own.
pub(crate) struct CsvRows {
    cells: Cells,
    columns: Vec<String>,
    roles: Vec<Role>,
    file: Reader<Bounded>,
    total: u64,
    /// As a spreadsheet counts them: the names are row 1. Empty lines are no rows.
    row: u64,
    record: ByteRecord,
}

/// A file that gives so much and no more until it is told to go on: so a quotation mark that never ends does not read
/// the whole file into one cell.
struct Bounded {
    file: File,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let advice = format!("a row has more than {ROW_BYTES_MAX} bytes: is a quotation mark missing?");
            return Err(io::Error::other(advice));
        }
        let read = self.file.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

impl CsvRows {
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Self, ReadError> {
        let file = File::open(path)?;
        let total = file.metadata()?.len();
        let bounded = Bounded { file, left: ROW_BYTES_MAX };
        // Rows of another length are refused one by one.
        let mut file = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bounded);
        let mut record = ByteRecord::new();
        file.read_byte_record(&mut record).map_err(|error| unreadable(1, error))?;
        let names = StringRecord::from_byte_record(record)
            .map_err(|_| ReadError::Unusable("the line of names is no UTF-8".to_owned()))?;
        let columns: Vec<String> = names.iter().map(str::to_owned).collect();
        let roles = roles(&columns, options).map_err(ReadError::Unusable)?;
        Ok(Self { cells: options.cells, columns, roles, file, total, row: 1, record: ByteRecord::new() })
    }

    pub(super) fn next(&mut self) -> Result<Option<Result<Person, Problem>>, ReadError> {
        self.file.get_mut().left = ROW_BYTES_MAX;
        let place = self.row + 1;
        if !self.file.read_byte_record(&mut self.record).map_err(|error| unreadable(place, error))? {
            return Ok(None);
        }
        self.row = place;
        let row = self.draft().map(|draft| draft.person(place));
        Ok(Some(row.map_err(|reason| Problem { place, reason })))
    }

    fn draft(&self) -> Result<Draft, String> {
        let (cells, columns) = (self.record.len(), self.columns.len());
        if cells != columns {
            return Err(format!("the row has {cells} cells; there are {columns} columns"));
        }
        let mut draft = Draft::default();
        for ((name, role), cell) in self.columns.iter().zip(&self.roles).zip(&self.record) {
            let cell = std::str::from_utf8(cell).map_err(|_| format!("`{name}` is no UTF-8"))?;
            let given = match role {
                Role::Trait => Given::Json(Cow::Owned(json_of(cell, self.cells))),
                Role::Named if cell.is_empty() => Given::Null,
                Role::Named => Given::Json(Cow::Owned(json_of(cell, self.cells))),
                Role::UserId
                | Role::AnonymousId
                | Role::AnonymousIds
                | Role::Time
                | Role::Traits
                | Role::Passed => Given::Text(Cow::Borrowed(cell)),
            };
            draft.take(*role, name, given)?;
        }
        Ok(draft)
    }

    pub(super) fn done(&self) -> u64 {
        self.file.position().byte()
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

fn unreadable(row: u64, error: ::csv::Error) -> ReadError {
    ReadError::Row { row, source: error.into() }
}
