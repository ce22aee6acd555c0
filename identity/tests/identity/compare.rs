//! A graph against the reference, and what holds of every graph.

use crate::reference::Reference;
use crate::support::{IdentityRules, ONE, link, plain, text, texts};
use std::collections::{BTreeMap, BTreeSet};
use tributary_identity::{
    Edge, EdgeKey, EdgeRule, GraphRead, LiveProfile, MemoryGraph, ProfileRecord, RefusalReason, Step, follow,
};
use tributary_model::{NodeKey, ProfileId, Timestamp, WorkspaceId};

pub(crate) type Group = BTreeSet<NodeKey>;

/// Who is on which profile, everything that was told of them, and why what was refused was refused.
pub(crate) fn check_all(graph: &MemoryGraph, reference: &Reference) {
    check_people(graph, reference);
    assert_eq!(leads(graph), reference.ids(), "every id that was ever given, and where it leads");
    check_links(graph, reference);
    check_refusals(graph, reference);
    let refusals = reference.refusals();
    for (key, refusal) in graph.refusals(ONE) {
        let Some(want) = refusals.get(&(key.anchor.clone(), key.other.clone())) else { continue };
        let reason = plain(&refusal.reason);
        assert!(want.why.contains(&reason), "{} for {reason:?}, not {:?}", link(key), want.why);
    }
    check_invariants(graph, ONE);
}

/// Who is on which profile, since when.
pub(crate) fn check_people(graph: &MemoryGraph, reference: &Reference) {
    let profiles = reference.profiles();
    let got: BTreeMap<_, _> = live(graph, ONE)
        .into_iter()
        .map(|(id, live)| {
            let current: BTreeSet<_> = live.identifiers().map(text).collect();
            let members: BTreeSet<_> = live.members.iter().map(text).collect();
            (id, (live.created.position.sequence, members, current))
        })
        .collect();
    let want: BTreeMap<_, _> = profiles
        .iter()
        .map(|(id, profile)| {
            let in_use = |key: &&NodeKey| reference.current(&key.identifier) == **key;
            let current: BTreeSet<_> = profile.members.iter().filter(in_use).map(text).collect();
            let members: BTreeSet<_> = profile.members.iter().map(text).collect();
            (*id, (profile.created, members, current))
        })
        .collect();
    assert_eq!(got, want, "profiles: created, members, those in use");

    let got: BTreeMap<_, _> = graph
        .nodes(ONE)
        .map(|(key, node)| (text(key), (node.profile, node.first.position.sequence, node.linked_at)))
        .collect();
    let mut want = BTreeMap::new();
    for (id, profile) in &profiles {
        for member in &profile.members {
            let (first, linked) = reference.first_seen(member).expect("a member was seen");
            want.insert(text(member), (*id, first, linked));
        }
    }
    assert_eq!(got, want, "nodes: profile, first event, when linked");
}

/// Which links events tied, and when first. Those that a command had tied before are the command's.
pub(crate) fn check_links(graph: &MemoryGraph, reference: &Reference) {
    let by_command = |edge: &Edge| matches!(edge.rule, EdgeRule::ByHand | EdgeRule::SameSide);
    let (commanded, offered): (Vec<_>, Vec<_>) = graph.edges(ONE).partition(|(_, edge)| by_command(edge));
    let commanded: BTreeSet<_> = commanded.into_iter().map(|(key, _)| link(key)).collect();
    let got: BTreeMap<_, _> =
        offered.into_iter().map(|(key, edge)| (link(key), edge.first.position.sequence)).collect();
    let want: BTreeMap<_, _> = reference
        .links()
        .into_iter()
        .map(|((anchor, other), at)| (link(&EdgeKey { anchor, other }), at))
        .filter(|(name, _)| !commanded.contains(name))
        .collect();
    assert_eq!(got, want, "edges, with the position of their first event");
}

/// Which links were offered and never taken, when first, and whether a partition was the reason. What a command
/// had tied before is the command's.
pub(crate) fn check_refusals(graph: &MemoryGraph, reference: &Reference) {
    let commands = reference.commands();
    // Which two of a side a command ties is not told.
    let offered = |edge: &Edge| !commands.contains(&edge.first.position.sequence);
    let edges: BTreeSet<_> = graph.edges(ONE).filter(|(_, edge)| offered(edge)).map(|(key, _)| key).collect();
    let refused = graph.refusals(ONE).filter(|(key, _)| !edges.contains(key));
    let (commanded, offered): (Vec<_>, Vec<_>) =
        refused.partition(|(_, refusal)| commands.contains(&refusal.first.position.sequence));
    let commanded: BTreeSet<_> = commanded.into_iter().map(|(key, _)| link(key)).collect();
    let got: BTreeMap<_, _> = offered
        .into_iter()
        .map(|(key, refusal)| {
            let by_partition = matches!(refusal.reason, RefusalReason::Partition { .. });
            (link(key), (refusal.first.position.sequence, by_partition))
        })
        .collect();
    let want: BTreeMap<_, _> = reference
        .refusals()
        .into_iter()
        .map(|((anchor, other), refused)| {
            (link(&EdgeKey { anchor, other }), (refused.at, refused.by_partition()))
        })
        .filter(|(name, _)| !commanded.contains(name))
        .collect();
    assert_eq!(got, want, "refusals: first event, whether by a partition");
}

/// Every id in a graph with the live profile that it leads to.
pub(crate) fn leads(graph: &MemoryGraph) -> BTreeMap<ProfileId, ProfileId> {
    let mut follower = graph.clone();
    let mut lead = |id| {
        let found = follow(&mut follower, ONE, id).expect("the graph is consistent");
        (id, found.expect("an id that was given leads to a profile").0)
    };
    graph.profiles(ONE).map(|(id, _)| lead(id)).collect()
}

/// The live profiles of a workspace.
pub(crate) fn live(graph: &MemoryGraph, workspace: WorkspaceId) -> BTreeMap<ProfileId, LiveProfile> {
    graph
        .profiles(workspace)
        .filter_map(|(id, record)| match record {
            ProfileRecord::Live(live) => Some((id, LiveProfile::clone(live))),
            ProfileRecord::MergedInto(_) => None,
        })
        .collect()
}

/// The links of a graph, without their direction.
pub(crate) fn ties(graph: &MemoryGraph, workspace: WorkspaceId) -> Vec<(NodeKey, NodeKey)> {
    graph.edges(workspace).map(|(key, _)| (key.anchor.clone(), key.other.clone())).collect()
}

/// The connected pieces of some nodes; only ties among them count.
pub(crate) fn pieces(nodes: &Group, ties: &[(NodeKey, NodeKey)]) -> BTreeSet<Group> {
    let mut pieces: Vec<Group> = nodes.iter().map(|node| Group::from([node.clone()])).collect();
    for (one, other) in ties.iter().filter(|(one, other)| nodes.contains(one) && nodes.contains(other)) {
        let (touched, mut rest): (Vec<_>, Vec<_>) =
            pieces.into_iter().partition(|piece| piece.contains(one) || piece.contains(other));
        rest.push(touched.into_iter().flatten().collect());
        pieces = rest;
    }
    pieces.into_iter().collect()
}

/// A path goes from node to node by edges that exist, and tells of them what is stored.
pub(crate) fn check_path(graph: &MemoryGraph, path: &[Step]) {
    assert!(
        path.is_sorted_by(|step, next| step.to == next.from),
        "each step goes on where the last one ended"
    );
    for step in path {
        let (from, to) = (&step.from, &step.to);
        let found = graph.edges(ONE).any(|(key, edge)| {
            let joins = [(&key.anchor, &key.other), (&key.other, &key.anchor)].contains(&(from, to));
            joins && (edge.rule, &edge.first, edge.last_day) == (step.rule, &step.evidence, step.last_day)
        });
        assert!(found, "no edge is the step from {} to {}", text(from), text(to));
    }
}

/// What holds of every graph, whatever the events, the commands and the rules were.
pub(crate) fn check_invariants(graph: &MemoryGraph, workspace: WorkspaceId) {
    let mut pointing: BTreeMap<ProfileId, Vec<String>> = BTreeMap::new();
    for (key, node) in graph.nodes(workspace) {
        pointing.entry(node.profile).or_default().push(text(key));
    }
    let ties = ties(graph, workspace);
    let mut listed: Vec<ProfileId> = Vec::new();
    for (id, live) in live(graph, workspace) {
        let mut members = pointing.remove(&id).expect("a profile has members");
        members.sort();
        let mut want = texts(live.members.iter());
        want.sort();
        assert_eq!(want, members, "members are the nodes that point to it");
        assert!(live.members.is_sorted_by(|a, b| a < b), "members are sorted, each once");
        assert!(live.merged.is_sorted_by(|a, b| a < b), "merged ids are sorted, each once");
        assert!(live.former.is_sorted_by(|a, b| a < b), "former members are sorted, each once");
        assert!(live.former.iter().all(|key| live.members.contains(key)), "former members are members");
        let current: Vec<_> = live.members.iter().filter(|key| !live.former.contains(key)).collect();
        assert_eq!(
            texts(live.identifiers()),
            texts(current),
            "the current are the members that aren't former"
        );
        let group: Group = live.members.iter().cloned().collect();
        assert_eq!(pieces(&group, &ties).len(), 1, "a profile is one piece of evidence: {members:?}");
        check_partitions(graph, workspace, &group);
        listed.extend(&live.merged);
    }
    assert!(pointing.is_empty(), "every node points to a live profile");
    for (one, other) in &ties {
        let profile =
            |key: &NodeKey| graph.nodes(workspace).find(|(have, _)| *have == key).map(|(_, n)| n.profile);
        assert_eq!(profile(one), profile(other), "an edge lies within a profile");
    }
    listed.sort();
    let away: Vec<_> = graph
        .profiles(workspace)
        .filter(|(_, record)| matches!(record, ProfileRecord::MergedInto(_)))
        .map(|(id, _)| id)
        .collect();
    assert_eq!(away, listed, "each id that was merged away is listed by one profile");
}

fn check_partitions(graph: &MemoryGraph, workspace: WorkspaceId, group: &Group) {
    let partitions = GraphRead::partitions(&mut graph.clone(), workspace).expect("memory answers");
    for partition in partitions.iter() {
        let touched = partition.sides.iter().filter(|side| side.iter().any(|key| group.contains(key)));
        assert!(touched.count() <= 1, "partition {} is crossed", partition.id);
    }
}

/// No profile has more in use of a namespace than its limit allows, or more than its caps.
pub(crate) fn check_limits(graph: &MemoryGraph, rules: &IdentityRules, now: Timestamp) {
    let linked: BTreeMap<_, _> = graph.nodes(ONE).map(|(key, node)| (key.clone(), node.linked_at)).collect();
    for (_, live) in live(graph, ONE) {
        for rule in &rules.namespaces {
            let since = rule.limit.window.micros().map(|micros| now.plus_micros(-micros));
            let counts = |key: &&NodeKey| {
                *key.identifier.namespace() == rule.name && since.is_none_or(|since| linked[*key] > since)
            };
            let counted: BTreeSet<_> =
                live.identifiers().filter(counts).map(|key| key.identifier.to_text()).collect();
            assert!(counted.len() <= rule.limit.count as usize, "{counted:?} under {rule:?}");
        }
        let count = live.identifiers().count();
        assert!(count <= rules.identifiers_max as usize, "{count} identifiers");
        assert!(live.merged.len() <= rules.merges_max as usize, "{} merged ids", live.merged.len());
    }
}
