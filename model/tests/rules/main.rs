//! Identity rules through their public face: what is refused and why, what is read from events, the agreement with
//! a slow and obvious reading, and the stored forms.

mod agreement;
mod reading;
mod reference;
mod refusals;
mod stored;

use serde_json::Value;
use tributary_model::identity_rules::{IdentifierReader, IdentityRules, RulesError, WrittenRules};
use tributary_model::{EventIdentifiers, EventView, Identifier};

/// Checks a document of rules.
fn check(rules: &Value) -> Result<IdentityRules, RulesError> {
    IdentityRules::check(
        serde_json::from_value::<WrittenRules>(rules.clone()).expect("any JSON is written rules"),
    )
}

/// The reader of a document of rules that work.
fn reader(rules: &Value) -> IdentifierReader {
    let rules = check(rules).unwrap_or_else(|error| panic!("{rules}: {error}"));
    IdentifierReader::new(&rules).expect("checked rules compile")
}

/// What a reader makes of an event.
fn read(reader: &IdentifierReader, event: &str) -> EventIdentifiers {
    reader.read(&EventView::parse(event.as_bytes()).expect(event))
}

/// Identifiers as texts.
fn texts(identifiers: &[Identifier]) -> Vec<String> {
    identifiers.iter().map(Identifier::to_text).collect()
}
