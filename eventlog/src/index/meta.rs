//! The small facts about the indexes: format, watermark, what each day of events spans, and what the name index holds.

use super::IndexError;
use super::event_index::Span;
use super::name_index::Unsure;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

const KEYSPACE: &str = "idx_meta";
const FORMAT_KEY: &[u8] = b"format";
const WATERMARK_KEY: &[u8] = b"watermark";
const NAMES_COVERED_FROM_KEY: &[u8] = b"names_covered_from";
const UNSURE_NAMES_KEY: &[u8] = b"unsure_names";

/// The format that is read and written; the module's header describes it.
const FORMAT: u32 = 1;

/// Whose days spans are kept of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanOf {
    /// The event index.
    Events,
    /// The name index.
    Names,
}

impl SpanOf {
    const fn prefix(self) -> &'static [u8; 3] {
        match self {
            Self::Events => b"evt",
            Self::Names => b"nam",
        }
    }
}

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

    /// Makes the indexes look as an older version left them.
    #[cfg(test)]
    pub(super) fn forget_names_covered_from(&self) -> Result<(), IndexError> {
        self.keyspace.remove(NAMES_COVERED_FROM_KEY)?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    /// What a day of events spans; an empty span if none was stored, which means that nothing was written.
    pub(super) fn span(&self, of: SpanOf, day: i64) -> Result<Span, IndexError> {
        match self.keyspace.get(span_key(of, day))? {
            Some(stored) => postcard::from_bytes(&stored).map_err(|_| corrupt()),
            None => Ok(Span::EMPTY),
        }
    }

    /// Durable when this returns.
    pub(super) fn store_spans(&self, spans: &[(i64, Span)]) -> Result<(), IndexError> {
        let mut batch = self.db.batch();
        self.add_spans(&mut batch, SpanOf::Events, spans);
        batch.commit()?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    /// Spans of the name index, and the parts that are about to be written. Durable when this returns.
    pub(super) fn store_names_to_come(
        &self,
        spans: &[(i64, Span)],
        unsure: &Unsure,
    ) -> Result<(), IndexError> {
        let mut batch = self.db.batch();
        self.add_spans(&mut batch, SpanOf::Names, spans);
        let value = postcard::to_stdvec(unsure).expect("names of parts are plain numbers");
        batch.insert(&self.keyspace, UNSURE_NAMES_KEY, value);
        batch.commit()?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn add_spans(&self, batch: &mut OwnedWriteBatch, of: SpanOf, spans: &[(i64, Span)]) {
        for (day, span) in spans {
            let value = postcard::to_stdvec(span).expect("a span has no part that postcard can't write");
            batch.insert(&self.keyspace, span_key(of, *day), value);
        }
    }

    /// The parts of the name index that the last flush was about to write.
    pub(super) fn unsure_names(&self) -> Result<Option<Unsure>, IndexError> {
        let stored = self.keyspace.get(UNSURE_NAMES_KEY)?;
        stored.map(|stored| postcard::from_bytes(&stored).map_err(|_| corrupt())).transpose()
    }

    /// Forgets them, once they are removed. Lost in a crash it is harmless: they are removed once more.
    pub(super) fn forget_unsure_names(&self) -> Result<(), IndexError> {
        Ok(self.keyspace.remove(UNSURE_NAMES_KEY)?)
    }

    /// The sequence from which on the name index lacks nothing; `otherwise` where that was never noted, and from then
    /// on. Durable when this returns.
    pub(super) fn names_covered_from(&self, otherwise: u64) -> Result<u64, IndexError> {
        if let Some(stored) = self.keyspace.get(NAMES_COVERED_FROM_KEY)? {
            return Ok(u64::from_be_bytes(fixed(&stored)?));
        }
        self.keyspace.insert(NAMES_COVERED_FROM_KEY, otherwise.to_be_bytes())?;
        self.db.persist(PersistMode::SyncAll)?;
        Ok(otherwise)
    }

    /// Forgets the span of a day that was dropped. Lost in a crash it is harmless: a span without its day is not
    /// looked at, and would only widen the span of a day of the same number.
    pub(super) fn forget_span(&self, of: SpanOf, day: i64) -> Result<(), IndexError> {
        Ok(self.keyspace.remove(span_key(of, day))?)
    }
}

fn span_key(of: SpanOf, day: i64) -> [u8; 11] {
    let mut key = [0; 11];
    key[..3].copy_from_slice(of.prefix());
    key[3..].copy_from_slice(&super::event_index::sortable(day));
    key
}

fn fixed<const N: usize>(stored: &[u8]) -> Result<[u8; N], IndexError> {
    stored.try_into().map_err(|_| corrupt())
}

fn corrupt() -> IndexError {
    IndexError::Corrupt { keyspace: KEYSPACE.to_owned() }
}
