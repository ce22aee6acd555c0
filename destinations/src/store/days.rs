//! A keyspace for each day: created when the day is first written, dropped with everything in it.

use super::StoreError;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, RwLock};

/// Bytes that a day holds in memory before they are written out: there may be many days.
const MEMTABLE_BYTES: u64 = 8 << 20;

/// The days by number. Immutable once published, so that a reader works with one state of it, and keeps the files of a
/// day that is dropped meanwhile.
pub(super) type DayTable = BTreeMap<i64, Keyspace>;

/// The days of one kind of thing. One thread changes them.
pub(super) struct Days {
    db: Database,
    prefix: &'static str,
    options: fn() -> KeyspaceCreateOptions,
    table: RwLock<Arc<DayTable>>,
}

impl Days {
    /// Opens every day there is.
    pub(super) fn open(
        db: &Database,
        prefix: &'static str,
        options: fn() -> KeyspaceCreateOptions,
    ) -> Result<Self, StoreError> {
        let mut table = DayTable::new();
        for name in db.list_keyspace_names() {
            if let Some(number) = name.strip_prefix(prefix).and_then(|day| day.parse().ok()) {
                table.insert(number, db.keyspace(&name, || sized(options))?);
            }
        }
        Ok(Self { db: db.clone(), prefix, options, table: RwLock::new(Arc::new(table)) })
    }

    /// The days as they are now.
    pub(super) fn table(&self) -> Arc<DayTable> {
        self.table.read().expect("nothing panics while it holds this lock").clone()
    }

    /// A day, which is made if it is not there. A made one survives power loss once this returns.
    pub(super) fn day(&self, number: i64) -> Result<Keyspace, StoreError> {
        let table = self.table();
        if let Some(day) = table.get(&number) {
            return Ok(day.clone());
        }
        let day = self.db.keyspace(&format!("{}{number}", self.prefix), || sized(self.options))?;
        let parent = day.path().parent().expect("a keyspace lives inside the database's directory");
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(fjall::Error::Io)?;
        let mut table = DayTable::clone(&table);
        table.insert(number, day.clone());
        self.replace(table);
        Ok(day)
    }

    /// Drops the days before that one. Readers that already look at one go on reading it; its files go with the last of
    /// them.
    pub(super) fn drop_before(&self, oldest: i64) -> Result<(), StoreError> {
        let mut table = DayTable::clone(&self.table());
        let kept = table.split_off(&oldest);
        if table.is_empty() {
            return Ok(());
        }
        self.replace(kept);
        for (_, day) in table {
            self.db.delete_keyspace(day)?;
        }
        Ok(())
    }

    /// Writes out what the days before that one hold in memory: little is added to them any more.
    pub(super) fn write_out_before(&self, today: i64) -> Result<(), StoreError> {
        for (_, day) in self.table().range(..today) {
            day.rotate_memtable()?;
        }
        Ok(())
    }

    fn replace(&self, table: DayTable) {
        *self.table.write().expect("nothing panics while it holds this lock") = Arc::new(table);
    }
}

fn sized(options: fn() -> KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    options().max_memtable_size(MEMTABLE_BYTES)
}
