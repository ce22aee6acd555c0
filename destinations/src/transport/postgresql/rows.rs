//! Payloads as rows: which table, which key, which values in which columns. Pure.
//!
//! Objects within a row are taken apart: `{"context": {"page": {"url": …}}}` is the column `context_page_url`. Members of
//! the objects in `spread` become columns of their own; where the row has a column of that name itself, or the action's
//! row could have one, what the object is called goes in front: a property `id` is the column `property_id`.

use super::columns::{ColumnType, Misfit, text_of, text_to_json};
use super::names::identifier;
use crate::definition::{FieldSpec, Spec};
use crate::exchange::Payload;
use crate::failure::{Failure, Reason};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::Timestamp;
use tributary_model::json::{Members, as_text, is_null};

/// The table of values that did not fit where they belong.
pub(super) const DISCARDS: &str = "discards";

/// The columns that say whose a row is; discarded values have them too, so that a deletion finds them.
const WHOSE: [&str; 3] = ["user_id", "anonymous_id", "profile_id"];

/// Columns that hold ids and names: text, whatever their first value looks like.
const TEXT_COLUMNS: [&str; 9] = [
    "anonymous_id",
    "audience",
    "event",
    "group_id",
    "id",
    "message_id",
    "previous_id",
    "profile_id",
    "user_id",
];

/// Columns that hold moments.
const TIME_COLUMNS: [&str; 2] = ["event_time", "received_at"];

/// Columns of [`DISCARDS`] that are always text.
const DISCARD_TEXTS: [&str; 5] = ["row_id", "table_name", "column_name", "value", "reason"];

/// The longest value of a key's column, in bytes of JSON. PostgreSQL's indexes take about 2,700 bytes in all.
const KEY_BYTES_MAX: usize = 800;

/// How many values of a row are kept when they are discarded.
const DISCARDS_PER_ROW: usize = 100;

/// The longest discarded value that is kept, in bytes; longer ones are cut.
const DISCARD_BYTES_MAX: usize = 10_000;

/// How deep objects are taken apart. What lies deeper is stored as JSON.
const DEPTH_MAX: usize = 64;

/// A payload as a row. Not to be shown: it holds personal data.
pub(super) struct Entry {
    /// Which of the payloads it is.
    pub(super) payload: usize,
    /// The delivery's id, without the mapping's number.
    pub(super) row_id: String,
    pub(super) received_at: Timestamp,
    pub(super) table: String,
    /// The columns that tell rows apart.
    pub(super) key: Vec<String>,
    /// The column that says which of two rows with the same key is newer.
    pub(super) newest_by: Option<String>,
    /// JSON values by column, each column once, in the order of the payload.
    pub(super) cells: Vec<(String, String)>,
    /// Values that have no place.
    pub(super) discards: Vec<Discard>,
}

/// A value that has no place. Not to be shown.
#[derive(Clone)]
pub(super) struct Discard {
    pub(super) column: String,
    /// The JSON value.
    pub(super) value: String,
    pub(super) why: Misfit,
}

/// What a definition says about names, of one action.
#[derive(Debug)]
struct Reserved {
    /// The table is named by events: it must not be one of the definition's own.
    is_table_of_events: bool,
    /// Columns that its row could have.
    columns: BTreeSet<String>,
}

/// The names that a definition itself uses.
#[derive(Debug)]
pub(super) struct Names {
    tables: BTreeSet<String>,
    actions: Vec<Reserved>,
}

impl Names {
    /// Of that definition.
    pub(super) fn of(spec: &Spec) -> Self {
        let mut tables = BTreeSet::from([DISCARDS.to_owned()]);
        let mut actions = Vec::with_capacity(spec.actions.len());
        for action in &spec.actions {
            let default = |name: &str| {
                let field: Option<&FieldSpec> = action.fields.iter().find(|field| field.name == name);
                field.and_then(|field| field.default.as_ref())
            };
            let table = default("table").and_then(|table| table.as_str());
            tables.extend(table.map(identifier));
            let row = default("row").and_then(|row| row.as_object());
            let columns = row.into_iter().flatten().map(|(name, _)| identifier(name)).collect();
            actions.push(Reserved { is_table_of_events: table.is_none(), columns });
        }
        Self { tables, actions }
    }

    /// The table that a payload of that action names.
    fn table(&self, action: usize, text: &str) -> String {
        let name = identifier(text);
        let is_of_events = self.actions.get(action).is_some_and(|action| action.is_table_of_events);
        let is_taken = name == DISCARDS || is_of_events && self.tables.contains(&name);
        if is_taken { identifier(&format!("event_{name}")) } else { name }
    }

    fn is_reserved(&self, action: usize, column: &str) -> bool {
        self.actions.get(action).is_some_and(|action| action.columns.contains(column))
    }
}

/// Reads a payload.
///
/// # Errors
/// What it lacks: it can never be stored.
pub(super) fn read(names: &Names, place: usize, payload: &Payload) -> Result<Entry, Failure> {
    let text = std::str::from_utf8(&payload.body).ok();
    let members = text.and_then(|text| Members::parse(text).ok());
    let members = members.ok_or_else(|| invalid("the payload", "is no JSON object"))?;
    let table = members.text("table").filter(|table| !table.is_empty()).ok_or_else(|| missing("table"))?;
    let columns = |name| columns_of(members.get(name), name);
    let key = columns("key")?;
    if key.is_empty() {
        return Err(missing("key"));
    }
    let newest_by = columns("newest_by")?.into_iter().next();
    let mut cells = Cells::default();
    let row = members.object("row").ok_or_else(|| missing("row"))?;
    for (path, value) in leaves("", &row, DEPTH_MAX) {
        let column = identifier(&path);
        cells.add(column, value);
    }
    let spread = members.object("spread").unwrap_or_default();
    for (prefix, value) in spread.iter() {
        let Ok(object) = Members::parse(value.get()) else { continue };
        for (path, value) in leaves("", &object, DEPTH_MAX) {
            let mut column = identifier(&path);
            if names.is_reserved(payload.action, &column) || cells.of_row(&column) {
                column = identifier(&format!("{prefix}_{path}"));
            }
            cells.add_spread(column, value);
        }
    }
    // What tells rows apart comes first, so that no limit of columns leaves it out.
    let is_first = |column: &str| key.iter().chain(&newest_by).any(|first| first == column);
    cells.list.sort_by_key(|(column, _)| !is_first(column));
    for column in key.iter().chain(&newest_by) {
        check_first(column, newest_by.as_ref() == Some(column), &cells.list)?;
    }
    let row_id = payload.id.split('.').next().unwrap_or_default();
    Ok(Entry {
        payload: place,
        row_id: row_id.to_owned(),
        received_at: payload.received_at,
        table: names.table(payload.action, &table),
        key,
        newest_by,
        cells: cells.list,
        discards: cells.discards,
    })
}

/// Checks the value of a column of the key, or of the one that says which row is newer.
fn check_first(column: &str, is_time: bool, cells: &[(String, String)]) -> Result<(), Failure> {
    let cell = cells.iter().find(|(have, _)| have == column).map(|(_, json)| json.as_str());
    let json = cell.filter(|json| *json != "null").ok_or_else(|| missing(&format!("row.{column}")))?;
    let what = format!("`row.{column}`");
    if is_time {
        let fits = ColumnType::Timestamp.fit(json).is_ok();
        return if fits { Ok(()) } else { Err(invalid(&what, "has to be an RFC 3339 text")) };
    }
    if json.len() > KEY_BYTES_MAX {
        return Err(invalid(&what, &format!("is longer than {KEY_BYTES_MAX} bytes; a key can't be")));
    }
    match ColumnType::Text.fit(json) {
        Ok(_) if !json.starts_with('[') => Ok(()),
        Ok(_) => Err(invalid(&what, "is a list; a key is a text or a number")),
        Err(why) => Err(invalid(&what, &format!("can't be a key: {}", why.text()))),
    }
}

/// The type that a column is made with whatever its first value is.
pub(super) fn fixed_type(entry: &Entry, column: &str) -> Option<ColumnType> {
    if entry.newest_by.as_deref() == Some(column) || TIME_COLUMNS.contains(&column) {
        return Some(ColumnType::Timestamp);
    }
    let is_text = TEXT_COLUMNS.contains(&column)
        || entry.key.iter().any(|key| key == column)
        || entry.table == DISCARDS && DISCARD_TEXTS.contains(&column);
    is_text.then_some(ColumnType::Text)
}

impl Entry {
    /// The rows of [`DISCARDS`] for values of this row that have no place.
    pub(super) fn discarded(&self, discards: &[Discard]) -> Vec<Self> {
        let kept = discards.iter().take(DISCARDS_PER_ROW).cloned();
        let more = (discards.len() > DISCARDS_PER_ROW).then(|| Discard {
            column: String::new(),
            value: (discards.len() - DISCARDS_PER_ROW).to_string(),
            why: Misfit::More,
        });
        kept.chain(more).map(|discard| self.row_of(&discard)).collect()
    }

    /// The whole row as a value that has no place.
    pub(super) fn as_discard(&self, why: Misfit) -> Discard {
        let mut value = String::from("{");
        for (column, json) in &self.cells {
            if value.len() > 1 {
                value.push(',');
            }
            value.push_str(&text_to_json(column));
            value.push(':');
            value.push_str(json);
        }
        value.push('}');
        Discard { column: String::new(), value, why }
    }

    fn row_of(&self, discard: &Discard) -> Self {
        let mut cells = vec![
            ("row_id".to_owned(), text_to_json(&self.row_id)),
            ("table_name".to_owned(), text_to_json(&self.table)),
            ("column_name".to_owned(), text_to_json(&discard.column)),
            ("value".to_owned(), text_to_json(&readable(&discard.value))),
            ("reason".to_owned(), text_to_json(discard.why.text())),
            ("received_at".to_owned(), text_to_json(&self.received_at.to_string())),
        ];
        let whose = self.cells.iter().filter(|(column, _)| WHOSE.contains(&column.as_str()));
        cells.extend(whose.cloned());
        let key = ["row_id", "table_name", "column_name"];
        Self {
            payload: self.payload,
            row_id: self.row_id.clone(),
            received_at: self.received_at,
            table: DISCARDS.to_owned(),
            key: key.map(str::to_owned).to_vec(),
            newest_by: None,
            cells,
            discards: Vec::new(),
        }
    }
}

/// A JSON value as text that PostgreSQL can store: of a string what it says, of anything else its JSON text.
fn readable(json: &str) -> String {
    let mut text = match text_of(json) {
        Ok(text) => text.into_owned(),
        Err(_) => json.to_owned(),
    };
    if text.len() > DISCARD_BYTES_MAX {
        let mut end = DISCARD_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The values of a row, and those that found their column taken.
#[derive(Default)]
struct Cells {
    list: Vec<(String, String)>,
    /// Columns that have a value: whether it is of the row itself.
    taken: BTreeMap<String, bool>,
    discards: Vec<Discard>,
}

impl Cells {
    fn of_row(&self, column: &str) -> bool {
        self.taken.get(column).copied().unwrap_or_default()
    }

    fn add(&mut self, column: String, value: &RawValue) {
        self.put(column, value, true);
    }

    fn add_spread(&mut self, column: String, value: &RawValue) {
        self.put(column, value, false);
    }

    fn put(&mut self, column: String, value: &RawValue, of_row: bool) {
        let value = value.get().to_owned();
        if self.taken.contains_key(&column) {
            self.discards.push(Discard { column, value, why: Misfit::Name });
        } else {
            self.taken.insert(column.clone(), of_row);
            self.list.push((column, value));
        }
    }
}

/// What is in an object and in the objects within it, so many deep, by path. Of a name that occurs twice the last value
/// counts.
fn leaves<'a>(prefix: &str, object: &Members<'a>, depth: usize) -> Vec<(String, &'a RawValue)> {
    let mut found = Vec::with_capacity(object.len());
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, (name, _)) in object.iter().enumerate() {
        last.insert(name, place);
    }
    for (place, (name, value)) in object.iter().enumerate() {
        if last.get(name) != Some(&place) {
            continue;
        }
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}_{name}") };
        let is_object = depth > 1 && value.get().starts_with('{');
        let inner = is_object.then(|| Members::parse(value.get()).ok()).flatten();
        match inner {
            Some(inner) => found.extend(leaves(&path, &inner, depth - 1)),
            None => found.push((path, value)),
        }
    }
    found
}

/// The columns that a member of the payload names: one, or a list.
fn columns_of(value: Option<&RawValue>, name: &str) -> Result<Vec<String>, Failure> {
    let Some(value) = value.filter(|value| !is_null(value)) else { return Ok(Vec::new()) };
    if let Some(text) = as_text(value) {
        return Ok(vec![identifier(&text)]);
    }
    let list: Vec<String> = serde_json::from_str(value.get())
        .map_err(|_| invalid(name, "is no list of columns; name columns of the row"))?;
    Ok(list.iter().map(|column| identifier(column)).collect())
}

fn missing(field: &str) -> Failure {
    let text = format!("`{field}` is missing; fill it in the mapping");
    Failure::new(Reason::MissingField, text)
}

fn invalid(what: &str, why: &str) -> Failure {
    Failure::new(Reason::InvalidField, format!("{what} {why}"))
}
