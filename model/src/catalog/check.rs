//! Checks of everything that a workspace defines together.

use super::resolve::Resolver;
use super::{Catalog, Defined};
use crate::keeper::KeeperSpec;
use std::collections::{BTreeMap, BTreeSet};

/// How many conditions and events the audiences of a workspace may have together, each with those that it names.
pub const DEFINED_NODES_MAX: usize = 100_000;
/// How many different keepers the audiences and computed traits of a workspace may need. Those of traits with a policy
/// are not among them: they are as many as the policies.
pub const KEEPERS_MAX: usize = 5_000;

/// The audiences that can't be evaluated, by their keys, and why.
pub fn problems(defined: &Defined) -> BTreeMap<String, String> {
    let audiences = defined.audiences.iter();
    let problem = |key: &str| Resolver::new(defined).audience(key).err();
    audiences.filter_map(|audience| Some((audience.key.clone(), problem(&audience.key)?))).collect()
}

/// Checks that keys are there once, and that whatever is named is there.
///
/// # Errors
/// The key of the definition at fault, and what is wrong.
pub fn check_references(defined: &Defined) -> Result<(), (String, String)> {
    let mut keys = BTreeSet::new();
    let computed = defined.computed_traits.iter().map(|computed| &computed.key);
    for key in computed.chain(defined.audiences.iter().map(|audience| &audience.key)) {
        if !keys.insert(key) {
            return Err((key.clone(), format!("there is another definition with the key `{key}`")));
        }
    }
    match problems(defined).into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// Checks that what is defined is not too large as a whole.
///
/// # Errors
/// Which limit is exceeded.
pub fn check_size(defined: &Defined) -> Result<(), String> {
    let mut nodes = 0;
    for audience in &defined.audiences {
        let mut resolver = Resolver::new(defined);
        // A broken one counts as far as it goes.
        let _ = resolver.audience(&audience.key);
        nodes += resolver.nodes();
        if nodes > DEFINED_NODES_MAX {
            return Err(format!(
                "the audiences of the workspace have more than {DEFINED_NODES_MAX} parts together, \
                 each with those of the audiences that it names"
            ));
        }
    }
    let wanted = Catalog::wanted(defined);
    let keepers = wanted.iter().filter(|spec| matches!(spec, KeeperSpec::Trail(_))).count();
    if keepers > KEEPERS_MAX {
        return Err(format!(
            "the audiences and computed traits of the workspace ask for {keepers} different sets of events, \
             and {KEEPERS_MAX} is the most"
        ));
    }
    Ok(())
}
