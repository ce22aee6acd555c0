//! What a resolution reads and writes, and when the days of edges and refusals move.

use crate::support::{ONE, evidence, id, link, resolve_in, rules};
use std::sync::Arc;
use tributary_identity::{
    Edge, EdgeKey, EdgeRule, GraphStore, Inconsistent, MemoryGraph, Node, ProfileRecord, Refusal,
};
use tributary_model::{NodeKey, ProfileId, WorkspaceId};

/// How often each call was made.
#[derive(Debug, Default, PartialEq, Eq)]
struct Calls {
    nodes: u32,
    profiles: u32,
    edges: u32,
    refusals: u32,
    writes: u32,
}

#[derive(Default)]
struct Counting {
    graph: MemoryGraph,
    calls: Calls,
}

impl GraphStore for Counting {
    type Error = Inconsistent;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, Inconsistent> {
        self.calls.nodes += 1;
        self.graph.node(workspace, key)
    }

    fn profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
    ) -> Result<Option<ProfileRecord>, Inconsistent> {
        self.calls.profiles += 1;
        self.graph.profile(workspace, id)
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, Inconsistent> {
        self.calls.edges += 1;
        self.graph.edge(workspace, key)
    }

    fn refusal(
        &mut self,
        workspace: WorkspaceId,
        key: &EdgeKey,
    ) -> Result<Option<Arc<Refusal>>, Inconsistent> {
        self.calls.refusals += 1;
        self.graph.refusal(workspace, key)
    }

    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), Inconsistent> {
        self.calls.writes += 1;
        self.graph.put_node(workspace, key, node)
    }

    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), Inconsistent> {
        self.calls.writes += 1;
        self.graph.put_profile(workspace, id, record)
    }

    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), Inconsistent> {
        self.calls.writes += 1;
        self.graph.put_edge(workspace, key, edge)
    }

    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), Inconsistent> {
        self.calls.writes += 1;
        self.graph.put_refusal(workspace, key, refusal)
    }
}

#[test]
fn a_known_event_costs_a_few_lookups_and_no_write() {
    let rules = rules(&[("user_id", 1), ("email", 5), ("anonymous_id", 5)]);
    let known = [id("user_id:a"), id("email:a@x"), id("anonymous_id:1")];
    let single = [id("user_id:a")];
    let refused = [id("user_id:b"), id("email:a@x")];
    let cases = [
        ("first sight", &known[..], 0, 0, Calls { nodes: 3, edges: 2, writes: 6, ..Calls::default() }),
        ("known", &known, 1, 0, Calls { nodes: 3, profiles: 1, edges: 2, ..Calls::default() }),
        ("known, anchor only", &single, 2, 0, Calls { nodes: 1, profiles: 1, ..Calls::default() }),
        ("next day", &known, 3, 1, Calls { nodes: 3, profiles: 1, edges: 2, writes: 2, ..Calls::default() }),
        ("that day again", &known, 4, 1, Calls { nodes: 3, profiles: 1, edges: 2, ..Calls::default() }),
        ("a day earlier", &known, 5, 0, Calls { nodes: 3, profiles: 1, edges: 2, ..Calls::default() }),
        (
            "refused",
            &refused,
            6,
            1,
            Calls { nodes: 2, profiles: 1, refusals: 1, writes: 3, ..Calls::default() },
        ),
        ("refused again", &refused, 7, 1, Calls { nodes: 2, profiles: 2, refusals: 1, ..Calls::default() }),
        (
            "refused next day",
            &refused,
            8,
            2,
            Calls { nodes: 2, profiles: 2, refusals: 1, writes: 1, ..Calls::default() },
        ),
    ];
    let mut store = Counting::default();
    for (name, event, at, day, want) in cases {
        store.calls = Calls::default();
        resolve_in(&mut store, ONE, &rules, event, &evidence(at, day)).expect("resolved");
        assert_eq!(store.calls, want, "{name}");
    }
    let edges: Vec<_> = store
        .graph
        .edges(ONE)
        .map(|(key, edge)| (link(key), edge.first.position.sequence, edge.last_day))
        .collect();
    assert_eq!(
        edges,
        [("user_id:a > anonymous_id:1".to_owned(), 0, 1), ("user_id:a > email:a@x".to_owned(), 0, 1)]
    );
    assert!(store.graph.edges(ONE).all(|(_, edge)| edge.rule == EdgeRule::SameEvent));
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
    let event = [id("user_id:a"), id("email:a@x")];
    let mut graph = MemoryGraph::new();
    let first = resolve_in(&mut graph, ONE, &rules, &event, &evidence(0, 0)).expect("resolved");
    let again = resolve_in(&mut graph, ONE, &rules, &event, &evidence(1, 0)).expect("resolved");
    assert!(Arc::ptr_eq(&first.members, &again.members));
}
