//! What a resolution writes: nothing where everything is known, the days of links when a day is new; and that it
//! never scans.

use crate::support::{ONE, event, evidence, link, resolve_in, rules};
use std::sync::Arc;
use tributary_identity::{
    Edge, EdgeKey, GraphRead, GraphStore, HistoryEntry, Inconsistent, MemoryGraph, Node, Partition,
    Partitions, ProfileRecord, Refusal,
};
use tributary_model::{NodeKey, ProfileId, WorkspaceId};

/// How often something was written, or scanned for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Calls {
    nodes: u32,
    profiles: u32,
    edges: u32,
    refusals: u32,
    others: u32,
    scans: u32,
}

#[derive(Default)]
struct Counting {
    graph: MemoryGraph,
    calls: Calls,
}

type Answer<T> = Result<T, Inconsistent>;

impl GraphRead for Counting {
    type Error = Inconsistent;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Answer<Option<Arc<Node>>> {
        self.graph.node(workspace, key)
    }

    fn profile(&mut self, workspace: WorkspaceId, id: ProfileId) -> Answer<Option<ProfileRecord>> {
        self.graph.profile(workspace, id)
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Answer<Option<Arc<Edge>>> {
        self.graph.edge(workspace, key)
    }

    fn refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Answer<Option<Arc<Refusal>>> {
        self.graph.refusal(workspace, key)
    }

    fn edges_of(&mut self, workspace: WorkspaceId, anchors: &[NodeKey]) -> Answer<Vec<(EdgeKey, Arc<Edge>)>> {
        self.calls.scans += 1;
        self.graph.edges_of(workspace, anchors)
    }

    fn refusals_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Answer<Vec<(EdgeKey, Arc<Refusal>)>> {
        self.calls.scans += 1;
        self.graph.refusals_of(workspace, anchors)
    }

    fn refused_by(&mut self, workspace: WorkspaceId, others: &[NodeKey]) -> Answer<Vec<EdgeKey>> {
        self.calls.scans += 1;
        self.graph.refused_by(workspace, others)
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Answer<Arc<Partitions>> {
        GraphRead::partitions(&mut self.graph, workspace)
    }

    fn history(&mut self, workspace: WorkspaceId, profile: ProfileId) -> Answer<Vec<HistoryEntry>> {
        self.calls.scans += 1;
        GraphRead::history(&mut self.graph, workspace, profile)
    }
}

impl GraphStore for Counting {
    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Answer<()> {
        self.calls.nodes += 1;
        self.graph.put_node(workspace, key, node)
    }

    fn put_profile(&mut self, workspace: WorkspaceId, id: ProfileId, record: ProfileRecord) -> Answer<()> {
        self.calls.profiles += 1;
        self.graph.put_profile(workspace, id, record)
    }

    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Answer<()> {
        self.calls.edges += 1;
        self.graph.put_edge(workspace, key, edge)
    }

    fn put_refusal(&mut self, workspace: WorkspaceId, key: EdgeKey, refusal: Refusal) -> Answer<()> {
        self.calls.refusals += 1;
        self.graph.put_refusal(workspace, key, refusal)
    }

    fn remove_edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Answer<()> {
        self.calls.others += 1;
        self.graph.remove_edge(workspace, key)
    }

    fn remove_refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Answer<()> {
        self.calls.others += 1;
        self.graph.remove_refusal(workspace, key)
    }

    fn put_partition(&mut self, workspace: WorkspaceId, partition: Partition) -> Answer<()> {
        self.calls.others += 1;
        self.graph.put_partition(workspace, partition)
    }

    fn put_history(&mut self, workspace: WorkspaceId, profile: ProfileId, entry: HistoryEntry) -> Answer<()> {
        self.calls.others += 1;
        self.graph.put_history(workspace, profile, entry)
    }
}

#[test]
fn a_known_event_writes_nothing() {
    let rules = rules(&[("user_id", 1), ("email", 5), ("anonymous_id", 5)]);
    let known: &[&str] = &["user_id:a", "email:a@x", "anonymous_id:1"];
    let single: &[&str] = &["user_id:a"];
    let refused: &[&str] = &["user_id:b", "email:a@x"];
    let nothing = Calls::default;
    // The event, its position and its day; what it writes, where that is told by the rules.
    let cases = [
        ("first sight", known, 0, 0, None),
        ("known", known, 1, 0, Some(nothing())),
        ("known, anchor only", single, 2, 0, Some(nothing())),
        ("next day", known, 3, 1, Some(Calls { edges: 2, ..nothing() })),
        ("that day again", known, 4, 1, Some(nothing())),
        ("a day earlier", known, 5, 0, Some(nothing())),
        ("refused", refused, 6, 1, Some(Calls { nodes: 1, profiles: 1, refusals: 1, ..nothing() })),
        ("refused again", refused, 7, 1, Some(nothing())),
        ("refused next day", refused, 8, 2, Some(Calls { refusals: 1, ..nothing() })),
    ];
    let mut store = Counting::default();
    for (name, identifiers, at, day, want) in cases {
        store.calls = Calls::default();
        resolve_in(&mut store, ONE, &rules, &event(&rules, identifiers), &evidence(at, day))
            .expect("resolved");
        assert_eq!(store.calls.scans, 0, "{name}: scans");
        if let Some(want) = want {
            assert_eq!(store.calls, want, "{name}");
        }
    }
    let edges: Vec<_> = store
        .graph
        .edges(ONE)
        .map(|(key, edge)| (link(key), edge.first.position.sequence, edge.last_day))
        .collect();
    let want = [("user_id:a > anonymous_id:1", 0, 1), ("user_id:a > email:a@x", 0, 1)];
    assert_eq!(edges, want.map(|(link, at, day)| (link.to_owned(), at, day)));
    let refusals: Vec<_> = store
        .graph
        .refusals(ONE)
        .map(|(key, refusal)| (link(key), refusal.first.position.sequence, refusal.last_day))
        .collect();
    assert_eq!(refusals, [("user_id:b > email:a@x".to_owned(), 6, 2)]);
}

#[test]
fn what_is_unchanged_is_shared() {
    let rules = rules(&[("user_id", 1), ("email", 5)]);
    let both = event(&rules, &["user_id:a", "email:a@x"]);
    let mut graph = MemoryGraph::new();
    let first = resolve_in(&mut graph, ONE, &rules, &both, &evidence(0, 0)).expect("resolved");
    let again = resolve_in(&mut graph, ONE, &rules, &both, &evidence(1, 0)).expect("resolved");
    assert!(Arc::ptr_eq(&first.live, &again.live));
}
