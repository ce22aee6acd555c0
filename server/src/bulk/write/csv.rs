//! Rows as cells. What is missing is an empty cell, a list is JSON.

use super::{Others, list, told};
use crate::bulk::cell::cell_of;
use crate::bulk::row::names;
use crate::bulk::{Columns, Formulas, Row};
use std::borrow::Cow;
use std::io::{self, Write};

/// Writes a line of names, then a line of cells for each row.
pub(crate) struct CsvWriter<W: Write> {
    columns: Columns,
    formulas: Formulas,
    out: ::csv::Writer<W>,
}

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(formulas: Formulas, columns: Columns, out: W) -> io::Result<Self> {
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
        out.write_field(names::COMPUTED)?;
        for column in &columns.traits {
            out.write_field(safe(&column.title(), formulas).as_bytes())?;
        }
        end_line(&mut out)?;
        Ok(Self { columns, formulas, out })
    }

    pub(super) fn write(&mut self, row: &Row) -> io::Result<()> {
        let (out, formulas) = (&mut self.out, self.formulas);
        out.write_field(&row.profile_id)?;
        for id in [&row.user_id, &row.email] {
            out.write_field(safe(id.as_deref().unwrap_or_default(), formulas).as_bytes())?;
        }
        for texts in [&row.anonymous_ids, &row.identifiers, &row.audiences] {
            out.write_field(list(texts).unwrap_or_default())?;
        }
        if self.columns.has_since {
            out.write_field(row.since.as_deref().unwrap_or_default())?;
        }
        let mut cells = vec![""; self.columns.traits.len()];
        let mut others = Others::default();
        for (family, name, json) in told(row, &self.columns) {
            match self.columns.place(family, name) {
                Some(place) => cells[place] = json,
                None => others.push(family, name, json),
            }
        }
        for object in others.objects() {
            out.write_field(object.unwrap_or_default())?;
        }
        for json in cells {
            let cell = cell_of(json);
            // Numbers may begin with a minus.
            let cell = if json.starts_with('"') { safe(&cell, formulas) } else { Cow::Borrowed(&*cell) };
            out.write_field(cell.as_bytes())?;
        }
        end_line(out)
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(|error| error.into_error())
    }
}

/// A text as it may stand in a cell.
fn safe(text: &str, formulas: Formulas) -> Cow<'_, str> {
    match formulas {
        Formulas::Escape if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            Cow::Owned(format!("'{text}"))
        }
        Formulas::Escape | Formulas::Plain => Cow::Borrowed(text),
    }
}

/// Ends a line that was written field by field.
fn end_line<W: Write>(out: &mut ::csv::Writer<W>) -> io::Result<()> {
    Ok(out.write_record(None::<&[u8]>)?)
}
