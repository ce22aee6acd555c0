//! What the projector keeps of a workspace.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tributary_model::Timestamp;
use tributary_model::workspace::IdentityRules;

/// What the projector keeps of a workspace. It changes with every event, and is copied once for every batch of
/// them: whatever is large in it is shared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WorkspaceState {
    /// The version in force at the checkpoint; 0 before the first.
    pub version: u64,
    /// Whether the workspace was deleted: this entry is all that is left of it.
    pub deleted: bool,
    /// The rules by which events are resolved.
    #[serde(with = "rules_text")]
    pub rules: Arc<IdentityRules>,
    /// The rules that were in force before, the oldest first, eight at most: so that events can be
    /// entered into indexes that lag behind.
    pub rules_before: Arc<[RulesBefore]>,
    /// How many profiles are live.
    pub profiles: u64,
    /// How many events were projected.
    pub projected: u64,
    /// How many events were duplicates.
    pub duplicates: u64,
    /// How many events had no identifier.
    pub unidentified: u64,
    /// How many profiles were merged away lately.
    pub merges: MergeHours,
    /// How many alarms were raised; the number of the next one.
    pub alarms: u64,
    /// Whether there are refusals from before there was word of them under what they name second.
    pub has_unindexed_refusals: bool,
}

/// How many sets of rules are remembered.
const RULES_BEFORE_MAX: usize = 8;

/// Rules that are no longer in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulesBefore {
    /// The record of the log from which on others are.
    pub until: u64,
    /// The rules.
    #[serde(with = "rules_text")]
    pub rules: Arc<IdentityRules>,
}

impl WorkspaceState {
    /// Puts other rules into force from this record of the log on.
    pub(crate) fn change_rules(&mut self, sequence: u64, rules: IdentityRules) {
        let before = std::mem::replace(&mut self.rules, Arc::new(rules));
        let kept = self.rules_before.len().saturating_sub(RULES_BEFORE_MAX - 1);
        let newest = RulesBefore { until: sequence, rules: before };
        self.rules_before = self.rules_before.iter().skip(kept).cloned().chain([newest]).collect();
    }

    /// The rules that were in force at a record of the log; the oldest that are remembered, if it is too long ago.
    pub(crate) fn rules_at(&self, sequence: u64) -> &Arc<IdentityRules> {
        let before = self.rules_before.iter().find(|before| sequence < before.until);
        before.map_or(&self.rules, |before| &before.rules)
    }

    /// Whether the rules that were in force at a record of the log are remembered.
    pub(crate) fn knows_rules_at(&self, sequence: u64) -> bool {
        sequence >= self.knows_rules_from()
    }

    /// The first record of the log of which the rules that were in force are remembered.
    pub(crate) fn knows_rules_from(&self) -> u64 {
        let oldest = self.rules_before.first().filter(|_| self.rules_before.len() == RULES_BEFORE_MAX);
        oldest.map_or(0, |oldest| oldest.until)
    }
}

/// How many hours there are in a day, and one: the present one.
const HOURS: usize = 25;
const HOUR_MICROS: i64 = 3_600_000_000;

/// How many profiles were merged away in each hour of the log's time: the present one, and those of the day before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MergeHours {
    /// The present hour, counted from 1970-01-01.
    hour: i64,
    /// The counts, the present hour's first.
    counts: [u32; HOURS],
}

impl MergeHours {
    /// Counts merges.
    pub(crate) fn add(&mut self, at: Timestamp, merges: u32) {
        let hour = at.as_micros().div_euclid(HOUR_MICROS);
        // The log's time never goes back: a negative number of hours does not occur.
        let passed = usize::try_from(hour.saturating_sub(self.hour)).unwrap_or(0).min(HOURS);
        self.counts.rotate_right(passed % HOURS);
        self.counts[..passed].fill(0);
        self.hour = self.hour.max(hour);
        self.counts[0] = self.counts[0].saturating_add(merges);
    }

    /// How many there were in the present hour.
    pub(crate) fn now(&self) -> u32 {
        self.counts[0]
    }

    /// How many there were in the 24 hours before that.
    pub(crate) fn day_before(&self) -> u64 {
        self.counts[1..].iter().map(|count| u64::from(*count)).sum()
    }
}

/// Rules as the JSON text that a workspace's version has them in: it grows without a new form of this entry.
mod rules_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::sync::Arc;
    use tributary_model::workspace::IdentityRules;

    pub(super) fn serialize<S: Serializer>(
        rules: &Arc<IdentityRules>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&**rules).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<IdentityRules>, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Arc::new).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_are_counted_by_the_hour() {
        let mut hours = MergeHours::default();
        let at = |hour: i64| Timestamp::from_micros(hour * HOUR_MICROS + 7);
        let cases = [
            ("the first", 500_000, 3, (3, 0)),
            ("the same hour", 500_000, 1, (4, 0)),
            ("two hours later", 500_002, 10, (10, 4)),
            ("at the day's end", 500_024, 1, (1, 14)),
            ("the first hour has passed", 500_025, 0, (0, 11)),
            ("a clock behind", 500_001, 2, (2, 11)),
            ("much later", 600_000, 5, (5, 0)),
        ];
        for (name, hour, merges, want) in cases {
            hours.add(at(hour), merges);
            assert_eq!((hours.now(), hours.day_before()), want, "{name}");
        }
    }

    #[test]
    fn the_last_rules_are_remembered() {
        let mut state = WorkspaceState::default();
        let rules = |merges_max| IdentityRules { merges_max, ..IdentityRules::default() };
        for number in 1..=20u32 {
            state.change_rules(u64::from(number) * 10, rules(number));
        }
        assert_eq!(state.rules_before.len(), RULES_BEFORE_MAX);
        for (sequence, want) in [(200, 20), (199, 19), (190, 19), (189, 18), (130, 13), (1, 12)] {
            assert_eq!(state.rules_at(sequence).merges_max, want, "{sequence}");
        }
        for (sequence, want) in [(200, true), (130, true), (129, false), (1, false)] {
            assert_eq!(state.knows_rules_at(sequence), want, "{sequence}");
        }
        assert!(WorkspaceState::default().knows_rules_at(0), "there were no others");
    }
}
