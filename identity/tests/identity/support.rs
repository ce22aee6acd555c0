//! Short forms for rules, events, commands and what came of them.

use std::sync::Arc;
use tributary_identity::{
    CommandRefused, Context, EdgeKey, Evidence, GraphRead, GraphStore, HandedOver, LiveProfile, MemoryGraph,
    Ordered, ProfileRecord, RefusalReason, Resolution, Retake, Unmerged, find, hand_over, resolve, unmerge,
};
pub(crate) use tributary_model::command::{Action, UnmergeTarget, Who};
pub(crate) use tributary_model::identity_rules::{
    EventIdentifiers, IdentityRules, Limit, NamespaceRule, Normalization, PreviousId, SharedDevice, Window,
};
use tributary_model::{
    HashKey, Identifier, MessageId, Namespace, NodeKey, Position, ProfileId, SourceId, Timestamp, WorkspaceId,
};

pub(crate) const ONE: WorkspaceId = WorkspaceId(1);
pub(crate) const TWO: WorkspaceId = WorkspaceId(2);
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;
/// Who orders every command here, and why.
pub(crate) const BY: &str = "ada";
pub(crate) const WHY: &str = "a test";

pub(crate) fn hash_key() -> HashKey {
    HashKey::derive(b"tests")
}

/// `namespace:value`.
pub(crate) fn id(text: &str) -> Identifier {
    let (namespace, value) = text.split_once(':').expect("namespace:value");
    Identifier::parse(Namespace::new(namespace), value).expect("an identifier")
}

/// `namespace:value` in the first epoch, `namespace:value~2` in another.
pub(crate) fn node(text: &str) -> NodeKey {
    match text.rsplit_once('~') {
        Some((text, epoch)) => NodeKey { identifier: id(text), epoch: epoch.parse().expect("an epoch") },
        None => NodeKey::first_epoch(id(text)),
    }
}

/// The reverse of [`node`].
pub(crate) fn text(key: &NodeKey) -> String {
    match key.epoch {
        0 => key.identifier.to_text(),
        epoch => format!("{}~{epoch}", key.identifier.to_text()),
    }
}

pub(crate) fn texts<'a>(keys: impl IntoIterator<Item = &'a NodeKey>) -> Vec<String> {
    keys.into_iter().map(text).collect()
}

/// `anchor > other`.
pub(crate) fn link(key: impl std::borrow::Borrow<EdgeKey>) -> String {
    let key = key.borrow();
    format!("{} > {}", text(&key.anchor), text(&key.other))
}

pub(crate) fn who(identifier: &str) -> Who {
    Who::Identifier(id(identifier))
}

/// The profile id that this node creates.
pub(crate) fn created_by(workspace: WorkspaceId, creator: &str) -> ProfileId {
    hash_key().profile_id(workspace, &node(creator))
}

/// Namespaces in order of priority, each with how many identifiers of it a profile may have, ever.
pub(crate) fn rules(limits: &[(&str, u32)]) -> IdentityRules {
    let rule = |(priority, (name, count)): (u32, &(&str, u32))| NamespaceRule {
        name: Namespace::new(name),
        from: Vec::new(),
        normalize: Normalization::Exact,
        priority,
        limit: Limit { count: *count, window: Window::Ever },
        blocked: Vec::new(),
        blocked_patterns: Vec::new(),
        block_suggested: true,
        shared_device: SharedDevice::FirstOwner,
    };
    IdentityRules {
        namespaces: (1..).zip(limits).map(rule).collect(),
        identifiers_max: 1000,
        merges_max: 100,
        ..IdentityRules::default()
    }
}

/// These rules with one namespace's changed.
pub(crate) fn with(
    mut rules: IdentityRules,
    name: &str,
    edit: impl FnOnce(&mut NamespaceRule),
) -> IdentityRules {
    let rule = rules.namespaces.iter_mut().find(|rule| rule.name.as_str() == name);
    edit(rule.expect("a declared namespace"));
    rules
}

/// These rules with a namespace that follows the last sign-in.
pub(crate) fn last_sign_in(rules: IdentityRules, name: &str) -> IdentityRules {
    with(rules, name, |rule| rule.shared_device = SharedDevice::LastSignIn)
}

/// What a reader would find on an event with these identifiers: those of declared namespaces, highest priority
/// first, each once.
pub(crate) fn event_of(rules: &IdentityRules, identifiers: &[Identifier]) -> EventIdentifiers {
    let mut by_priority: Vec<_> = rules.namespaces.iter().collect();
    by_priority.sort_by_key(|rule| rule.priority);
    let mut found: Vec<Identifier> = Vec::new();
    for rule in by_priority {
        for identifier in identifiers.iter().filter(|given| *given.namespace() == rule.name) {
            if !found.contains(identifier) {
                found.push(identifier.clone());
            }
        }
    }
    EventIdentifiers { identifiers: found, blocked: Vec::new(), previous: None }
}

pub(crate) fn event(rules: &IdentityRules, identifiers: &[&str]) -> EventIdentifiers {
    let identifiers: Vec<_> = identifiers.iter().map(|text| id(text)).collect();
    event_of(rules, &identifiers)
}

/// A moment of a day; later sequences are later.
pub(crate) fn moment(sequence: u64, day: i64) -> Timestamp {
    Timestamp::from_micros(day * DAY_MICROS + i64::try_from(sequence).expect("a small number"))
}

/// The event at a position, arriving on a day.
pub(crate) fn evidence(sequence: u64, day: i64) -> Evidence {
    evidence_at(sequence, moment(sequence, day))
}

pub(crate) fn evidence_at(sequence: u64, at: Timestamp) -> Evidence {
    Evidence {
        position: Position::at(sequence),
        message_id: MessageId::parse(&format!("m{sequence}")).expect("a message id"),
        source: SourceId(1),
        received_at: at,
        event_time: at,
    }
}

/// Calls something with the context of a workspace at a moment.
pub(crate) fn in_context<T>(
    workspace: WorkspaceId,
    rules: &IdentityRules,
    log_time: Timestamp,
    call: impl FnOnce(&Context<'_>) -> T,
) -> T {
    let hash_key = hash_key();
    call(&Context { workspace, rules, hash_key: &hash_key, log_time })
}

/// Resolves an event that arrives when the log's time is its own.
pub(crate) fn resolve_in<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    rules: &IdentityRules,
    event: &EventIdentifiers,
    evidence: &Evidence,
) -> Option<Resolution>
where
    G::Error: std::fmt::Debug,
{
    in_context(workspace, rules, evidence.received_at, |context| resolve(graph, context, event, evidence))
        .expect("the graph is consistent")
}

/// Resolves events given as texts, one after another from position 0 on, all on day 0.
pub(crate) fn play(graph: &mut MemoryGraph, rules: &IdentityRules, events: &[&[&str]]) -> Option<Resolution> {
    let mut last = None;
    for (at, identifiers) in (0..).zip(events) {
        last = resolve_in(graph, ONE, rules, &event(rules, identifiers), &evidence(at, 0));
    }
    last
}

/// The record of a command.
pub(crate) fn ordered(sequence: u64, at: Timestamp) -> Ordered<'static> {
    Ordered { position: Position::at(sequence), at, by: BY, reason: Some(WHY) }
}

pub(crate) fn unmerge_in<G: GraphStore>(
    graph: &mut G,
    rules: &IdentityRules,
    who: &Who,
    target: &UnmergeTarget,
    retake: Retake,
    (sequence, day): (u64, i64),
) -> Result<Unmerged, CommandRefused>
where
    G::Error: std::fmt::Debug,
{
    let at = moment(sequence, day);
    in_context(ONE, rules, at, |context| unmerge(graph, context, who, target, retake, &ordered(sequence, at)))
        .expect("the graph is consistent")
}

pub(crate) fn hand_in(
    graph: &mut MemoryGraph,
    rules: &IdentityRules,
    action: &Action,
    (sequence, day): (u64, i64),
) -> Result<HandedOver, CommandRefused> {
    let at = moment(sequence, day);
    in_context(ONE, rules, at, |context| hand_over(graph, context, action, &ordered(sequence, at)))
        .expect("the graph is consistent")
}

pub(crate) fn find_in<G: GraphRead>(graph: &mut G, who: &Who) -> Option<(ProfileId, Arc<LiveProfile>)>
where
    G::Error: std::fmt::Debug,
{
    find(graph, ONE, who).expect("the graph is consistent")
}

/// The profile that an identifier is on now.
pub(crate) fn profile_of(graph: &mut MemoryGraph, identifier: &str) -> Option<ProfileId> {
    find_in(graph, &who(identifier)).map(|(id, _)| id)
}

/// Every live profile of a workspace with its members as texts, in order of creation.
pub(crate) fn profiles(graph: &MemoryGraph, workspace: WorkspaceId) -> Vec<(ProfileId, Vec<String>)> {
    let mut found: Vec<_> = graph
        .profiles(workspace)
        .filter_map(|(id, record)| match record {
            ProfileRecord::Live(live) => Some((live.created.position, id, texts(live.members.iter()))),
            ProfileRecord::MergedInto(_) => None,
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, id, members)| (id, members)).collect()
}

/// The same reason, told without the difference between an identifier that is itself at fault and one that was
/// demoted for the sake of another: both name the namespace over its limit.
pub(crate) fn plain(reason: &RefusalReason) -> RefusalReason {
    if let RefusalReason::Demotion { reason, .. } = reason {
        return RefusalReason::clone(reason);
    }
    reason.clone()
}

pub(crate) fn over(namespace: &str, limit: u32, count: u32) -> RefusalReason {
    RefusalReason::Limit { namespace: Namespace::new(namespace), limit, count }
}
