//! Which audiences look at what.

use super::plan::{Compared, Node, Source};
use std::collections::HashMap;

/// The places of audiences, by what they look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    traits: HashMap<Box<str>, Vec<usize>>,
    keepers: HashMap<u32, Vec<usize>>,
}

impl Places {
    /// Enters the audience in that place under what a node of it looks at by itself. Audiences come in their order.
    pub(super) fn enter(&mut self, at: usize, node: &Node<u32>) {
        for looked_at in looked_at(node) {
            let places = match looked_at {
                LookedAt::Trait(name) => self.traits.entry(name.into()).or_default(),
                LookedAt::Keeper(number) => self.keepers.entry(number).or_default(),
            };
            if places.last() != Some(&at) {
                places.push(at);
            }
        }
    }

    /// Those that look at any of these, ascending, each once.
    pub(super) fn of(&self, traits: &[&str], keepers: &[u32]) -> Vec<usize> {
        let of_traits = traits.iter().filter_map(|name| self.traits.get(*name));
        let of_keepers = keepers.iter().filter_map(|number| self.keepers.get(number));
        let mut places: Vec<usize> = of_traits.chain(of_keepers).flatten().copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// What a node looks at.
enum LookedAt<'a> {
    Trait(&'a str),
    Keeper(u32),
}

/// The traits and keepers that one node looks at by itself.
fn looked_at(node: &Node<u32>) -> Vec<LookedAt<'_>> {
    fn source(source: &Source<u32>) -> LookedAt<'_> {
        match source {
            Source::Trait(path) => LookedAt::Trait(path.head()),
            Source::Measure(measure) => LookedAt::Keeper(measure.keeper),
        }
    }
    match node {
        Node::Compare { left, right, .. } => {
            let mut found = vec![source(left)];
            if let Compared::Source(right) = right {
                found.push(source(right));
            }
            found
        }
        Node::Performed(measure) => vec![LookedAt::Keeper(measure.keeper)],
        Node::Sequence { first, steps, .. } => {
            let steps = steps.iter().flat_map(|step| [Some(step.event), step.without]).flatten();
            [*first].into_iter().chain(steps).map(LookedAt::Keeper).collect()
        }
        Node::All(_)
        | Node::Any(_)
        | Node::Not(_)
        | Node::HasUserId
        | Node::Account(_)
        | Node::Members(..) => Vec::new(),
    }
}
