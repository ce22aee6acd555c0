//! Every definition of the catalog makes sense.

use super::*;
use crate::definition::{ActionSpec, FieldKind, FieldSpec, RawSettings, Required, SettingKind};
use crate::mapping::CompiledAction;
use crate::settings::check_value;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::condition::{Scope, parse_condition};

fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for name in names {
        assert!(!name.is_empty() && seen.insert(name.as_str()), "{name:?} is there once");
    }
    seen
}

#[test]
fn every_definition_is_found_by_the_name_of_its_folder() {
    assert!(!definitions().is_empty());
    for ((folder, _), spec) in CATALOG.iter().zip(definitions()) {
        assert_eq!(spec.name, *folder);
        assert!(find(folder).is_some_and(|found| std::ptr::eq(found, spec)));
        assert!(!spec.title.is_empty() && !spec.help.is_empty(), "{folder}");
        assert!(spec.documentation.iter().all(|page| page.starts_with("https://")), "{folder}");
    }
    assert!(definitions().is_sorted_by_key(|spec| &spec.name));
    assert!(find("no-such-definition").is_none());
}

#[test]
fn settings_are_declared_once_and_refer_to_each_other() {
    for spec in definitions() {
        let name = &spec.name;
        let names = distinct(spec.settings.iter().map(|setting| &setting.name));
        for setting in &spec.settings {
            let place = format!("{name}: {}", setting.name);
            assert!(!setting.title.is_empty() && !setting.help.is_empty(), "{place}");
            assert_eq!(setting.kind == SettingKind::Choice, !setting.choices.is_empty(), "{place}");
            assert!(setting.needs.iter().all(|needed| names.contains(needed.as_str())), "{place}");
            assert!(setting.expected.is_none() || setting.pattern.is_some(), "{place}");
            assert!(!(setting.secret && setting.default.is_some()), "{place}: a secret has no default");
            if let Some(pattern) = &setting.pattern {
                assert!(regex::Regex::new(&format!("^(?:{pattern})$")).is_ok(), "{place}");
            }
        }
        for group in &spec.one_of {
            assert!(group.len() > 1 && group.iter().all(|member| names.contains(member.as_str())), "{name}");
        }
        let choosing = spec.settings.iter().filter(|setting| setting.kind == SettingKind::Activations);
        assert!(choosing.count() <= 1, "{name}: what is sent is chosen in one place");
        let counts = [
            &spec.batch.events_setting,
            &spec.batch.delay_seconds_setting,
            &spec.limits.requests_per_second_setting,
        ];
        for setting in counts.into_iter().flatten() {
            assert!(spec.setting(setting).is_some_and(|found| found.kind == SettingKind::Count), "{name}");
        }
    }
}

#[test]
fn defaults_are_good_values() {
    for spec in definitions() {
        for setting in spec.settings.iter().filter(|setting| setting.default.is_some()) {
            assert_eq!(
                check_value(spec, setting, &RawSettings::new()),
                Ok(()),
                "{}: {}",
                spec.name,
                setting.name
            );
        }
    }
}

#[test]
fn actions_are_well_formed() {
    for spec in definitions() {
        distinct(spec.actions.iter().map(|action| &action.name));
        assert!(!spec.actions.is_empty(), "{} does something", spec.name);
        for action in &spec.actions {
            check_action(spec, action);
        }
    }
}

fn check_action(spec: &'static Spec, action: &'static ActionSpec) {
    let place = format!("{}: {}", spec.name, action.name);
    assert!(!action.title.is_empty() && !action.help.is_empty() && !action.takes.is_empty(), "{place}");
    if let Some(trigger) = &action.trigger {
        parse_condition(trigger, Scope::Event).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    let fields = distinct(action.fields.iter().map(|field| &field.name));
    for group in &action.any_of {
        assert!(group.iter().all(|member| fields.contains(member.as_str())), "{place}");
    }
    for field in &action.fields {
        assert!(!field.help.is_empty(), "{place}: {}", field.name);
        if let Required::WithSetting(setting) = &field.required {
            assert!(spec.setting(setting).is_some(), "{place}: {setting}");
        }
        for pattern in [&field.pattern, &field.member_pattern].into_iter().flatten() {
            assert!(regex::Regex::new(pattern).is_ok(), "{place}: {}", field.name);
        }
    }
    if let Some(age) = &spec.limits.event_age {
        let field = action.fields.iter().find(|field| field.name == age.field);
        let is_moment = |field: &FieldSpec| matches!(field.kind, FieldKind::Datetime | FieldKind::UnixMicros);
        assert!(age.hours > 0 && field.is_some_and(is_moment), "{place}: a field says when events happened");
    }
    // Where only a mapping can say how a field is filled, it does.
    let is_open = |field: &&FieldSpec| field.required != Required::Never && field.default.is_none();
    let open = action.fields.iter().filter(is_open);
    let fields: BTreeMap<_, _> = open.map(|field| (field.name.clone(), json!({"@path": "$.x"}))).collect();
    assert!(fields.is_empty() || !action.preset, "{place}: what is done without a mapping needs none");
    if let Err(error) = CompiledAction::compile(spec, action, &fields, &RawSettings::new()) {
        panic!("{place}: {}: {}", error.place, error.message);
    }
}
