//! The consent gate: whether a person agreed to what a destination needs. Pure.
//!
//! Consent comes from the event (`context.consent.categoryPreferences`) and from the profile, as the activation carries it.
//! An event with preferences has to grant every category itself, and the profile must have refused none of them. Without
//! preferences the profile has to have granted every category. Where nothing was ever said by either, the rule says what
//! holds. So preferences that are there but empty refuse everything, while `context.consent` without any is as if it
//! were missing.

use std::collections::BTreeMap;
use tributary_model::json::Members;
use tributary_model::workspace::{ConsentRule, MissingConsent};

/// Why an activation may not be sent, for people; `None` if it may. `profile` is what the activation carries.
pub(crate) fn refusal(
    rule: &ConsentRule,
    event: &Members<'_>,
    profile: Option<&BTreeMap<Box<str>, bool>>,
) -> Option<String> {
    if rule.categories.is_empty() {
        return None;
    }
    let said = preferences(event);
    if said.is_none() && profile.is_none() {
        return match rule.missing {
            MissingConsent::Closed => Some("consent: nothing was said about it".to_owned()),
            MissingConsent::Open => None,
        };
    }
    let refused = rule.categories.iter().find(|category| {
        let by_profile = profile.and_then(|profile| profile.get(category.as_str())).copied();
        let is_granted = match &said {
            Some(said) => {
                said.get(category).is_some_and(|value| value.get() == "true") && by_profile != Some(false)
            }
            None => by_profile == Some(true),
        };
        !is_granted
    });
    refused.map(|category| format!("consent: `{category}` is not granted"))
}

/// What an event says itself; `None` if it says nothing.
fn preferences<'a>(event: &Members<'a>) -> Option<Members<'a>> {
    event.object("context")?.object("consent")?.object("categoryPreferences")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an event says; for the profile, what it granted and refused.
    type Said = (Option<&'static str>, Option<&'static [(&'static str, bool)]>);

    fn passes(categories: &[&str], missing: MissingConsent, (event, profile): Said) -> bool {
        let rule =
            ConsentRule { categories: categories.iter().map(|name| (*name).to_owned()).collect(), missing };
        let event = event.map_or_else(
            || "{}".to_owned(),
            |preferences| format!(r#"{{"context":{{"consent":{{"categoryPreferences":{preferences}}}}}}}"#),
        );
        let event = Members::parse(&event).expect("an object");
        let profile: Option<BTreeMap<Box<str>, bool>> =
            profile.map(|said| said.iter().map(|(name, granted)| ((*name).into(), *granted)).collect());
        refusal(&rule, &event, profile.as_ref()).is_none()
    }

    #[test]
    fn event_and_profile_have_to_agree_to_every_category() {
        let both: &[&str] = &["ads", "mail"];
        // (categories, what was said, passes where missing consent is closed, and where it is open)
        let cases: [(&[&str], Said, bool, bool); 18] = [
            (&[], (Some("{}"), Some(&[("ads", false)])), true, true),
            (both, (None, None), false, true),
            (both, (Some("{}"), None), false, false),
            (both, (Some(r#"{"ads":true,"mail":true}"#), None), true, true),
            (both, (Some(r#"{"ads":true,"mail":false}"#), None), false, false),
            (both, (Some(r#"{"ads":true}"#), None), false, false),
            (both, (Some(r#"{"ads":true,"mail":"true"}"#), None), false, false),
            (both, (Some(r#"{"ads":true,"mail":1}"#), None), false, false),
            (both, (Some(r#"{"Ads":true,"mail":true}"#), None), false, false),
            (&["ads"], (Some(r#"{"ads":false,"ads":true}"#), None), true, true),
            // No object says nothing.
            (both, (Some("null"), None), false, true),
            (both, (Some("[]"), None), false, true),
            // The profile's refusal counts beside the event's grant, and its grant where the event says nothing.
            (&["ads"], (Some(r#"{"ads":true}"#), Some(&[("ads", false)])), false, false),
            (&["ads"], (Some(r#"{"ads":true}"#), Some(&[("mail", false)])), true, true),
            (&["ads"], (Some(r#"{"ads":false}"#), Some(&[("ads", true)])), false, false),
            (both, (None, Some(&[("ads", true), ("mail", true)])), true, true),
            (both, (None, Some(&[("ads", true)])), false, false),
            (both, (None, Some(&[])), false, false),
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
        for context in
            ["null", "{}", r#"{"consent":{}}"#, r#"{"consent":true}"#, r#"{"consent":{"ads":false}}"#]
        {
            let event = format!(r#"{{"context":{context}}}"#);
            let event = Members::parse(&event).expect("an object");
            assert_eq!(refusal(&rule, &event, None), None, "{context}");
        }
    }

    #[test]
    fn people_are_told_which_category() {
        let rule = ConsentRule { categories: ["ads".to_owned()].into(), missing: MissingConsent::Closed };
        let event =
            Members::parse(r#"{"context":{"consent":{"categoryPreferences":{}}}}"#).expect("an object");
        assert_eq!(refusal(&rule, &event, None).as_deref(), Some("consent: `ads` is not granted"));
        let event = Members::parse("{}").expect("an object");
        assert_eq!(refusal(&rule, &event, None).as_deref(), Some("consent: nothing was said about it"));
    }
}
