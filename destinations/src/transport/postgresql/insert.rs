//! Rows into tables: what is sent for each row, and the statements.
//!
//! Rows go as one JSON parameter, from which PostgreSQL makes typed values. The first statement stores rows whose key is
//! new. If there were others, a second one changes those columns of them that the row has a value or a null for. Where the
//! table knows which row is newer, an older one changes nothing; otherwise the one that comes later counts. What is there
//! already is not written again, so a repeated row changes nothing.
//!
//! Rows of one batch with the same key are made one. Values in it that are older than the row itself are listed with their
//! times under an empty name, because the table may hold a row that is newer than them:
//!
//! ```json
//! [{"user_id":"u1","event_time":"…10:00Z","plan":"pro","name":"Ada","":{"name":"…09:00Z"}}]
//! ```

use super::columns::{ColumnType, Misfit, text_of, text_to_json};
use super::names::{listed, literal, qualified, quoted};
use super::rows::{Discard, Entry};
use super::schema::{Shape, without_column};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};
use tributary_model::Timestamp;

/// The member of a row that lists the times of older values. No column has an empty name.
const OLDER: &str = "";

/// A row to be stored. Not to be shown: it holds personal data.
#[derive(Clone)]
pub(super) struct Row<'a> {
    /// The rows of payloads that it was made of.
    pub(super) entries: Vec<&'a Entry>,
    /// When it was so, where the table knows which row is newer.
    newest: Option<Timestamp>,
    cells: BTreeMap<&'a str, Cell>,
}

#[derive(Clone)]
struct Cell {
    /// As the column takes it.
    json: String,
    /// When it was so, if that was before the rest of the row.
    older: Option<Timestamp>,
}

/// The statements for some rows of one table. Not to be shown as they are: they hold personal data.
pub(super) struct Statements {
    pub(super) insert: String,
    /// `None` where there are no columns but the key's.
    pub(super) update: Option<String>,
    /// The rows.
    pub(super) parameter: String,
}

/// Values that have no place, each with its row.
pub(super) type Discards<'a> = Vec<(&'a Entry, Discard)>;

/// The rows of a table of that shape, made one where their keys are equal, in the order of their keys.
pub(super) fn folded<'a>(shape: &Shape, entries: &[&'a Entry]) -> (Vec<Row<'a>>, Discards<'a>) {
    let mut rows: BTreeMap<Vec<String>, Row<'a>> = BTreeMap::new();
    let mut discards = Vec::new();
    for &entry in entries {
        let (row, misfits) = Row::new(entry, shape);
        discards.extend(misfits.into_iter().map(|discard| (entry, discard)));
        let key: Vec<String> = entry.key.iter().map(|column| row.key_text(column)).collect();
        match rows.get_mut(&key) {
            Some(known) => known.merge(row),
            None => {
                rows.insert(key, row);
            }
        }
    }
    // All writers take locks in the same order, so that no two wait for each other.
    (rows.into_values().collect(), discards)
}

impl<'a> Row<'a> {
    fn new(entry: &'a Entry, shape: &Shape) -> (Self, Vec<Discard>) {
        let mut cells = BTreeMap::new();
        let mut discards = entry.discards.clone();
        for (column, json) in &entry.cells {
            let fitted = match shape.columns.get(column) {
                Some(kind) => kind.fit(json),
                None if json == "null" => continue,
                None => Err(without_column(json)),
            };
            match fitted {
                Ok(json) => {
                    cells.insert(column.as_str(), Cell { json: json.into_owned(), older: None });
                }
                Err(why) => discards.push(Discard { column: column.clone(), value: json.clone(), why }),
            }
        }
        let newest = entry.newest_by.as_deref().and_then(|column| cells.get(column)).and_then(Cell::moment);
        (Self { entries: vec![entry], newest, cells }, discards)
    }

    fn key_text(&self, column: &str) -> String {
        let json = self.cells.get(column).map_or("null", |cell| cell.json.as_str());
        text_of(json).map_or_else(|_| json.to_owned(), Cow::into_owned)
    }

    /// Takes in a row with the same key that came later.
    fn merge(&mut self, later: Self) {
        self.entries.extend(later.entries);
        if later.newest < self.newest {
            return;
        }
        if later.newest > self.newest {
            for cell in self.cells.values_mut() {
                cell.older = cell.older.or(self.newest);
            }
        }
        self.newest = later.newest;
        self.cells.extend(later.cells);
    }

    /// Takes out the values of columns that somebody else made; `None` if there are none.
    pub(super) fn without_foreign(&self, shape: &Shape) -> Option<(Self, Vec<Discard>)> {
        let entry = self.entries.first()?;
        let is_foreign = |column: &str| {
            matches!(shape.columns.get(column), Some(ColumnType::Other(_)))
                && !entry.key.iter().chain(&entry.newest_by).any(|needed| needed == column)
        };
        let mut kept = self.clone();
        kept.cells.retain(|column, _| !is_foreign(column));
        let taken = self.cells.iter().filter(|(column, _)| is_foreign(column));
        let discards: Vec<Discard> = taken
            .map(|(column, cell)| Discard {
                column: (*column).to_owned(),
                value: cell.json.clone(),
                why: Misfit::Refused,
            })
            .collect();
        (!discards.is_empty()).then_some((kept, discards))
    }

    fn write(&self, out: &mut String) {
        let separator = |out: &mut String| {
            if !out.ends_with('{') {
                out.push(',');
            }
        };
        out.push('{');
        let mut older = String::from("{");
        for (column, cell) in &self.cells {
            separator(out);
            write!(out, "{}:{}", text_to_json(column), cell.json).expect("writing to a String cannot fail");
            if let Some(at) = cell.older {
                separator(&mut older);
                write!(older, "{}:\"{at}\"", text_to_json(column)).expect("writing to a String cannot fail");
            }
        }
        if older.len() > 1 {
            separator(out);
            write!(out, "{}:{older}}}", text_to_json(OLDER)).expect("writing to a String cannot fail");
        }
        out.push('}');
    }
}

impl Cell {
    fn moment(&self) -> Option<Timestamp> {
        text_of(&self.json).ok().and_then(|text| Timestamp::parse(&text))
    }
}

/// The statements that store these rows, of which there is at least one, in that table.
pub(super) fn statements(schema: &str, table: &str, shape: &Shape, rows: &[Row<'_>]) -> Statements {
    let first = rows.first().and_then(|row| row.entries.first());
    let key: &[String] = first.map_or(&[], |entry| &entry.key);
    let newest_by = first.and_then(|entry| entry.newest_by.as_deref());
    let columns: BTreeSet<&str> = rows.iter().flat_map(|row| row.cells.keys().copied()).collect();
    let table = qualified(schema, table);
    let typed = |column: &str| {
        let kind = shape.columns.get(column).map_or("text", ColumnType::sql);
        format!("{} {kind}", quoted(column))
    };
    let record = columns.iter().map(|column| typed(column)).collect::<Vec<_>>().join(", ");
    let values = columns.iter().map(|column| format!("r.{}", quoted(column))).collect::<Vec<_>>().join(", ");
    let insert = format!(
        "INSERT INTO {table} ({}) SELECT {values} FROM jsonb_to_recordset($1::jsonb) AS r({record}) \
         ON CONFLICT ({}) DO NOTHING",
        listed(columns.iter().copied()),
        listed(key.iter().map(String::as_str)),
    );
    let has_older = rows.iter().any(|row| row.cells.values().any(|cell| cell.older.is_some()));
    let update = Update { shape, key, newest_by, has_older };
    let others: Vec<&str> =
        columns.into_iter().filter(|column| !key.iter().any(|key| key == column)).collect();
    let update = (!others.is_empty()).then(|| update.statement(&table, &record, &others));
    let mut parameter = String::from("[");
    for row in rows {
        if parameter.len() > 1 {
            parameter.push(',');
        }
        row.write(&mut parameter);
    }
    parameter.push(']');
    Statements { insert, update, parameter }
}

/// What the statement that changes rows is made of.
struct Update<'a> {
    shape: &'a Shape,
    key: &'a [String],
    newest_by: Option<&'a str>,
    has_older: bool,
}

impl Update<'_> {
    fn statement(&self, table: &str, record: &str, columns: &[&str]) -> String {
        let set = columns.iter().map(|column| format!("{} = {}", quoted(column), self.value_after(column)));
        let set = set.collect::<Vec<_>>().join(", ");
        let mut conditions: Vec<String> =
            self.key.iter().map(|key| format!("t.{0} = r.{0}", quoted(key))).collect();
        if let Some(column) = self.newest_by {
            conditions.push(format!("(t.{0} IS NULL OR t.{0} <= r.{0})", quoted(column)));
        }
        let differs = columns.iter().map(|column| self.differs(column)).collect::<Vec<_>>().join(" OR ");
        conditions.push(format!("({differs})"));
        format!(
            "UPDATE {table} AS t SET {set} \
             FROM jsonb_array_elements($1::jsonb) AS e(j), jsonb_to_record(e.j) AS r({record}) \
             WHERE {}",
            conditions.join(" AND "),
        )
    }

    /// What a column holds after the row was taken in.
    fn value_after(&self, column: &str) -> String {
        let name = quoted(column);
        let given = format!("e.j ? {}", literal(column));
        let newer = match self.newest_by {
            Some(newest_by) if self.has_older => {
                let kind = self.shape.columns.get(newest_by).map_or("text", ColumnType::sql);
                let at = format!("(e.j->{}->>{})::{kind}", literal(OLDER), literal(column));
                format!(" AND COALESCE(t.{} <= {at}, true)", quoted(newest_by))
            }
            Some(_) | None => String::new(),
        };
        format!("CASE WHEN {given}{newer} THEN r.{name} ELSE t.{name} END")
    }

    /// That the row has another value than the table.
    fn differs(&self, column: &str) -> String {
        // There are types that can't be compared.
        let cast = match self.shape.columns.get(column) {
            Some(ColumnType::Other(_)) => "::text",
            Some(
                ColumnType::Boolean
                | ColumnType::Bigint
                | ColumnType::Numeric
                | ColumnType::Timestamp
                | ColumnType::Text
                | ColumnType::Jsonb,
            )
            | None => "",
        };
        let name = quoted(column);
        format!("e.j ? {} AND r.{name}{cast} IS DISTINCT FROM t.{name}{cast}", literal(column))
    }
}

/// Stores the rows of such statements.
///
/// # Errors
/// What PostgreSQL said.
pub(super) async fn put(client: &Client, statements: &Statements, rows: usize) -> Result<(), Error> {
    let inserted = client.execute_typed(&statements.insert, &[(&statements.parameter, Type::TEXT)]).await?;
    let new = usize::try_from(inserted).unwrap_or(usize::MAX);
    if let Some(update) = statements.update.as_ref().filter(|_| new < rows) {
        client.execute_typed(update, &[(&statements.parameter, Type::TEXT)]).await?;
    }
    Ok(())
}
