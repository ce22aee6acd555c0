//! How mappings, filters and rules of consent are read from what was sent. Whether they work with the definition, the
//! engine's own check tells.

use serde_json::Value;
use tributary_model::condition::{self, Condition, FieldPath, Scope};
use tributary_model::workspace::{ConsentRule, DestinationFilter, FilterAction, Mapping};

use super::bodies::{ConsentPatch, FieldsBody, FilterActionBody, FilterPut, MappingPut, SampleBody};
use super::literals;
use crate::admin::audiences::refused_condition;
use crate::admin::edit::{check_name_at, invalid_at};
use crate::workspaces::Refusal;

/// Reads mappings. Those without a number get one above `largest`, the largest that was ever given, and above all that were
/// sent.
pub(super) fn mappings(sent: Vec<MappingPut>, largest: u32) -> Result<Vec<Mapping>, Refusal> {
    let mut last = sent.iter().filter_map(|mapping| mapping.id).fold(largest, u32::max);
    let mut read = Vec::with_capacity(sent.len());
    for (at, mapping) in sent.into_iter().enumerate() {
        let place = format!("mappings[{at}]");
        let id = mapping.id.unwrap_or_else(|| {
            last = last.saturating_add(1);
            last
        });
        check_name_at(&format!("{place}.name"), &mapping.name)?;
        let trigger = mapping.trigger.as_ref();
        let trigger = trigger.map(|trigger| about_event(trigger, &format!("{place}.trigger"))).transpose()?;
        check_tree(mapping.trigger_tree.as_ref(), trigger.as_ref(), &format!("{place}.trigger"))?;
        read.push(Mapping {
            id,
            name: mapping.name,
            action: mapping.action,
            enabled: mapping.enabled.unwrap_or(true),
            trigger,
            fields: literals::fields(mapping.fields, &format!("{place}.fields"))?,
        });
    }
    Ok(read)
}

/// Reads filters.
pub(super) fn filters(sent: Vec<FilterPut>) -> Result<Vec<DestinationFilter>, Refusal> {
    let read = |(at, filter): (usize, FilterPut)| {
        let place = format!("filters[{at}]");
        check_name_at(&format!("{place}.name"), &filter.name)?;
        let condition = about_event(&filter.condition, &format!("{place}.condition"))?;
        check_tree(filter.condition_tree.as_ref(), Some(&condition), &format!("{place}.condition"))?;
        let action = action(filter.action, &format!("{place}.action"))?;
        Ok(DestinationFilter { name: filter.name, condition, action })
    };
    sent.into_iter().enumerate().map(read).collect()
}

/// Puts what was sent over a rule of consent.
pub(super) fn consent(sent: ConsentPatch, known: &mut ConsentRule) {
    if let Some(categories) = sent.categories {
        known.categories = categories.into_iter().collect();
    }
    known.missing = sent.missing.unwrap_or(known.missing);
}

/// Reads a condition about an event, in either form.
pub(super) fn about_event(sent: &Value, place: &str) -> Result<Condition, Refusal> {
    condition::read_condition(sent, Scope::Event).map_err(|error| refused_condition(place, error))
}

/// What was shown beside a condition may be sent back, but says nothing: only the condition counts.
fn check_tree(sent: Option<&Value>, condition: Option<&Condition>, place: &str) -> Result<(), Refusal> {
    let Some(sent) = sent else { return Ok(()) };
    let shown = serde_json::to_value(condition).expect("a tree of plain values can be written");
    if *sent == shown {
        return Ok(());
    }
    let advice = format!(" differs from `{place}`; write the changed tree there, which takes both forms");
    Err(invalid_at(&format!("{place}_tree"), &advice))
}

fn action(sent: FilterActionBody, place: &str) -> Result<FilterAction, Refusal> {
    Ok(match sent {
        FilterActionBody::Drop(_) => FilterAction::Drop,
        FilterActionBody::Sample(SampleBody { percent, path }) => {
            FilterAction::Sample { percent, path: field(&path, &format!("{place}.sample.path"))? }
        }
        FilterActionBody::DropProperties(FieldsBody { fields }) => {
            FilterAction::DropProperties { fields: paths(&fields, &format!("{place}.drop_properties"))? }
        }
        FilterActionBody::AllowProperties(FieldsBody { fields }) => {
            FilterAction::AllowProperties { fields: paths(&fields, &format!("{place}.allow_properties"))? }
        }
    })
}

fn paths(texts: &[String], place: &str) -> Result<Vec<FieldPath>, Refusal> {
    let path = |(at, text): (usize, &String)| field(text, &format!("{place}.fields[{at}]"));
    texts.iter().enumerate().map(path).collect()
}

fn field(text: &str, place: &str) -> Result<FieldPath, Refusal> {
    text.parse().map_err(|error| invalid_at(place, &format!(": {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tributary_model::workspace::MissingConsent;

    fn read(sent: Value, largest: u32) -> Result<Vec<u32>, Refusal> {
        let sent: Vec<MappingPut> = serde_json::from_value(sent).expect("bodies");
        let mappings = mappings(sent, largest)?;
        Ok(mappings.iter().map(|mapping| mapping.id).collect())
    }

    #[test]
    fn mappings_get_numbers_that_nothing_had() {
        let named = json!({"name": "a", "action": "send"});
        let numbered = |id: u32| json!({"id": id, "name": "a", "action": "send"});
        let cases = [
            (json!([named, named]), 0, vec![1, 2]),
            (json!([named, numbered(1)]), 1, vec![2, 1]),
            (json!([named]), 4, vec![5]),
            (json!([named, numbered(9), named]), 2, vec![10, 9, 11]),
        ];
        for (sent, largest, want) in cases {
            assert_eq!(
                read(sent.clone(), largest).expect("they can be read"),
                want,
                "{sent} after {largest}"
            );
        }
    }

    #[test]
    fn of_consent_what_is_not_sent_stays() {
        let known = || ConsentRule { categories: ["ads".to_owned()].into(), missing: MissingConsent::Open };
        let rule = |categories: &[&str], missing: MissingConsent| ConsentRule {
            categories: categories.iter().map(|name| (*name).to_owned()).collect(),
            missing,
        };
        let cases = [
            (json!({}), known()),
            (json!({"missing": "closed"}), rule(&["ads"], MissingConsent::Closed)),
            (json!({"categories": ["mail", "ads"]}), rule(&["ads", "mail"], MissingConsent::Open)),
            (json!({"categories": [], "missing": "closed"}), rule(&[], MissingConsent::Closed)),
        ];
        for (sent, want) in cases {
            let mut changed = known();
            consent(serde_json::from_value(sent.clone()).expect("a body"), &mut changed);
            assert_eq!(changed, want, "{sent}");
        }
    }

    #[test]
    fn a_filter_is_read_with_the_place_of_what_is_wrong() {
        let filter = |action: Value| json!([{"name": "f", "condition": "event = \"x\"", "action": action}]);
        let cases = [
            (filter(json!({"drop": {}})), None),
            (filter(json!({"sample": {"percent": 12.5, "path": "userId"}})), None),
            (
                filter(json!({"sample": {"percent": 1, "path": "a..b"}})),
                Some("filters[0].action.sample.path"),
            ),
            (
                filter(json!({"drop_properties": {"fields": ["a", ""]}})),
                Some("filters[0].action.drop_properties.fields[1]"),
            ),
            (
                filter(json!({"allow_properties": {"fields": ["a\\b"]}})),
                Some("filters[0].action.allow_properties.fields[0]"),
            ),
            (
                json!([{"name": "f", "condition": "traits.x = 1", "action": {"drop": {}}}]),
                Some("filters[0].condition"),
            ),
            (
                json!([{"name": "", "condition": "event = \"x\"", "action": {"drop": {}}}]),
                Some("filters[0].name"),
            ),
            (
                json!([{"name": "f", "condition": "event = \"x\"", "condition_tree": {"all": []}, "action": {"drop": {}}}]),
                Some("filters[0].condition_tree"),
            ),
        ];
        for (sent, want) in cases {
            let bodies: Vec<FilterPut> = serde_json::from_value(sent.clone()).expect("bodies");
            let place = filters(bodies).err().and_then(|refusal| refusal.fault).map(|fault| fault.place);
            assert!(
                want.map_or(place.is_none(), |want| place
                    .as_ref()
                    .is_some_and(|place| place.starts_with(want))),
                "{sent}: {place:?}"
            );
        }
    }

    #[test]
    fn what_a_filter_does_is_an_object() {
        let actions = [
            (json!({"drop": {}}), true),
            (json!({"drop": []}), false),
            (json!({"drop": {"x": 1}}), false),
            (json!({"sample": [10, "userId"]}), false),
            (json!({"drop_properties": [["properties.card"]]}), false),
            (json!({"allow_properties": [["properties.card"]]}), false),
        ];
        for (action, is_taken) in actions {
            let read = serde_json::from_value::<FilterActionBody>(action.clone());
            assert_eq!(read.is_ok(), is_taken, "{action}: {read:?}");
            let read = serde_json::from_str::<FilterActionBody>(&action.to_string());
            assert_eq!(read.is_ok(), is_taken, "{action} as text: {read:?}");
        }
    }
}
