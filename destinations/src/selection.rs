//! Which kinds of activations of its workspace a destination is sent. Pure.
//!
//! A definition lets its destinations choose by a setting of the kind `activations` in its data. The engine reads that
//! setting and leaves out what it doesn't name, so no definition's code has to. A definition without such a setting
//! is sent everything.

use crate::definition::{RawSettings, SettingKind, SettingsError, Spec};
use tributary_model::ActivationKind;

/// The names that such a setting takes, for people.
const NAMES: &str = "events, profile_changes, audience_changes, audience_traits";

/// What a destination is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The events themselves.
    events: bool,
    /// That profiles were merged or split.
    profile_changes: bool,
    /// That profiles entered or left audiences, as track calls.
    audience_changes: bool,
    /// The same as identify calls, which set a trait to true or false.
    audience_traits: bool,
}

impl Selection {
    /// Everything.
    pub(crate) const ALL: Self =
        Self { events: true, profile_changes: true, audience_changes: true, audience_traits: true };

    const NONE: Self =
        Self { events: false, profile_changes: false, audience_changes: false, audience_traits: false };

    /// What these settings of a definition choose.
    ///
    /// # Errors
    /// If the setting for it is wrong, and where.
    pub(crate) fn of(spec: &Spec, settings: &RawSettings) -> Result<Self, SettingsError> {
        let setting = spec.settings.iter().find(|setting| setting.kind == SettingKind::Activations);
        let chosen = match setting {
            Some(setting) => Self::read(settings, &setting.name)?,
            None => None,
        };
        Ok(chosen.unwrap_or(Self::ALL))
    }

    /// Reads the setting of that name; `None` if it is missing or null.
    ///
    /// # Errors
    /// If it is no list, empty, or names something else.
    pub(crate) fn read(settings: &RawSettings, name: &str) -> Result<Option<Self>, SettingsError> {
        let Some(value) = settings.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let Some(list) = value.as_array() else {
            return Err(SettingsError::new(name, format!("must be a list out of: {NAMES}")));
        };
        if list.is_empty() {
            let message = format!("must name at least one of: {NAMES}; without the setting all are sent");
            return Err(SettingsError::new(name, message));
        }
        let mut chosen = Self::NONE;
        for (at, entry) in list.iter().enumerate() {
            match entry.as_str() {
                Some("events") => chosen.events = true,
                Some("profile_changes") => chosen.profile_changes = true,
                Some("audience_changes") => chosen.audience_changes = true,
                Some("audience_traits") => chosen.audience_traits = true,
                Some(_) | None => {
                    let place = format!("{name}[{at}]");
                    return Err(SettingsError::new(place, format!("must be one of: {NAMES}")));
                }
            }
        }
        Ok(Some(chosen))
    }

    /// Whether it takes activations of a kind.
    pub(crate) const fn takes(self, kind: ActivationKind) -> bool {
        match kind {
            ActivationKind::Event => self.events,
            ActivationKind::ProfileMerged | ActivationKind::ProfileSplit => self.profile_changes,
            ActivationKind::AudienceEntered | ActivationKind::AudienceExited => self.audience_changes,
            ActivationKind::AudienceTrait => self.audience_traits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> Result<Option<Selection>, SettingsError> {
        Selection::read(&RawSettings::from([("send".to_owned(), value)]), "send")
    }

    #[test]
    fn lists_are_read_or_refused_with_the_place() {
        let events = Selection { events: true, ..Selection::NONE };
        let changes = Selection { profile_changes: true, ..Selection::NONE };
        let audiences = Selection { audience_changes: true, audience_traits: true, ..Selection::NONE };
        let good = [
            (json!(null), None),
            (json!(["events"]), Some(events)),
            (json!(["profile_changes"]), Some(changes)),
            (json!(["audience_traits", "audience_changes"]), Some(audiences)),
            (
                json!(["profile_changes", "events", "audience_changes", "audience_traits"]),
                Some(Selection::ALL),
            ),
            (json!(["events", "events"]), Some(events)),
        ];
        for (given, want) in good {
            assert_eq!(read(given.clone()), Ok(want), "{given}");
        }
        let bad = [
            (json!([]), "send", "must name at least one of: events, profile_changes, audience_changes"),
            (json!("events"), "send", "must be a list"),
            (json!({}), "send", "must be a list"),
            (
                json!(["events", "merges"]),
                "send[1]",
                "must be one of: events, profile_changes, audience_changes",
            ),
            (json!([["events"]]), "send[0]", "must be one of"),
            (json!(["Events"]), "send[0]", "must be one of"),
        ];
        for (given, field, message) in bad {
            let got = read(given.clone()).expect_err("it is refused");
            assert_eq!(got.field, field, "{given}");
            assert!(got.message.contains(message), "{given}: {got}");
        }
    }

    #[test]
    fn any_definition_can_let_its_destinations_choose() {
        let spec = |settings: Value| -> Spec {
            let json = json!({
                "name": "n", "title": "t", "help": "h", "settings": settings, "actions": [],
                "transport": {"kind": "object_storage"},
            });
            serde_json::from_value(json).expect("a definition")
        };
        let setting = json!({"name": "what", "title": "t", "kind": "activations", "help": "h"});
        let (with, without) = (spec(json!([setting])), spec(json!([])));
        let chosen = RawSettings::from([("what".to_owned(), json!(["events"]))]);
        assert_eq!(Selection::of(&with, &RawSettings::new()), Ok(Selection::ALL));
        assert_eq!(Selection::of(&with, &chosen), Ok(Selection { events: true, ..Selection::NONE }));
        let empty = RawSettings::from([("what".to_owned(), json!([]))]);
        assert_eq!(Selection::of(&with, &empty).expect_err("it is refused").field, "what");
        assert_eq!(Selection::of(&without, &chosen), Ok(Selection::ALL));
    }

    #[test]
    fn each_kind_is_taken_or_not() {
        let cases: [(&str, &[ActivationKind]); 4] = [
            ("events", &[ActivationKind::Event]),
            ("profile_changes", &[ActivationKind::ProfileMerged, ActivationKind::ProfileSplit]),
            ("audience_changes", &[ActivationKind::AudienceEntered, ActivationKind::AudienceExited]),
            ("audience_traits", &[ActivationKind::AudienceTrait]),
        ];
        for (name, kinds) in cases {
            let selection = read(json!([name])).expect("a good list").expect("it is there");
            for kind in ActivationKind::ALL {
                assert_eq!(selection.takes(kind), kinds.contains(&kind), "{name} {kind:?}");
                assert!(Selection::ALL.takes(kind));
            }
        }
    }
}
