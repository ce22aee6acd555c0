//! What definitions refer to: other audiences and computed traits, by their keys.

use std::collections::BTreeSet;

use tributary_model::Workspace;
use tributary_model::catalog::{self, Defined};
use tributary_model::condition::{Aggregate, Comparison, Condition, EventPattern, Operand, Right, Sequence};

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
    /// Its key.
    pub(super) key: String,
    /// What is wrong with it.
    message: String,
}

impl Wrong {
    /// The refusal of the change that brought it; `place` is where the definition of `key` stands in what was sent.
    pub(super) fn refusal(self, place: &str, key: &str) -> Refusal {
        let whose = if self.key == key { String::new() } else { format!("audience {}: ", self.key) };
        let fault = Fault { place: place.to_owned(), at: None, hint: None };
        invalid(format!("`{place}`: {whose}{}", self.message)).at(fault)
    }
}

/// Checks what the definitions of a changed workspace refer to. Audiences that were broken before, and whose
/// definitions did not change, may stay so.
pub(super) fn check(before: &Workspace, after: &Workspace) -> Result<(), Wrong> {
    let was = catalog::problems(&Defined::of(before));
    let is = catalog::problems(&Defined::of(after));
    let of_key = |workspace: &Workspace, key: &str| {
        workspace.audiences.iter().find(|audience| audience.key == key).cloned()
    };
    let changed = |key: &str| match (of_key(before, key), of_key(after, key)) {
        (Some(old), Some(new)) => old.id != new.id || old.definition != new.definition,
        _ => true,
    };
    let mut wrong = is.iter().filter(|(key, _)| changed(key) || !was.contains_key(*key));
    let Some(first) = wrong.next() else { return Ok(()) };
    // Of those that break with it, the one that was changed.
    let (key, problem) = std::iter::once(first).chain(wrong).find(|(key, _)| changed(key)).unwrap_or(first);
    let named = of_key(after, key).map(|audience| of_condition(&audience.definition)).unwrap_or_default();
    let broken = is.iter().find(|(other, _)| {
        was.contains_key(*other) && named.contains(&Reference::Audience((*other).clone()))
    });
    let message = match broken {
        Some((other, problem)) => format!("audience {other} is broken ({problem}); mend it first"),
        None => problem.clone(),
    };
    Err(Wrong { key: key.clone(), message })
}

/// Who refers to that: audiences and computed traits, in words.
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
    audiences.chain(computed).collect()
}

fn of_condition(condition: &Condition) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    in_condition(condition, &mut found);
    found
}

fn of_aggregate(aggregate: &Aggregate) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    in_pattern(&aggregate.of, &mut found);
    found
}

fn in_condition(condition: &Condition, found: &mut BTreeSet<Reference>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                in_condition(part, found);
            }
        }
        Condition::Not(inner) | Condition::Account(inner) => in_condition(inner, found),
        Condition::Members(members) => in_condition(&members.condition, found),
        Condition::Compare(comparison) => in_comparison(comparison, found),
        Condition::Performed(pattern) => in_pattern(pattern, found),
        Condition::Sequence(Sequence { first, then, .. }) => {
            in_pattern(first, found);
            for step in then {
                in_pattern(&step.event, found);
                if let Some(without) = &step.without {
                    in_pattern(without, found);
                }
            }
        }
        Condition::Audience(key) => {
            found.insert(Reference::Audience(key.clone()));
        }
    }
}

fn in_comparison(comparison: &Comparison, found: &mut BTreeSet<Reference>) {
    in_operand(&comparison.left, found);
    match &comparison.right {
        Right::Operand(operand) => in_operand(operand, found),
        Right::Nothing | Right::Value(_) | Right::Values(_) | Right::Span(_) => {}
    }
}

fn in_operand(operand: &Operand, found: &mut BTreeSet<Reference>) {
    match operand {
        Operand::Computed(key) => {
            found.insert(Reference::Computed(key.clone()));
        }
        Operand::Aggregate(aggregate) => in_pattern(&aggregate.of, found),
        Operand::Trait(_) | Operand::Field(_) => {}
    }
}

fn in_pattern(pattern: &EventPattern, found: &mut BTreeSet<Reference>) {
    if let Some(filter) = &pattern.filter {
        in_condition(filter, found);
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
}
