//! Whose timers there are, and when each is due.

use crate::audiences::running::hash_key;
use crate::audiences::workspace::{START, WORKSPACE, audience, version};
use crate::population::Population;
use bytes::Bytes;
use serde_json::json;
use tributary_model::event::AcceptedEvent;
use tributary_model::{
    EventKind, Identifier, Marks, MessageId, Namespace, NodeKey, ProfileId, Record, SourceId, Timestamp,
};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
/// How long the one audience remembers an order.
const WINDOW: i64 = 30 * DAY;

/// When everybody of a group has been due, and nobody of the next is.
pub(super) const STALE_ARE_DUE: Timestamp = START.plus_micros(2 * HOUR);
/// See [`STALE_ARE_DUE`].
pub(super) const LEAVING_ARE_DUE: Timestamp = START.plus_micros(4 * HOUR);

/// Everybody has ordered once, is in the one audience, and has a timer for leaving it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How many there are.
    pub(super) pending: u64,
    /// How many are due in each of the two measurements.
    pub(super) due: u64,
    /// Whether those who are not due have a profile, too.
    pub(super) is_whole: bool,
}

/// A part of everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Their profiles are gone: their timers are taken, and that is all.
    Stale,
    /// They leave the audience when their timers are due.
    Leaving,
    /// They are due days later.
    Later,
}

impl Plan {
    /// To which group somebody belongs.
    pub(super) fn group(&self, person: u64) -> Group {
        if person < self.due {
            Group::Stale
        } else if person < 2 * self.due {
            Group::Leaving
        } else {
            Group::Later
        }
    }

    /// Whether somebody has a profile.
    pub(super) fn has_profile(&self, person: u64) -> bool {
        match self.group(person) {
            Group::Stale => false,
            Group::Leaving => true,
            Group::Later => self.is_whole,
        }
    }

    /// The profile of somebody.
    pub(super) fn profile(&self, person: u64) -> ProfileId {
        let identifier = Identifier::parse(Namespace::USER_ID, &self.population().user_id(person));
        let node = NodeKey::first_epoch(identifier.expect("the population writes identifiers"));
        hash_key().profile_id(WORKSPACE, &node)
    }

    /// The record that puts the audience into force.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn version(&self) -> anyhow::Result<Bytes> {
        version(vec![audience(1, r#"event("Order Completed") within 30d"#, false)?])
    }

    /// The record of somebody's order, which arrives late: all do so at the same time.
    pub(super) fn order(&self, person: u64) -> Bytes {
        let id = format!("order-{person:09}");
        let body = json!({
            "type": "track",
            "event": "Order Completed",
            "messageId": id,
            "userId": self.population().user_id(person),
            "properties": {"order_id": id, "total": person % 300},
        });
        let event = AcceptedEvent {
            workspace: WORKSPACE,
            workspace_version: 1,
            source: SourceId(1),
            kind: EventKind::Track,
            message_id: MessageId::parse(&id).expect("a short text"),
            received_at: START,
            event_time: self.due_at(person).plus_micros(-WINDOW),
            marks: Marks::default(),
            anchor_hash: None,
            payload: body.to_string().into(),
        };
        Record::from_event(event).encode()
    }

    /// When somebody's timer is due: within an hour or, of those who are not due yet, within four weeks. The order of
    /// that has nothing to do with that of profiles.
    fn due_at(&self, person: u64) -> Timestamp {
        let (begin, length) = match self.group(person) {
            Group::Stale => (HOUR, HOUR),
            Group::Leaving => (3 * HOUR, HOUR),
            Group::Later => (DAY, 28 * DAY),
        };
        let within = self.population().hash(person, 32) % length.unsigned_abs();
        START.plus_micros(begin + i64::try_from(within).expect("less than a length of time"))
    }

    fn population(&self) -> Population {
        Population::new(1, self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_due_one_after_the_other() {
        let plan = Plan { pending: 1_000, due: 100, is_whole: false };
        for person in 0..plan.pending {
            let due = plan.due_at(person);
            let (after, until) = match plan.group(person) {
                Group::Stale => (START, STALE_ARE_DUE),
                Group::Leaving => (STALE_ARE_DUE, LEAVING_ARE_DUE),
                Group::Later => (LEAVING_ARE_DUE, START.plus_micros(WINDOW)),
            };
            assert!(after < due && due < until, "{person}: {due}");
            assert_eq!(plan.has_profile(person), (100..200).contains(&person), "{person}");
        }
        assert!(Plan { is_whole: true, ..plan }.has_profile(999));
    }
}
