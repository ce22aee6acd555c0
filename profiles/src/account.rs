//! Accounts: what group calls say of companies, teams and the like, and whose group calls named them.
//!
//! A group call's `traits` are the account's, and its `groupId` is the account's id, as it was written: it is neither
//! trimmed nor lower-cased. A link between a person and an account hangs on the anchor of the group call, not on the
//! person's profile: the anchor's fragment names the account, and an entry beside the account names the anchor. So a
//! merge or an unmerge has nothing to move: a profile's accounts are those of its members, and an account's people are
//! the profiles that its anchors are on.
//!
//! Folding is commutative and idempotent on values, as it is in fragments. Limits: [`ACCOUNT_ID_BYTES_MAX`],
//! [`ACCOUNT_MEMBERS_MAX`], and how many accounts a fragment names. Left out: where accounts are kept, and who is told of their changes.

use crate::key::node_prefix;
use crate::metrics;
use crate::state::View;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tributary_model::catalog::AccountMemo;
use tributary_model::fragment::Sighting;
use tributary_model::{EventKind, EventView, Fragment, NodeKey, WorkspaceId};

/// How long the id of an account may be, in bytes. A group call with a longer one belongs to no account.
pub const ACCOUNT_ID_BYTES_MAX: usize = EventView::GROUP_ID_BYTES_MAX;

/// How many anchors of an account's people are looked at: by conditions over its members, and when something about the
/// account changes. What is found out about an account with more is approximate.
pub const ACCOUNT_MEMBERS_MAX: usize = 1_000;

/// How many people of accounts stay loaded while one record is applied; an account counts for [`ACCOUNT_WEIGHT`] more.
const LOADED_PEOPLE_MAX: usize = 20_000;
const ACCOUNT_WEIGHT: usize = 20;

/// What is known about an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// Its traits, its first and last group call, and how many there were.
    pub fragment: Fragment,
    /// How many anchors were ever linked to it.
    pub members: u64,
    /// The first [`ACCOUNT_MEMBERS_MAX`] of them in the order of keys, whenever they came: those that are looked at.
    /// Shared, so that a call which links nobody does not copy them.
    pub looked_at: Arc<Vec<NodeKey>>,
}

impl Account {
    /// Whether it has more anchors than are looked at.
    pub fn is_cut(&self) -> bool {
        self.members > self.looked_at.len() as u64
    }

    /// Takes in a group call. The caller sees to it that a call is taken in once. Answers whether any trait has another
    /// value now.
    pub(crate) fn fold(&mut self, event: &EventView<'_>, sighting: &Sighting) -> bool {
        let told = told_by(event, sighting);
        let is_changed = told.traits.iter().any(|(name, new)| {
            let have = self.fragment.traits.get(name);
            have.is_none_or(|have| have < new)
                && have.and_then(|have| have.value.as_ref()) != new.value.as_ref()
        });
        self.fragment.merge(&told);
        is_changed
    }

    /// Enters an anchor that was not linked to it before.
    ///
    /// # Panics
    /// If it is among those that are looked at: then it was.
    pub(crate) fn link(&mut self, anchor: &NodeKey) {
        let place = self.place(anchor).expect_err("it was not linked before");
        self.members += 1;
        if place < ACCOUNT_MEMBERS_MAX {
            let looked_at = Arc::make_mut(&mut self.looked_at);
            looked_at.insert(place, anchor.clone());
            looked_at.truncate(ACCOUNT_MEMBERS_MAX);
        }
        if self.is_cut() {
            ::metrics::counter!(metrics::ACCOUNT_LIMIT_HITS, "limit" => "members").increment(1);
        }
    }

    /// Whether an anchor is among those that are looked at.
    pub(crate) fn looks_at(&self, anchor: &NodeKey) -> bool {
        self.place(anchor).is_ok()
    }

    /// Where an anchor is among those that are looked at, or would be.
    fn place(&self, anchor: &NodeKey) -> Result<usize, usize> {
        let wanted = node_prefix(anchor);
        self.looked_at.binary_search_by(|have| node_prefix(have).cmp(&wanted))
    }
}

/// What came of a group call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupChange {
    /// The account's id.
    pub(crate) group: Box<str>,
    /// Whether a trait of it has another value now.
    pub(crate) traits_changed: bool,
    /// Whether the call's anchor was not linked to it before.
    pub(crate) linked: bool,
}

/// An account of a person, and its people as they are looked at.
pub(crate) struct LoadedAccount {
    /// The account.
    pub(crate) account: Arc<Account>,
    /// Its people, each once, by profile id; the person itself among them.
    pub(crate) members: Vec<Arc<View>>,
    /// Whether there may be more people than those.
    pub(crate) is_cut: bool,
    /// What conditions say of it, found out for one person and good for all.
    pub(crate) memo: AccountMemo,
}

/// The accounts that were looked at last while one record is applied.
#[derive(Default)]
pub(crate) struct LoadedAccounts {
    /// With the number of the look that was the last at each.
    accounts: FxHashMap<(WorkspaceId, Box<str>), (u64, Arc<LoadedAccount>)>,
    weight: usize,
    looks: u64,
}

impl LoadedAccounts {
    /// An account that is loaded.
    pub(crate) fn get(&mut self, named: &(WorkspaceId, Box<str>)) -> Option<Arc<LoadedAccount>> {
        let (last, account) = self.accounts.get_mut(named)?;
        self.looks += 1;
        *last = self.looks;
        Some(Arc::clone(account))
    }

    /// Enters one that was not. Those that nobody looked at for longest make room.
    pub(crate) fn insert(&mut self, named: (WorkspaceId, Box<str>), account: Arc<LoadedAccount>) {
        self.weight += weight_of(&account);
        while self.weight > LOADED_PEOPLE_MAX {
            let oldest = self.accounts.iter().min_by_key(|(_, (last, _))| *last);
            let Some(oldest) = oldest.map(|(named, _)| named.clone()) else { break };
            if let Some((_, left)) = self.accounts.remove(&oldest) {
                self.weight -= weight_of(&left);
            }
        }
        self.looks += 1;
        self.accounts.insert(named, (self.looks, account));
    }

    /// Forgets all: something about them may be different now.
    pub(crate) fn clear(&mut self) {
        self.accounts.clear();
        self.weight = 0;
    }
}

fn weight_of(account: &LoadedAccount) -> usize {
    ACCOUNT_WEIGHT + account.members.len()
}

/// The id of the account that an event is about; `None` for everything but a group call with an id that can be one.
pub(crate) fn account_id(event: &EventView<'_>) -> Option<Box<str>> {
    let group = event.group_id().map(Box::from);
    let is_too_long = || {
        let sent = event.members().get("groupId").filter(|_| event.kind == EventKind::Group);
        sent.is_some_and(|sent| sent.get().len() > ACCOUNT_ID_BYTES_MAX)
    };
    if group.is_none() && is_too_long() {
        ::metrics::counter!(metrics::ACCOUNT_LIMIT_HITS, "limit" => "id_bytes").increment(1);
    }
    group
}

/// What one group call says of its account.
fn told_by(event: &EventView<'_>, sighting: &Sighting) -> Fragment {
    let mut told =
        Fragment { first: Some(sighting.clone()), last: Some(sighting.clone()), ..Fragment::default() };
    told.counts[event.kind.index()] = 1;
    if let Some(traits) = event.members().object("traits") {
        told.set_traits(&traits, sighting);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tributary_model::{Identifier, MessageId, Namespace, SourceId, Timestamp};

    fn sighting(at: i64, message: &str) -> Sighting {
        let message_id = MessageId::parse(message).expect("a message id");
        Sighting { at: Timestamp::from_millis(at), message_id, source: SourceId(1) }
    }

    fn call(body: Value) -> Vec<u8> {
        body.to_string().into_bytes()
    }

    fn fold(account: &mut Account, traits: Value, at: i64, message: &str) -> bool {
        let payload = call(json!({"type": "group", "userId": "u", "groupId": "g", "traits": traits}));
        account.fold(&EventView::parse(&payload).expect("an event"), &sighting(at, message))
    }

    fn traits(account: &Account) -> Vec<(&str, &str)> {
        account.fragment.current_traits().map(|(name, value, _)| (name, value)).collect()
    }

    #[test]
    fn accounts_are_named_by_group_calls_alone_and_as_written() {
        let long = "x".repeat(ACCOUNT_ID_BYTES_MAX);
        let too_long = format!("{long}x");
        let cases = [
            (json!({"type": "group", "groupId": "acme"}), Some("acme")),
            (json!({"type": "group", "groupId": " Acme "}), Some(" Acme ")),
            (json!({"type": "group", "groupId": 12345}), Some("12345")),
            (json!({"type": "group", "groupId": long}), Some(long.as_str())),
            (json!({"type": "group", "groupId": too_long}), None),
            (json!({"type": "group", "groupId": ""}), None),
            (json!({"type": "group", "groupId": null}), None),
            (json!({"type": "group"}), None),
            (json!({"type": "group", "groupId": ["acme"]}), None),
            (json!({"type": "track", "event": "e", "groupId": "acme"}), None),
            (json!({"type": "track", "event": "e", "context": {"groupId": "acme"}}), None),
        ];
        for (body, want) in cases {
            let payload = call(body.clone());
            let event = EventView::parse(&payload).expect("an event");
            assert_eq!(account_id(&event).as_deref(), want, "{body}");
        }
    }

    #[test]
    fn traits_are_those_of_the_newest_call_and_null_removes() {
        let mut account = Account::default();
        let steps = [
            (json!({"plan": "pro", "seats": 5}), 2, "m2", true, vec![("plan", "\"pro\""), ("seats", "5")]),
            (json!({"plan": "pro"}), 3, "m3", false, vec![("plan", "\"pro\""), ("seats", "5")]),
            (json!({"plan": "free"}), 1, "m1", false, vec![("plan", "\"pro\""), ("seats", "5")]),
            (json!({"seats": null}), 4, "m4", true, vec![("plan", "\"pro\"")]),
            (json!({"seats": null}), 5, "m5", false, vec![("plan", "\"pro\"")]),
            (json!({"other": null}), 5, "m6", false, vec![("plan", "\"pro\"")]),
            (json!({"seats": 4}), 4, "m3", false, vec![("plan", "\"pro\"")]),
            (json!({}), 9, "m9", false, vec![("plan", "\"pro\"")]),
        ];
        for (number, (sent, at, message, is_changed, want)) in steps.into_iter().enumerate() {
            assert_eq!(fold(&mut account, sent, at, message), is_changed, "step {number}");
            assert_eq!(traits(&account), want, "step {number}");
        }
        let fragment = &account.fragment;
        assert_eq!((fragment.events_of(EventKind::Group), fragment.events()), (8, 8));
        assert_eq!(fragment.first, Some(sighting(1, "m1")));
        assert_eq!(fragment.last, Some(sighting(9, "m9")));
    }

    #[test]
    fn the_first_anchors_are_looked_at_in_whatever_order_they_come() {
        let anchor = |number: usize| {
            let identifier = Identifier::parse(Namespace::USER_ID, &format!("u{number:05}"));
            NodeKey::first_epoch(identifier.expect("an identifier"))
        };
        let linked = |numbers: &mut dyn Iterator<Item = usize>| {
            let mut account = Account::default();
            numbers.for_each(|number| account.link(&anchor(number)));
            account
        };
        let whole = linked(&mut (0..ACCOUNT_MEMBERS_MAX));
        assert!(!whole.is_cut() && whole.looks_at(&anchor(ACCOUNT_MEMBERS_MAX - 1)));
        let forwards = linked(&mut (0..ACCOUNT_MEMBERS_MAX + 1));
        assert_eq!(forwards, linked(&mut (0..ACCOUNT_MEMBERS_MAX + 1).rev()));
        assert_eq!((forwards.members, forwards.looked_at.len()), (1_001, ACCOUNT_MEMBERS_MAX));
        assert!(forwards.is_cut() && !forwards.looks_at(&anchor(ACCOUNT_MEMBERS_MAX)));
    }

    #[test]
    fn a_call_that_links_nobody_shares_the_anchors() {
        let mut account = Account::default();
        let identifier = Identifier::parse(Namespace::USER_ID, "u").expect("an identifier");
        account.link(&NodeKey::first_epoch(identifier));
        let mut next = account.clone();
        assert!(fold(&mut next, json!({"plan": "pro"}), 1, "m1"));
        assert!(Arc::ptr_eq(&account.looked_at, &next.looked_at));
    }

    #[test]
    fn accounts_that_nobody_looked_at_make_room() {
        let named = |number: usize| (WorkspaceId(1), number.to_string().into_boxed_str());
        let account = || {
            let (account, memo) = (Arc::default(), AccountMemo::default());
            Arc::new(LoadedAccount { account, members: Vec::new(), is_cut: false, memo })
        };
        let room = LOADED_PEOPLE_MAX / ACCOUNT_WEIGHT;
        let mut loaded = LoadedAccounts::default();
        (0..room).for_each(|number| loaded.insert(named(number), account()));
        assert!(loaded.get(&named(0)).is_some());
        (room..room + 2).for_each(|number| loaded.insert(named(number), account()));
        let gone: Vec<usize> = (0..room + 2).filter(|number| loaded.get(&named(*number)).is_none()).collect();
        assert_eq!(gone, [1, 2]);
        loaded.clear();
        assert!(loaded.get(&named(0)).is_none());
    }
}
