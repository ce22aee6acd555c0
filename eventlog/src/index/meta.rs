//! The small facts about the indexes: format, watermark, and what each day of events spans.

use super::IndexError;
use super::event_index::Span;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

const KEYSPACE: &str = "idx_meta";
const FORMAT_KEY: &[u8] = b"format";
const WATERMARK_KEY: &[u8] = b"watermark";
const SPAN_PREFIX: &[u8] = b"evt";

/// The format that is read and written; the module's header describes it.
const FORMAT: u32 = 1;

/// The keyspace `idx_meta`.
pub(super) struct Meta {
    db: Database,
    keyspace: Keyspace,
}

impl Meta {
    pub(super) fn open(db: &Database) -> Result<Self, IndexError> {
        let keyspace = super::days::keyspace(db, KEYSPACE, KeyspaceCreateOptions::default)?;
        let meta = Self { db: db.clone(), keyspace };
        match meta.keyspace.get(FORMAT_KEY)? {
            Some(stored) => {
                let found = u32::from_be_bytes(fixed(&stored)?);
                if found != FORMAT {
                    return Err(IndexError::Format { found, supported: FORMAT });
                }
            }
            None => {
                meta.keyspace.insert(FORMAT_KEY, FORMAT.to_be_bytes())?;
                meta.db.persist(PersistMode::SyncAll)?;
            }
        }
        Ok(meta)
    }

    pub(super) fn watermark(&self) -> Result<u64, IndexError> {
        self.keyspace.get(WATERMARK_KEY)?.map_or(Ok(0), |stored| Ok(u64::from_be_bytes(fixed(&stored)?)))
    }

    /// Durable when this returns.
    pub(super) fn store_watermark(&self, watermark: u64) -> Result<(), IndexError> {
        self.keyspace.insert(WATERMARK_KEY, watermark.to_be_bytes())?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    /// What a day of events spans; an empty span if none was stored, which means that nothing was written.
    pub(super) fn span(&self, day: i64) -> Result<Span, IndexError> {
        match self.keyspace.get(span_key(day))? {
            Some(stored) => postcard::from_bytes(&stored).map_err(|_| corrupt()),
            None => Ok(Span::EMPTY),
        }
    }

    /// Durable when this returns.
    pub(super) fn store_spans(&self, spans: &[(i64, Span)]) -> Result<(), IndexError> {
        let mut batch = self.db.batch();
        for (day, span) in spans {
            let value = postcard::to_stdvec(span).expect("a span has no part that postcard can't write");
            batch.insert(&self.keyspace, span_key(*day), value);
        }
        batch.commit()?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    /// Forgets the span of a day that was dropped. Lost in a crash it is harmless: a span without its day is not
    /// looked at, and would only widen the span of a day of the same number.
    pub(super) fn forget_span(&self, day: i64) -> Result<(), IndexError> {
        Ok(self.keyspace.remove(span_key(day))?)
    }
}

fn span_key(day: i64) -> [u8; 11] {
    let mut key = [0; 11];
    key[..3].copy_from_slice(SPAN_PREFIX);
    key[3..].copy_from_slice(&super::event_index::sortable(day));
    key
}

fn fixed<const N: usize>(stored: &[u8]) -> Result<[u8; N], IndexError> {
    stored.try_into().map_err(|_| corrupt())
}

fn corrupt() -> IndexError {
    IndexError::Corrupt { keyspace: KEYSPACE.to_owned() }
}
