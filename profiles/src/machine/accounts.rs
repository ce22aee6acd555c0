//! Group calls: what they make of accounts, and whose audiences an account concerns.

use super::known::Active;
use super::{Machine, ProjectError};
use crate::account::{Account, GroupChange, LoadedAccount, account_id};
use crate::codec::Value;
use crate::key::Key;
use crate::metrics;
use crate::state::View;
use std::collections::BTreeSet;
use std::sync::Arc;
use tributary_identity::{GraphRead, Resolution};
use tributary_model::catalog::AccountMemo;
use tributary_model::fragment::Sighting;
use tributary_model::{EventView, NodeKey, ProfileId, WorkspaceId};

impl Machine {
    /// Takes a group call into its account, and links the account with the call's anchor. `None` for a call that is
    /// about no account. A call without identifiers changes the account, and nobody is linked.
    pub(super) fn fold_group(
        &mut self,
        workspace: WorkspaceId,
        resolution: Option<&Resolution>,
        event: &EventView<'_>,
        sighting: &Sighting,
    ) -> Result<Option<GroupChange>, ProjectError> {
        let Some(group) = account_id(event) else { return Ok(None) };
        self.loaded.clear();
        let key = Key::account(workspace, &group);
        let mut account = match self.graph.take(&key)? {
            Some(Value::Account(account)) => account,
            _ => Arc::default(),
        };
        let linked = match resolution {
            Some(resolution) => self.link_account(workspace, &group, &mut account, &resolution.anchor)?,
            None => false,
        };
        let traits_changed = Arc::make_mut(&mut account).fold(event, sighting);
        self.graph.put(key, Value::Account(account));
        Ok(Some(GroupChange { group, traits_changed, linked }))
    }

    /// Whether the anchor was not linked with the account before: now it is.
    fn link_account(
        &mut self,
        workspace: WorkspaceId,
        group: &str,
        account: &mut Arc<Account>,
        anchor: &NodeKey,
    ) -> Result<bool, ProjectError> {
        if account.looks_at(anchor) {
            return Ok(false);
        }
        let entry = Key::account_member(workspace, group, anchor);
        if account.is_cut() && self.graph.get(&entry)?.is_some() {
            return Ok(false);
        }
        self.graph.put(entry, Value::AccountMember);
        Arc::make_mut(account).link(anchor);
        if let Some(Value::Fragment(fragment)) = self.graph.get(&Key::fragment(workspace, anchor))?
            && fragment.may_lack_accounts()
        {
            ::metrics::counter!(metrics::ACCOUNT_LIMIT_HITS, "limit" => "accounts").increment(1);
        }
        Ok(true)
    }

    /// The accounts of a person, each with its people as they are looked at. Those are not kept: they would drive out
    /// whoever is in use.
    pub(super) fn account_facts(
        &mut self,
        workspace: WorkspaceId,
        view: &View,
    ) -> Result<Vec<Arc<LoadedAccount>>, ProjectError> {
        let mut loaded = Vec::with_capacity(view.merged.accounts.len());
        for group in view.merged.accounts.keys() {
            let named = (workspace, group.clone());
            // Those who share an account are evaluated one after the other.
            if let Some(known) = self.loaded.get(&named) {
                loaded.push(known);
                continue;
            }
            let Some(account) = self.account(workspace, group)? else { continue };
            let mut members = Vec::new();
            for profile in self.people_of(workspace, &account)? {
                members.extend(self.passing_view(workspace, profile)?);
            }
            let is_cut = account.is_cut();
            let made = Arc::new(LoadedAccount { account, members, is_cut, memo: AccountMemo::default() });
            self.loaded.insert(named, Arc::clone(&made));
            loaded.push(made);
        }
        Ok(loaded)
    }

    /// The person and the people who share an account with it: those whose audiences may depend on the person.
    pub(super) fn fellow_members(
        &mut self,
        workspace: WorkspaceId,
        view: &View,
    ) -> Result<BTreeSet<ProfileId>, ProjectError> {
        // Its anchors may be behind those of its accounts that are looked at.
        let own = view.profile.members.first();
        let mut fellows = self.profiles_on(workspace, own)?;
        for group in view.merged.accounts.keys() {
            fellows.extend(self.members_of_account(workspace, group)?);
        }
        Ok(fellows)
    }

    /// The audiences that have to be evaluated for a person at any event of the person's own: no change of an account
    /// reaches those whose anchors are behind the ones that it looks at.
    pub(super) fn out_of_reach<'a>(
        &mut self,
        workspace: WorkspaceId,
        active: &'a Active,
        person: ProfileId,
    ) -> Result<&'a [usize], ProjectError> {
        if active.of_accounts.is_empty() {
            return Ok(&[]);
        }
        let Some(view) = self.view(workspace, person)? else { return Ok(&[]) };
        Ok(if self.is_out_of_reach(workspace, &view)? { active.of_accounts.as_slice() } else { &[] })
    }

    /// Whether one of a person's accounts does not look at the person.
    fn is_out_of_reach(&self, workspace: WorkspaceId, view: &View) -> Result<bool, ProjectError> {
        for group in view.merged.accounts.keys() {
            if let Some(account) = self.account(workspace, group)?
                && account.is_cut()
                && !view.profile.members.iter().any(|anchor| account.looks_at(anchor))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The people of an account as they are looked at: those whose audiences may depend on it.
    pub(super) fn members_of_account(
        &mut self,
        workspace: WorkspaceId,
        group: &str,
    ) -> Result<BTreeSet<ProfileId>, ProjectError> {
        match self.account(workspace, group)? {
            Some(account) => self.people_of(workspace, &account),
            None => Ok(BTreeSet::new()),
        }
    }

    fn account(&self, workspace: WorkspaceId, group: &str) -> Result<Option<Arc<Account>>, ProjectError> {
        Ok(match self.graph.get(&Key::account(workspace, group))? {
            Some(Value::Account(account)) => Some(account),
            _ => None,
        })
    }

    fn people_of(
        &mut self,
        workspace: WorkspaceId,
        account: &Account,
    ) -> Result<BTreeSet<ProfileId>, ProjectError> {
        self.profiles_on(workspace, account.looked_at.iter())
    }

    /// The live profiles that these nodes are on, each once.
    fn profiles_on<'a>(
        &mut self,
        workspace: WorkspaceId,
        nodes: impl IntoIterator<Item = &'a NodeKey>,
    ) -> Result<BTreeSet<ProfileId>, ProjectError> {
        let mut profiles = BTreeSet::new();
        for node in nodes {
            // A rebuild leaves an identifier on no profile that the rules don't declare any more.
            profiles.extend(self.graph.node(workspace, node)?.map(|node| node.profile));
        }
        Ok(profiles)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Applied;
    use super::*;
    use crate::account::ACCOUNT_MEMBERS_MAX;
    use crate::codec::Checkpoint;
    use crate::state::State;
    use crate::store::MemoryStore;
    use serde_json::{Value as Json, json};
    use tributary_eventlog::MemoryLog;
    use tributary_eventlog::index::{IndexOptions, Indexes};
    use tributary_model::event::AcceptedEvent;
    use tributary_model::{
        EventKind, HashKey, Identifier, Marks, MessageId, Namespace, Record, SourceId, Timestamp,
    };

    const ONE: WorkspaceId = WorkspaceId(1);

    struct Run {
        machine: Machine,
        _directory: tempfile::TempDir,
    }

    impl Run {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let db =
                fjall::Database::builder(directory.path()).worker_threads(1).open().expect("fjall opens");
            let indexes = Indexes::open(db, IndexOptions::default()).expect("the indexes open");
            let state = State::new(Arc::new(MemoryStore::default()), 1 << 20, 1 << 20);
            let key = HashKey::derive(b"a test's root key");
            let (state, indexes, log) = (Arc::new(state), Arc::new(indexes), Arc::new(MemoryLog::new()));
            let machine = Machine::new(state, indexes, log, key, Checkpoint::default(), 1 << 16);
            Self { machine, _directory: directory }
        }

        fn send(&mut self, kind: EventKind, mut body: Json) {
            let sequence = self.machine.checkpoint().next;
            let message_id = format!("m{sequence}");
            body["type"] = kind.name().into();
            body["messageId"] = message_id.as_str().into();
            let at = Timestamp::from_millis(1_790_000_000_000 + sequence as i64);
            let event = AcceptedEvent {
                workspace: ONE,
                workspace_version: 1,
                source: SourceId(1),
                kind,
                message_id: MessageId::parse(&message_id).expect("a message id"),
                received_at: at,
                event_time: at,
                marks: Marks::default(),
                anchor_hash: None,
                payload: body.to_string().into(),
            };
            let record = Record::from_event(event).encode();
            assert_eq!(self.machine.apply(sequence, 0, &record).expect("applied"), Applied::Done);
        }

        fn id(&mut self, namespace: Namespace, value: &str) -> ProfileId {
            let identifier = Identifier::parse(namespace, value).expect("an identifier");
            let node = self.machine.graph.node(ONE, &NodeKey::first_epoch(identifier)).expect("readable");
            node.expect("it was seen").profile
        }

        fn user(&mut self, value: &str) -> ProfileId {
            self.id(Namespace::USER_ID, value)
        }

        fn view(&mut self, user: &str) -> Arc<View> {
            let id = self.user(user);
            self.machine.view(ONE, id).expect("readable").expect("it is live")
        }

        /// Checks what is found of a user in one account, published or not.
        fn check(&mut self, user: &str, fellows: &[ProfileId]) {
            let want: BTreeSet<ProfileId> = fellows.iter().copied().collect();
            for _ in 0..2 {
                let view = self.view(user);
                assert_eq!(self.machine.fellow_members(ONE, &view).expect("readable"), want, "{user}");
                let facts = self.machine.account_facts(ONE, &view).expect("readable");
                let [account] = facts.as_slice() else { panic!("{} accounts", facts.len()) };
                assert_eq!((account.members.len(), account.is_cut), (want.len(), false), "{user}");
                let _activations = self.machine.publish();
            }
        }
    }

    #[test]
    fn fellows_are_the_people_of_ones_accounts() {
        let mut run = Run::new();
        run.send(EventKind::Group, json!({"userId": "a", "groupId": "acme", "traits": {"plan": "pro"}}));
        run.send(EventKind::Group, json!({"anonymousId": "d", "groupId": "acme"}));
        run.send(EventKind::Group, json!({"userId": "b", "groupId": "acme"}));
        run.send(EventKind::Group, json!({"userId": "c", "groupId": "other"}));
        run.send(EventKind::Track, json!({"userId": "e", "event": "Seen"}));
        let [a, b, c] = ["a", "b", "c"].map(|user| run.user(user));
        let d = run.id(Namespace::ANONYMOUS_ID, "d");
        run.check("a", &[a, b, d]);
        run.check("c", &[c]);
        let view = run.view("e");
        let e = run.user("e");
        assert_eq!(run.machine.fellow_members(ONE, &view).expect("readable"), BTreeSet::from([e]));
        assert!(run.machine.account_facts(ONE, &view).expect("readable").is_empty());
        assert!(run.machine.members_of_account(ONE, "nobody's").expect("readable").is_empty());

        run.send(EventKind::Identify, json!({"userId": "a", "anonymousId": "d"}));
        let a = run.user("a");
        run.check("b", &[a, b]);
        let members = run.machine.members_of_account(ONE, "acme").expect("readable");
        assert_eq!(members, BTreeSet::from([a, b]), "those who merged are one");
    }

    #[test]
    fn an_account_does_not_reach_those_behind_its_limit() {
        let mut run = Run::new();
        // Namespaces with longer names are behind.
        run.send(EventKind::Group, json!({"anonymousId": "d", "groupId": "acme"}));
        for number in 0..ACCOUNT_MEMBERS_MAX {
            run.send(EventKind::Group, json!({"userId": format!("u{number:05}"), "groupId": "acme"}));
        }
        run.send(EventKind::Track, json!({"userId": "e", "event": "Seen"}));
        let last = run.id(Namespace::ANONYMOUS_ID, "d");
        let [first, middle, other] = ["u00000", "u00999", "e"].map(|user| run.user(user));
        for (id, want) in [(first, false), (middle, false), (last, true), (other, false)] {
            let view = run.machine.view(ONE, id).expect("readable").expect("it is live");
            assert_eq!(run.machine.is_out_of_reach(ONE, &view).expect("readable"), want, "{id}");
        }
        let members = run.machine.members_of_account(ONE, "acme").expect("readable");
        assert_eq!((members.len(), members.contains(&last)), (ACCOUNT_MEMBERS_MAX, false));

        // Whoever has one identifier within reach is reached.
        run.send(EventKind::Identify, json!({"userId": "u00000", "anonymousId": "d"}));
        let view = run.view("u00000");
        assert!(!run.machine.is_out_of_reach(ONE, &view).expect("readable"));
    }

    #[test]
    fn looking_at_an_account_keeps_nobody_in_memory_for_others() {
        let mut run = Run::new();
        run.send(EventKind::Group, json!({"userId": "a", "groupId": "acme"}));
        run.send(EventKind::Group, json!({"userId": "b", "groupId": "acme"}));
        let _activations = run.machine.publish();
        let (view, b) = (run.view("a"), run.user("b"));
        let first = run.machine.account_facts(ONE, &view).expect("readable");
        assert_eq!(first[0].members.len(), 2);
        assert!(!run.machine.views.contains_key(&(ONE, b)));
        let again = run.machine.account_facts(ONE, &view).expect("readable");
        assert!(Arc::ptr_eq(&first[0], &again[0]), "what was found out about it is there for the next");
        run.send(EventKind::Group, json!({"userId": "b", "groupId": "acme"}));
        let next = run.machine.account_facts(ONE, &view).expect("readable");
        assert!(!Arc::ptr_eq(&first[0], &next[0]), "another record begins anew");
    }

    #[test]
    fn a_call_of_nobody_changes_the_account_and_links_no_one() {
        let mut run = Run::new();
        let sighting = Sighting {
            at: Timestamp::from_millis(1),
            message_id: MessageId::parse("m").expect("a message id"),
            source: SourceId(1),
        };
        let payload = json!({"type": "group", "groupId": "acme", "traits": {"plan": "pro"}}).to_string();
        let event = EventView::parse(payload.as_bytes()).expect("an event");
        for traits_changed in [true, false] {
            let change = run.machine.fold_group(ONE, None, &event, &sighting).expect("readable");
            assert_eq!(change, Some(GroupChange { group: "acme".into(), traits_changed, linked: false }));
        }
        let account = run.machine.account(ONE, "acme").expect("readable").expect("it is known");
        assert_eq!((account.members, account.fragment.events()), (0, 2));
        assert!(run.machine.members_of_account(ONE, "acme").expect("readable").is_empty());
        let payload = json!({"type": "track", "event": "Seen", "groupId": "acme"}).to_string();
        let event = EventView::parse(payload.as_bytes()).expect("an event");
        assert_eq!(run.machine.fold_group(ONE, None, &event, &sighting).expect("readable"), None);
    }
}
