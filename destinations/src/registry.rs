//! The one list of every definition: the folders of the catalog, as the build script finds them.

use crate::definition::Spec;
use std::sync::LazyLock;

/// Names of folders, and the definitions in them; in the order of names.
const CATALOG: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

static DEFINITIONS: LazyLock<Vec<Spec>> = LazyLock::new(|| {
    let read = |(folder, json): &(&str, &str)| {
        serde_json::from_str::<Spec>(json)
            .unwrap_or_else(|error| panic!("the definition of {folder}: {error}"))
    };
    CATALOG.iter().map(read).collect()
});

/// Every definition, in the order of their names.
///
/// # Panics
/// If one is not in the form of a [`Spec`]: the tests read every definition of the catalog.
pub fn definitions() -> &'static [Spec] {
    &DEFINITIONS
}

/// The definition of that name.
///
/// # Panics
/// As [`definitions`].
pub fn find(name: &str) -> Option<&'static Spec> {
    definitions().iter().find(|definition| definition.name == name)
}

#[cfg(test)]
mod tests;
