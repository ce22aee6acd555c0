//! The first form of entries: before epochs, places of links, rules beyond priority and limit, and whatever definitions
//! need of events.

use super::{CodecError, Value, WorkspaceState, read};
use crate::key::Tag;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_identity::{
    Anchored, Edge, EdgeRule, Evidence, LiveProfile, Node, ProfileRecord, Refusal, RefusalReason,
};
use tributary_model::fragment::{Sighting, TraitValue};
use tributary_model::workspace::IdentityRules;
use tributary_model::{Fragment, Namespace, NodeKey, ProfileId};

#[derive(Deserialize)]
struct NodeV1 {
    profile: ProfileId,
    first: Evidence,
}

#[derive(Deserialize)]
enum ProfileRecordV1 {
    Live(LiveProfileV1),
    MergedInto(ProfileId),
}

#[derive(Deserialize)]
struct LiveProfileV1 {
    created: Evidence,
    members: Arc<[NodeKey]>,
    merged: Vec<ProfileId>,
}

#[derive(Deserialize)]
struct EdgeV1 {
    first: Evidence,
    last_day: i64,
    rule: EdgeRule,
}

#[derive(Deserialize)]
struct FragmentV1 {
    traits: BTreeMap<Box<str>, TraitValue>,
    first: Option<Sighting>,
    last: Option<Sighting>,
    counts: [u64; 6],
}

#[derive(Deserialize)]
struct RefusalV1 {
    first: Evidence,
    last_day: i64,
    reason: RefusalReason,
}

#[derive(Deserialize)]
struct WorkspaceStateV1 {
    version: u64,
    deleted: bool,
    rules: RulesV1,
    profiles: u64,
    projected: u64,
    duplicates: u64,
}

#[derive(Deserialize)]
struct RulesV1 {
    namespaces: Vec<NamespaceRuleV1>,
}

#[derive(Deserialize)]
struct NamespaceRuleV1 {
    name: Namespace,
    priority: u32,
    limit: u32,
}

/// Reads an entry of version 1 that is written in a later one today.
pub(super) fn decode(tag: Tag, bytes: &[u8]) -> Result<Value, CodecError> {
    match tag {
        Tag::Edge => Ok(Value::Edge(Arc::new(edge(read(bytes)?)))),
        Tag::Fragment => Ok(Value::Fragment(Arc::new(fragment(read(bytes)?)))),
        Tag::Node => Ok(Value::Node(Arc::new(node(read(bytes)?)))),
        Tag::Profile => Ok(Value::Profile(Arc::new(profile(read(bytes)?)))),
        Tag::Refusal => Ok(Value::Refusal(Arc::new(refusal(read(bytes)?)))),
        Tag::Workspace => Ok(Value::Workspace(Arc::new(workspace(read(bytes)?)?))),
        Tag::Account
        | Tag::AccountMember
        | Tag::Alarm
        | Tag::Checkpoint
        | Tag::Definitions
        | Tag::History
        | Tag::Member
        | Tag::Needs
        | Tag::Partition
        | Tag::RefusedBy
        | Tag::Search
        | Tag::Size
        | Tag::Standing
        | Tag::Tally
        | Tag::Timer => Err(CodecError::Version(1)),
    }
}

/// Whether events had the node as their anchor was not kept: it is taken to have been one from the start.
fn node(NodeV1 { profile, first }: NodeV1) -> Node {
    let linked_at = first.received_at;
    Node { profile, first, linked_at, anchored: Anchored::First, current_epoch: 0 }
}

fn profile(record: ProfileRecordV1) -> ProfileRecord {
    match record {
        ProfileRecordV1::Live(LiveProfileV1 { created, members, merged }) => {
            let (former, parted) = (Vec::new(), Vec::new());
            ProfileRecord::Live(Arc::new(LiveProfile { created, members, merged, former, parted }))
        }
        ProfileRecordV1::MergedInto(id) => ProfileRecord::MergedInto(id),
    }
}

fn edge(EdgeV1 { first, last_day, rule }: EdgeV1) -> Edge {
    Edge { first, last_day, rule, place: 0 }
}

/// What was not kept of its events is not known.
fn fragment(FragmentV1 { traits, first, last, counts }: FragmentV1) -> Fragment {
    Fragment { traits, first, last, counts, ..Fragment::default() }
}

fn refusal(RefusalV1 { first, last_day, reason }: RefusalV1) -> Refusal {
    Refusal { first, last_day, reason, rule: EdgeRule::SameEvent, place: 0 }
}

fn workspace(state: WorkspaceStateV1) -> Result<WorkspaceState, CodecError> {
    // The JSON form of rules has read what was written then ever since; so what they did not say is said there.
    let namespaces: Vec<serde_json::Value> = state
        .rules
        .namespaces
        .iter()
        .map(|rule| {
            serde_json::json!({"name": rule.name.as_str(), "priority": rule.priority, "limit": rule.limit})
        })
        .collect();
    let rules: IdentityRules = serde_json::from_value(serde_json::json!({"namespaces": namespaces}))
        .map_err(|_| CodecError::Damaged)?;
    Ok(WorkspaceState {
        version: state.version,
        deleted: state.deleted,
        rules: Arc::new(rules),
        profiles: state.profiles,
        projected: state.projected,
        duplicates: state.duplicates,
        has_unindexed_refusals: true,
        ..WorkspaceState::default()
    })
}
