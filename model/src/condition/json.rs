//! The JSON form: the tree as it is serialized, or a string with the text form.

use super::check::{check_aggregate, check_condition};
use super::error::{ConditionError, Scope};
use super::text::{parse_aggregate, parse_condition};
use super::tree::{Aggregate, Condition};
use serde::de::DeserializeOwned;
use serde_json::Value;

#[cfg(test)]
mod tests;

/// Reads a condition: from a string as text, from an object as a tree.
///
/// # Errors
/// If it is neither, or one that makes no sense where it is to stand: where, and why.
pub fn read_condition(json: &Value, scope: Scope) -> Result<Condition, ConditionError> {
    match json {
        Value::String(text) => parse_condition(text, scope),
        Value::Object(_) => {
            let condition = read(json)?;
            check_condition(&condition, scope)?;
            Ok(condition)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            let hint = r#"write text, "traits.plan = \"pro\"", or a tree, {"compare": …}"#.to_owned();
            Err(ConditionError::in_tree("", "is no condition").hinted(hint))
        }
    }
}

/// Reads what is computed from events: from a string as text, from an object as a tree.
///
/// # Errors
/// As [`read_condition`].
pub fn read_aggregate(json: &Value) -> Result<Aggregate, ConditionError> {
    match json {
        Value::String(text) => parse_aggregate(text),
        Value::Object(_) => {
            let aggregate = read(json)?;
            check_aggregate(&aggregate)?;
            Ok(aggregate)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            let hint = r#"write text, "count(event(\"…\"))", or a tree, {"function": …, "of": …}"#.to_owned();
            Err(ConditionError::in_tree("", "is nothing that can be computed").hinted(hint))
        }
    }
}

fn read<T: DeserializeOwned>(json: &Value) -> Result<T, ConditionError> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { "" } else { place.as_str() };
        ConditionError::in_tree(place, said(&error.inner().to_string()))
    })
}

/// What serde says, without its words for types, and without the value that stands there.
fn said(message: &str) -> String {
    if message.starts_with("data did not match any variant") {
        return "is no value: write text, a number, true, false or null".to_owned();
    }
    let is_type = message.starts_with("invalid type") || message.starts_with("invalid value");
    if let Some((_, expected)) = message.split_once(", expected ").filter(|_| is_type) {
        let expected = match expected {
            "string or map" | "map with a single key" => "an object with one member, named as what it is",
            "a string" => "text",
            "a sequence" => "a list",
            other if other.starts_with("struct ") => "an object",
            other => other,
        };
        return format!("has the wrong form: write {expected}");
    }
    message.replacen("unknown variant", "unknown name", 1)
}
