//! Profiles as they stood once everything was read that had arrived by some time.
//!
//! Of the past nothing is stored but the log. So the records that may have made the profile are read from it again and
//! taken, in their order, into a graph in memory: by the functions that took them the first time, under the rules that
//! were in force at each. Ids come out as they were, being hashes of what creates a profile.
//!
//! - Which records these are, [`kin`] finds out from the graph of today: the events of every identifier that may ever
//!   have been on one profile with those asked for, and the commands about them. [`offers`] says why what strangers
//!   have decided need not be decided again.
//! - A record counts if its own receive time is not later than the time asked for. Clocks may be set back, so these
//!   need not be the first records of the log.
//! - What is kept for definitions, and chosen by policies, is so by the definitions of today, and for a time before
//!   they were made. Memberships are not told: they follow from what was defined when.
//! - A profile that has not changed since is answered as it is today. So are profiles whose beginnings the log has lost;
//!   of these, nothing earlier can be told.
//!
//! What one read may cost is bounded, by [`AS_OF_NODES_MAX`] and [`AS_OF_RECORDS_MAX`].
//!
//! Left out: rebuilds of a graph that changed nothing about who is with whom here. They leave no trace in the histories
//! of these profiles, and are passed over.

mod kin;
mod offers;
mod rebuilt;
mod replay;

use super::{Found, LookupError, ProfileReader, STEPS_MAX};
use crate::codec::Value;
use crate::key::Tag;
use crate::state::View;
use kin::Kin;
use replay::{Past, Replay};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_eventlog::ReadError;
use tributary_eventlog::index::{EventOrder, EventQuery, IndexedEvent};
use tributary_model::command::Who;
use tributary_model::{NodeKey, ProfileId, Record, Timestamp, WorkspaceId};

/// How many identifiers, each in every epoch that it was in, one read looks at.
pub const AS_OF_NODES_MAX: usize = 5_000;
/// How many records of the log one read takes again.
pub const AS_OF_RECORDS_MAX: usize = 100_000;

/// For how many identifiers the event index is asked at once.
const FRAGMENTS_AT_ONCE: usize = 256;

/// What is known of a profile's past.
#[derive(Debug, Clone)]
pub enum AsOf {
    /// The profile as it stood, under the id that it had.
    Found(Found),
    /// Nobody was known by that.
    NoProfile,
    /// The log has lost records that made the profile, or one that it shared identifiers with.
    Incomplete {
        /// The earliest time for which it can be told: the profile has not changed since.
        first_possible: Timestamp,
    },
    /// More than [`AS_OF_NODES_MAX`] identifiers or [`AS_OF_RECORDS_MAX`] records would have to be looked at.
    TooMuch,
}

/// The records to be taken again: the sequence of each, and the frame that holds it (0 if that is not known).
type Places = BTreeMap<u64, u64>;

impl ProfileReader {
    /// The profile of somebody as it stood once every record was read that had arrived by `at`. What is computed is to be
    /// computed for that time.
    ///
    /// # Errors
    /// If the state, the indexes or the events log can't be read.
    pub fn as_of(&self, workspace: WorkspaceId, who: &Who, at: Timestamp) -> Result<AsOf, LookupError> {
        let log_time = self.state.log_time();
        let today = self.today(workspace, who)?;
        if at >= log_time {
            return Ok(today.map_or(AsOf::NoProfile, AsOf::Found));
        }
        let first = self.events.bounds().first;
        let changed = match &today {
            Some(found) => match self.last_change(workspace, found, first)? {
                Some(changed) => Some(changed),
                None => return Ok(AsOf::TooMuch),
            },
            None => None,
        };
        if let (Some(found), Some(changed)) = (&today, changed)
            && at >= changed
        {
            return Ok(AsOf::Found(found.clone()));
        }
        let Some(kin) = Kin::of(&self.state, &self.hash_key, workspace, who)? else {
            return Ok(AsOf::TooMuch);
        };
        if kin.is_later(who, at) {
            return Ok(AsOf::NoProfile);
        }
        let state = self.workspace(workspace)?;
        // Whoever is nobody today lost the identifier by a command or by somebody's sign-in.
        let first_possible = changed.or_else(|| kin.last_told()).unwrap_or(log_time);
        if kin.first() < first || !state.knows_rules_at(kin.first()) {
            let is_nobody = today.is_none() && at >= first_possible;
            return Ok(if is_nobody { AsOf::NoProfile } else { AsOf::Incomplete { first_possible } });
        }
        let Some(places) = self.places(workspace, &kin, at, first)? else { return Ok(AsOf::TooMuch) };
        let catalog = self.catalog(workspace)?;
        let mut replay = Replay::new(workspace, &self.hash_key, state, catalog, &kin, &self.state);
        for (sequence, frame) in places {
            match self.events.read_one(sequence, frame) {
                Ok(Some(bytes)) => replay.take(sequence, &Record::decode(&bytes)?)?,
                // Retention goes on meanwhile, and has removed what was about to be read.
                Ok(None) | Err(ReadError::Expired { .. }) => return Ok(AsOf::Incomplete { first_possible }),
                Err(error) => return Err(error.into()),
            }
        }
        match replay.end(who)? {
            Some(past) => Ok(AsOf::Found(self.seen_then(workspace, past)?)),
            None => Ok(AsOf::NoProfile),
        }
    }

    /// The profile that somebody is on today.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn today(&self, workspace: WorkspaceId, who: &Who) -> Result<Option<Found>, LookupError> {
        let identifier = match who {
            Who::Profile(id) => return self.follow(workspace, *id),
            Who::Identifier(identifier) => identifier,
        };
        for _ in 0..STEPS_MAX {
            let Some(node) = self.current_node(workspace, identifier)? else { return Ok(None) };
            if let Some(found) = self.follow(workspace, node.profile)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// When the last record arrived that changed a profile, or may have; `None` if it has more events than are looked at.
    fn last_change(
        &self,
        workspace: WorkspaceId,
        found: &Found,
        first: u64,
    ) -> Result<Option<Timestamp>, LookupError> {
        let live = &found.view.profile;
        let Some(events) = self.events_of(workspace, live.members.iter(), first)? else { return Ok(None) };
        let mut last = live.created.received_at;
        for event in events {
            last = last.max(event.received_at);
        }
        let ids: Vec<Vec<u8>> =
            live.merged.iter().chain([&found.id]).map(|ProfileId(bytes)| bytes.to_vec()).collect();
        for (_, value) in self.state.entries_with(workspace, Tag::History, &ids)? {
            if let Value::History(entry) = value {
                last = last.max(entry.at);
            }
        }
        let mut is_cut = false;
        for member in live.members.iter() {
            if let Some(node) = self.node(workspace, member)? {
                last = last.max(node.first.received_at);
                is_cut |= node.first.position.sequence < first;
            }
        }
        if is_cut {
            // What the log has lost arrived before its first record.
            last = last.max(self.arrival_of(first)?);
        }
        Ok(Some(last))
    }

    /// When the first record of the log arrived.
    fn arrival_of(&self, first: u64) -> Result<Timestamp, LookupError> {
        match self.events.read_one(first, 0) {
            Ok(Some(bytes)) => Ok(Record::decode(&bytes)?.envelope.received_at),
            Ok(None) | Err(ReadError::Expired { .. }) => Ok(self.state.log_time()),
            Err(error) => Err(error.into()),
        }
    }

    /// The records that made these profiles what they were then; `None` if they are too many.
    fn places(
        &self,
        workspace: WorkspaceId,
        kin: &Kin,
        at: Timestamp,
        first: u64,
    ) -> Result<Option<Places>, LookupError> {
        let Some(events) = self.events_of(workspace, kin.nodes(), first)? else { return Ok(None) };
        let events = events.into_iter().filter(|event| event.received_at <= at);
        let mut places: Places = events.map(|event| (event.sequence, event.frame)).collect();
        places.extend(kin.commands_until(at).map(|sequence| (sequence, 0)));
        Ok(Some(places))
    }

    /// The events that had one of these as their anchor, in no order; `None` if they are too many.
    fn events_of<'a>(
        &self,
        workspace: WorkspaceId,
        nodes: impl Iterator<Item = &'a NodeKey>,
        first: u64,
    ) -> Result<Option<Vec<IndexedEvent>>, LookupError> {
        let fragments: Vec<[u8; 16]> = nodes
            .map(|node| self.hash_key.identifier_hash(workspace, &node.identifier, node.epoch))
            .collect();
        let mut events = Vec::new();
        for some in fragments.chunks(FRAGMENTS_AT_ONCE) {
            let query = EventQuery {
                start: None,
                end: None,
                order: EventOrder::Oldest,
                after: None,
                limit: AS_OF_RECORDS_MAX + 1 - events.len(),
                first_sequence: first,
            };
            events.extend(self.indexes.events(workspace, some, query)?);
            if events.len() > AS_OF_RECORDS_MAX {
                return Ok(None);
            }
        }
        Ok(Some(events))
    }

    fn seen_then(&self, workspace: WorkspaceId, past: Past) -> Result<Found, LookupError> {
        let Past { id, live, merged, partitions } = past;
        let (rules, catalog) = (self.rules(workspace)?, self.catalog(workspace)?);
        let view = View::new(live, merged, &partitions, rules, catalog);
        Ok(Found { id, view: Arc::new(view) })
    }
}
