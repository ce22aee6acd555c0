//! What definitions refer to: other audiences and computed traits, by their keys.

use std::collections::BTreeSet;

use serde_json::Value;
use tributary_model::Workspace;
use tributary_model::catalog::{self, Defined};
use tributary_model::condition::{
    self, Aggregate, Comparison, Condition, ConditionError, EventPattern, Operand, Right, Sequence,
};

use super::edits::refused;
use crate::admin::edit::invalid;
use crate::workspaces::{Fault, Refusal};

/// What a definition names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reference {
    /// An audience, by its key.
    Audience(String),
    /// A computed trait, by its key.
    Computed(String),
}

/// An audience whose references can't work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Its key; empty if it is none of them alone.
    pub(super) key: String,
    /// Where in its definition, as a place of the tree; empty for the whole.
    place: String,
    /// What is wrong with it.
    message: String,
    /// What to write instead.
    hint: Option<String>,
}

impl Wrong {
    /// The refusal of the change that brought it; the definition of `key` was sent as `sent`, and stands at `within`.
    pub(super) fn refusal(self, within: &str, key: &str, sent: Option<&Value>) -> Refusal {
        let Self { key: of, place, message, hint } = self;
        if of != key {
            let whose = if of.is_empty() { String::new() } else { format!("audience {of}: ") };
            let fault = Fault { place: within.to_owned(), at: None, hint: None };
            return invalid(format!("`{within}`: {whose}{message}")).at(fault);
        }
        at_place(within, sent, (place, hint), message)
    }
}

/// The refusal of a condition that was sent and names what is not there, or what it may not; `message` says so.
pub(in crate::admin) fn unusable(
    workspace: &Workspace,
    sent: &Value,
    condition: &Condition,
    message: String,
) -> Refusal {
    let broken = catalog::problems(&Defined::of(workspace));
    let is_broken = |key: &str| broken.contains_key(key);
    at_place("definition", Some(sent), culprit(workspace, condition, &is_broken), message)
}

fn at_place(
    within: &str,
    sent: Option<&Value>,
    (place, hint): (String, Option<String>),
    message: String,
) -> Refusal {
    let at = sent.and_then(Value::as_str).and_then(|text| condition::locate(text, &place));
    refused(within, ConditionError { place, at, message, hint })
}

/// Where in a condition the first is that can't be meant, and what may have been.
fn culprit(
    workspace: &Workspace,
    condition: &Condition,
    is_broken: &dyn Fn(&str) -> bool,
) -> (String, Option<String>) {
    let audiences = || workspace.audiences.iter().map(|audience| audience.key.as_str());
    let computed = || workspace.computed_traits.iter().map(|computed| computed.key.as_str());
    for (place, named) in places_of(condition) {
        let near = match &named {
            Reference::Audience(key) if audiences().any(|known| known == key) => {
                if is_broken(key) {
                    return (place, None);
                }
                continue;
            }
            Reference::Computed(key) if computed().any(|known| known == key) => continue,
            Reference::Audience(key) => condition::nearest(key, audiences()),
            Reference::Computed(key) => condition::nearest(key, computed()),
        };
        return (place, near.map(|near| format!("did you mean `{near}`?")));
    }
    (String::new(), None)
}

/// Checks what the definitions of a changed workspace refer to. Audiences that were broken before, and whose
/// definitions did not change, may stay so.
pub(super) fn check(before: &Workspace, after: &Workspace) -> Result<(), Wrong> {
    let (defined_before, defined_after) = (Defined::of(before), Defined::of(after));
    let of_key = |workspace: &Workspace, key: &str| {
        workspace.audiences.iter().find(|audience| audience.key == key).cloned()
    };
    let changed = |key: &str| match (of_key(before, key), of_key(after, key)) {
        (Some(old), Some(new)) => old.id != new.id || old.definition != new.definition,
        _ => true,
    };
    // Before anything else: problems are looked for in all of it. What was too large before may still be mended.
    if let Err(message) = catalog::check_size(&defined_after)
        && catalog::check_size(&defined_before).is_ok()
    {
        let key = after.audiences.iter().map(|audience| &audience.key).find(|key| changed(key));
        let (key, place) = (key.cloned().unwrap_or_default(), String::new());
        return Err(Wrong { key, place, message, hint: None });
    }
    let was = catalog::problems(&defined_before);
    let is = catalog::problems(&defined_after);
    let mut wrong = is.iter().filter(|(key, _)| changed(key) || !was.contains_key(*key));
    let Some(first) = wrong.next() else { return Ok(()) };
    // Of those that break with it, the one that was changed.
    let (key, problem) = std::iter::once(first).chain(wrong).find(|(key, _)| changed(key)).unwrap_or(first);
    let audience = of_key(after, key);
    let named = audience.as_ref().map(|audience| of_condition(&audience.definition)).unwrap_or_default();
    let broken = is.iter().find(|(other, _)| {
        was.contains_key(*other) && named.contains(&Reference::Audience((*other).clone()))
    });
    let message = match broken {
        Some((other, problem)) => format!("audience {other} is broken ({problem}); mend it first"),
        None => problem.clone(),
    };
    let is_it = |named: &str| match broken {
        Some((other, _)) => other == named,
        None => is.contains_key(named),
    };
    let (place, hint) =
        audience.map(|audience| culprit(after, &audience.definition, &is_it)).unwrap_or_default();
    Err(Wrong { key: key.clone(), place, message, hint })
}

/// Who refers to that: audiences, computed traits and destinations, in words.
pub(super) fn users(workspace: &Workspace, named: &Reference) -> Vec<String> {
    let audiences = workspace
        .audiences
        .iter()
        .filter(|audience| of_condition(&audience.definition).contains(named))
        .map(|audience| format!("audience {}", audience.key));
    let computed = workspace
        .computed_traits
        .iter()
        .filter(|computed| of_aggregate(&computed.definition).contains(named))
        .map(|computed| format!("computed trait {}", computed.key));
    let destinations = workspace
        .destinations
        .iter()
        .filter(|destination| match named {
            Reference::Audience(key) => destination.needs.audiences.contains(key),
            Reference::Computed(key) => destination.needs.traits.contains(key),
        })
        .map(|destination| format!("destination {} ({})", destination.id, destination.name));
    audiences.chain(computed).chain(destinations).collect()
}

fn of_condition(condition: &Condition) -> BTreeSet<Reference> {
    places_of(condition).into_iter().map(|(_, named)| named).collect()
}

fn of_aggregate(aggregate: &Aggregate) -> BTreeSet<Reference> {
    let mut found = Vec::new();
    in_pattern(&aggregate.of, "of", &mut found);
    found.into_iter().map(|(_, named)| named).collect()
}

/// What a condition names, each with its place in the tree, in the order of the tree.
fn places_of(condition: &Condition) -> Places {
    let mut found = Vec::new();
    in_condition(condition, "", &mut found);
    found
}

/// What is named, with its places.
type Places = Vec<(String, Reference)>;

/// The place of a member of what stands at a place.
fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn in_condition(condition: &Condition, place: &str, found: &mut Places) {
    match condition {
        Condition::All(parts) => in_parts(parts, &join(place, "all"), found),
        Condition::Any(parts) => in_parts(parts, &join(place, "any"), found),
        Condition::Not(inner) => in_condition(inner, &join(place, "not"), found),
        Condition::Account(inner) => in_condition(inner, &join(place, "account"), found),
        Condition::Members(members) => {
            in_condition(&members.condition, &join(place, "members.condition"), found);
        }
        Condition::Compare(comparison) => in_comparison(comparison, &join(place, "compare"), found),
        Condition::Performed(pattern) => in_pattern(pattern, &join(place, "performed"), found),
        Condition::Sequence(sequence) => in_sequence(sequence, &join(place, "sequence"), found),
        Condition::Audience(key) => {
            found.push((join(place, "audience"), Reference::Audience(key.clone())));
        }
    }
}

fn in_parts(parts: &[Condition], place: &str, found: &mut Places) {
    for (at, part) in parts.iter().enumerate() {
        in_condition(part, &format!("{place}[{at}]"), found);
    }
}

fn in_sequence(sequence: &Sequence, place: &str, found: &mut Places) {
    in_pattern(&sequence.first, &join(place, "first"), found);
    for (at, step) in sequence.then.iter().enumerate() {
        let place = format!("{place}.then[{at}]");
        in_pattern(&step.event, &join(&place, "event"), found);
        if let Some(without) = &step.without {
            in_pattern(without, &join(&place, "without"), found);
        }
    }
}

fn in_comparison(comparison: &Comparison, place: &str, found: &mut Places) {
    in_operand(&comparison.left, &join(place, "left"), found);
    match &comparison.right {
        Right::Operand(operand) => in_operand(operand, &join(place, "right.operand"), found),
        Right::Nothing | Right::Value(_) | Right::Values(_) | Right::Span(_) => {}
    }
}

fn in_operand(operand: &Operand, place: &str, found: &mut Places) {
    match operand {
        Operand::Computed(key) => {
            found.push((join(place, "computed"), Reference::Computed(key.clone())));
        }
        Operand::Aggregate(aggregate) => in_pattern(&aggregate.of, &join(place, "aggregate.of"), found),
        Operand::Trait(_) | Operand::Field(_) => {}
    }
}

fn in_pattern(pattern: &EventPattern, place: &str, found: &mut Places) {
    if let Some(filter) = &pattern.filter {
        in_condition(filter, &join(place, "where"), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_of_a_reference_is_found() {
        let audience = |key: &str| Reference::Audience(key.to_owned());
        let computed = |key: &str| Reference::Computed(key.to_owned());
        let cases = [
            (json!({"audience": "a"}), vec![audience("a")]),
            (
                json!({"all": [{"not": {"audience": "a"}}, {"any": [{"audience": "b"}]}]}),
                vec![audience("a"), audience("b")],
            ),
            (
                json!({"compare": {"left": {"computed": "x"}, "operator": "greater",
                    "right": {"operand": {"computed": "y"}}}}),
                vec![computed("x"), computed("y")],
            ),
            (
                json!({"account": {"members": {"quantifier": "any", "condition": {"audience": "c"}}}}),
                vec![audience("c")],
            ),
            (
                json!({"compare": {"left": {"trait": "plan"}, "operator": "equals", "right": {"value": "x"}}}),
                vec![],
            ),
        ];
        for (tree, want) in cases {
            let condition: Condition = serde_json::from_value(tree.clone()).expect("a tree");
            assert_eq!(of_condition(&condition), want.into_iter().collect(), "{tree}");
        }
    }

    #[test]
    fn a_reference_has_the_place_that_it_has_in_the_tree() {
        let tree = json!({"all": [
            {"not": {"audience": "a"}},
            {"account": {"members": {"quantifier": "any", "condition": {"audience": "b"}}}},
            {"compare": {"left": {"trait": "n"}, "operator": "greater", "right": {"operand": {"computed": "x"}}}},
        ]});
        let condition: Condition = serde_json::from_value(tree.clone()).expect("a tree");
        let places: Vec<String> = places_of(&condition).into_iter().map(|(place, _)| place).collect();
        let want = [
            "all[0].not.audience",
            "all[1].account.members.condition.audience",
            "all[2].compare.right.operand.computed",
        ];
        assert_eq!(places, want);
        for place in &places {
            let pointer = place.replace('[', ".").replace(']', "").replace('.', "/");
            assert!(tree.pointer(&format!("/{pointer}")).is_some_and(Value::is_string), "{place}");
        }
    }
}
