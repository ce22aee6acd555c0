//! The one list of every definition.

use crate::definition::Definition;
use crate::webhook::WebhookDefinition;

static DEFINITIONS: [&dyn Definition; 1] = [&WebhookDefinition];

/// Every definition, in the order in which they are listed to admins.
pub fn definitions() -> &'static [&'static dyn Definition] {
    &DEFINITIONS
}

/// The definition of that name.
pub fn find(name: &str) -> Option<&'static dyn Definition> {
    definitions().iter().copied().find(|definition| definition.spec().name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::SettingKind;
    use std::collections::BTreeSet;

    #[test]
    fn every_definition_is_well_formed_and_found_by_its_name() {
        let mut names = BTreeSet::new();
        for definition in definitions() {
            let spec = definition.spec();
            assert!(names.insert(&spec.name), "{} is listed once", spec.name);
            assert!(find(&spec.name).is_some_and(|found| std::ptr::eq(found.spec(), spec)));
            assert!(!spec.title.is_empty() && !spec.help.is_empty(), "{}", spec.name);
            let settings: BTreeSet<_> = spec.settings.iter().map(|setting| &setting.name).collect();
            assert_eq!(settings.len(), spec.settings.len(), "{}: each setting once", spec.name);
            assert!(spec.settings.iter().all(|setting| !setting.help.is_empty()), "{}", spec.name);
            let choosing = spec.settings.iter().filter(|setting| setting.kind == SettingKind::Activations);
            assert!(choosing.count() <= 1, "{}: what is sent is chosen in one place", spec.name);
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog").join(&spec.name);
            assert!(folder.join("definition.json").is_file(), "{} has its folder", spec.name);
            assert!(folder.join("README.md").is_file(), "{} is described", spec.name);
        }
        assert!(find("no-such-definition").is_none());
    }
}
