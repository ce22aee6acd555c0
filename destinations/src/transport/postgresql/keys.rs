//! Whether the columns that a mapping needs are among those that it fills: what is looked at before it is saved. Pure.

use super::names::{NAME_BYTES_MAX, identifier};
use crate::definition::{ActionSpec, SettingsError, Spec};
use serde_json::{Map, Value};
use tributary_model::workspace::Mapping;

/// How deep the members of a row are looked into; below, there may be any.
const DEPTH_MAX: usize = 20;

/// How many bytes shorter than the longest a name may be that was cut, so that it says nothing of what it was made of.
const CUT_BYTES_MAX: usize = 3;

/// That the columns of `key` and `newest_by` are filled by the row, as far as that can be told without an event. It can't
/// where members of the event become columns.
///
/// # Errors
/// The first column that is never filled.
pub(crate) fn check_columns(spec: &Spec, mappings: &[Mapping]) -> Result<(), SettingsError> {
    for (at, mapping) in mappings.iter().enumerate().filter(|(_, mapping)| mapping.enabled) {
        if let Some(action) = spec.action(&mapping.action) {
            check_mapping(action, mapping, &format!("mappings[{at}].fields"))?;
        }
    }
    Ok(())
}

fn check_mapping(action: &ActionSpec, mapping: &Mapping, place: &str) -> Result<(), SettingsError> {
    let spread = filling(action, mapping, "spread");
    let (None, Some(Value::Object(row))) = (spread, filling(action, mapping, "row")) else { return Ok(()) };
    if is_directive(row) {
        return Ok(());
    }
    let mut columns = Columns::default();
    columns.add("", row, DEPTH_MAX);
    for field in ["key", "newest_by"] {
        let named = texts(filling(action, mapping, field));
        let Some(missing) = named.into_iter().find(|name| !columns.may_have(&identifier(name))) else {
            continue;
        };
        return Err(if mapping.fields.contains_key(field) {
            let message = format!("names the column {missing:?}, which nothing in `row` fills: add it there");
            SettingsError::new(format!("{place}.{field}"), message)
        } else {
            let message =
                format!("lacks the column {missing:?}, which is the `{field}`: add it, or map `{field}`");
            SettingsError::new(format!("{place}.row"), message)
        });
    }
    Ok(())
}

/// What a field is filled with: as the mapping says, or else as the action does.
fn filling<'a>(action: &'a ActionSpec, mapping: &'a Mapping, name: &str) -> Option<&'a Value> {
    let default = || action.fields.iter().find(|field| field.name == name)?.default.as_ref();
    mapping.fields.get(name).or_else(default).filter(|value| !value.is_null())
}

/// A text, or those in a list.
fn texts(value: Option<&Value>) -> Vec<&str> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    value.into_iter().chain(items).filter_map(Value::as_str).collect()
}

fn is_directive(members: &Map<String, Value>) -> bool {
    members.keys().any(|name| name.starts_with('@'))
}

/// The columns of a row.
#[derive(Default)]
struct Columns {
    known: Vec<String>,
    /// The names of columns that may be objects: then there are columns whose names begin so.
    open: Vec<String>,
}

impl Columns {
    fn add(&mut self, prefix: &str, members: &Map<String, Value>, depth: usize) {
        for (name, value) in members {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}_{name}") };
            match value.as_object() {
                None => self.known.push(identifier(&path)),
                Some(inner) if depth == 0 || is_directive(inner) => self.open.push(identifier(&path)),
                Some(inner) => self.add(&path, inner, depth - 1),
            }
        }
    }

    /// Whether a row may have that column. A `_` in front is no part of what a name was made of.
    fn may_have(&self, column: &str) -> bool {
        let may_lead = |open: &String| {
            let rest = column.trim_start_matches('_').strip_prefix(open.trim_start_matches('_'));
            open.starts_with("unnamed_") || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        column.len() + CUT_BYTES_MAX >= NAME_BYTES_MAX
            || self.known.iter().any(|known| known == column)
            || self.open.iter().any(may_lead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;
    use serde_json::json;

    #[test]
    fn columns_that_nothing_fills_are_refused() {
        let row = json!({"id": {"@path": "$.delivery.shared_id"}, "context": {"@path": "$.context"}, "a": {"b": 1}});
        let cases = [
            ("tracks", json!({}), None),
            ("tracks", json!({"key": ["nope"]}), Some("mappings[0].fields.key")),
            ("tracks", json!({"key": "nope"}), Some("mappings[0].fields.key")),
            ("tracks", json!({"key": ["id", "nope"], "row": row}), Some("mappings[0].fields.key")),
            ("tracks", json!({"key": ["messageId"], "newest_by": "eventTime"}), None),
            ("tracks", json!({"key": ["identity"]}), Some("mappings[0].fields.key")),
            ("tracks", json!({"newest_by": "then"}), Some("mappings[0].fields.newest_by")),
            ("tracks", json!({"key": ["a_b"], "row": row}), None),
            ("tracks", json!({"key": ["a"], "row": row}), Some("mappings[0].fields.key")),
            ("tracks", json!({"row": {"total": 1}}), Some("mappings[0].fields.row")),
            // What an object has in it, only the event tells.
            ("tracks", json!({"key": ["context_page_url"], "row": row}), None),
            ("tracks", json!({"key": ["nope"], "spread": {"property": {"@path": "$.properties"}}}), None),
            ("tracks", json!({"key": ["nope"], "row": {"@path": "$.properties"}}), None),
            ("tracks", json!({"key": {"@path": "$.properties.key"}}), None),
            ("tracks", json!({"key": ["x".repeat(80)]}), None),
            ("events", json!({"key": ["nope"]}), None),
            ("events", json!({"key": ["nope"], "spread": null}), Some("mappings[0].fields.key")),
        ];
        let spec = registry::find("postgresql").expect("the catalog has it");
        for (action, fields, want) in cases {
            let mapping =
                json!([{"id": 1, "name": "m", "action": action, "enabled": true, "fields": fields}]);
            let mut mappings: Vec<Mapping> = serde_json::from_value(mapping).expect("mappings");
            let refused = check_columns(spec, &mappings).err();
            let place = refused.as_ref().map(|error| error.field.as_str());
            assert_eq!(place, want, "{action} {fields}: {refused:?}");
            mappings[0].enabled = false;
            assert_eq!(check_columns(spec, &mappings), Ok(()), "{action} {fields}, off");
        }
    }

    #[test]
    fn every_action_fills_its_own_columns() {
        let spec = registry::find("postgresql").expect("the catalog has it");
        for action in &spec.actions {
            let fields = json!({"spread": null});
            let mapping =
                json!([{"id": 1, "name": "m", "action": action.name, "enabled": true, "fields": fields}]);
            let mappings: Vec<Mapping> = serde_json::from_value(mapping).expect("mappings");
            assert_eq!(check_columns(spec, &mappings), Ok(()), "{}", action.name);
        }
    }
}
