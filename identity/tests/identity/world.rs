//! A graph under a stream of events and unmerges, beside the reference that is told of every partition from the
//! start.

use crate::compare::{
    Group, check_invariants, check_links, check_path, check_people, check_refusals, leads, live, pieces, ties,
};
use crate::model::Call;
use crate::reference::{Reference, Refused, Sides};
use crate::support::{
    EventIdentifiers, IdentityRules, ONE, UnmergeTarget, Who, evidence, find_in, moment, resolve_in, text,
    unmerge_in,
};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_identity::{
    CommandRefused, EdgeKey, LiveProfile, MemoryGraph, Overlay, RefusedKind, Retake, Row, Unmerged, history,
};
use tributary_model::{Identifier, NodeKey, ProfileId, Timestamp};

/// What the next step of a stream is.
#[derive(Debug, Clone)]
pub(crate) enum Move {
    Call(Call),
    Part(Wish),
}

/// An unmerge, chosen from what the graph holds by then.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    kind: Kind,
    /// Picks the profile.
    profile: Index,
    /// Picks what is named on it.
    named: Index,
    /// The sides, for those that are listed.
    colours: Vec<u8>,
    again: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Identifier,
    Edge,
    Merge,
    Sides,
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let kind = prop::sample::select(vec![Kind::Identifier, Kind::Edge, Kind::Merge, Kind::Sides]);
    let colours = prop::collection::vec(0..3_u8, 24);
    (kind, any::<Index>(), any::<Index>(), colours, any::<bool>())
        .prop_map(|(kind, profile, named, colours, again)| Wish { kind, profile, named, colours, again })
}

pub(crate) fn any_moves(
    call: impl Strategy<Value = Call>,
    length: usize,
) -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![5 => call.prop_map(Move::Call), 2 => any_wish().prop_map(Move::Part)];
    prop::collection::vec(step, 0..length)
}

/// What the rules say of an unmerge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Sides(BTreeSet<Group>),
    Refused,
    /// More than two pieces, or a link that goes both ways: either may be right.
    Open,
}

/// An unmerge with what the rules say of it.
pub(crate) struct Order {
    pub(crate) who: Who,
    pub(crate) target: UnmergeTarget,
    pub(crate) members: Group,
    pub(crate) want: Want,
    pub(crate) retake: Retake,
}

/// What was told, so that it can be told again.
enum Told {
    Event { event: EventIdentifiers, at: u64, time: Timestamp },
    Sides { sides: Sides, at: u64, time: Timestamp },
}

pub(crate) struct World {
    pub(crate) graph: MemoryGraph,
    pub(crate) rules: IdentityRules,
    pub(crate) reference: Reference,
    told: Vec<Told>,
    partitions: Vec<(u64, Sides)>,
    /// Every profile id that the graph ever held.
    ids: BTreeSet<ProfileId>,
    pub(crate) at: u64,
    pub(crate) day: i64,
}

impl World {
    pub(crate) fn new(rules: IdentityRules) -> Self {
        Self {
            graph: MemoryGraph::new(),
            rules,
            reference: Reference::default(),
            told: Vec::new(),
            partitions: Vec::new(),
            ids: BTreeSet::new(),
            at: 0,
            day: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        moment(self.at, self.day)
    }

    pub(crate) fn call(&mut self, call: &Call) {
        self.day += call.days;
        let (event, at, time) = (call.event(&self.rules), self.at, self.now());
        resolve_in(&mut self.graph, ONE, &self.rules, &event, &evidence(at, self.day));
        self.reference.resolve(&self.rules, &event, at, time);
        self.told.push(Told::Event { event, at, time });
        self.step();
    }

    fn step(&mut self) {
        self.ids.extend(self.graph.profiles(ONE).map(|(id, _)| id));
        self.at += 1;
    }

    /// Makes a wish concrete; `None` if there is nothing in the graph that it could name.
    pub(crate) fn order(&mut self, wish: &Wish) -> Option<Order> {
        let nodes: Vec<_> = self.graph.nodes(ONE).map(|(key, _)| key.clone()).collect();
        if nodes.is_empty() {
            return None;
        }
        let node = wish.profile.get(&nodes);
        let who = Who::Identifier(node.identifier.clone());
        let (id, found) = find_in(&mut self.graph, &who).expect("a node is on a profile");
        let members: Group = found.members.iter().cloned().collect();
        let ties: Vec<_> =
            ties(&self.graph, ONE).into_iter().filter(|(one, _)| members.contains(one)).collect();
        let (target, want) = match wish.kind {
            Kind::Identifier => part_identifier(node, &members, &ties),
            Kind::Edge if ties.is_empty() => return None,
            Kind::Edge => part_edge(wish.named.get(&ties), &members, &ties),
            Kind::Merge => {
                let merges = self.merges(id, &found);
                if merges.is_empty() {
                    return None;
                }
                let (merge, links) = wish.named.get(&merges);
                part_merge(*merge, links, &members, &ties)
            }
            Kind::Sides => part_sides(&wish.colours, &members)?,
        };
        let decided = self.decisions(&members).next().is_some();
        let retake = if wish.again && !decided { Retake::Again } else { Retake::Keep };
        Some(Order { who, target, members, want, retake })
    }

    /// The merges that a profile's history shows.
    fn merges(&mut self, id: ProfileId, live: &LiveProfile) -> Vec<(u64, Vec<EdgeKey>)> {
        let rows = history(&mut self.graph, ONE, id, live).expect("the graph is consistent");
        let merge = |row: Row| match row {
            Row::Merged { merge, links, .. } => Some((merge, links)),
            Row::Created
            | Row::Gained { .. }
            | Row::Demoted { .. }
            | Row::Parted { .. }
            | Row::Took { .. }
            | Row::Lost { .. } => None,
        };
        rows.into_iter().filter_map(|row| merge(row.what)).collect()
    }

    /// The decisions that touch some nodes: refusals, but not by a partition.
    pub(crate) fn decisions(&self, members: &Group) -> impl Iterator<Item = &Refused> {
        let touches =
            move |refused: &&Refused| members.contains(&refused.anchor) || members.contains(&refused.other);
        self.reference.refused.iter().filter(|refused| !refused.by_partition()).filter(touches)
    }

    /// Carries an order out: first dry, which must tell the same and change nothing. The answer is as the rules
    /// want it, and a refusal changes nothing.
    pub(crate) fn carry_out(&mut self, order: &Order) -> Option<Unmerged> {
        let Order { who, target, members, want, retake: _ } = order;
        let before = self.graph.clone();
        let mut dry = Overlay::new(self.graph.clone());
        let place = (self.at, self.day);
        let tried = unmerge_in(&mut dry, &self.rules, who, target, order.retake, place);
        let done = unmerge_in(&mut self.graph, &self.rules, who, target, order.retake, place);
        assert_eq!(tried, done, "a dry run tells what would be done");
        for member in members {
            let member = Who::Identifier(member.identifier.clone());
            assert_eq!(find_in(&mut dry, &member), find_in(&mut self.graph, &member), "what a dry run shows");
        }
        match done {
            Ok(done) => {
                let sides: BTreeSet<Group> =
                    done.sides.iter().map(|side| side.iter().cloned().collect()).collect();
                match want {
                    Want::Sides(want) => assert_eq!(names(&sides), names(want), "the sides"),
                    Want::Refused => panic!("refused is right, not {:?}", names(&sides)),
                    Want::Open => {}
                }
                assert_eq!(done.partition, self.at, "a partition has the number of its command");
                assert_eq!(sides.len(), done.profiles.len(), "as many profiles as sides");
                assert_eq!(&sides.into_iter().flatten().collect::<Group>(), members, "all of the profile");
                self.ids.extend(self.graph.profiles(ONE).map(|(id, _)| id));
                check_unmerged(&before, &self.graph, &done, order);
                Some(done)
            }
            Err(refused) => {
                // What an earlier partition had refused may be free to go elsewhere: then the caller has to decide.
                let is_torn = refused.kind == RefusedKind::Ambiguous
                    && refused.message.contains("earlier partition")
                    && !matches!(target, UnmergeTarget::Sides(_));
                if let (Want::Sides(want), false) = (want, is_torn) {
                    panic!("parting into {:?} is right, not {refused:?}", names(want));
                }
                assert!(self.graph == before, "a refused command changed the graph");
                check_refused(&before, &refused);
                self.at += 1;
                None
            }
        }
    }

    /// Tells the reference of a partition, from the start. Whether no decision intervened: everything that was
    /// refused before is still refused, and for a reason of the same kind, and nothing but the partition refuses more.
    pub(crate) fn retell(&mut self, unmerged: &Unmerged) -> bool {
        let sides: Sides = unmerged.sides.iter().map(|side| side.iter().cloned().collect()).collect();
        self.partitions.push((unmerged.partition, sides.clone()));
        self.told.push(Told::Sides { sides, at: self.at, time: self.now() });
        self.step();
        let mut reference = Reference::under(&self.partitions);
        for told in &self.told {
            match told {
                Told::Event { event, at, time } => drop(reference.resolve(&self.rules, event, *at, *time)),
                Told::Sides { sides, at, time } => reference.hold_together(*at, *time, sides),
            }
        }
        let kinds = |reference: &Reference| {
            let kind = |refused: &Refused| (refused.at, refused.pair(), refused.by_partition());
            reference.refused.iter().map(kind).collect::<BTreeSet<_>>()
        };
        let (before, now) = (kinds(&self.reference), kinds(&reference));
        let is_old = |(at, pair, by_partition): &(u64, _, bool)| {
            *by_partition || before.contains(&(*at, Clone::clone(pair), *by_partition))
        };
        let exact = before.is_subset(&now) && now.iter().all(is_old);
        self.reference = reference;
        exact
    }

    /// The graph is what a projection of everything told would be, with all partitions in force from its start.
    pub(crate) fn check_exact(&self) {
        check_people(&self.graph, &self.reference);
        check_links(&self.graph, &self.reference);
        check_refusals(&self.graph, &self.reference);
        check_invariants(&self.graph, ONE);
        let (got, want) = (leads(&self.graph), self.reference.ids());
        for id in self.ids.iter().chain(got.keys()) {
            assert_eq!(got.get(id), want.get(id), "an id that was given leads where it would have led");
        }
    }
}

/// Sets of nodes as texts, so that a difference can be read.
pub(crate) fn names(groups: &BTreeSet<Group>) -> BTreeSet<Vec<String>> {
    groups.iter().map(|group| group.iter().map(text).collect()).collect()
}

fn identifiers(group: &Group) -> Vec<Identifier> {
    group.iter().map(|key| key.identifier.clone()).collect()
}

type Ties = [(NodeKey, NodeKey)];

/// An identifier is parted from the rest, if the rest holds together without it.
fn part_identifier(node: &NodeKey, members: &Group, ties: &Ties) -> (UnmergeTarget, Want) {
    let alone = Group::from([node.clone()]);
    let rest: Group = members.difference(&alone).cloned().collect();
    let want = match pieces(&rest, ties).len() {
        1 => Want::Sides(BTreeSet::from([alone, rest])),
        _ => Want::Refused,
    };
    (UnmergeTarget::Identifier(node.identifier.clone()), want)
}

fn part_edge(edge: &(NodeKey, NodeKey), members: &Group, ties: &Ties) -> (UnmergeTarget, Want) {
    let (one, other) = edge;
    let reverse = (other.clone(), one.clone());
    let left: Vec<_> = ties.iter().filter(|tie| *tie != edge && **tie != reverse).cloned().collect();
    let remain = pieces(members, &left);
    let want = match remain.len() {
        1 => Want::Refused,
        _ if ties.contains(&reverse) => Want::Open,
        _ => Want::Sides(remain),
    };
    (UnmergeTarget::Edge(one.identifier.clone(), other.identifier.clone()), want)
}

fn part_merge(merge: u64, links: &[EdgeKey], members: &Group, ties: &Ties) -> (UnmergeTarget, Want) {
    let undone: BTreeSet<_> = links.iter().map(|key| (key.anchor.clone(), key.other.clone())).collect();
    let left: Vec<_> = ties.iter().filter(|tie| !undone.contains(*tie)).cloned().collect();
    let remain = pieces(members, &left);
    // Some of its links may have been parted before.
    let whole = undone.iter().all(|tie| ties.contains(tie));
    let want = match remain.len() {
        1 => Want::Refused,
        2 if whole => Want::Sides(remain),
        _ => Want::Open,
    };
    (UnmergeTarget::Merge(merge), want)
}

/// Every member on the side that its colour says.
fn part_sides(colours: &[u8], members: &Group) -> Option<(UnmergeTarget, Want)> {
    let mut sides: BTreeMap<u8, Group> = BTreeMap::new();
    for (member, colour) in members.iter().zip(colours) {
        sides.entry(*colour).or_default().insert(member.clone());
    }
    let sides: BTreeSet<Group> = sides.into_values().collect();
    let target = UnmergeTarget::Sides(sides.iter().map(identifiers).collect());
    (sides.len() > 1).then_some((target, Want::Sides(sides)))
}

/// What the answer to an unmerge says is what the graph holds; and unless decisions are taken again, it changes
/// nobody else.
fn check_unmerged(before: &MemoryGraph, graph: &MemoryGraph, done: &Unmerged, order: &Order) {
    let (old, new) = (live(before, ONE), live(graph, ONE));
    assert!(old.contains_key(&done.before), "the profile that there was");
    let ids: BTreeSet<_> = done.profiles.iter().map(|(id, _)| *id).collect();
    assert!(ids.contains(&done.before), "the older side keeps the id");
    for (id, live) in &done.profiles {
        assert_eq!(new.get(id), Some(&**live), "a resulting profile");
    }
    let created = |(_, live): &(ProfileId, Arc<LiveProfile>)| live.created.position;
    assert!(done.profiles.iter().map(created).is_sorted(), "the oldest first");
    let records = |graph: &MemoryGraph| {
        graph.profiles(ONE).map(|(id, record)| (id, record.clone())).collect::<BTreeMap<_, _>>()
    };
    let (was, is) = (records(before), records(graph));
    for (id, record) in &is {
        assert!(was.get(id) == Some(record) || done.changed.contains(id), "{id} changed untold");
    }
    let count = |profiles: usize| i64::try_from(profiles).expect("few profiles");
    assert_eq!(done.profiles_delta, count(new.len()) - count(old.len()));
    if matches!(order.retake, Retake::Keep) {
        let groups =
            |(_, live): &(ProfileId, Arc<LiveProfile>)| live.members.iter().cloned().collect::<Group>();
        let sides = done.sides.iter().map(|side| side.iter().cloned().collect::<Group>());
        assert_eq!(names(&done.profiles.iter().map(groups).collect()), names(&sides.collect()));
        let others = |live: BTreeMap<ProfileId, LiveProfile>| {
            live.into_iter().filter(|(id, _)| !ids.contains(id)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(others(new), others(old), "nobody else");
    }
}

/// A refusal says why: where evidence still connects what was to be parted, by paths that exist.
fn check_refused(graph: &MemoryGraph, refused: &CommandRefused) {
    match refused.kind {
        RefusedKind::Ambiguous => assert!(!refused.paths.is_empty(), "{}", refused.message),
        RefusedKind::NotFound | RefusedKind::NothingToPart | RefusedKind::Conflict | RefusedKind::Invalid => {
        }
    }
    for path in &refused.paths {
        check_path(graph, path);
    }
    assert!(!refused.message.is_empty());
}
