//! Conditions, over the whole list of a profile's events.
//!
//! - A pattern means the events of its call, with its name exactly, of which its filter holds.
//! - Within a span are events of less than that age; between two moments those from the first on, before the second.
//! - A sequence is there if any choice of events fulfils it: each later than the one before, at most so long after it,
//!   and with no event of those that are excluded between the two; all of them within the window.
//! - Another audience stands for its condition, and for whom it admits.
//! - A condition about an account holds if it does of any account of the person.

use super::aggregate::aggregate;
use super::people::{Event, Person, World, lookup};
use super::value::{Other, Val, holds};
use tributary_model::condition::{
    Comparison, Condition, EventPattern, Operand, Quantifier, Right, Sequence, Step, Window,
};
use tributary_model::workspace::{Audience, ComputedTrait};
use tributary_model::{Timestamp, Workspace};

impl World<'_> {
    /// Whether somebody has to be in an audience.
    pub(super) fn admits(&self, audience: &Audience, person: &Person<'_>) -> bool {
        (audience.include_anonymous || person.has_user_id()) && self.fulfils(person, &audience.definition)
    }

    /// The value of a computed trait.
    pub(super) fn computed(&self, computed: &ComputedTrait, person: &Person<'_>) -> Val {
        aggregate(&person.events, &computed.definition, self.now)
    }

    fn fulfils(&self, person: &Person<'_>, condition: &Condition) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.fulfils(person, part)),
            Condition::Any(parts) => parts.iter().any(|part| self.fulfils(person, part)),
            Condition::Not(part) => !self.fulfils(person, part),
            Condition::Compare(comparison) => {
                compare(comparison, self.now, &|operand| self.operand(person, operand))
            }
            Condition::Performed(pattern) => meant(&person.events, pattern, self.now).next().is_some(),
            Condition::Sequence(sequence) => is_there(sequence, &person.events, self.now),
            Condition::Audience(key) => {
                let other = audience(self.workspace, key).expect("it is not broken");
                self.admits(other, person)
            }
            Condition::Account(part) => person.accounts.iter().any(|group| self.account_fulfils(group, part)),
            Condition::Members(_) => panic!("members are an account's"),
        }
    }

    fn operand(&self, person: &Person<'_>, operand: &Operand) -> Val {
        match operand {
            Operand::Trait(path) => lookup(&person.traits, path),
            Operand::Computed(key) => {
                let computed = computed(self.workspace, key).expect("it is not broken");
                self.computed(computed, person)
            }
            Operand::Aggregate(what) => aggregate(&person.events, what, self.now),
            Operand::Field(_) => panic!("fields are an event's"),
        }
    }

    fn account_fulfils(&self, group: &str, condition: &Condition) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.account_fulfils(group, part)),
            Condition::Any(parts) => parts.iter().any(|part| self.account_fulfils(group, part)),
            Condition::Not(part) => !self.account_fulfils(group, part),
            Condition::Compare(comparison) => compare(comparison, self.now, &|operand| match operand {
                Operand::Trait(path) => lookup(&self.accounts[group], path),
                Operand::Computed(_) | Operand::Aggregate(_) | Operand::Field(_) => {
                    panic!("an account has traits only")
                }
            }),
            Condition::Members(members) => {
                let mut all = self.members(group);
                match members.quantifier {
                    Quantifier::Any => all.any(|member| self.fulfils(member, &members.condition)),
                    Quantifier::All => all.all(|member| self.fulfils(member, &members.condition)),
                }
            }
            Condition::Performed(_)
            | Condition::Sequence(_)
            | Condition::Audience(_)
            | Condition::Account(_) => panic!("not of an account"),
        }
    }
}

/// The audience of that key.
pub(super) fn audience<'a>(workspace: &'a Workspace, key: &str) -> Option<&'a Audience> {
    workspace.audiences.iter().find(|audience| audience.key == key)
}

fn computed<'a>(workspace: &'a Workspace, key: &str) -> Option<&'a ComputedTrait> {
    workspace.computed_traits.iter().find(|computed| computed.key == key)
}

/// Whether something that a condition names is not there, or is itself broken.
pub(super) fn is_broken(workspace: &Workspace, condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(|part| is_broken(workspace, part)),
        Condition::Not(part) | Condition::Account(part) => is_broken(workspace, part),
        Condition::Members(members) => is_broken(workspace, &members.condition),
        Condition::Compare(comparison) => {
            let right = if let Right::Operand(operand) = &comparison.right { Some(operand) } else { None };
            [Some(&comparison.left), right].into_iter().flatten().any(|operand| match operand {
                Operand::Computed(key) => computed(workspace, key).is_none(),
                Operand::Trait(_) | Operand::Field(_) | Operand::Aggregate(_) => false,
            })
        }
        Condition::Performed(_) | Condition::Sequence(_) => false,
        Condition::Audience(key) => {
            audience(workspace, key).is_none_or(|other| is_broken(workspace, &other.definition))
        }
    }
}

fn compare(comparison: &Comparison, now: Timestamp, operand: &dyn Fn(&Operand) -> Val) -> bool {
    let other = match &comparison.right {
        Right::Nothing => Other::Nothing,
        Right::Value(literal) => Other::One(Val::of_literal(literal)),
        Right::Values(literals) => Other::Many(literals.iter().map(Val::of_literal).collect()),
        Right::Operand(right) => Other::One(operand(right)),
        Right::Span(span) => Other::One(Val::Span(span.micros())),
    };
    holds(&operand(&comparison.left), comparison.operator, &other, now)
}

/// The events that a pattern means, in the order of event times.
pub(super) fn meant<'a>(
    events: &[&'a Event],
    pattern: &EventPattern,
    now: Timestamp,
) -> impl Iterator<Item = &'a Event> {
    let meant = move |event: &&'a Event| is_in(event.at, &pattern.window, now) && is_of(event, pattern);
    events.iter().copied().filter(meant)
}

fn is_in(at: Timestamp, window: &Window, now: Timestamp) -> bool {
    match window {
        Window::Ever => true,
        Window::Within(span) => now.micros_since(at) < span.micros(),
        Window::Between(from, to) => *from <= at && at < *to,
    }
}

/// Whether it is one of a pattern's, at whatever time.
fn is_of(event: &Event, pattern: &EventPattern) -> bool {
    event.kind == pattern.kind
        && pattern.name.as_deref().is_none_or(|name| event.name() == Some(name))
        && pattern.filter.as_ref().is_none_or(|filter| event_fulfils(event, filter))
}

fn event_fulfils(event: &Event, condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| event_fulfils(event, part)),
        Condition::Any(parts) => parts.iter().any(|part| event_fulfils(event, part)),
        Condition::Not(part) => !event_fulfils(event, part),
        Condition::Compare(comparison) => compare(comparison, event.at, &|operand| match operand {
            Operand::Field(path) => event.field(path),
            Operand::Trait(_) | Operand::Computed(_) | Operand::Aggregate(_) => {
                panic!("an event has fields only")
            }
        }),
        Condition::Performed(_)
        | Condition::Sequence(_)
        | Condition::Audience(_)
        | Condition::Account(_)
        | Condition::Members(_) => panic!("not of an event"),
    }
}

fn is_there(sequence: &Sequence, events: &[&Event], now: Timestamp) -> bool {
    let events: Vec<&Event> =
        events.iter().copied().filter(|event| is_in(event.at, &sequence.window, now)).collect();
    let mut reached: Vec<usize> =
        (0..events.len()).filter(|place| is_of(events[*place], &sequence.first)).collect();
    for step in &sequence.then {
        let is_reached =
            |later: &usize| reached.iter().any(|earlier| follows(&events, *earlier, *later, step));
        reached = (0..events.len()).filter(is_reached).collect();
    }
    !reached.is_empty()
}

fn follows(events: &[&Event], earlier: usize, later: usize, step: &Step) -> bool {
    if earlier >= later || !is_of(events[later], &step.event) {
        return false;
    }
    let taken = events[later].at.micros_since(events[earlier].at);
    let mut between = events[earlier + 1..later].iter();
    step.within.is_none_or(|span| taken <= span.micros())
        && step.without.as_ref().is_none_or(|without| !between.any(|event| is_of(event, without)))
}
