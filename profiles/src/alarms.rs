//! Alarms about identity: what usually means that an identifier stands for nobody, or that a rule is missing.
//!
//! | kind | raised when |
//! |---|---|
//! | `identifier_joins_many` | an identifier joined, or was refused to join, so many profiles within a day |
//! | `profile_near_cap` | a profile grew to so many percent of a cap |
//! | `profile_at_cap` | an event's link was refused because of a cap |
//! | `merges_jump` | within an hour, so many times the merges of the day before were made, and no few |
//!
//! Days and hours are those of the log's time, so one log gives one list of alarms. There is one alarm of a kind for
//! one subject on one day, and the newest [`ALARMS_MAX`] of a workspace are kept. Only what a change of the graph
//! brings is looked at: an event that changes nothing raises no alarm, whether it was resolved from memory or not.

use crate::codec::{Value, WorkspaceState};
use crate::graph::{Entries, GraphError, WriteGraph};
use crate::key::{Key, Tag};
use crate::metrics;
use crate::store::StoreError;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use tributary_identity::{EdgeKey, GraphRead, RefusalReason, Resolution};
use tributary_model::workspace::IdentityRules;
use tributary_model::{Identifier, NodeKey, ProfileId, Timestamp, WorkspaceId};

/// How many alarms of a workspace are kept; the oldest give way.
pub const ALARMS_MAX: u64 = 1000;

/// What an alarm is about. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AlarmKind {
    /// An identifier joins many profiles.
    IdentifierJoinsMany,
    /// A profile comes near a cap.
    ProfileNearCap,
    /// A profile is at a cap.
    ProfileAtCap,
    /// Merges have jumped.
    MergesJump,
}

impl AlarmKind {
    /// The stable name: metrics and the API use it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdentifierJoinsMany => "identifier_joins_many",
            Self::ProfileNearCap => "profile_near_cap",
            Self::ProfileAtCap => "profile_at_cap",
            Self::MergesJump => "merges_jump",
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRow {
    /// What it is about.
    pub kind: AlarmKind,
    /// When it was raised, by the log's time.
    pub at: Timestamp,
    /// The profile that it is about.
    pub profile: Option<ProfileId>,
    /// The identifier that it is about.
    pub identifier: Option<Identifier>,
    /// How many were counted.
    pub count: u64,
    /// From how many on there is an alarm; at a cap, how many it allows.
    pub threshold: u64,
}

/// How many profiles an identifier joined, or was refused to join, on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The day (UTC, counted from 1970-01-01).
    pub day: i64,
    /// How many.
    pub count: u32,
}

/// What there is one alarm about in a day.
type Subject = (AlarmKind, Option<ProfileId>, Option<Identifier>);

fn subject(row: &AlarmRow) -> Subject {
    // An identifier that joins many is the subject whatever profile it is on.
    let profile = row.profile.filter(|_| row.identifier.is_none());
    (row.kind, profile, row.identifier.clone())
}

/// The event that is looked at.
pub(crate) struct Seen<'a> {
    pub(crate) workspace: WorkspaceId,
    pub(crate) rules: &'a IdentityRules,
    pub(crate) sequence: u64,
    pub(crate) log_time: Timestamp,
    /// Whether the event changed the record of its profile.
    pub(crate) is_changed: bool,
}

/// Raises alarms.
#[derive(Default)]
pub(crate) struct Alarms {
    /// By workspace, the day of the newest alarm about each subject, of those that are kept.
    raised: FxHashMap<WorkspaceId, FxHashMap<Subject, i64>>,
}

impl Alarms {
    /// Looks at what an event was resolved to. Not for what was recalled: that changed nothing.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn look(
        &mut self,
        graph: &mut WriteGraph,
        seen: &Seen<'_>,
        resolution: &Resolution,
        counters: &mut WorkspaceState,
    ) -> Result<(), GraphError> {
        self.look_at_joins(graph, seen, resolution, counters)?;
        self.look_at_caps(graph, seen, resolution, counters)?;
        if !resolution.merged.is_empty() {
            self.look_at_merges(graph, seen, resolution, counters)?;
        }
        Ok(())
    }

    /// Forgets a workspace that was deleted.
    pub(crate) fn forget(&mut self, workspace: WorkspaceId) {
        self.raised.remove(&workspace);
    }

    fn look_at_joins(
        &mut self,
        graph: &mut WriteGraph,
        seen: &Seen<'_>,
        resolution: &Resolution,
        counters: &mut WorkspaceState,
    ) -> Result<(), GraphError> {
        let mut refused = 0;
        for demotion in &resolution.demoted {
            match demotion.reason {
                RefusalReason::Limit { .. } | RefusalReason::Demotion { .. } | RefusalReason::Cap { .. } => {}
                RefusalReason::Blocked | RefusalReason::Partition { .. } => continue,
            }
            let (anchor, other) = (resolution.anchor.clone(), demotion.identifier.clone());
            let link = EdgeKey { anchor, other };
            // A shared device is refused with every event of its second person, but meets that person once.
            let refusal = graph.refusal(seen.workspace, &link)?;
            if refusal.is_none_or(|refusal| refusal.first.position.sequence != seen.sequence) {
                continue;
            }
            refused += 1;
            // One that is on no profile meets nobody but the anchor.
            if graph.node(seen.workspace, &link.other)?.is_some() {
                self.count_joins(graph, seen, &link.other, None, 1, counters)?;
            }
        }
        let merged = u32::try_from(resolution.merged.len()).unwrap_or(u32::MAX);
        let profile = Some(resolution.profile);
        for (place, node) in resolution.kept.iter().enumerate() {
            let joins = if place == 0 { merged.saturating_add(refused) } else { merged };
            if joins > 0 {
                self.count_joins(graph, seen, node, profile, joins, counters)?;
            }
        }
        Ok(())
    }

    fn count_joins(
        &mut self,
        graph: &mut WriteGraph,
        seen: &Seen<'_>,
        node: &NodeKey,
        profile: Option<ProfileId>,
        joins: u32,
        counters: &mut WorkspaceState,
    ) -> Result<(), GraphError> {
        let key = Key::tally(seen.workspace, node);
        let day = seen.log_time.day();
        let before = match graph.get(&key)? {
            Some(Value::Tally(tally)) if tally.day == day => tally.count,
            _ => 0,
        };
        let count = before.saturating_add(joins);
        graph.put(key, Value::Tally(Tally { day, count }));
        let threshold = seen.rules.alarms.joins_per_day;
        if count >= threshold {
            let row = AlarmRow {
                kind: AlarmKind::IdentifierJoinsMany,
                at: seen.log_time,
                profile,
                identifier: Some(node.identifier.clone()),
                count: count.into(),
                threshold: threshold.into(),
            };
            self.raise(graph, seen.workspace, row, counters)?;
        }
        Ok(())
    }

    fn look_at_caps(
        &mut self,
        graph: &mut WriteGraph,
        seen: &Seen<'_>,
        resolution: &Resolution,
        counters: &mut WorkspaceState,
    ) -> Result<(), GraphError> {
        let about_profile = |kind, count: u64, threshold: u64| AlarmRow {
            kind,
            at: seen.log_time,
            profile: Some(resolution.profile),
            identifier: None,
            count,
            threshold,
        };
        let at_cap = resolution.demoted.iter().find_map(|demotion| match demotion.reason {
            RefusalReason::Cap { limit, count, .. } => Some((u64::from(count), u64::from(limit))),
            RefusalReason::Limit { .. }
            | RefusalReason::Demotion { .. }
            | RefusalReason::Blocked
            | RefusalReason::Partition { .. } => None,
        });
        if let Some((count, limit)) = at_cap {
            self.raise(
                graph,
                seen.workspace,
                about_profile(AlarmKind::ProfileAtCap, count, limit),
                counters,
            )?;
        }
        if !seen.is_changed {
            return Ok(());
        }
        let percent = u64::from(seen.rules.alarms.near_cap_percent);
        let sizes = [
            (resolution.live.identifier_count() as u64, seen.rules.identifiers_max),
            (resolution.live.merged.len() as u64, seen.rules.merges_max),
        ];
        let mut near =
            sizes.into_iter().map(|(count, cap)| (count, (u64::from(cap) * percent).div_ceil(100).max(1)));
        if let Some((count, threshold)) = near.find(|(count, threshold)| count >= threshold) {
            let row = about_profile(AlarmKind::ProfileNearCap, count, threshold);
            self.raise(graph, seen.workspace, row, counters)?;
        }
        Ok(())
    }

    fn look_at_merges(
        &mut self,
        graph: &mut WriteGraph,
        seen: &Seen<'_>,
        resolution: &Resolution,
        counters: &mut WorkspaceState,
    ) -> Result<(), GraphError> {
        let merged = u32::try_from(resolution.merged.len()).unwrap_or(u32::MAX);
        counters.merges.add(seen.log_time, merged);
        let rules = &seen.rules.alarms;
        let usual = counters.merges.day_before().saturating_mul(rules.merges_jump_factor.into()) / 24;
        let threshold = usual.max(rules.merges_per_hour_min.into());
        let count = u64::from(counters.merges.now());
        if count >= threshold {
            let at = seen.log_time;
            let kind = AlarmKind::MergesJump;
            let row = AlarmRow { kind, at, profile: None, identifier: None, count, threshold };
            self.raise(graph, seen.workspace, row, counters)?;
        }
        Ok(())
    }

    /// Raises an alarm, unless there was one about the same on the same day.
    fn raise(
        &mut self,
        graph: &mut WriteGraph,
        workspace: WorkspaceId,
        row: AlarmRow,
        counters: &mut WorkspaceState,
    ) -> Result<(), GraphError> {
        let day = row.at.day();
        let raised = self.raised(graph, workspace)?;
        if raised.insert(subject(&row), day) == Some(day) {
            return Ok(());
        }
        if let Some(oldest) = counters.alarms.checked_sub(ALARMS_MAX) {
            let key = Key::alarm(workspace, oldest);
            if let Some(Value::Alarm(old)) = graph.get(&key)? {
                // What is known here stays what a start would read from the store.
                if raised.get(&subject(&old)) == Some(&old.at.day()) {
                    raised.remove(&subject(&old));
                }
                graph.remove(key);
            }
        }
        ::metrics::counter!(metrics::IDENTITY_ALARMS, "kind" => row.kind.name()).increment(1);
        tracing::warn!(
            kind = row.kind.name(),
            %workspace,
            profile = row.profile.map(|id| id.to_string()),
            namespace = row.identifier.as_ref().map(|identifier| identifier.namespace().as_str()),
            count = row.count,
            threshold = row.threshold,
            "an alarm about identity was raised"
        );
        graph.put(Key::alarm(workspace, counters.alarms), Value::Alarm(Arc::new(row)));
        counters.alarms += 1;
        Ok(())
    }

    fn raised(
        &mut self,
        graph: &WriteGraph,
        workspace: WorkspaceId,
    ) -> Result<&mut FxHashMap<Subject, i64>, StoreError> {
        match self.raised.entry(workspace) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let mut days = FxHashMap::default();
                for (_, value) in graph.0.entries_with(workspace, Tag::Alarm, &[Vec::new()])? {
                    if let Value::Alarm(row) = value {
                        // In order of their numbers, so the newest stays.
                        days.insert(subject(&row), row.at.day());
                    }
                }
                Ok(place.insert(days))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use crate::store::MemoryStore;

    const WORKSPACE: WorkspaceId = WorkspaceId(1);

    fn row(profile: u16, day: i64) -> AlarmRow {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&profile.to_be_bytes());
        AlarmRow {
            kind: AlarmKind::ProfileAtCap,
            at: Timestamp::from_micros(day * 86_400_000_000 + 5),
            profile: Some(ProfileId(id)),
            identifier: None,
            count: 1,
            threshold: 1,
        }
    }

    fn graph() -> WriteGraph {
        WriteGraph::new(Arc::new(State::new(Arc::<MemoryStore>::default(), 1 << 20, 1 << 20)))
    }

    fn numbers(graph: &WriteGraph) -> Vec<u64> {
        let stored = graph.0.entries_with(WORKSPACE, Tag::Alarm, &[Vec::new()]).expect("memory");
        stored.iter().filter_map(|(key, _)| key.number_named()).collect()
    }

    #[test]
    fn a_subject_raises_one_alarm_in_a_day() {
        let (mut graph, mut alarms) = (graph(), Alarms::default());
        let mut counters = WorkspaceState::default();
        for (profile, day, want) in [(1, 1, 1), (1, 1, 1), (2, 1, 2), (1, 2, 3), (2, 2, 4), (1, 2, 4)] {
            alarms.raise(&mut graph, WORKSPACE, row(profile, day), &mut counters).expect("memory");
            assert_eq!(counters.alarms, want, "profile {profile} on day {day}");
            // What a restart would know makes no difference.
            alarms = Alarms::default();
        }
    }

    #[test]
    fn the_oldest_alarms_give_way() {
        let (mut graph, mut alarms) = (graph(), Alarms::default());
        let mut counters = WorkspaceState::default();
        for profile in 0..1010 {
            alarms.raise(&mut graph, WORKSPACE, row(profile, 1), &mut counters).expect("memory");
        }
        assert_eq!(numbers(&graph), (10..1010).collect::<Vec<_>>());
        let known = alarms.raised.remove(&WORKSPACE).expect("it raised some");
        assert_eq!(&known, alarms.raised(&graph, WORKSPACE).expect("memory"), "as read from the store");
        // One whose alarm is gone may raise it again; one whose alarm is there may not.
        for (profile, want) in [(5, 1011), (500, 1011)] {
            alarms.raise(&mut graph, WORKSPACE, row(profile, 1), &mut counters).expect("memory");
            assert_eq!(counters.alarms, want);
        }
    }
}
