//! Short forms for events, rules and what came of them.

use tributary_identity::{EdgeKey, Evidence, GraphStore, MemoryGraph, ProfileRecord, Resolution, resolve};
use tributary_model::workspace::{IdentityRules, NamespaceRule};
use tributary_model::{
    HashKey, Identifier, MessageId, Namespace, NodeKey, Position, ProfileId, SourceId, Timestamp, WorkspaceId,
};

pub(crate) const ONE: WorkspaceId = WorkspaceId(1);
pub(crate) const TWO: WorkspaceId = WorkspaceId(2);
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

pub(crate) fn hash_key() -> HashKey {
    HashKey::derive(b"tests")
}

/// `namespace:value`.
pub(crate) fn id(text: &str) -> Identifier {
    let (namespace, value) = text.split_once(':').expect("namespace:value");
    Identifier::parse(Namespace::new(namespace), value).expect("an identifier")
}

pub(crate) fn node(text: &str) -> NodeKey {
    NodeKey::first_epoch(id(text))
}

pub(crate) fn text(key: &NodeKey) -> String {
    key.identifier.to_text()
}

/// The profile id that this identifier creates.
pub(crate) fn created_by(workspace: WorkspaceId, identifier: &str) -> ProfileId {
    hash_key().profile_id(workspace, &node(identifier))
}

/// Namespaces in order of priority, each with its limit.
pub(crate) fn rules(limits: &[(&str, u32)]) -> IdentityRules {
    let rule = |(place, (name, limit)): (usize, &(&str, u32))| NamespaceRule {
        name: Namespace::new(name),
        priority: u32::try_from(place).expect("few namespaces") + 1,
        limit: *limit,
    };
    IdentityRules { namespaces: limits.iter().enumerate().map(rule).collect() }
}

/// The event at a position, arriving on a day.
pub(crate) fn evidence(sequence: u64, day: i64) -> Evidence {
    let at = Timestamp::from_micros(day * DAY_MICROS + i64::try_from(sequence).expect("a small number"));
    Evidence {
        position: Position::at(sequence),
        message_id: MessageId::parse(&format!("m{sequence}")).expect("a message id"),
        source: SourceId(1),
        received_at: at,
        event_time: at,
    }
}

pub(crate) fn resolve_in<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    rules: &IdentityRules,
    identifiers: &[Identifier],
    evidence: &Evidence,
) -> Option<Resolution>
where
    G::Error: std::fmt::Debug,
{
    resolve(graph, workspace, rules, &hash_key(), identifiers, evidence).expect("the graph is consistent")
}

/// Every live profile of a workspace as its identifiers in text, in order of creation.
pub(crate) fn profiles(graph: &MemoryGraph, workspace: WorkspaceId) -> Vec<(ProfileId, Vec<String>)> {
    let mut found: Vec<_> = graph
        .profiles(workspace)
        .filter_map(|(id, record)| match record {
            ProfileRecord::Live(live) => {
                Some((live.created.position, id, live.members.iter().map(text).collect()))
            }
            ProfileRecord::MergedInto(_) => None,
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, id, members)| (id, members)).collect()
}

/// `anchor > other`.
pub(crate) fn link(key: &EdgeKey) -> String {
    format!("{} > {}", text(&key.anchor), text(&key.other))
}
