//! Where what a condition needs of events is to be found: kept with the profiles already, or in the log.

use super::{Asked, AudiencePreviewError};
use crate::columns::Settled;
use crate::state::View;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::catalog::Person;
use tributary_model::condition::Window;
use tributary_model::keeper::{Keep, KeeperSpec, Kept};
use tributary_model::trail::Trail;
use tributary_model::{Fragment, Record, Timestamp};

/// How often the oldest record is asked for that retention removes meanwhile.
const READS_MAX: usize = 5;

/// Where the trails of a draft are to be found.
pub(super) struct Sources {
    /// The keepers that profiles have: the draft's number to the state's. They may know more than the log does.
    kept: BTreeMap<u32, u32>,
    /// The others, which know what the log does.
    pub(super) missing: Vec<(u32, KeeperSpec)>,
    /// The oldest record of the log.
    pub(super) first: u64,
    /// Whether the name index has every event that the log has.
    pub(super) is_indexed: bool,
    /// Whether it has every event that the audience would know.
    pub(super) counts: bool,
}

impl Sources {
    /// # Errors
    /// If the state can't be read.
    pub(super) fn new(
        asked: &Asked<'_>,
        oldest: &Oldest,
        now: Timestamp,
    ) -> Result<Self, AudiencePreviewError> {
        let parts = asked.parts;
        let settled = Settled::new(&parts.state, asked.order.workspace, &parts.hash_key)?;
        let keepers = settled.definitions().keepers.iter().filter(|keeper| keeper.is_filled);
        let filled: BTreeMap<[u8; 16], u32> = keepers.map(|keeper| (keeper.hash, keeper.number)).collect();
        let Oldest { first, lost_until } = *oldest;
        let mut sources = Self {
            kept: BTreeMap::new(),
            missing: Vec::new(),
            first,
            is_indexed: parts.indexes.names_covered_from() <= first,
            counts: true,
        };
        for (number, spec) in &asked.draft.specs {
            match filled.get(&spec.hash()) {
                Some(known) => {
                    sources.kept.insert(*number, *known);
                    sources.counts &= lost_until.is_none_or(|lost| needs_nothing_of(spec, lost, now));
                }
                None => sources.missing.push((*number, spec.clone())),
            }
        }
        sources.counts &= sources.is_indexed;
        Ok(sources)
    }
}

/// Where the log begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oldest {
    /// Its oldest record.
    first: u64,
    /// When that arrived, if the log has lost some before it.
    lost_until: Option<Timestamp>,
}

impl Oldest {
    /// Looks into the log, so it takes a while.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(super) fn of(events: &dyn EventLog) -> Result<Self, AudiencePreviewError> {
        // Where the time is not known, whatever happened may be lost.
        let unknown = |first| Self { first, lost_until: Some(Timestamp::from_micros(i64::MAX)) };
        for _ in 0..READS_MAX {
            let first = events.bounds().first;
            if first == 0 {
                return Ok(Self { first, lost_until: None });
            }
            match events.read(first, 1) {
                Ok(entries) => {
                    let Some(entry) = entries.first() else { return Ok(unknown(first)) };
                    let arrived = Record::decode(&entry.bytes)?.envelope.received_at;
                    return Ok(Self { first, lost_until: Some(arrived) });
                }
                Err(ReadError::Expired { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(unknown(events.bounds().first))
    }
}

/// Whether what arrived up to then makes no difference now: nothing happens after it arrived.
fn needs_nothing_of(spec: &KeeperSpec, lost_until: Timestamp, now: Timestamp) -> bool {
    match spec {
        KeeperSpec::Trail(trail) => match (&trail.keep, &trail.events.window) {
            (Keep::Marks(Some(span)), _) => now.plus_micros(-span.micros()) >= lost_until,
            (_, Window::Between(from, _)) => *from > lost_until,
            (Keep::Totals | Keep::Values | Keep::Marks(None), Window::Ever | Window::Within(_)) => false,
        },
        KeeperSpec::Trait { .. } => true,
    }
}

/// A person with what was found in the log.
pub(super) struct Overlay<'a> {
    pub(super) view: &'a View,
    pub(super) found: Option<&'a Fragment>,
    pub(super) sources: &'a Sources,
}

impl Person for Overlay<'_> {
    fn trait_json(&self, name: &str) -> Option<Cow<'_, str>> {
        self.view.trait_json(name)
    }

    fn trail(&self, keeper: u32) -> Option<&Trail> {
        if let Some(number) = self.sources.kept.get(&keeper) {
            return self.view.trail(*number);
        }
        match self.found?.kept.get(&keeper)? {
            Kept::Trail(trail) => Some(trail),
            Kept::Trait(_) => None,
        }
    }

    fn has_user_id(&self) -> bool {
        self.view.has_user_id()
    }
}
