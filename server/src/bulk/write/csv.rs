//! Rows as cells. What is missing is an empty cell, a list is JSON.

use super::{list, object, told};
use crate::bulk::cell::cell_of;
use crate::bulk::row::names;
use crate::bulk::{Columns, Row};
use std::io::{self, Write};

/// Writes a line of names, then a line of cells for each row.
pub(crate) struct CsvWriter<W: Write> {
    columns: Columns,
    out: ::csv::Writer<W>,
}

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(columns: Columns, out: W) -> io::Result<Self> {
        let mut out = ::csv::Writer::from_writer(out);
        for name in [
            names::PROFILE_ID,
            names::USER_ID,
            names::EMAIL,
            names::ANONYMOUS_IDS,
            names::IDENTIFIERS,
            names::AUDIENCES,
        ] {
            out.write_field(name)?;
        }
        if columns.has_since {
            out.write_field(names::SINCE)?;
        }
        out.write_field(names::TRAITS)?;
        for column in &columns.traits {
            out.write_field(format!("{}{}", names::OF_TRAIT, column.name))?;
        }
        end_line(&mut out)?;
        Ok(Self { columns, out })
    }

    pub(super) fn write(&mut self, row: &Row) -> io::Result<()> {
        let out = &mut self.out;
        out.write_field(&row.profile_id)?;
        out.write_field(row.user_id.as_deref().unwrap_or_default())?;
        out.write_field(row.email.as_deref().unwrap_or_default())?;
        for texts in [&row.anonymous_ids, &row.identifiers, &row.audiences] {
            out.write_field(list(texts).unwrap_or_default())?;
        }
        if self.columns.has_since {
            out.write_field(row.since.as_deref().unwrap_or_default())?;
        }
        let mut cells = vec![""; self.columns.traits.len()];
        let mut others = Vec::new();
        for (name, json) in told(row, &self.columns) {
            match self.columns.place(name) {
                Some(place) => cells[place] = json,
                None => others.push((name, json)),
            }
        }
        let others = if others.is_empty() { String::new() } else { object(others.into_iter()) };
        out.write_field(others)?;
        for json in cells {
            out.write_field(cell_of(json).as_bytes())?;
        }
        end_line(out)
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(|error| error.into_error())
    }
}

/// Ends a line that was written field by field.
fn end_line<W: Write>(out: &mut ::csv::Writer<W>) -> io::Result<()> {
    Ok(out.write_record(None::<&[u8]>)?)
}
