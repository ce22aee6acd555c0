//! A batch of rows in one transaction, tried again where something may help.

use super::Postgresql;
use super::columns::Misfit;
use super::connection::Session;
use super::errors::{self, NotWidened, Remedy, Trouble};
use super::insert::{Discards, Row, folded, put, statements};
use super::rows::{Discard, Entry};
use super::schema::{Catalog, Changes, Entries, Shape, changes, ensure, know, widenings};
use crate::exchange::Verdict;
use crate::failure::{Failure, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;
use tokio_postgres::{Client, Error};

/// How rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// All rows of a table by one statement: one that is refused fails all.
    Together,
    /// In parts that are taken back alone, down to single rows.
    Apart,
}

/// So many rows are refused one by one, none having been stored, until an error that may pass counts as the table's own.
const ALIKE_MAX: usize = 32;

/// What became of a batch.
pub(super) struct Written {
    /// Payloads that were refused alone, and what that means for each.
    pub(super) refused: Vec<(usize, Verdict)>,
    /// What was done, for people.
    pub(super) response: String,
}

/// What is found out while rows are stored.
#[derive(Default)]
struct Found<'a> {
    discards: Discards<'a>,
    refused: Vec<(usize, Verdict)>,
    /// Rows by table.
    stored: BTreeMap<&'a str, usize>,
}

impl Postgresql {
    /// Stores rows, of which there is at least one.
    ///
    /// # Errors
    /// Why none was stored.
    pub(super) async fn write(&self, entries: &[Entry]) -> Result<Written, Verdict> {
        let mut session = self.connections.take().await?;
        let mut care = Care::Together;
        let mut tried = Vec::new();
        loop {
            let trouble = match self.attempt(&mut session, entries, care).await {
                Ok(written) => {
                    self.connections.keep(session);
                    return Ok(written);
                }
                Err(trouble) => trouble,
            };
            let error = &trouble.error;
            // What was made is taken back, so what is known of it is void.
            session.catalog.clear();
            let is_whole = error.as_db_error().is_some() || errors::is_unsent(error);
            let is_usable = is_whole && session.client.batch_execute("ROLLBACK").await.is_ok();
            let remedy = errors::remedy(error);
            let may_help = match remedy {
                Remedy::ReadSchema | Remedy::EachRow => is_usable && !tried.contains(&remedy),
                Remedy::Reconnect => !session.is_new,
                Remedy::None => false,
            };
            if !may_help {
                let is_flooded = session.is_flooded();
                if is_usable {
                    self.connections.keep(session);
                }
                return Err(if is_flooded { errors::flooded() } else { trouble.verdict(&self.masker) });
            }
            match remedy {
                Remedy::EachRow => care = Care::Apart,
                Remedy::Reconnect => session = self.connections.take_new().await?,
                Remedy::ReadSchema | Remedy::None => {}
            }
            tried.push(remedy);
        }
    }

    async fn attempt(
        &self,
        session: &mut Session,
        entries: &[Entry],
        care: Care,
    ) -> Result<Written, Trouble> {
        let tables = by_table(entries);
        self.widen(session, &tables).await?;
        self.connections.begin(session).await?;
        let client = &session.client;
        let catalog = &mut session.catalog;
        let found = self.store(client, catalog, &tables, care).await?;
        let mut refused = found.refused;
        let discards = discarded(&found.discards, &refused);
        let beyond = self.store(client, catalog, &by_table(&discards), care).await?;
        client.batch_execute("COMMIT").await.map_err(Trouble::at_end)?;
        refused.extend(beyond.refused);
        let stored = found.stored.iter().map(|(table, rows)| format!("{table}: {rows}")).collect::<Vec<_>>();
        let response = format!("rows by table: {}; values discarded: {}", stored.join(", "), discards.len());
        Ok(Written { refused, response })
    }

    /// Makes columns `numeric` where these rows need that, each in a transaction of its own, which has little time. Where
    /// that is not enough, or PostgreSQL refuses, the column stays as it is.
    async fn widen(&self, session: &mut Session, tables: &Entries<'_>) -> Result<(), Error> {
        know(&session.client, &self.schema, &mut session.catalog, tables).await?;
        for (table, columns) in widenings(&session.catalog, tables, &self.refusals) {
            let mut left = None;
            for column in columns {
                if left.is_none() {
                    left = self.widen_column(session, &table, &column).await?;
                }
                if let Some(NotWidened { span, .. }) = left {
                    self.refusals.add(&table, &column, Instant::now(), span);
                }
                left = left.filter(|left| left.whole_table);
            }
        }
        Ok(())
    }

    /// Why the column is left as it is, if it could not be changed.
    async fn widen_column(
        &self,
        session: &mut Session,
        table: &str,
        column: &str,
    ) -> Result<Option<NotWidened>, Error> {
        let change = Changes::widening(column);
        let statement = format!("{} COMMIT", change.statement(&self.schema, table));
        self.connections.begin_widening(session).await?;
        let Err(error) = session.client.batch_execute(&statement).await else {
            let shape = change.applied(session.catalog.get(table));
            session.catalog.insert(table.to_owned(), shape);
            return Ok(None);
        };
        let Some(left) = errors::not_widened(&error) else { return Err(error) };
        session.client.batch_execute("ROLLBACK").await?;
        Ok(Some(left))
    }

    async fn store<'a>(
        &self,
        client: &Client,
        catalog: &mut Catalog,
        tables: &Entries<'a>,
        care: Care,
    ) -> Result<Found<'a>, Trouble> {
        let mut found = Found::default();
        if tables.is_empty() {
            return Ok(found);
        }
        ensure(client, &self.schema, &self.refusals, catalog, tables).await?;
        for (&table, entries) in tables {
            let Some(shape) = catalog.get(table) else {
                found.discards.extend(entries.iter().map(|&entry| (entry, entry.as_discard(Misfit::Table))));
                continue;
            };
            for entries in by_key(entries) {
                let (rows, discards) = folded(shape, &entries);
                found.discards.extend(discards);
                *found.stored.entry(table).or_default() += rows.len();
                match care {
                    Care::Together => {
                        let made = statements(&self.schema, table, shape, &rows);
                        let put = put(client, &made, rows.len()).await;
                        put.map_err(|error| Trouble::of(table, error))?;
                    }
                    Care::Apart => self.store_apart(client, table, shape, rows, &mut found).await?,
                }
            }
        }
        Ok(found)
    }

    /// Stores rows in parts: one that is refused is taken back and parted, until the refused rows stand alone. Those are
    /// tried once more without values for columns that somebody else made.
    ///
    /// # Errors
    /// What fails all rows of the table, or more.
    async fn store_apart<'a>(
        &self,
        client: &Client,
        table: &'a str,
        shape: &Shape,
        rows: Vec<Row<'a>>,
        found: &mut Found<'a>,
    ) -> Result<(), Trouble> {
        let (count, mut refused) = (rows.len(), Vec::new());
        let mut is_any_stored = false;
        let mut parts = vec![rows];
        while let Some(mut rows) = parts.pop() {
            client.batch_execute("SAVEPOINT part").await?;
            let error = match put(client, &statements(&self.schema, table, shape, &rows), rows.len()).await {
                Ok(()) => {
                    client.batch_execute("RELEASE SAVEPOINT part").await?;
                    is_any_stored = true;
                    continue;
                }
                Err(error) if errors::remedy(&error) == Remedy::EachRow => error,
                Err(error) => return Err(Trouble::of(table, error)),
            };
            client.batch_execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part").await?;
            if rows.len() > 1 {
                let later = rows.split_off(rows.len() / 2);
                parts.push(later);
                parts.push(rows);
            } else if let Some(row) = rows.pop() {
                if let Some((row, discards)) = row.without_foreign(shape) {
                    if let Some(&entry) = row.entries.first() {
                        found.discards.extend(discards.into_iter().map(|discard| (entry, discard)));
                    }
                    parts.push(vec![row]);
                } else {
                    let trouble = Trouble::of(table, error);
                    let is_for_now = matches!(trouble.verdict(&self.masker), Verdict::Retry { .. });
                    if is_for_now && !is_any_stored && refused.len() + 1 >= ALIKE_MAX {
                        return Err(trouble);
                    }
                    refused.push((row, trouble));
                }
            }
        }
        if let Some(stored) = found.stored.get_mut(table) {
            *stored -= refused.len();
        }
        let others = count - refused.len();
        found.refused.extend(self.refusals_of(refused, others)?);
        Ok(())
    }

    /// What it means for the payloads of rows that were refused alone, so many others of the table having been stored.
    ///
    /// # Errors
    /// It is no row's fault.
    fn refusals_of(
        &self,
        refused: Vec<(Row<'_>, Trouble)>,
        others: usize,
    ) -> Result<Vec<(usize, Verdict)>, Trouble> {
        let mut all = Vec::new();
        for (row, trouble) in refused {
            let verdict = match trouble.verdict(&self.masker) {
                // The others were stored, so the rights are there: this row is one that may not be.
                Verdict::Credentials(failure) if others > 0 => {
                    Verdict::Rejected(Failure { reason: Reason::DataRefused, ..failure })
                }
                Verdict::Credentials(_) => return Err(trouble),
                verdict @ (Verdict::Delivered | Verdict::Retry { .. } | Verdict::Rejected(_)) => verdict,
            };
            all.extend(row.entries.iter().map(|entry| (entry.payload, verdict.clone())));
        }
        Ok(all)
    }

    /// The statements that store rows in tables that are not there yet, with their parameter.
    pub(super) fn statements(&self, entries: &[Entry]) -> String {
        let mut out = String::new();
        let tables = by_table(entries);
        let discards = self.write_statements(&tables, &mut out);
        let discards = discarded(&discards, &[]);
        self.write_statements(&by_table(&discards), &mut out);
        out
    }

    fn write_statements<'a>(&self, tables: &Entries<'a>, out: &mut String) -> Discards<'a> {
        let mut all = Vec::new();
        for (&table, entries) in tables {
            let shape = changes(None, entries).applied(None);
            for entries in by_key(entries) {
                let (rows, discards) = folded(&shape, &entries);
                all.extend(discards);
                let made = statements(&self.schema, table, &shape, &rows);
                let update = made.update.map(|update| format!("{update};\n")).unwrap_or_default();
                write!(out, "{};\n{update}-- $1 = {}\n", made.insert, made.parameter)
                    .expect("writing to a String cannot fail");
            }
        }
        all
    }
}

fn by_table(entries: &[Entry]) -> Entries<'_> {
    let mut tables = Entries::new();
    for entry in entries {
        tables.entry(&entry.table).or_default().push(entry);
    }
    tables
}

/// Mappings may name one table with different keys; rows of one statement have one.
fn by_key<'a>(entries: &[&'a Entry]) -> Vec<Vec<&'a Entry>> {
    let mut groups: BTreeMap<(&[String], Option<&str>), Vec<&'a Entry>> = BTreeMap::new();
    for &entry in entries {
        groups.entry((entry.key.as_slice(), entry.newest_by.as_deref())).or_default().push(entry);
    }
    groups.into_values().collect()
}

/// The rows for values that have no place, but for those of refused rows.
fn discarded(discards: &[(&Entry, Discard)], refused: &[(usize, Verdict)]) -> Vec<Entry> {
    let refused: BTreeSet<usize> = refused.iter().map(|(payload, _)| *payload).collect();
    let mut by_payload: BTreeMap<usize, (&Entry, Vec<Discard>)> = BTreeMap::new();
    for (entry, discard) in discards.iter().filter(|(entry, _)| !refused.contains(&entry.payload)) {
        let (_, list) = by_payload.entry(entry.payload).or_insert_with(|| (*entry, Vec::new()));
        list.push(discard.clone());
    }
    by_payload.values().flat_map(|(entry, list)| entry.discarded(list)).collect()
}
