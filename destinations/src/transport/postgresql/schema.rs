//! Tables and columns: what is there, and what has to be made for some rows.
//!
//! What is there is read once for each table and connection. Whatever is missing is made within the transaction that
//! stores the rows, by one at a time: a lock is held to its end, and what is there is read again under it. Nothing is ever
//! dropped. A `bigint` column that meets other numbers becomes `numeric`; no other type is changed. That happens before
//! the transaction (`widen`), as PostgreSQL writes the whole table anew for it.
//!
//! What PostgreSQL refuses to change is taken back alone and not asked for again for a while (`refusals`); the values that
//! needed it have no place.

use super::columns::{ColumnType, Misfit};
use super::errors;
use super::names::{qualified, quoted};
use super::refusals::Refusals;
use super::rows::{DISCARDS, Entry, fixed_type};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

/// Columns of a table. PostgreSQL has room for 1,600, dropped ones included.
pub(super) const COLUMNS_MAX: usize = 1_000;

/// Tables of a schema, as many as there may be for another to be made.
pub(super) const TABLES_MAX: i64 = 2_000;

/// Of how many tables the columns are read at once: all that they may have are fewer bytes than are read of an answer.
const TABLES_READ_MAX: usize = 32;

/// The columns of a table that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) columns: BTreeMap<String, ColumnType>,
}

/// The tables that are known to be there.
pub(super) type Catalog = BTreeMap<String, Shape>;

/// Rows by table, for each at least one.
pub(super) type Entries<'a> = BTreeMap<&'a str, Vec<&'a Entry>>;

/// What has to change about a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The table has to be made, with these columns as its key.
    pub(super) key: Option<Vec<String>>,
    /// Columns that have to be made, in this order.
    pub(super) add: Vec<(String, ColumnType)>,
    /// Columns that have to become `numeric`.
    pub(super) widen: BTreeSet<String>,
}

/// What has to change for these rows, as far as limits let it.
pub(super) fn changes(shape: Option<&Shape>, entries: &[&Entry]) -> Changes {
    let key = || entries.first().map(|entry| entry.key.clone());
    let mut changes = Changes { key: if shape.is_none() { key() } else { None }, ..Changes::default() };
    let have = shape.map_or(0, |shape| shape.columns.len());
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        for (column, json) in &entry.cells {
            // What no type can hold is no reason for a column.
            let Ok(Some(found)) = ColumnType::of_value(json) else { continue };
            let fixed = fixed_type(entry, column);
            if let Some(known) = shape.and_then(|shape| shape.columns.get(column)) {
                if known.is_widened_by(&found) {
                    changes.widen.insert(column.clone());
                }
            } else if let Some(place) = places.get(column.as_str()) {
                let known = &mut changes.add[*place].1;
                if known.is_widened_by(&found) {
                    *known = found;
                }
            } else if have + changes.add.len() < COLUMNS_MAX {
                places.insert(column, changes.add.len());
                changes.add.push((column.clone(), fixed.unwrap_or(found)));
            }
        }
    }
    changes
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Without what was refused lately.
    fn without(mut self, table: &str, refusals: &Refusals, now: Instant) -> Self {
        if self.key.is_some() {
            return if refusals.has(table, "", now) { Self::default() } else { self };
        }
        self.add.retain(|(column, _)| !refusals.has(table, column, now));
        self.widen.retain(|column| !refusals.has(table, column, now));
        self
    }

    /// Each alone, if there are several.
    fn parted(&self) -> Vec<Self> {
        if self.key.is_some() || self.add.len() + self.widen.len() < 2 {
            return Vec::new();
        }
        let add = self.add.iter().map(|column| Self { add: vec![column.clone()], ..Self::default() });
        let widen = self.widen.iter().map(|column| Self::widening(column));
        add.chain(widen).collect()
    }

    /// That a column becomes `numeric`.
    pub(super) fn widening(column: &str) -> Self {
        Self { widen: BTreeSet::from([column.to_owned()]), ..Self::default() }
    }

    /// The table as it is afterwards.
    pub(super) fn applied(&self, shape: Option<&Shape>) -> Shape {
        let mut shape = shape.cloned().unwrap_or_default();
        shape.columns.extend(self.add.iter().cloned());
        for column in &self.widen {
            shape.columns.insert(column.clone(), ColumnType::Numeric);
        }
        shape
    }

    /// The statement that makes them.
    pub(super) fn statement(&self, schema: &str, table: &str) -> String {
        let table = qualified(schema, table);
        if let Some(key) = &self.key {
            let columns: Vec<_> = self.add.iter().map(|(name, kind)| column(name, kind)).collect();
            let key: Vec<_> = key.iter().map(|name| quoted(name)).collect();
            let (columns, key) = (columns.join(", "), key.join(", "));
            return format!("CREATE TABLE IF NOT EXISTS {table} ({columns}, PRIMARY KEY ({key}));");
        }
        let add =
            self.add.iter().map(|(name, kind)| format!("ADD COLUMN IF NOT EXISTS {}", column(name, kind)));
        let widen = self.widen.iter().map(|name| format!("ALTER COLUMN {} TYPE numeric", quoted(name)));
        format!("ALTER TABLE {table} {};", add.chain(widen).collect::<Vec<_>>().join(", "))
    }
}

fn column(name: &str, kind: &ColumnType) -> String {
    format!("{} {}", quoted(name), kind.sql())
}

/// Reads the columns of those tables that the catalog does not have.
///
/// # Errors
/// What PostgreSQL said.
pub(super) async fn know(
    client: &Client,
    schema: &str,
    catalog: &mut Catalog,
    tables: &Entries<'_>,
) -> Result<(), Error> {
    let unknown: Vec<&str> = tables.keys().copied().filter(|table| !catalog.contains_key(*table)).collect();
    load(client, schema, catalog, &unknown).await
}

/// The columns of tables that are known which have to become `numeric` for these rows.
pub(super) fn widenings(
    catalog: &Catalog,
    tables: &Entries<'_>,
    refusals: &Refusals,
) -> Vec<(String, BTreeSet<String>)> {
    let now = Instant::now();
    let of = |(table, entries): (&&str, &Vec<&Entry>)| {
        let changes = changes(Some(catalog.get(*table)?), entries).without(table, refusals, now);
        (!changes.widen.is_empty()).then(|| ((*table).to_owned(), changes.widen))
    };
    tables.iter().filter_map(of).collect()
}

/// Makes sure that what these rows need is there, as far as limits and PostgreSQL let it: a table that is not in the
/// catalog afterwards could not be made. The caller's transaction has begun; if it does not come to its end, the catalog
/// is void.
///
/// # Errors
/// What PostgreSQL said.
pub(super) async fn ensure(
    client: &Client,
    schema: &str,
    refusals: &Refusals,
    catalog: &mut Catalog,
    tables: &Entries<'_>,
) -> Result<(), Error> {
    know(client, schema, catalog, tables).await?;
    let now = Instant::now();
    let pending = |catalog: &Catalog| -> Vec<(String, Changes)> {
        let changed = |(table, entries): (&&str, &Vec<&Entry>)| {
            let changes = changes(catalog.get(*table), entries).without(table, refusals, now);
            (!changes.is_empty()).then(|| ((*table).to_owned(), changes))
        };
        tables.iter().filter_map(changed).collect()
    };
    let wanted = pending(catalog);
    if wanted.is_empty() {
        return Ok(());
    }
    client.batch_execute(&lock(schema)).await?;
    let names: Vec<&str> = wanted.iter().map(|(table, _)| table.as_str()).collect();
    load(client, schema, catalog, &names).await?;
    let mut room = TABLES_MAX - tables_there(client, schema).await?;
    let mut all = pending(catalog);
    all.retain(|(table, changes)| {
        let needs_room = changes.key.is_some() && table != DISCARDS;
        room -= i64::from(needs_room);
        !needs_room || room >= 0
    });
    if !all.is_empty() {
        make(client, schema, refusals, all).await?;
    }
    load(client, schema, catalog, &names).await
}

/// Makes changes, at least one. What is refused is taken back and parted, until the refused ones stand alone; those are
/// remembered.
async fn make(
    client: &Client,
    schema: &str,
    refusals: &Refusals,
    all: Vec<(String, Changes)>,
) -> Result<(), Error> {
    let mut parts = vec![all];
    // What was put last is done first.
    while let Some(part) = parts.pop() {
        let statements: String =
            part.iter().map(|(table, changes)| changes.statement(schema, table)).collect();
        let made = format!("SAVEPOINT change; {statements} RELEASE SAVEPOINT change");
        let Err(error) = client.batch_execute(&made).await else { continue };
        if !errors::is_refused_change(&error) {
            return Err(error);
        }
        client.batch_execute("ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change").await?;
        match part.as_slice() {
            [(table, changes)] => {
                let smaller = changes.parted();
                if smaller.is_empty() {
                    if table == DISCARDS {
                        // Then there would be no place at all.
                        return Err(error);
                    }
                    refuse(refusals, table, changes);
                }
                parts.extend(smaller.into_iter().rev().map(|one| vec![(table.clone(), one)]));
            }
            several => parts.extend(several.iter().rev().map(|one| vec![one.clone()])),
        }
    }
    Ok(())
}

fn refuse(refusals: &Refusals, table: &str, changes: &Changes) {
    let now = Instant::now();
    if changes.key.is_some() {
        refusals.add(table, "", now, errors::REFUSED_FOR);
        return;
    }
    for column in changes.add.iter().map(|(column, _)| column).chain(&changes.widen) {
        refusals.add(table, column, now, errors::REFUSED_FOR);
    }
}

/// The statement by which one waits for another that makes tables of that schema.
fn lock(schema: &str) -> String {
    let hash = blake3::hash(format!("tributary tables of {schema}").as_bytes());
    let (number, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    format!("SELECT pg_advisory_xact_lock({})", i64::from_be_bytes(*number))
}

/// Reads the columns of these tables.
async fn load(client: &Client, schema: &str, catalog: &mut Catalog, tables: &[&str]) -> Result<(), Error> {
    for some in tables.chunks(TABLES_READ_MAX) {
        load_some(client, schema, catalog, some).await?;
    }
    Ok(())
}

async fn load_some(
    client: &Client,
    schema: &str,
    catalog: &mut Catalog,
    tables: &[&str],
) -> Result<(), Error> {
    let rows = client
        .query_typed(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) \
             FROM pg_catalog.pg_attribute a \
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname::text = $1 AND c.relname::text = ANY($2) AND c.relkind IN ('r', 'p', 'f', 'v', 'm') \
             AND a.attnum > 0 AND NOT a.attisdropped",
            &[(&schema, Type::TEXT), (&tables, Type::TEXT_ARRAY)],
        )
        .await?;
    for table in tables {
        catalog.remove(*table);
    }
    for row in rows {
        let (table, column, kind): (String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        catalog.entry(table).or_default().columns.insert(column, ColumnType::of_sql(&kind));
    }
    Ok(())
}

/// How many tables the schema has; the schema is made if it is not there.
async fn tables_there(client: &Client, schema: &str) -> Result<i64, Error> {
    let rows = client
        .query_typed(
            "SELECT (SELECT count(*) FROM pg_catalog.pg_class c \
             WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')) \
             FROM pg_catalog.pg_namespace n WHERE n.nspname::text = $1",
            &[(&schema, Type::TEXT)],
        )
        .await?;
    if let Some(row) = rows.first() {
        return row.try_get(0);
    }
    // Asked for even where it is not needed, the privilege to make a schema could be missing.
    client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema))).await?;
    Ok(0)
}

/// Why a value has no column in a table that is there, or is about to be.
pub(super) fn without_column(json: &str) -> Misfit {
    match ColumnType::of_value(json) {
        Ok(_) => Misfit::Column,
        Err(why) => why,
    }
}
