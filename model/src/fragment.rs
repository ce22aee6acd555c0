//! Profile fragments: what the events of one identifier amount to.
//!
//! An event is folded into the fragment of its anchor; a profile is the merge of its fragments. Both steps
//! are commutative, associative and idempotent on values (counts apart, which add), so that a profile's
//! content does not depend on the order in which events arrived, nor on which identifier they came by.

use crate::consent::Consent;
use crate::event::{EventKind, EventView};
use crate::id::{MessageId, SourceId};
use crate::json::{Members, is_null};
use crate::keeper::{Kept, merge_kept};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many accounts of a person are kept, of one fragment as of the merge of several: those first by group id. One
/// limit for both, so that the merge is the same whichever way the events came into it.
pub const ACCOUNTS_MAX: usize = 100;

/// One value of a trait, with where it came from. `value` is the client's JSON text; `None` says that the
/// trait was removed (set to null).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TraitValue {
    /// The event time of the event that set it.
    pub at: Timestamp,
    /// The id of that event; decides between equal times.
    pub message_id: MessageId,
    /// The source of that event.
    pub source: SourceId,
    /// JSON text, or `None` for a removed trait.
    pub value: Option<Box<str>>,
}

/// An event as the first or last one that was seen: ordered by event time, then message id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// Event time.
    pub at: Timestamp,
    /// Which event.
    pub message_id: MessageId,
    /// Its source.
    pub source: SourceId,
}

/// What the events of one (identifier, epoch) amount to; also the merge of several of those.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fragment {
    /// Trait name to its newest value, removed ones included (an older value that arrives later must lose).
    pub traits: BTreeMap<Box<str>, TraitValue>,
    /// The earliest event.
    pub first: Option<Sighting>,
    /// The latest event.
    pub last: Option<Sighting>,
    /// How many events of each kind, in the order of [`EventKind::ALL`].
    pub counts: [u64; 6],
    /// What definitions need of the events, by the numbers of their keepers: [`crate::keeper::Keepers`] folds it.
    pub kept: BTreeMap<u32, Kept>,
    /// The accounts that the person was seen with, by group id, and the first event that says so; [`ACCOUNTS_MAX`] at
    /// most.
    pub accounts: BTreeMap<Box<str>, Sighting>,
    /// What the person agreed to.
    pub consent: Consent,
}

impl Fragment {
    /// Folds one event in. The caller sees to it that an event is folded once: duplicates are the message
    /// index's business.
    pub fn fold(&mut self, event: &EventView<'_>, sighting: &Sighting) {
        if let Some(traits) = event.person_traits() {
            self.set_traits(&traits, sighting);
        }
        if let Some(group) = event.group_id() {
            self.see_account(&group, sighting);
        }
        self.consent.fold(event, sighting);
        self.counts[event.kind.index()] += 1;
        take_smaller(&mut self.first, sighting);
        take_larger(&mut self.last, sighting);
    }

    /// Merges another fragment in. Counts add, so a fragment must not be merged in twice.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.traits {
            match self.traits.get_mut(name) {
                Some(ours) if *ours >= *theirs => {}
                Some(ours) => ours.clone_from(theirs),
                None => {
                    self.traits.insert(name.clone(), theirs.clone());
                }
            }
        }
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts) {
            *ours += theirs;
        }
        if let Some(first) = &other.first {
            take_smaller(&mut self.first, first);
        }
        if let Some(last) = &other.last {
            take_larger(&mut self.last, last);
        }
        merge_kept(&mut self.kept, &other.kept);
        for (group, theirs) in &other.accounts {
            self.see_account(group, theirs);
        }
        self.consent.merge(&other.consent);
    }

    /// The traits that are set, as (name, JSON text), by name.
    pub fn current_traits(&self) -> impl Iterator<Item = (&str, &str, &TraitValue)> {
        self.traits.iter().filter_map(|(name, entry)| Some((&**name, entry.value.as_deref()?, entry)))
    }

    /// Whether the person may have more accounts than are kept.
    pub fn may_lack_accounts(&self) -> bool {
        // Whatever was left out of a fragment, the fragment and any merge with it are full.
        self.accounts.len() >= ACCOUNTS_MAX
    }

    /// How many events were folded in.
    pub fn events(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many events of one kind were folded in.
    pub fn events_of(&self, kind: EventKind) -> u64 {
        self.counts[kind.index()]
    }

    /// Sets traits from an object's members, as an event does.
    pub fn set_traits(&mut self, traits: &Members<'_>, sighting: &Sighting) {
        for (name, value) in traits.iter() {
            let value = (!is_null(value)).then(|| value.get().into());
            self.set_trait(name, sighting, value);
        }
    }

    fn see_account(&mut self, group: &str, sighting: &Sighting) {
        match self.accounts.get_mut(group) {
            Some(first) if *first <= *sighting => {}
            Some(first) => first.clone_from(sighting),
            None => {
                let is_past_last = self.accounts.last_key_value().is_some_and(|(last, _)| **last < *group);
                if self.may_lack_accounts() && is_past_last {
                    return;
                }
                self.accounts.insert(group.into(), sighting.clone());
                while self.accounts.len() > ACCOUNTS_MAX {
                    self.accounts.pop_last();
                }
            }
        }
    }

    fn set_trait(&mut self, name: &str, sighting: &Sighting, value: Option<Box<str>>) {
        let entry = TraitValue {
            at: sighting.at,
            message_id: sighting.message_id.clone(),
            source: sighting.source,
            value,
        };
        match self.traits.get_mut(name) {
            // A name that occurs twice in one event counts with its last value, as everywhere.
            Some(have)
                if (have.at, &have.message_id, have.source)
                    == (entry.at, &entry.message_id, entry.source) =>
            {
                *have = entry;
            }
            Some(have) if *have >= entry => {}
            Some(have) => *have = entry,
            None => {
                self.traits.insert(name.into(), entry);
            }
        }
    }
}

fn take_smaller(have: &mut Option<Sighting>, new: &Sighting) {
    if have.as_ref().is_none_or(|have| new < have) {
        *have = Some(new.clone());
    }
}

fn take_larger(have: &mut Option<Sighting>, new: &Sighting) {
    if have.as_ref().is_none_or(|have| new > have) {
        *have = Some(new.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(group: usize, at: i64) -> Fragment {
        let payload = format!(r#"{{"type":"group","userId":"u","groupId":"g{group:04}"}}"#);
        let message_id = MessageId::parse(&format!("m{group}-{at}")).expect("a message id");
        let sighting = Sighting { at: Timestamp::from_millis(at), message_id, source: SourceId(1) };
        let mut fragment = Fragment::default();
        fragment.fold(&EventView::parse(payload.as_bytes()).expect("an event"), &sighting);
        fragment
    }

    /// The calls, merged one by one, in that order, into so many fragments in turn, and these into one.
    fn merged(calls: &[Fragment], fragments: usize) -> Fragment {
        let mut parts = vec![Fragment::default(); fragments];
        for (number, call) in calls.iter().enumerate() {
            parts[number % fragments].merge(call);
        }
        let mut whole = Fragment::default();
        parts.iter().for_each(|part| whole.merge(part));
        whole
    }

    #[test]
    fn the_first_accounts_are_kept_whichever_way_they_came() {
        let mut calls: Vec<Fragment> =
            (0..3 * ACCOUNTS_MAX).flat_map(|group| [call(group, 2), call(group, 1)]).collect();
        let whole = merged(&calls, 1);
        assert_eq!(whole.accounts.len(), ACCOUNTS_MAX);
        let (last, first) = whole.accounts.last_key_value().expect("accounts");
        assert_eq!((&**last, first.at), ("g0099", Timestamp::from_millis(1)));
        for fragments in [1, 2, 7] {
            assert_eq!(merged(&calls, fragments), whole, "{fragments} fragments");
            calls.reverse();
            assert_eq!(merged(&calls, fragments), whole, "{fragments} fragments, from the last");
            calls.rotate_left(101);
        }
        let few = merged(&calls[..ACCOUNTS_MAX], 3);
        assert!(whole.may_lack_accounts() && !few.may_lack_accounts());
    }
}
