//! What answers are built of.

use super::error::ApiError;
use crate::state::View;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use tributary_model::{ErrorCode, NodeKey, ProfileId};

/// An answer: members by name.
pub(super) type Body = BTreeMap<&'static str, Box<RawValue>>;

/// A member of an answer.
pub(super) fn member<T: serde::Serialize>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("plain values can be written")
}

/// A JSON text that is already there, to be put into an answer as it is: numbers keep every digit.
pub(super) fn raw(text: &str) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(text.to_owned())
        .map_err(|_| ApiError::Refused(ErrorCode::Internal, "a stored value is not JSON".into()))
}

/// The bytes of an answer.
pub(super) fn bytes(body: &Body) -> Vec<u8> {
    serde_json::to_vec(body).expect("an answer of plain values can be written")
}

/// An identifier as `namespace:value`.
pub(super) fn text(node: &NodeKey) -> String {
    node.identifier.to_text()
}

/// A whole profile in short: its id, who it is made of, its traits, and how many events it has.
pub(super) fn profile(id: ProfileId, view: &View) -> Result<Body, ApiError> {
    let identifiers: Vec<String> = view.profile.identifiers().map(text).collect();
    let mut traits: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
    for (name, value, _) in view.traits() {
        traits.insert(name, raw(&value)?);
    }
    Ok(Body::from([
        ("profile_id", member(&id.to_string())),
        ("identifiers", member(&identifiers)),
        ("traits", member(&traits)),
        ("event_count", member(&view.merged.events())),
    ]))
}
