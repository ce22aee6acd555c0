//! The settings of destinations between their three forms: as sent, as stored (secrets sealed), as shown
//! (secrets masked).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tributary_destinations::{Definition, RawSettings, registry};
use tributary_model::workspace::{Destination, SettingValue};
use tributary_model::{DestinationId, ErrorCode, WorkspaceId};

use crate::seal::{Place, SealingKey, UnsealError};
use crate::workspaces::Refusal;

/// What stands in for a secret. Sent back, it keeps the secret.
pub const MASK: &str = "********";

/// Settings as stored.
pub(super) type Stored = BTreeMap<String, SettingValue>;

/// What becomes of known settings that are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// They stay.
    Kept,
    /// They go.
    Dropped,
}

/// The definition of that name.
pub(super) fn definition(name: &str) -> Result<&'static dyn Definition, Refusal> {
    registry::find(name).ok_or_else(|| {
        let known: Vec<&str> =
            registry::definitions().iter().map(|definition| definition.spec().name.as_str()).collect();
        let message =
            format!("`definition`: there is no definition {name:?}; there are {}", known.join(", "));
        Refusal::new(ErrorCode::InvalidRequest, message)
    })
}

/// A destination's settings, secrets unsealed: what its definition is configured with.
///
/// # Errors
/// If a secret does not open.
pub fn unsealed(
    key: &SealingKey,
    workspace: WorkspaceId,
    destination: &Destination,
) -> Result<RawSettings, UnsealError> {
    unseal_all(key, workspace, destination.id, &destination.settings)
}

/// A destination's settings as shown.
pub(super) fn shown(settings: &Stored) -> Map<String, Value> {
    let show = |value: &SettingValue| match value {
        SettingValue::Plain(value) => value.clone(),
        SettingValue::Sealed(_) => Value::from(MASK),
    };
    settings.iter().map(|(name, value)| (name.clone(), show(value))).collect()
}

/// Puts sent settings over known ones and checks the result with the definition. A null removes a setting, a
/// masked secret keeps its value.
///
/// # Errors
/// If a setting is unknown, missing or wrong, or a mask is sent where no secret is known.
pub(super) fn merge(
    key: &SealingKey,
    definition: &dyn Definition,
    (workspace, destination): (WorkspaceId, DestinationId),
    known: &Stored,
    sent: Map<String, Value>,
    unsent: Unsent,
) -> Result<Stored, Refusal> {
    let mut merged = match unsent {
        Unsent::Kept => known.clone(),
        Unsent::Dropped => Stored::new(),
    };
    for (name, value) in sent {
        let secret = definition.spec().setting(&name).is_some_and(|setting| setting.secret);
        if value.is_null() {
            merged.remove(&name);
        } else if secret && value == MASK {
            let kept = known.get(&name).ok_or_else(|| {
                refused(&name, "is masked, but no value is known that it could keep; send the value itself")
            })?;
            merged.insert(name, kept.clone());
        } else {
            merged.insert(name, SettingValue::Plain(value));
        }
    }
    let raw = unseal_all(key, workspace, destination, &merged).map_err(unopened)?;
    definition.configure(&raw).map_err(|error| refused(&error.field, &error.message))?;
    // A known secret that does not open any more can still be replaced.
    let before = unseal_all(key, workspace, destination, known).unwrap_or_default();
    for (name, value) in &mut merged {
        let secret = definition.spec().setting(name).is_some_and(|setting| setting.secret);
        let SettingValue::Plain(plain) = &*value else { continue };
        if !secret {
            continue;
        }
        // A secret that is sent as it is already must not make another version.
        if before.get(name) == Some(plain)
            && let Some(same) = known.get(name)
        {
            *value = same.clone();
            continue;
        }
        let text = plain.as_str().ok_or_else(|| refused(name, "must be text"))?;
        *value = SettingValue::Sealed(key.seal(Place { workspace, destination, setting: name }, text));
    }
    Ok(merged)
}

fn unseal_all(
    key: &SealingKey,
    workspace: WorkspaceId,
    destination: DestinationId,
    settings: &Stored,
) -> Result<RawSettings, UnsealError> {
    let unseal = |(name, value): (&String, &SettingValue)| {
        let value = match value {
            SettingValue::Plain(value) => value.clone(),
            SettingValue::Sealed(sealed) => {
                Value::from(key.open(Place { workspace, destination, setting: name }, sealed)?.expose())
            }
        };
        Ok::<_, UnsealError>((name.clone(), value))
    };
    settings.iter().map(unseal).collect()
}

fn refused(name: &str, message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, format!("`settings.{name}` {message}"))
}

/// The message names the setting, never its value.
fn unopened(error: UnsealError) -> Refusal {
    tracing::error!(%error, "a sealed setting does not open");
    Refusal::new(ErrorCode::Internal, error.to_string())
}
