//! The `integrations` object of an event: which destinations its sender lets have it. Pure.
//!
//! `{"All": false}` leaves out every destination that the object does not name with something that is not false;
//! `{"<name>": false}` leaves out that one. A destination is named by its own name, its id, its definition's name, or its
//! definition's title, exactly; of several of these the first one counts. A null names nothing, and anything that is no
//! object says nothing.

use tributary_model::json::{Members, is_null};

/// Whether an event leaves out a destination of these names, of which the first that is given counts.
pub(crate) fn leaves_out(event: &Members<'_>, names: &[String]) -> bool {
    let Some(said) = event.object("integrations") else { return false };
    let named = names.iter().find_map(|name| said.get(name).filter(|value| !is_null(value)));
    match named {
        Some(value) => value.get() == "false",
        None => said.get("All").is_some_and(|value| value.get() == "false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_says_about_destinations_is_followed() {
        let names = ["hook".to_owned(), "dst_3".to_owned(), "webhook".to_owned(), "Webhook".to_owned()];
        let cases = [
            (r#"{}"#, false),
            (r#"{"integrations":{}}"#, false),
            (r#"{"integrations":{"All":true}}"#, false),
            (r#"{"integrations":{"All":false}}"#, true),
            (r#"{"integrations":{"All":false,"Webhook":true}}"#, false),
            (r#"{"integrations":{"All":false,"hook":{"key":1}}}"#, false),
            (r#"{"integrations":{"All":false,"Other":true}}"#, true),
            (r#"{"integrations":{"webhook":false}}"#, true),
            (r#"{"integrations":{"All":true,"hook":false}}"#, true),
            (r#"{"integrations":{"All":false,"hook":null}}"#, true),
            (r#"{"integrations":{"All":false,"hook":null,"webhook":true}}"#, false),
            (r#"{"integrations":{"All":true,"hook":null,"Webhook":false}}"#, true),
            (r#"{"integrations":{"All":false,"hook":false,"webhook":true}}"#, true),
            (r#"{"integrations":{"All":false,"dst_3":true}}"#, false),
            (r#"{"integrations":{"dst_3":false,"webhook":true}}"#, true),
            (r#"{"integrations":{"dst_4":false}}"#, false),
            (r#"{"integrations":{"WEBHOOK":false}}"#, false),
            (r#"{"\u0069ntegrations":{"webhook":false}}"#, true),
            (r#"{"integrations":false}"#, false),
            (r#"{"properties":{"integrations":{"All":false}}}"#, false),
            (r#"{"integrations":{"All":"false"}}"#, false),
        ];
        for (event, want) in cases {
            let members = Members::parse(event).expect("an object");
            assert_eq!(leaves_out(&members, &names), want, "{event}");
        }
    }
}
