//! Audiences and drafts of them, ready to be evaluated.

use super::Defined;
use super::plan::{Compared, Facts, Node, Person, Source, Verdict};
use super::resolve::Resolver;
use crate::condition::{Condition, Function};
use crate::id::AudienceId;
use crate::keeper::KeeperSpec;
use crate::time::Timestamp;
use crate::trail::Trail;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// The problem of an audience for which the state keeps nothing.
const MISSING: &str = "nothing is kept of the events that it asks about";

/// An audience, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct AudiencePlan {
    /// Its id.
    pub id: AudienceId,
    /// Its key.
    pub key: String,
    /// By which it is known whether what it means was changed.
    pub hash: [u8; 16],
    /// Why it can't be evaluated, if it can't.
    pub problem: Option<String>,
    /// Whether it asks for accounts.
    pub needs_accounts: bool,
    /// Whether it may change by time alone.
    pub is_timed: bool,
    /// Whether it holds of somebody of whom nothing is known.
    pub is_true_of_nobody: bool,
    /// Whether a `user_id` makes a difference.
    pub needs_user_id: bool,
    /// The keepers that it looks at, ascending.
    pub keepers: Vec<u32>,
    pub(super) node: Node<u32>,
}

impl AudiencePlan {
    /// The plan of a condition. If a keeper has no number it is broken: nothing is kept of what it asks about.
    pub(super) fn new(
        id: AudienceId,
        key: &str,
        node: Result<Node<KeeperSpec>, String>,
        number: &mut impl FnMut(KeeperSpec) -> Option<u32>,
    ) -> Self {
        let (node, mut problem) = match node {
            Ok(node) => (node, None),
            Err(problem) => (Node::Any(Vec::new()), Some(problem)),
        };
        let text = serde_json::to_vec(&node).expect("a plan is text and numbers");
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
        let (mut keepers, mut is_missing) = (BTreeSet::new(), false);
        let mut node = node.map(&mut |spec| {
            let number = number(spec);
            is_missing |= number.is_none();
            keepers.extend(number);
            number.unwrap_or(u32::MAX)
        });
        if is_missing {
            (node, problem) = (Node::Any(Vec::new()), Some(MISSING.to_owned()));
            keepers.clear();
        }
        let (mut needs_accounts, mut is_timed, mut needs_user_id) = (false, false, false);
        node.walk(false, &mut |node, _| {
            needs_accounts |= matches!(node, Node::Account(_));
            needs_user_id |= matches!(node, Node::HasUserId);
            is_timed |= may_change_by_time(node);
        });
        let facts = Facts { person: &Nobody, accounts: &[], now: Timestamp::default() };
        let is_true_of_nobody = node.evaluate(&facts).is_true;
        Self {
            id,
            key: key.to_owned(),
            hash,
            problem,
            needs_accounts,
            is_timed,
            is_true_of_nobody,
            needs_user_id,
            keepers: keepers.into_iter().collect(),
            node,
        }
    }

    /// Whether a profile belongs to it.
    pub fn evaluate(&self, facts: &Facts<'_>) -> Verdict {
        self.node.evaluate(facts)
    }
}

fn may_change_by_time(node: &Node<u32>) -> bool {
    let measured = |source: &Source<u32>| match source {
        Source::Measure(measure) => measure.within.is_some() || measure.function == Function::TimeSince,
        Source::Trait(_) => false,
    };
    match node {
        Node::Compare { left, right, .. } => {
            measured(left)
                || matches!(right, Compared::Span(_))
                || matches!(right, Compared::Source(source) if measured(source))
        }
        Node::Performed(measure) => measure.within.is_some(),
        Node::Sequence { within, .. } => within.is_some(),
        Node::All(_)
        | Node::Any(_)
        | Node::Not(_)
        | Node::HasUserId
        | Node::Account(_)
        | Node::Members(..) => false,
    }
}

/// Somebody of whom nothing is known.
struct Nobody;

impl Person for Nobody {
    fn trait_json(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn trail(&self, _: u32) -> Option<&Trail> {
        None
    }

    fn has_user_id(&self) -> bool {
        false
    }
}

/// A condition that is no audience yet, ready to be evaluated, with keepers of its own.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The plan.
    pub plan: AudiencePlan,
    /// What it needs, under numbers from 1.
    pub specs: Vec<(u32, KeeperSpec)>,
}

impl Draft {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What it names that is not there, or that it becomes too large or too deep.
    pub fn new(defined: &Defined, condition: &Condition, include_anonymous: bool) -> Result<Self, String> {
        let node = Resolver::new(defined).draft(condition, include_anonymous)?;
        let mut specs: Vec<(u32, KeeperSpec)> = Vec::new();
        let mut numbers: HashMap<[u8; 16], u32> = HashMap::new();
        let plan = AudiencePlan::new(AudienceId(0), "", Ok(node), &mut |spec| {
            Some(*numbers.entry(spec.hash()).or_insert_with(|| {
                let number = u32::try_from(specs.len()).expect("a condition is bounded") + 1;
                specs.push((number, spec));
                number
            }))
        });
        Ok(Self { plan, specs })
    }
}
