//! The condition language through its public face: every tree that is accepted has a text form and a JSON form, from
//! which it is read back as it was; and no text brings the reader down.

mod trees;

use proptest::prelude::*;
use trees::Stand;
use tributary_model::condition::{
    Condition, ConditionError, Scope, check_condition, parse_aggregate, parse_condition, read_aggregate,
    read_condition,
};

/// Trees over a limit are left out; any other refusal would be wrong.
fn is_over_limit(error: &ConditionError) -> bool {
    error.message.contains("has more than 200") || error.message.contains("the limit is 20000")
}

fn comes_back(condition: &Condition, scope: Scope) -> Result<(), TestCaseError> {
    let text = condition.to_string();
    match check_condition(condition, scope) {
        Err(error) if is_over_limit(&error) => return Err(TestCaseError::reject("over a limit")),
        Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
        Ok(()) => {}
    }
    prop_assert_eq!(parse_condition(&text, scope), Ok(condition.clone()), "{}", text);
    let json = serde_json::to_string(condition).expect("it can be written");
    prop_assert_eq!(&serde_json::from_str::<Condition>(&json).expect("its own form"), condition, "{}", json);
    let value = serde_json::to_value(condition).expect("it can be written");
    prop_assert_eq!(read_condition(&value, scope), Ok(condition.clone()), "{}", json);
    prop_assert_eq!(read_condition(&text.into(), scope), Ok(condition.clone()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn conditions_about_profiles_come_back(condition in trees::condition(Stand::Profile)) {
        comes_back(&condition, Scope::Profile)?;
    }

    #[test]
    fn conditions_about_accounts_come_back(condition in trees::condition(Stand::Account)) {
        comes_back(&condition, Scope::Account)?;
    }

    #[test]
    fn conditions_about_events_come_back(condition in trees::condition(Stand::Event)) {
        comes_back(&condition, Scope::Event)?;
    }

    #[test]
    fn aggregates_come_back(aggregate in trees::any_aggregate()) {
        let text = aggregate.to_string();
        prop_assert_eq!(parse_aggregate(&text), Ok(aggregate.clone()), "{}", text);
        let value = serde_json::to_value(&aggregate).expect("it can be written");
        prop_assert_eq!(read_aggregate(&value), Ok(aggregate.clone()), "{}", text);
    }

    #[test]
    fn any_words_are_read_or_refused_at_a_place(text in trees::words()) {
        for scope in [Scope::Profile, Scope::Account, Scope::Event] {
            match parse_condition(&text, scope) {
                Ok(condition) => {
                    let written = condition.to_string();
                    prop_assert_eq!(parse_condition(&written, scope), Ok(condition), "{} from {}", written, text);
                }
                Err(error) => {
                    let at = error.at.expect("texts have places");
                    prop_assert!(text.is_char_boundary(at.offset), "{}: {:?}", text, at);
                    prop_assert!(!error.message.is_empty() && error.message != "expected something else");
                }
            }
        }
    }

    #[test]
    fn any_characters_are_read_or_refused(text in any::<String>()) {
        let refused = parse_condition(&text, Scope::Profile);
        prop_assert!(refused.is_err_and(|error| error.at.is_some()));
    }
}
