//! The consent gate: whether a person agreed to what a destination needs. Pure.
//!
//! Consent comes from the event (`context.consent.categoryPreferences`) and from the profile, as the activation carries it.
//! An event with preferences has to grant every category itself, and the profile must have refused none of them. Without
//! preferences the profile has to have granted every category. Where nothing was ever said by either, the rule says what
//! holds. So preferences that are there but empty, or that can't be read, refuse everything, while `context.consent` without
//! any is as if it were missing. What an event says is read where profiles read it, too ([`Preferences`]): what keeps one event
//! back is never forgotten with the next one.
//!
//! What a profile had said can't be told of activations from before a destination named a category. An event without
//! preferences is then not sent, whatever the rule says: the profile may have refused.

use std::collections::BTreeMap;
use tributary_model::activation::ActivationHeader;
use tributary_model::consent::Preferences;
use tributary_model::json::Members;
use tributary_model::workspace::{ConsentRule, MissingConsent};

/// What a profile had said, as its activation carries it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said<'a> {
    /// Nothing ever, or there is no profile.
    Nothing,
    /// Something: which categories are granted.
    Known(&'a BTreeMap<Box<str>, bool>),
    /// That can't be told.
    NotKnown,
}

impl<'a> Said<'a> {
    /// What the profile of an activation had said.
    pub(crate) fn of(header: &'a ActivationHeader) -> Self {
        match &header.carried.consent {
            Some(said) if said.is_empty() => Self::Nothing,
            Some(said) => Self::Known(said),
            None if header.profile.is_none() => Self::Nothing,
            None => Self::NotKnown,
        }
    }

    fn about(self, category: &str) -> Option<bool> {
        match self {
            Self::Known(said) => said.get(category).copied(),
            Self::Nothing | Self::NotKnown => None,
        }
    }
}

/// Why an activation may not be sent, for people; `None` if it may.
pub(crate) fn refusal(rule: &ConsentRule, event: &Members<'_>, by_profile: Said<'_>) -> Option<String> {
    if rule.categories.is_empty() {
        return None;
    }
    let by_event = Preferences::of(event);
    match (&by_event, by_profile, rule.missing) {
        (None, Said::Nothing, MissingConsent::Open) => return None,
        (None, Said::Nothing, MissingConsent::Closed) => {
            return Some("consent: nothing was said about it".to_owned());
        }
        (None, Said::NotKnown, _) => {
            let why = "consent: not known: the activation is from before a destination named a category";
            return Some(why.to_owned());
        }
        (None, Said::Known(_), _) | (Some(_), _, _) => {}
    }
    let refused = rule.categories.iter().find(|category| {
        let by_profile = by_profile.about(category);
        let is_granted = match &by_event {
            Some(said) => said.grants(category) && by_profile != Some(false),
            None => by_profile == Some(true),
        };
        !is_granted
    });
    refused.map(|category| format!("consent: `{category}` is not granted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an event says; for the profile, what it granted and refused, or `None` if that can't be told.
    type Case = (Option<&'static str>, Option<&'static [(&'static str, bool)]>);

    fn passes(categories: &[&str], missing: MissingConsent, (event, profile): Case) -> bool {
        let rule =
            ConsentRule { categories: categories.iter().map(|name| (*name).to_owned()).collect(), missing };
        let event = event.map_or_else(
            || "{}".to_owned(),
            |preferences| format!(r#"{{"context":{{"consent":{{"categoryPreferences":{preferences}}}}}}}"#),
        );
        let event = Members::parse(&event).expect("an object");
        let profile: Option<BTreeMap<Box<str>, bool>> =
            profile.map(|said| said.iter().map(|(name, granted)| ((*name).into(), *granted)).collect());
        let said = match &profile {
            None => Said::NotKnown,
            Some(said) if said.is_empty() => Said::Nothing,
            Some(said) => Said::Known(said),
        };
        refusal(&rule, &event, said).is_none()
    }

    #[test]
    fn event_and_profile_have_to_agree_to_every_category() {
        let both: &[&str] = &["ads", "mail"];
        // (categories, what was said, passes where missing consent is closed, and where it is open)
        let cases: [(&[&str], Case, bool, bool); 25] = [
            (&[], (Some("{}"), Some(&[("ads", false)])), true, true),
            (&[], (None, None), true, true),
            (both, (None, Some(&[])), false, true),
            (both, (Some("{}"), Some(&[])), false, false),
            (both, (Some(r#"{"ads":true,"mail":true}"#), Some(&[])), true, true),
            (both, (Some(r#"{"ads":true,"mail":false}"#), Some(&[])), false, false),
            (both, (Some(r#"{"ads":true}"#), Some(&[])), false, false),
            (both, (Some(r#"{"ads":true,"mail":"true"}"#), Some(&[])), false, false),
            (both, (Some(r#"{"ads":true,"mail":1}"#), Some(&[])), false, false),
            (both, (Some(r#"{"Ads":true,"mail":true}"#), Some(&[])), false, false),
            (&["ads"], (Some(r#"{"ads":false,"ads":true}"#), Some(&[])), true, true),
            (&["ads"], (Some(r#"{"ads":true,"ads":"true"}"#), Some(&[])), false, false),
            // `null` says nothing; what is no object refuses, as an empty one does, whatever was granted before.
            (both, (Some("null"), Some(&[])), false, true),
            (both, (Some("[]"), Some(&[])), false, false),
            (&["ads"], (Some("[]"), Some(&[("ads", true)])), false, false),
            (&["ads"], (Some(r#""ads""#), Some(&[("ads", true)])), false, false),
            (&["ads"], (Some("null"), Some(&[("ads", true)])), true, true),
            // Where it can't be told what the profile had said, only an event can grant.
            (both, (None, None), false, false),
            (both, (Some("null"), None), false, false),
            (both, (Some(r#"{"ads":true,"mail":true}"#), None), true, true),
            // The profile's refusal counts beside the event's grant, and its grant where the event says nothing.
            (&["ads"], (Some(r#"{"ads":true}"#), Some(&[("ads", false)])), false, false),
            (&["ads"], (Some(r#"{"ads":true}"#), Some(&[("mail", false)])), true, true),
            (&["ads"], (Some(r#"{"ads":false}"#), Some(&[("ads", true)])), false, false),
            (both, (None, Some(&[("ads", true), ("mail", true)])), true, true),
            (both, (None, Some(&[("ads", true)])), false, false),
        ];
        for (number, (categories, said, closed, open)) in (1..).zip(cases) {
            let got =
                [MissingConsent::Closed, MissingConsent::Open].map(|rule| passes(categories, rule, said));
            assert_eq!(got, [closed, open], "case {number}");
        }
    }

    #[test]
    fn a_consent_without_preferences_says_nothing() {
        let rule = ConsentRule { categories: ["ads".to_owned()].into(), missing: MissingConsent::Open };
        let contexts = [
            "null",
            "{}",
            r#"{"consent":null}"#,
            r#"{"consent":{}}"#,
            r#"{"consent":{"ads":false}}"#,
            r#"{"consent":{"categoryPreferences":null}}"#,
        ];
        for context in contexts {
            let event = format!(r#"{{"context":{context}}}"#);
            let event = Members::parse(&event).expect("an object");
            assert_eq!(refusal(&rule, &event, Said::Nothing), None, "{context}");
        }
    }

    #[test]
    fn what_stands_in_the_place_of_consent_and_is_no_object_refuses_everything() {
        let rule = ConsentRule { categories: ["ads".to_owned()].into(), missing: MissingConsent::Open };
        let granted: BTreeMap<Box<str>, bool> = [("ads".into(), true)].into();
        for value in
            ["[]", r#"["ads"]"#, r#""x""#, r#""""#, "0", "true", "false", r#"{"\ud800":1,"ads":true}"#]
        {
            let contexts = [
                format!(r#"{{"consent":{value}}}"#),
                format!(r#"{{"consent":{{"categoryPreferences":{value}}}}}"#),
            ];
            for context in contexts {
                let event = format!(r#"{{"context":{context}}}"#);
                let event = Members::parse(&event).expect("an object");
                for said in [Said::Nothing, Said::Known(&granted)] {
                    let want = Some("consent: `ads` is not granted");
                    assert_eq!(refusal(&rule, &event, said).as_deref(), want, "{context}");
                }
            }
        }
    }

    #[test]
    fn people_are_told_why() {
        let rule = ConsentRule { categories: ["ads".to_owned()].into(), missing: MissingConsent::Closed };
        let empty = r#"{"context":{"consent":{"categoryPreferences":{}}}}"#;
        let not_known = "consent: not known: the activation is from before a destination named a category";
        let cases = [
            (empty, Said::Nothing, "consent: `ads` is not granted"),
            (empty, Said::NotKnown, "consent: `ads` is not granted"),
            ("{}", Said::Nothing, "consent: nothing was said about it"),
            ("{}", Said::NotKnown, not_known),
        ];
        for (event, said, want) in cases {
            let event = Members::parse(event).expect("an object");
            assert_eq!(refusal(&rule, &event, said).as_deref(), Some(want));
        }
    }
}
