//! The settings of destinations between their three forms: as sent, as stored (secrets sealed), as shown
//! (secrets masked).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tributary_destinations::{RawSettings, SettingKind, SettingSpec, SettingsError, Spec, registry};
use tributary_model::workspace::{Destination, SettingValue};
use tributary_model::{DestinationId, ErrorCode, WorkspaceId};

use super::edit::{invalid, invalid_at};
use crate::seal::{Place, SealingKey, UnsealError};
use crate::workspaces::Refusal;

/// What stands in for a secret. Sent back, it keeps the secret.
pub const MASK: &str = "********";

/// Settings as stored. While a change is made, secrets that were sent stand in the clear.
pub(super) type Stored = BTreeMap<String, SettingValue>;

/// Settings after a change, secrets that were sent in the clear.
pub(super) struct Merged {
    pub(super) settings: Stored,
    /// The places of parts of secrets that were not sent anew, such as `headers.x-api-key`: they stand in the clear, too.
    pub(super) kept: Vec<String>,
}

/// What becomes of known settings that are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// They stay.
    Kept,
    /// They go.
    Dropped,
}

/// The definition of that name.
pub(super) fn definition(name: &str) -> Result<&'static Spec, Refusal> {
    registry::find(name).ok_or_else(|| {
        let known: Vec<&str> = registry::definitions().iter().map(|spec| spec.name.as_str()).collect();
        invalid(format!("`definition`: there is no definition {name:?}; there are {}", known.join(", ")))
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
    unseal_all(
        key,
        registry::find(&destination.definition),
        (workspace, destination.id),
        &destination.settings,
    )
}

/// A destination's settings as shown.
pub(super) fn shown(settings: &Stored) -> Map<String, Value> {
    let show = |value: &SettingValue| match value {
        SettingValue::Plain(value) => value.clone(),
        SettingValue::Sealed(_) => Value::from(MASK),
    };
    settings.iter().map(|(name, value)| (name.clone(), show(value))).collect()
}

/// Puts sent settings over known ones. A null removes a setting, a masked secret keeps its value, and so does a masked one
/// of several in a setting. A null for what is no setting stays, to be refused as such.
///
/// # Errors
/// If a mask is sent where no secret is known or as a part of a value, or a secret of which a part is kept does not open.
pub(super) fn merge(
    key: &SealingKey,
    spec: &Spec,
    place: (WorkspaceId, DestinationId),
    known: &Stored,
    sent: Map<String, Value>,
    unsent: Unsent,
) -> Result<Merged, Refusal> {
    let mut merged = match unsent {
        Unsent::Kept => known.clone(),
        Unsent::Dropped => Stored::new(),
    };
    let mut kept = Vec::new();
    for (name, value) in sent {
        check_masks(spec, known, &name, &value)?;
        if value.is_null() && (spec.setting(&name).is_some() || known.contains_key(&name)) {
            merged.remove(&name);
        } else if is_secret(spec, &name) && value == MASK {
            let before = known.get(&name).ok_or_else(|| nothing_kept(&name))?;
            merged.insert(name, before.clone());
        } else if is_secret(spec, &name) && has_masks(&value) {
            let before = known.get_key_value(&name).map(|(name, value)| (name.clone(), value.clone()));
            let before = opened(key, spec, place, &Stored::from_iter(before))?;
            let value = with_kept(&name, value, before.get(&name), &mut kept)?;
            merged.insert(name, SettingValue::Plain(value));
        } else {
            merged.insert(name, SettingValue::Plain(value));
        }
    }
    Ok(Merged { settings: merged, kept })
}

/// Refuses what was copied from where a part of it is hidden: it would be saved with the mask in it.
fn check_masks(spec: &Spec, known: &Stored, name: &str, value: &Value) -> Result<(), Refusal> {
    let is_secret = is_secret(spec, name);
    let is_url = spec.setting(name).is_some_and(|setting| setting.kind == SettingKind::Url);
    let before = known.get(name);
    let is_same = matches!(before, Some(SettingValue::Plain(before)) if before == value);
    if !(is_secret || is_url) || is_same {
        return Ok(());
    }
    let in_part = |value: &Value| *value != MASK && value.as_str().is_some_and(|text| text.contains(MASK));
    let place = if in_part(value) {
        Some(name.to_owned())
    } else {
        let mut members = value.as_object().into_iter().flatten();
        members.find(|(_, value)| in_part(value)).map(|(member, _)| format!("{name}.{member}"))
    };
    let Some(place) = place else { return Ok(()) };
    let advice = "is masked in part; send the whole value";
    let keep = format!(", or {MASK} alone to keep it");
    let keep = if is_secret && before.is_some() { keep.as_str() } else { "" };
    Err(refused(&place, &format!("{advice}{keep}")))
}

/// Whether masks stand in the place of members.
fn has_masks(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().any(|member| *member == MASK))
}

/// The object with what was known in the place of masks. Members are headers, whose names are the same in small and in
/// capital letters.
fn with_kept(
    name: &str,
    mut sent: Value,
    known: Option<&Value>,
    kept: &mut Vec<String>,
) -> Result<Value, Refusal> {
    let known = known.and_then(Value::as_object);
    for (member, value) in sent.as_object_mut().into_iter().flatten() {
        if *value != MASK {
            continue;
        }
        let place = format!("{name}.{member}");
        let mut before = known.into_iter().flatten();
        let before = before.find(|(known, _)| known.eq_ignore_ascii_case(member));
        let (_, before) = before.ok_or_else(|| nothing_kept(&place))?;
        *value = before.clone();
        kept.push(place);
    }
    Ok(sent)
}

fn nothing_kept(place: &str) -> Refusal {
    refused(place, "is masked, but no value is known that it could keep; send the value itself")
}

/// Refuses that requests go elsewhere with secrets that were given for another place: whoever may change where they go
/// may not know the secrets.
///
/// # Errors
/// A secret that was not sent anew, as a whole or in a part of `kept`, though a setting changed that says where requests go.
pub(super) fn check_secrets(
    spec: &Spec,
    known: &Stored,
    merged: &Stored,
    kept: &[String],
) -> Result<(), Refusal> {
    let changed =
        |setting: &&SettingSpec| setting.leads && counting(setting, known) != counting(setting, merged);
    let Some(leading) = spec.settings.iter().find(changed) else { return Ok(()) };
    let sealed = merged.iter().find(|(_, value)| matches!(value, SettingValue::Sealed(_)));
    match sealed.map(|(name, _)| name).or(kept.first()) {
        Some(name) => {
            let leading = &leading.name;
            Err(refused(
                name,
                &format!("has to be sent anew: `settings.{leading}` changes where requests go"),
            ))
        }
        None => Ok(()),
    }
}

/// What counts of a setting that is no secret: what is given, or the default.
fn counting<'a>(setting: &'a SettingSpec, settings: &'a Stored) -> Option<&'a Value> {
    match settings.get(&setting.name) {
        Some(SettingValue::Plain(value)) => Some(value),
        Some(SettingValue::Sealed(_)) => None,
        None => setting.default.as_ref(),
    }
}

/// Merged settings, every secret in the clear.
///
/// # Errors
/// If a known secret does not open any more. It can still be replaced.
pub(super) fn opened(
    key: &SealingKey,
    spec: &Spec,
    place: (WorkspaceId, DestinationId),
    merged: &Stored,
) -> Result<RawSettings, Refusal> {
    unseal_all(key, Some(spec), place, merged).map_err(unopened)
}

/// Seals what is secret of merged settings that were checked.
///
/// # Errors
/// If a secret is no text.
pub(super) fn sealed(
    key: &SealingKey,
    spec: &Spec,
    (workspace, destination): (WorkspaceId, DestinationId),
    known: &Stored,
    mut merged: Stored,
) -> Result<Stored, Refusal> {
    // A known secret that does not open any more can still be replaced.
    let before = unseal_all(key, Some(spec), (workspace, destination), known).unwrap_or_default();
    for (name, value) in &mut merged {
        let SettingValue::Plain(plain) = &*value else { continue };
        if !is_secret(spec, name) {
            continue;
        }
        // A secret that is sent as it is already must not make another version.
        if before.get(name) == Some(plain)
            && let Some(same) = known.get(name)
        {
            *value = same.clone();
            continue;
        }
        let text = match plain.as_str().filter(|_| is_text(spec, name)) {
            Some(text) => text.to_owned(),
            None if is_text(spec, name) => return Err(refused(name, "must be text")),
            None => plain.to_string(),
        };
        *value = SettingValue::Sealed(key.seal(Place { workspace, destination, setting: name }, &text));
    }
    Ok(merged)
}

/// What was wrong with a part of a destination, as an answer: places of settings are their names alone.
pub(super) fn unusable(error: &SettingsError) -> Refusal {
    const PARTS: [&str; 6] = ["definition", "actions", "mappings", "filters", "consent", "condition"];
    let SettingsError { field, message } = error;
    let part = field.split(['.', '[']).next().unwrap_or_default();
    let place = if PARTS.contains(&part) { field.clone() } else { format!("settings.{field}") };
    invalid_at(&place, &format!(" {message}"))
}

fn is_secret(spec: &Spec, name: &str) -> bool {
    spec.setting(name).is_some_and(|setting| setting.secret)
}

/// Whether a setting is a text: others are sealed as JSON. One that no definition knows is taken for a text.
fn is_text(spec: &Spec, name: &str) -> bool {
    spec.setting(name).is_none_or(|setting| match setting.kind {
        SettingKind::Url | SettingKind::Text | SettingKind::Template | SettingKind::Choice => true,
        SettingKind::Switch | SettingKind::Count | SettingKind::Headers | SettingKind::Activations => false,
    })
}

fn unseal_all(
    key: &SealingKey,
    spec: Option<&Spec>,
    (workspace, destination): (WorkspaceId, DestinationId),
    settings: &Stored,
) -> Result<RawSettings, UnsealError> {
    let unseal = |(name, value): (&String, &SettingValue)| {
        let value = match value {
            SettingValue::Plain(value) => value.clone(),
            SettingValue::Sealed(sealed) => {
                let opened = key.open(Place { workspace, destination, setting: name }, sealed)?;
                match spec {
                    Some(spec) if !is_text(spec, name) => serde_json::from_str(opened.expose())
                        .map_err(|_| UnsealError::Damaged(format!("{name} {workspace}/{destination}")))?,
                    Some(_) | None => Value::from(opened.expose()),
                }
            }
        };
        Ok::<_, UnsealError>((name.clone(), value))
    };
    settings.iter().map(unseal).collect()
}

fn refused(name: &str, message: &str) -> Refusal {
    invalid_at(&format!("settings.{name}"), &format!(" {message}"))
}

/// The message names the setting, never its value.
fn unopened(error: UnsealError) -> Refusal {
    tracing::error!(%error, "a sealed setting does not open");
    Refusal::new(ErrorCode::Internal, error.to_string())
}
