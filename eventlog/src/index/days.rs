//! A keyspace for each day: created when the day is first written, dropped with everything in it.

use super::IndexError;
use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, RwLock};

/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// One day: its keyspace, and what the index knows about its content.
#[derive(Clone)]
pub(super) struct Day<T> {
    pub(super) keyspace: Keyspace,
    pub(super) about: T,
}

/// The days of one index by number. Immutable once published, so that a reader works with one state of it, and
/// keeps the files of a day that is dropped meanwhile.
pub(super) type DayTable<T> = BTreeMap<i64, Day<T>>;

/// The days of one index.
pub(super) struct Days<T> {
    db: Database,
    prefix: &'static str,
    options: fn() -> KeyspaceCreateOptions,
    table: RwLock<Arc<DayTable<T>>>,
}

impl<T: Clone> Days<T> {
    /// Opens every day there is. `about` tells what is known about one.
    pub(super) fn open(
        db: Database,
        prefix: &'static str,
        options: fn() -> KeyspaceCreateOptions,
        about: impl Fn(i64) -> Result<T, IndexError>,
    ) -> Result<Self, IndexError> {
        let mut table = DayTable::new();
        for name in db.list_keyspace_names() {
            if let Some(number) = name.strip_prefix(prefix).and_then(|day| day.parse().ok()) {
                let keyspace = db.keyspace(&name, options)?;
                table.insert(number, Day { keyspace, about: about(number)? });
            }
        }
        Ok(Self { db, prefix, options, table: RwLock::new(Arc::new(table)) })
    }

    /// The days as they are now.
    pub(super) fn table(&self) -> Arc<DayTable<T>> {
        self.table.read().expect("nothing panics while it holds this lock").clone()
    }

    /// Makes sure that these days exist, with `about` as given; readers see them from here on.
    pub(super) fn publish(
        &self,
        days: impl IntoIterator<Item = (i64, T)>,
    ) -> Result<Arc<DayTable<T>>, IndexError> {
        let mut table = DayTable::clone(&self.table());
        for (number, about) in days {
            let keyspace = match table.get(&number) {
                Some(day) => day.keyspace.clone(),
                None => keyspace(&self.db, &format!("{}{number}", self.prefix), self.options)?,
            };
            table.insert(number, Day { keyspace, about });
        }
        Ok(self.replace(table))
    }

    /// Drops the days that `unneeded` names, and tells which they were. Readers that already look at one go on
    /// reading it; its files go with the last of them.
    pub(super) fn drop_where(&self, unneeded: impl Fn(i64, &T) -> bool) -> Result<Vec<i64>, IndexError> {
        let mut table = DayTable::clone(&self.table());
        let dropped: Vec<i64> = table
            .iter()
            .filter(|(number, day)| unneeded(**number, &day.about))
            .map(|(number, _)| *number)
            .collect();
        for number in &dropped {
            if let Some(day) = table.remove(number) {
                self.db.delete_keyspace(day.keyspace)?;
                self.replace(table.clone());
            }
        }
        Ok(dropped)
    }

    fn replace(&self, table: DayTable<T>) -> Arc<DayTable<T>> {
        let table = Arc::new(table);
        *self.table.write().expect("nothing panics while it holds this lock") = table.clone();
        table
    }
}

/// Opens or creates a keyspace; a created one survives power loss once this returns.
pub(super) fn keyspace(
    db: &Database,
    name: &str,
    options: fn() -> KeyspaceCreateOptions,
) -> Result<Keyspace, IndexError> {
    let known = db.keyspace_exists(name);
    let keyspace = db.keyspace(name, options)?;
    if !known {
        let parent = keyspace.path().parent().expect("a keyspace lives inside the database's directory");
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(IndexError::Directory)?;
    }
    Ok(keyspace)
}

/// Writes entries with strictly ascending keys. Durable and visible, all at once, when this returns.
pub(super) fn ingest<K, V>(
    keyspace: &Keyspace,
    entries: impl IntoIterator<Item = (K, V)>,
) -> Result<(), IndexError>
where
    K: Into<fjall::UserKey>,
    V: Into<fjall::UserValue>,
{
    let mut entries = entries.into_iter().peekable();
    // An ingestion without entries leaves an empty file behind.
    if entries.peek().is_none() {
        return Ok(());
    }
    let mut ingestion = keyspace.start_ingestion()?;
    for (key, value) in entries {
        ingestion.write(key, value)?;
    }
    Ok(ingestion.finish()?)
}

/// Removes entries, whose keys are strictly ascending. Durable and visible, all at once, when this returns.
pub(super) fn erase<K: Into<fjall::UserKey>>(
    keyspace: &Keyspace,
    keys: impl IntoIterator<Item = K>,
) -> Result<(), IndexError> {
    let mut keys = keys.into_iter().peekable();
    if keys.peek().is_none() {
        return Ok(());
    }
    let mut ingestion = keyspace.start_ingestion()?;
    for key in keys {
        ingestion.write_tombstone(key)?;
    }
    Ok(ingestion.finish()?)
}

/// For lookups of keys that mostly are not there: filters at every level with about one false answer in a
/// thousand, in small parts, so that a cache smaller than all filters still serves (a whole one is megabytes).
/// Keys are hashes, which no compression shortens.
pub(super) fn options_for_lookups() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(14.0))))
        .filter_block_partitioning_policy(PartitioningPolicy::all(true))
        .index_block_partitioning_policy(PartitioningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(false))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
}

/// For ranges: nothing is looked up by a whole key, so no filters.
pub(super) fn options_for_ranges() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().filter_policy(FilterPolicy::disabled())
}
