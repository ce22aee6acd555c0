//! From written conditions to plans: audiences and computed traits that a condition names are put in its place.

use super::Defined;
use super::aggregate::{Measure, without_window};
use super::plan::{Compared, Node, Pattern, PlanStep, Source};
use crate::condition::{
    Comparison, Condition, Datum, EventPattern, Literal, Operand, Operator, Right, Sequence, Span, Window,
};
use crate::keeper::{Keep, KeeperSpec, TrailSpec};
use crate::pattern;

/// How large a condition may become with those that it names.
const NODES_MAX: usize = 10_000;

/// Puts what conditions name in their place.
pub(super) struct Resolver<'a> {
    defined: &'a Defined,
    /// The audiences that are being put in place, the outermost first.
    within: Vec<&'a str>,
    nodes: usize,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(defined: &'a Defined) -> Self {
        Self { defined, within: Vec::new(), nodes: 0 }
    }

    /// The plan of an audience, by its key.
    ///
    /// # Errors
    /// What it names that is not there, the cycle that it is in, or that it becomes too large.
    pub(super) fn audience(&mut self, key: &'a str) -> Result<Node<KeeperSpec>, String> {
        let audience = self.defined.audiences.iter().find(|audience| audience.key == key);
        let audience = audience.ok_or_else(|| format!("there is no audience `{key}`"))?;
        if self.within.contains(&key) {
            let cycle: Vec<&str> = self.within.iter().copied().chain([key]).collect();
            return Err(format!("the audiences name each other in a cycle: {}", cycle.join(" → ")));
        }
        self.within.push(key);
        let node = self.draft(&audience.definition, audience.include_anonymous);
        self.within.pop();
        node
    }

    /// The plan of a condition about people.
    ///
    /// # Errors
    /// As [`Resolver::audience`].
    pub(super) fn draft(
        &mut self,
        condition: &'a Condition,
        include_anonymous: bool,
    ) -> Result<Node<KeeperSpec>, String> {
        let node = self.condition(condition)?;
        Ok(if include_anonymous { node } else { Node::All(vec![Node::HasUserId, node]) })
    }

    fn condition(&mut self, condition: &'a Condition) -> Result<Node<KeeperSpec>, String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("with the audiences that it names it has more than {NODES_MAX} parts"));
        }
        Ok(match condition {
            Condition::All(conditions) => Node::All(self.conditions(conditions)?),
            Condition::Any(conditions) => Node::Any(self.conditions(conditions)?),
            Condition::Not(condition) => Node::Not(Box::new(self.condition(condition)?)),
            Condition::Compare(comparison) => self.comparison(comparison)?,
            Condition::Performed(pattern) => Node::Performed(performed(pattern)),
            Condition::Sequence(sequence) => of_sequence(sequence),
            Condition::Audience(key) => self.audience(key)?,
            Condition::Account(condition) => Node::Account(Box::new(self.condition(condition)?)),
            Condition::Members(members) => {
                Node::Members(members.quantifier, Box::new(self.condition(&members.condition)?))
            }
        })
    }

    fn conditions(&mut self, conditions: &'a [Condition]) -> Result<Vec<Node<KeeperSpec>>, String> {
        conditions.iter().map(|condition| self.condition(condition)).collect()
    }

    fn comparison(&mut self, comparison: &'a Comparison) -> Result<Node<KeeperSpec>, String> {
        let left = self.operand(&comparison.left)?;
        let right = match &comparison.right {
            Right::Nothing => Compared::Nothing,
            Right::Value(Literal::Text(text)) if comparison.operator == Operator::Matches => {
                let compiled = pattern::compile(text);
                Compared::Pattern(Pattern(compiled.map_err(|why| format!("a regular expression {why}"))?))
            }
            Right::Value(literal) => Compared::One(Datum::from(literal)),
            Right::Values(literals) => Compared::Many(literals.iter().map(Datum::from).collect()),
            Right::Span(span) => Compared::Span(*span),
            Right::Operand(operand) => Compared::Source(self.operand(operand)?),
        };
        Ok(Node::Compare { left, operator: comparison.operator, right })
    }

    fn operand(&mut self, operand: &'a Operand) -> Result<Source<KeeperSpec>, String> {
        Ok(match operand {
            Operand::Trait(path) => Source::Trait(path.clone()),
            Operand::Aggregate(aggregate) => Source::Measure(Measure::of(aggregate)),
            Operand::Computed(key) => {
                let computed = self.defined.computed_traits.iter().find(|computed| computed.key == *key);
                let computed = computed.ok_or_else(|| format!("there is no computed trait `{key}`"))?;
                Source::Measure(Measure::of(&computed.definition))
            }
            Operand::Field(path) => {
                return Err(format!("`{path}` is a field of events: it stands within `where` only"));
            }
        })
    }
}

/// An event that was performed: of all time it is a count, of a window single events.
fn performed(pattern: &EventPattern) -> Measure<KeeperSpec> {
    let (events, within) = without_window(pattern);
    let keep = if within.is_some() { Keep::Marks(within) } else { Keep::Totals };
    let keeper = KeeperSpec::Trail(TrailSpec { events, value: None, keep });
    Measure { function: crate::condition::Function::Count, keeper, within }
}

fn of_sequence(sequence: &Sequence) -> Node<KeeperSpec> {
    let within: Option<Span> = match sequence.window {
        Window::Within(span) => Some(span),
        Window::Ever | Window::Between(..) => None,
    };
    let marks = |pattern: &EventPattern| {
        let (events, _) = without_window(pattern);
        KeeperSpec::Trail(TrailSpec { events, value: None, keep: Keep::Marks(within) })
    };
    let steps = sequence.then.iter().map(|step| PlanStep {
        event: marks(&step.event),
        within: step.within,
        without: step.without.as_ref().map(marks),
    });
    Node::Sequence { first: marks(&sequence.first), steps: steps.collect(), within }
}
