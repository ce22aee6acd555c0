//! Rows as lines of JSON.

use super::{object, told};
use crate::bulk::columns::Family;
use crate::bulk::{Columns, Row};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, Write};

/// Writes a JSON object and a line feed for each row.
pub(crate) struct NdjsonWriter<W: Write> {
    columns: Columns,
    out: W,
}

#[derive(Serialize)]
struct Line<'a> {
    profile_id: &'a str,
    user_id: Option<&'a str>,
    email: Option<&'a str>,
    anonymous_ids: &'a [String],
    identifiers: &'a [String],
    audiences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<&'a str>,
    traits: &'a RawValue,
    computed: &'a RawValue,
}

impl<W: Write> NdjsonWriter<W> {
    pub(super) fn new(columns: Columns, out: W) -> Self {
        Self { columns, out }
    }

    pub(super) fn write(&mut self, row: &Row) -> io::Result<()> {
        let of = |family: Family| {
            let own = told(row, &self.columns).filter(move |(of, ..)| *of == family);
            RawValue::from_string(object(own.map(|(_, name, json)| (name, json))))
        };
        let (traits, computed) = (of(Family::Sent)?, of(Family::Computed)?);
        let line = Line {
            profile_id: &row.profile_id,
            user_id: row.user_id.as_deref(),
            email: row.email.as_deref(),
            anonymous_ids: &row.anonymous_ids,
            identifiers: &row.identifiers,
            audiences: &row.audiences,
            since: row.since.as_deref().filter(|_| self.columns.has_since),
            traits: &traits,
            computed: &computed,
        };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        self.out.write_all(&bytes)
    }

    pub(super) fn finish(self) -> W {
        self.out
    }
}
