//! Conditions ready to be evaluated, and their evaluation.

use super::aggregate::{Measure, Measured};
use super::memo::AccountMemo;
use super::sequence::sequence;
use crate::condition::compare::{RightValue, compare, due};
use crate::condition::{Datum, FieldPath, Operator, Quantifier, Span};
use crate::fragment::Fragment;
use crate::time::Timestamp;
use crate::trail::Trail;
use regex::Regex;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// What is known of a person.
pub trait Person {
    /// The value of a trait, as JSON text.
    fn trait_json(&self, name: &str) -> Option<Cow<'_, str>>;
    /// What a keeper keeps of the person's events.
    fn trail(&self, keeper: u32) -> Option<&Trail>;
    /// Whether the person has an identifier of the namespace `user_id`.
    fn has_user_id(&self) -> bool;
}

/// What is known of an account.
#[derive(Clone, Copy)]
pub struct AccountFacts<'a> {
    /// Its traits.
    pub traits: &'a Fragment,
    /// Its members.
    pub members: &'a [&'a dyn Person],
    /// Whether it has more than these.
    pub is_cut: bool,
    /// What was found out about it already.
    pub memo: &'a AccountMemo,
}

/// What a condition is evaluated over.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The person.
    pub person: &'a dyn Person,
    /// The person's accounts; may be empty where no condition asks for any.
    pub accounts: &'a [AccountFacts<'a>],
    /// The moment.
    pub now: Timestamp,
}

/// Whether a condition holds, and how long that stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub is_true: bool,
    /// The earliest moment at which that may be different without any event.
    pub due: Option<Timestamp>,
    /// Whether it rests on values beyond a limit.
    pub is_approximate: bool,
}

impl Verdict {
    const fn plain(is_true: bool) -> Self {
        Self { is_true, due: None, is_approximate: false }
    }
}

/// A condition; `K` names keepers.
#[derive(Debug, Clone, Serialize)]
pub(super) enum Node<K> {
    All(Vec<Node<K>>),
    Any(Vec<Node<K>>),
    Not(Box<Node<K>>),
    Compare { left: Source<K>, operator: Operator, right: Compared<K> },
    Performed(Measure<K>),
    Sequence { first: K, steps: Vec<PlanStep<K>>, within: Option<Span> },
    HasUserId,
    Account(Box<Node<K>>),
    Members(Quantifier, Box<Node<K>>),
}

/// Where a value comes from.
#[derive(Debug, Clone, Serialize)]
pub(super) enum Source<K> {
    Trait(FieldPath),
    Measure(Measure<K>),
}

/// What a value is compared with.
#[derive(Debug, Clone, Serialize)]
pub(super) enum Compared<K> {
    Nothing,
    One(Datum),
    Many(Vec<Datum>),
    Span(Span),
    Pattern(Pattern),
    Source(Source<K>),
}

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Regex);

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct PlanStep<K> {
    pub(super) event: K,
    pub(super) within: Option<Span>,
    pub(super) without: Option<K>,
}

impl<K> Node<K> {
    /// The same condition with other names for keepers.
    pub(super) fn map<L>(self, number: &mut impl FnMut(K) -> L) -> Node<L> {
        match self {
            Self::All(nodes) => Node::All(nodes.into_iter().map(|node| node.map(number)).collect()),
            Self::Any(nodes) => Node::Any(nodes.into_iter().map(|node| node.map(number)).collect()),
            Self::Not(node) => Node::Not(Box::new(node.map(number))),
            Self::Compare { left, operator, right } => {
                Node::Compare { left: left.map(number), operator, right: right.map(number) }
            }
            Self::Performed(measure) => Node::Performed(measure.map(number)),
            Self::Sequence { first, steps, within } => {
                let first = number(first);
                let steps = steps.into_iter().map(|step| step.map(number)).collect();
                Node::Sequence { first, steps, within }
            }
            Self::HasUserId => Node::HasUserId,
            Self::Account(node) => Node::Account(Box::new(node.map(number))),
            Self::Members(quantifier, node) => Node::Members(quantifier, Box::new(node.map(number))),
        }
    }

    /// Calls `visit` with this node and every one within it; `true` beside those that are about members of an account.
    pub(super) fn walk(&self, of_members: bool, visit: &mut impl FnMut(&Self, bool)) {
        visit(self, of_members);
        match self {
            Self::All(nodes) | Self::Any(nodes) => {
                for node in nodes {
                    node.walk(of_members, visit);
                }
            }
            Self::Not(node) | Self::Account(node) => node.walk(of_members, visit),
            Self::Members(_, node) => node.walk(true, visit),
            Self::Compare { .. } | Self::Performed(_) | Self::Sequence { .. } | Self::HasUserId => {}
        }
    }
}

impl<K> Source<K> {
    fn map<L>(self, number: &mut impl FnMut(K) -> L) -> Source<L> {
        match self {
            Self::Trait(path) => Source::Trait(path),
            Self::Measure(measure) => Source::Measure(measure.map(number)),
        }
    }
}

impl<K> Compared<K> {
    fn map<L>(self, number: &mut impl FnMut(K) -> L) -> Compared<L> {
        match self {
            Self::Nothing => Compared::Nothing,
            Self::One(datum) => Compared::One(datum),
            Self::Many(data) => Compared::Many(data),
            Self::Span(span) => Compared::Span(span),
            Self::Pattern(pattern) => Compared::Pattern(pattern),
            Self::Source(source) => Compared::Source(source.map(number)),
        }
    }
}

impl<K> PlanStep<K> {
    fn map<L>(self, number: &mut impl FnMut(K) -> L) -> PlanStep<L> {
        let event = number(self.event);
        PlanStep { event, within: self.within, without: self.without.map(number) }
    }
}

/// Whom a node is about.
#[derive(Clone, Copy)]
enum About<'a> {
    Person(&'a dyn Person),
    Account(&'a AccountFacts<'a>),
}

impl Node<u32> {
    /// Evaluates it. Parts that can't make a difference are passed over: they are looked at when the others change.
    pub(super) fn evaluate(&self, facts: &Facts<'_>) -> Verdict {
        self.of(About::Person(facts.person), facts)
    }

    fn of(&self, about: About<'_>, facts: &Facts<'_>) -> Verdict {
        match self {
            Self::All(nodes) => several(nodes.iter().map(|node| node.of(about, facts)), false),
            Self::Any(nodes) => several(nodes.iter().map(|node| node.of(about, facts)), true),
            Self::Not(node) => {
                let verdict = node.of(about, facts);
                Verdict { is_true: !verdict.is_true, ..verdict }
            }
            Self::Compare { left, operator, right } => compared(left, *operator, right, about, facts.now),
            Self::Performed(measure) => match about {
                About::Person(person) => performed(measure, person, facts.now),
                About::Account(_) => Verdict::plain(false),
            },
            Self::Sequence { first, steps, within } => match about {
                About::Person(person) => sequence(*first, steps, *within, person, facts.now),
                About::Account(_) => Verdict::plain(false),
            },
            Self::HasUserId => match about {
                About::Person(person) => Verdict::plain(person.has_user_id()),
                About::Account(_) => Verdict::plain(false),
            },
            Self::Account(node) => {
                let verdicts = facts.accounts.iter().map(|account| {
                    let find = || node.of(About::Account(account), facts);
                    let verdict = account.memo.recall(node, find);
                    Verdict { is_approximate: verdict.is_approximate || account.is_cut, ..verdict }
                });
                several(verdicts, true)
            }
            Self::Members(quantifier, node) => match about {
                About::Account(account) => {
                    let members = account.members.iter();
                    let verdicts = members.map(|member| node.of(About::Person(*member), facts));
                    several(verdicts, *quantifier == Quantifier::Any)
                }
                About::Person(_) => Verdict::plain(false),
            },
        }
    }
}

/// Whether one of these holds (`is_any`), or all of them. The first that decides for certain is the last that is looked
/// at: until it changes, the whole stays as it is, whatever the others do. If none is certain, the first that decides
/// approximately does, and the same is true of it.
fn several(verdicts: impl Iterator<Item = Verdict>, is_any: bool) -> Verdict {
    let mut whole = Verdict::plain(!is_any);
    let mut decider = None;
    for verdict in verdicts {
        if verdict.is_true == is_any {
            if !verdict.is_approximate {
                return verdict;
            }
            decider.get_or_insert(verdict);
        } else {
            whole.due = [whole.due, verdict.due].into_iter().flatten().min();
            whole.is_approximate |= verdict.is_approximate;
        }
    }
    decider.unwrap_or(whole)
}

fn compared(
    left: &Source<u32>,
    operator: Operator,
    right: &Compared<u32>,
    about: About<'_>,
    now: Timestamp,
) -> Verdict {
    let other;
    let value = match right {
        Compared::Nothing => RightValue::Nothing,
        Compared::One(datum) => RightValue::One(datum),
        Compared::Many(data) => RightValue::Many(data),
        Compared::Span(span) => RightValue::Span(span.micros()),
        Compared::Pattern(pattern) => RightValue::Pattern(&pattern.0),
        Compared::Source(source) => {
            other = source.value(about, now);
            RightValue::One(&other.value)
        }
    };
    // The next event to leave the window does not always make a difference.
    if let (Source::Measure(measure), About::Person(person), Compared::One(_)) = (left, about, right)
        && let Some((is_true, due, is_approximate)) = measure.compare_count(person, operator, &value, now)
    {
        return Verdict { is_true, due, is_approximate };
    }
    let left = left.value(about, now);
    let is_true = compare(&left.value, operator, &value, now);
    let (right_due, right_approximate) = match right {
        Compared::Source(source) => {
            let other = source.value(about, now);
            (other.due, other.is_approximate)
        }
        Compared::Nothing
        | Compared::One(_)
        | Compared::Many(_)
        | Compared::Span(_)
        | Compared::Pattern(_) => (None, false),
    };
    Verdict {
        is_true,
        due: [left.due, right_due, due(&left.value, operator, &value, now)].into_iter().flatten().min(),
        is_approximate: left.is_approximate || right_approximate,
    }
}

impl Source<u32> {
    fn value(&self, about: About<'_>, now: Timestamp) -> Measured {
        let plain = |value| Measured { value, due: None, is_approximate: false };
        match (self, about) {
            (Self::Trait(path), About::Person(person)) => {
                let json = person.trait_json(path.head());
                plain(json.map_or(Datum::Null, |json| Datum::at(&json, path.rest())))
            }
            (Self::Trait(path), About::Account(account)) => {
                let json = account.traits.traits.get(path.head()).and_then(|entry| entry.value.as_deref());
                plain(json.map_or(Datum::Null, |json| Datum::at(json, path.rest())))
            }
            (Self::Measure(measure), About::Person(person)) => measure.measure(person, now),
            (Self::Measure(_), About::Account(_)) => plain(Datum::Null),
        }
    }
}

fn performed(measure: &Measure<u32>, person: &dyn Person, now: Timestamp) -> Verdict {
    let Some(trail) = person.trail(measure.keeper) else { return Verdict::plain(false) };
    let Some(span) = measure.within.map(Span::micros) else { return Verdict::plain(trail.count > 0) };
    match trail.marks_within(span, now).last() {
        // Its being there ends with the latest.
        Some(mark) => Verdict { due: Some(mark.at.plus_micros(span)), ..Verdict::plain(true) },
        // What is in buckets is older than every single event that is kept.
        None => {
            let buried = trail.buckets_within(span, now);
            let due = buried.first_end.map(|end| end.plus_micros(span));
            Verdict { is_true: buried.total.count > 0, due, is_approximate: buried.is_approximate }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_decides_for_certain_is_looked_for() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let verdict = |is_true, due, is_approximate| Verdict { is_true, due, is_approximate };
        let (rough, sure) = (verdict(true, at(1), true), verdict(true, at(9), false));
        let other = verdict(false, at(3), false);
        let cases = [
            (vec![rough, other, sure], sure),
            (vec![sure, rough], sure),
            (vec![other, rough, other], rough),
            (vec![other, verdict(false, at(2), true)], verdict(false, at(2), true)),
        ];
        for (verdicts, want) in cases {
            assert_eq!(several(verdicts.iter().copied(), true), want, "{verdicts:?}");
            let opposite = |verdict: Verdict| Verdict { is_true: !verdict.is_true, ..verdict };
            let all = several(verdicts.iter().copied().map(opposite), false);
            assert_eq!(all, opposite(want), "{verdicts:?}");
        }
    }
}
