//! From written conditions to plans: audiences and computed traits that a condition names are put in its place.

use super::Defined;
use super::aggregate::{Measure, without_window};
use super::plan::{Compared, Node, Pattern, PlanStep, Source};
use crate::condition::{
    Aggregate, Comparison, Condition, Datum, EventPattern, Literal, Operand, Operator, Right, Sequence, Span,
    Window,
};
use crate::keeper::{Keep, KeeperSpec, TrailSpec};
use crate::pattern;

/// How large a condition may become with those that it names.
const NODES_MAX: usize = 10_000;
/// How deep conditions may stand within each other, through the audiences that they name.
const DEPTH_MAX: usize = 100;
/// So many values of a list count as one condition: they take about as much room.
const VALUES_PER_NODE: usize = 10;

/// Puts what conditions name in their place.
pub(super) struct Resolver<'a> {
    defined: &'a Defined,
    /// The audiences that are being put in place, the outermost first.
    within: Vec<&'a str>,
    nodes: usize,
    depth: usize,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(defined: &'a Defined) -> Self {
        Self { defined, within: Vec::new(), nodes: 0, depth: 0 }
    }

    /// How many conditions, and events in them, were put in place.
    pub(super) const fn nodes(&self) -> usize {
        self.nodes
    }

    /// The plan of an audience, by its key.
    ///
    /// # Errors
    /// What it names that is not there, the cycle that it is in, or that it becomes too large or too deep.
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
        self.count(1)?;
        if self.depth == DEPTH_MAX {
            return Err(format!(
                "with the audiences that it names, conditions stand more than {DEPTH_MAX} deep within each other"
            ));
        }
        self.depth += 1;
        let node = self.node(condition);
        self.depth -= 1;
        node
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(format!("with the audiences that it names it has more than {NODES_MAX} parts"));
        }
        Ok(())
    }

    fn node(&mut self, condition: &'a Condition) -> Result<Node<KeeperSpec>, String> {
        Ok(match condition {
            Condition::All(conditions) => Node::All(self.conditions(conditions)?),
            Condition::Any(conditions) => Node::Any(self.conditions(conditions)?),
            Condition::Not(condition) => Node::Not(Box::new(self.condition(condition)?)),
            Condition::Compare(comparison) => self.comparison(comparison)?,
            Condition::Performed(pattern) => {
                self.count(parts_of(pattern))?;
                Node::Performed(performed(pattern))
            }
            Condition::Sequence(sequence) => {
                let steps = sequence.then.iter();
                let patterns = steps.flat_map(|step| [Some(&step.event), step.without.as_ref()]).flatten();
                self.count(patterns.chain([&sequence.first]).map(parts_of).sum())?;
                of_sequence(sequence)
            }
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
        self.count(values_in(comparison))?;
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
            Operand::Aggregate(aggregate) => Source::Measure(self.measure(aggregate)?),
            Operand::Computed(key) => {
                let computed = self.defined.computed_traits.iter().find(|computed| computed.key == *key);
                let computed = computed.ok_or_else(|| format!("there is no computed trait `{key}`"))?;
                Source::Measure(self.measure(&computed.definition)?)
            }
            Operand::Field(path) => {
                return Err(format!("`{path}` is a field of events: it stands within `where` only"));
            }
        })
    }

    fn measure(&mut self, aggregate: &Aggregate) -> Result<Measure<KeeperSpec>, String> {
        self.count(parts_of(&aggregate.of))?;
        Ok(Measure::of(aggregate))
    }
}

/// An event and the conditions in its `where`, counted.
fn parts_of(pattern: &EventPattern) -> usize {
    fn conditions(condition: &Condition) -> usize {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => 1 + parts.iter().map(conditions).sum::<usize>(),
            Condition::Not(part) => 1 + conditions(part),
            Condition::Compare(comparison) => 1 + values_in(comparison),
            Condition::Performed(_)
            | Condition::Sequence(_)
            | Condition::Audience(_)
            | Condition::Account(_)
            | Condition::Members(_) => 1,
        }
    }
    1 + pattern.filter.as_deref().map_or(0, conditions)
}

/// As how many conditions the values that something is compared with count.
fn values_in(comparison: &Comparison) -> usize {
    match &comparison.right {
        Right::Values(values) => values.len() / VALUES_PER_NODE,
        Right::Nothing | Right::Value(_) | Right::Operand(_) | Right::Span(_) => 0,
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
