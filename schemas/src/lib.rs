//! What an event must look like: the shared JSON Schemas (draft 2020-12), one for each call and one for the
//! fields that all calls share.
//!
//! The collector's typed parser accepts exactly what these accept; a property test over generated events holds
//! the two together. Left out of the schemas are limits that count bytes or members.

use serde_json::{Map, Value};
use tributary_model::EventKind;

/// The schema of the fields that all calls share.
pub const COMMON: &str = include_str!("../spec/common.json");

/// The schema of any event: one of the six calls.
pub const EVENT: &str = include_str!("../spec/event.json");

/// The schema of one call. It refers to [`COMMON`] as `common.json`, relative to its `$id`.
pub const fn spec(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Identify => include_str!("../spec/identify.json"),
        EventKind::Track => include_str!("../spec/track.json"),
        EventKind::Page => include_str!("../spec/page.json"),
        EventKind::Screen => include_str!("../spec/screen.json"),
        EventKind::Group => include_str!("../spec/group.json"),
        EventKind::Alias => include_str!("../spec/alias.json"),
    }
}

/// One document that needs no other: the schema of any event with all it refers to in `$defs`, each under
/// its own `$id`, as validators expect of a bundle.
pub fn bundle() -> Value {
    let mut definitions = Map::new();
    definitions.insert("common".to_owned(), parse(COMMON));
    for kind in EventKind::ALL {
        definitions.insert(kind.name().to_owned(), parse(spec(kind)));
    }
    embed(parse(EVENT), definitions)
}

/// One document that needs no other: the schema of one call, with the common fields in `$defs`.
pub fn bundle_of(kind: EventKind) -> Value {
    let definitions = Map::from_iter([("common".to_owned(), parse(COMMON))]);
    embed(parse(spec(kind)), definitions)
}

fn embed(mut document: Value, definitions: Map<String, Value>) -> Value {
    document["$defs"] = Value::Object(definitions);
    document
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the schemas are part of the program, and a test reads each")
}

#[cfg(test)]
mod tests;
