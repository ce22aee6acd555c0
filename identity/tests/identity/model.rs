//! Random rules, events and partitions, from pools so small that everything collides.

use crate::support::{
    BY, EventIdentifiers, IdentityRules, PreviousId, SharedDevice, Window, event_of, evidence, id, moment,
    node, resolve_in, rules,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tributary_identity::{MemoryGraph, Partition, Resolution};
use tributary_model::{Identifier, NodeKey, WorkspaceId};

pub(crate) const NAMESPACES: [&str; 4] = ["user_id", "email", "anonymous_id", "loyalty"];

/// An event as texts, so that a failing case can be read.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) identifiers: Vec<String>,
    blocked: Vec<String>,
    /// The value of an alias's `previousId`.
    previous: Option<u8>,
    /// How many days after the call before it arrives.
    pub(crate) days: i64,
}

impl Call {
    /// What a reader finds on it. An alias without any other identifier is left out: it says nothing.
    pub(crate) fn event(&self, rules: &IdentityRules) -> EventIdentifiers {
        let declared = |identifier: &Identifier| rules.rule(identifier.namespace()).is_some();
        let parse = |texts: &[String]| texts.iter().map(|text| id(text)).collect::<Vec<_>>();
        let mut event = event_of(rules, &parse(&self.identifiers));
        event.blocked = parse(&self.blocked).into_iter().filter(declared).collect();
        if let Some(value) = self.previous {
            let named = |namespace| Some(id(&named(namespace, value))).filter(declared);
            let (as_anonymous, as_user) = (named("anonymous_id"), named("user_id"));
            let tells = !event.identifiers.is_empty() && (as_anonymous.is_some() || as_user.is_some());
            event.previous = tells.then_some(PreviousId { as_anonymous, as_user });
        }
        event
    }

    pub(crate) fn is_alias(&self) -> bool {
        self.previous.is_some()
    }
}

fn named(namespace: &str, value: u8) -> String {
    match namespace {
        "email" => format!("email:{value}@x"),
        other => format!("{other}:{value}"),
    }
}

pub(crate) fn any_identifier(pool: u8) -> impl Strategy<Value = String> {
    (prop::sample::select(NAMESPACES.to_vec()), 0..pool)
        .prop_map(|(namespace, value)| named(namespace, value))
}

fn any_days() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0_i64), 1 => 1..4_i64, 1 => Just(7_i64)]
}

/// Up to four identifiers, and nothing else.
pub(crate) fn any_call(pool: u8) -> impl Strategy<Value = Call> {
    (prop::collection::vec(any_identifier(pool), 0..5), any_days()).prop_map(|(identifiers, days)| Call {
        identifiers,
        blocked: Vec::new(),
        previous: None,
        days,
    })
}

pub(crate) fn any_calls(pool: u8, length: usize) -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec(any_call(pool), 0..length)
}

/// Calls of which some are an alias, and some carry blocked values.
pub(crate) fn any_stream(pool: u8, length: usize) -> impl Strategy<Value = Vec<Call>> {
    let null = ["user_id:null", "anonymous_id:null", "loyalty:null"].map(str::to_owned);
    let blocked = prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::sample::subsequence(null.to_vec(), 1..=2),
    ];
    let previous = prop_oneof![3 => Just(None), 1 => (0..pool).prop_map(Some)];
    let call = (any_call(pool), blocked, previous).prop_map(|(call, blocked, previous)| Call {
        blocked,
        previous,
        ..call
    });
    prop::collection::vec(call, 0..length)
}

/// Calls of a shared device: somebody signs in with an e-mail address or on a device, or either is used without.
pub(crate) fn any_visits(pool: u8, length: usize) -> impl Strategy<Value = Vec<Call>> {
    let namespace = |name: &'static str| (0..pool).prop_map(move |value| named(name, value));
    let device = || namespace("anonymous_id");
    let identifiers = prop_oneof![
        3 => (namespace("user_id"), device()).prop_map(|(user, device)| vec![user, device]),
        1 => (namespace("user_id"), namespace("email")).prop_map(|(user, email)| vec![user, email]),
        1 => (namespace("email"), device()).prop_map(|(email, device)| vec![email, device]),
        2 => device().prop_map(|device| vec![device]),
        1 => namespace("user_id").prop_map(|user| vec![user]),
    ];
    let call = (identifiers, any_days()).prop_map(|(identifiers, days)| Call {
        identifiers,
        blocked: Vec::new(),
        previous: None,
        days,
    });
    prop::collection::vec(call, 0..length)
}

/// Each call with its position and its day.
pub(crate) fn dated(calls: &[Call]) -> impl Iterator<Item = (u64, i64, &Call)> {
    let mut day = 0;
    (0..).zip(calls).map(move |(at, call)| {
        day += call.days;
        (at, day, call)
    })
}

/// Resolves calls from position 0 on.
pub(crate) fn play_calls(
    graph: &mut MemoryGraph,
    workspace: WorkspaceId,
    rules: &IdentityRules,
    calls: &[Call],
) -> Vec<Option<Resolution>> {
    let resolve = |(at, day, call): (u64, i64, &Call)| {
        resolve_in(graph, workspace, rules, &call.event(rules), &evidence(at, day))
    };
    dated(calls).map(resolve).collect()
}

fn any_window() -> impl Strategy<Value = Window> {
    prop_oneof![3 => Just(Window::Ever), 1 => Just(Window::Day), 1 => Just(Window::Week)]
}

/// Two to four namespaces in a random order of priority, with random limits, windows and caps.
pub(crate) fn any_rules() -> impl Strategy<Value = IdentityRules> {
    let order = Just(NAMESPACES.to_vec()).prop_shuffle();
    let limits = prop::collection::vec((1..4_u32, any_window()), 4);
    let caps = prop_oneof![2 => Just((1000_u32, 100_u32)), 1 => (2..8_u32, 1..4_u32)];
    (order, 2..=4_usize, limits, caps).prop_map(|(order, declared, limits, (identifiers_max, merges_max))| {
        let named = order.iter().zip(&limits).take(declared);
        let counts: Vec<_> = named.map(|(name, (count, _))| (*name, *count)).collect();
        let mut rules = IdentityRules { identifiers_max, merges_max, ..rules(&counts) };
        for (rule, (_, window)) in rules.namespaces.iter_mut().zip(&limits) {
            rule.limit.window = *window;
        }
        rules
    })
}

/// The same, with limits that hold for ever.
pub(crate) fn any_rules_for_ever() -> impl Strategy<Value = IdentityRules> {
    any_rules().prop_map(|mut rules| {
        rules.namespaces.iter_mut().for_each(|rule| rule.limit.window = Window::Ever);
        rules
    })
}

/// The same, where some namespaces follow the last sign-in.
pub(crate) fn any_policies() -> impl Strategy<Value = IdentityRules> {
    (any_rules(), prop::collection::vec(any::<bool>(), 4)).prop_map(|(mut rules, follows)| {
        for (rule, _) in rules.namespaces.iter_mut().zip(follows).filter(|(_, follows)| *follows) {
            rule.shared_device = SharedDevice::LastSignIn;
        }
        rules
    })
}

/// All namespaces, with limits and caps that no stream here reaches.
pub(crate) fn unlimited() -> IdentityRules {
    let limits = NAMESPACES.map(|name| (name, 1000));
    IdentityRules { merges_max: 1000, ..rules(&limits) }
}

/// Partitions as colours: for each identifier of a pool its side, which is 1, 2 or 3, or none.
pub(crate) fn any_partitions(pool: u8) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let colours = prop::collection::vec(0..6_u8, NAMESPACES.len() * usize::from(pool));
    prop::collection::vec(colours, 0..3)
}

/// The sides that colours make of a pool; those that are empty left out.
pub(crate) fn sides_of(colours: &[u8], pool: u8) -> Vec<BTreeSet<NodeKey>> {
    let all: Vec<_> = NAMESPACES
        .into_iter()
        .flat_map(|namespace| (0..pool).map(move |value| node(&named(namespace, value))))
        .collect();
    let side = |wanted: u8| {
        let on_it = all.iter().zip(colours).filter(move |(_, colour)| **colour == wanted);
        on_it.map(|(key, _)| key.clone()).collect::<BTreeSet<_>>()
    };
    (1..=3).map(side).filter(|side| !side.is_empty()).collect()
}

pub(crate) fn partition(id: u64, sides: &[BTreeSet<NodeKey>]) -> Partition {
    Partition {
        id,
        sides: sides.iter().map(|side| side.iter().cloned().collect()).collect(),
        by: BY.to_owned(),
        reason: None,
        at: moment(0, 0),
    }
}
