//! The changes of audiences and computed traits: functions over the draft of a workspace.

use serde::Serialize;
use serde_json::Value;
use tributary_model::condition::{self, Aggregate, Condition, ConditionError};
use tributary_model::id::{AudienceId, ComputedTraitId};
use tributary_model::workspace::{Audience, ComputedTrait};
use tributary_model::{ErrorCode, Workspace};

use super::bodies::{AudienceNew, AudiencePut, ComputedTraitNew, ComputedTraitPut};
use super::references::{self, Reference};
use super::{AUDIENCES_MAX, COMPUTED_TRAITS_MAX};
use crate::admin::edit::{check_name, check_room, gone, invalid};
use crate::workspaces::{Draft, Fault, Refusal};

const AUDIENCE: &str = "audience";
const COMPUTED: &str = "computed trait";
const KEY_BYTES_MAX: usize = 64;

/// What no key may be: a member of our own events, a path of the API, words that join conditions, and traits that
/// people have.
const RESERVED: [&str; 30] = [
    "audience_key",
    "preview",
    "all",
    "and",
    "any",
    "false",
    "in",
    "not",
    "null",
    "or",
    "true",
    "where",
    "within",
    "address",
    "age",
    "avatar",
    "birthday",
    "company",
    "createdAt",
    "description",
    "email",
    "firstName",
    "gender",
    "id",
    "lastName",
    "name",
    "phone",
    "title",
    "username",
    "website",
];

/// What happens to a deletion while others refer to what is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum InUse {
    /// It is refused.
    Refused,
    /// It is made, and they are broken.
    Forced,
}

/// Reads the definition of an audience, in either form.
pub(in crate::admin) fn read_definition(definition: &Value) -> Result<Condition, Refusal> {
    condition::read_condition(definition, condition::Scope::Profile)
        .map_err(|error| refused("definition", error))
}

fn read_aggregate(definition: &Value) -> Result<Aggregate, Refusal> {
    condition::read_aggregate(definition).map_err(|error| refused("definition", error))
}

/// The refusal of a condition that stands at `within`.
pub(in crate::admin) fn refused(within: &str, error: ConditionError) -> Refusal {
    let ConditionError { place, at, message, hint } = error;
    let place = if place.is_empty() { within.to_owned() } else { format!("{within}.{place}") };
    let hinted = hint.as_ref().map_or_else(|| message.clone(), |hint| format!("{message}; {hint}"));
    let words = match &at {
        Some(at) => format!("`{within}`, line {}, column {}: {hinted}", at.line, at.column),
        None => format!("`{place}`: {hinted}"),
    };
    invalid(words).at(Fault { place, at: at.map(|at| (at.line, at.column)), hint })
}

fn check_key(key: &str) -> Result<(), Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let begins = key.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !begins || key.len() > KEY_BYTES_MAX || !key.bytes().all(fits) {
        let advice = "give a letter, then up to 63 letters, digits, `_` and `-`";
        return Err(invalid(format!("`key`: {advice}")).at(fault("key")));
    }
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(key)) {
        return Err(invalid(format!("`key`: {key} is reserved; choose another one")).at(fault("key")));
    }
    Ok(())
}

fn fault(place: &str) -> Fault {
    Fault { place: place.to_owned(), at: None, hint: None }
}

fn check_free(workspace: &Workspace, key: &str) -> Result<(), Refusal> {
    let taken = if workspace.audiences.iter().any(|audience| audience.key == key) {
        "an audience"
    } else if workspace.computed_traits.iter().any(|computed| computed.key == key) {
        "a computed trait"
    } else {
        return Ok(());
    };
    let message = format!("`key`: there is {taken} {key} already");
    Err(Refusal::new(ErrorCode::Conflict, message).at(fault("key")))
}

/// A name that is given is checked; without one it is `or`.
fn name_or(name: Option<String>, or: &str) -> Result<String, Refusal> {
    match name {
        Some(name) => check_name(&name).map(|()| name),
        None => Ok(or.to_owned()),
    }
}

/// What was shown beside the definition may be sent back, but says nothing: only the definition counts.
fn check_tree(sent: Option<&Value>, tree: &impl Serialize) -> Result<(), Refusal> {
    let Some(sent) = sent else { return Ok(()) };
    let shown = serde_json::to_value(tree).expect("a tree of plain values can be written");
    if *sent == shown {
        return Ok(());
    }
    let message =
        "`tree` differs from `definition`; write the changed tree as `definition`, which takes both forms";
    Err(invalid(message).at(fault("tree")))
}

/// A key and an id may be sent back, but not changed.
fn check_identity(what: &str, put: (Option<&str>, Option<&str>), is: (&str, String)) -> Result<(), Refusal> {
    if put.0.is_some_and(|key| key != is.0) {
        let message = format!("`key`: this is {what} {}, whose key can't be changed", is.0);
        return Err(invalid(message).at(fault("key")));
    }
    if put.1.is_some_and(|id| id != is.1) {
        return Err(invalid(format!("`id`: {what} {} is {}", is.0, is.1)).at(fault("id")));
    }
    Ok(())
}

/// Adds an audience. What it refers to is checked.
pub(in crate::admin) fn create_audience(draft: &mut Draft, new: AudienceNew) -> Result<AudienceId, Refusal> {
    let (before, key, sent) = (draft.workspace.clone(), new.key.clone(), new.definition.clone());
    let id = add_audience(draft, new)?;
    references::check(&before, &draft.workspace)
        .map_err(|wrong| wrong.refusal("definition", &key, Some(&sent)))?;
    Ok(id)
}

/// Adds an audience, whatever it refers to.
pub(super) fn add_audience(draft: &mut Draft, new: AudienceNew) -> Result<AudienceId, Refusal> {
    let AudienceNew { key, name, definition, include_anonymous } = new;
    check_key(&key)?;
    check_free(&draft.workspace, &key)?;
    check_room("audiences", draft.workspace.audiences.len(), AUDIENCES_MAX)?;
    let name = name_or(name, &key)?;
    let definition = read_definition(&definition)?;
    let (id, created_at) = (AudienceId(draft.take_id()), draft.at);
    let include_anonymous = include_anonymous.unwrap_or(false);
    draft.workspace.audiences.push(Audience { id, key, name, definition, include_anonymous, created_at });
    Ok(id)
}

/// Changes an audience. What it refers to is checked.
pub(in crate::admin) fn replace_audience(
    draft: &mut Draft,
    key: &str,
    put: AudiencePut,
) -> Result<(), Refusal> {
    let (before, sent) = (draft.workspace.clone(), put.definition.clone());
    put_audience(draft, key, put)?;
    references::check(&before, &draft.workspace)
        .map_err(|wrong| wrong.refusal("definition", key, Some(&sent)))
}

/// Changes an audience, whatever it refers to.
pub(super) fn put_audience(draft: &mut Draft, key: &str, put: AudiencePut) -> Result<(), Refusal> {
    let audience = draft.workspace.audiences.iter_mut().find(|audience| audience.key == key);
    let audience = audience.ok_or_else(|| gone(AUDIENCE, key))?;
    check_identity(AUDIENCE, (put.key.as_deref(), put.id.as_deref()), (key, audience.id.to_string()))?;
    let definition = read_definition(&put.definition)?;
    check_tree(put.tree.as_ref(), &definition)?;
    audience.name = name_or(put.name, &audience.name)?;
    audience.definition = definition;
    audience.include_anonymous = put.include_anonymous.unwrap_or(audience.include_anonymous);
    Ok(())
}

/// Deletes an audience.
pub(in crate::admin) fn delete_audience(
    draft: &mut Draft,
    key: &str,
    in_use: InUse,
) -> Result<AudienceId, Refusal> {
    let audience = draft.workspace.audiences.iter().find(|audience| audience.key == key);
    let id = audience.ok_or_else(|| gone(AUDIENCE, key))?.id;
    let named = Reference::Audience(key.to_owned());
    check_unused(&draft.workspace, AUDIENCE, key, &named, in_use)?;
    draft.workspace.audiences.retain(|audience| audience.id != id);
    Ok(id)
}

/// Adds a computed trait.
pub(in crate::admin) fn create_computed_trait(
    draft: &mut Draft,
    new: ComputedTraitNew,
) -> Result<ComputedTraitId, Refusal> {
    let (before, key) = (draft.workspace.clone(), new.key.clone());
    let id = add_computed_trait(draft, new)?;
    references::check(&before, &draft.workspace).map_err(|wrong| wrong.refusal("definition", &key, None))?;
    Ok(id)
}

/// Adds a computed trait, whatever it refers to.
pub(super) fn add_computed_trait(
    draft: &mut Draft,
    new: ComputedTraitNew,
) -> Result<ComputedTraitId, Refusal> {
    let ComputedTraitNew { key, name, definition } = new;
    check_key(&key)?;
    check_free(&draft.workspace, &key)?;
    check_room("computed traits", draft.workspace.computed_traits.len(), COMPUTED_TRAITS_MAX)?;
    let name = name_or(name, &key)?;
    let definition = read_aggregate(&definition)?;
    let (id, created_at) = (ComputedTraitId(draft.take_id()), draft.at);
    draft.workspace.computed_traits.push(ComputedTrait { id, key, name, definition, created_at });
    Ok(id)
}

/// Changes a computed trait. What refers to it is checked.
pub(in crate::admin) fn replace_computed_trait(
    draft: &mut Draft,
    key: &str,
    put: ComputedTraitPut,
) -> Result<(), Refusal> {
    let before = draft.workspace.clone();
    put_computed_trait(draft, key, put)?;
    references::check(&before, &draft.workspace).map_err(|wrong| wrong.refusal("definition", key, None))
}

/// Changes a computed trait, whatever refers to it.
pub(super) fn put_computed_trait(draft: &mut Draft, key: &str, put: ComputedTraitPut) -> Result<(), Refusal> {
    let computed = draft.workspace.computed_traits.iter_mut().find(|computed| computed.key == key);
    let computed = computed.ok_or_else(|| gone(COMPUTED, key))?;
    check_identity(COMPUTED, (put.key.as_deref(), put.id.as_deref()), (key, computed.id.to_string()))?;
    let definition = read_aggregate(&put.definition)?;
    check_tree(put.tree.as_ref(), &definition)?;
    computed.name = name_or(put.name, &computed.name)?;
    computed.definition = definition;
    Ok(())
}

/// Deletes a computed trait.
pub(in crate::admin) fn delete_computed_trait(
    draft: &mut Draft,
    key: &str,
    in_use: InUse,
) -> Result<ComputedTraitId, Refusal> {
    let computed = draft.workspace.computed_traits.iter().find(|computed| computed.key == key);
    let id = computed.ok_or_else(|| gone(COMPUTED, key))?.id;
    let named = Reference::Computed(key.to_owned());
    check_unused(&draft.workspace, COMPUTED, key, &named, in_use)?;
    draft.workspace.computed_traits.retain(|computed| computed.id != id);
    Ok(id)
}

fn check_unused(
    workspace: &Workspace,
    what: &str,
    key: &str,
    named: &Reference,
    in_use: InUse,
) -> Result<(), Refusal> {
    let users = references::users(workspace, named);
    if users.is_empty() || in_use == InUse::Forced {
        return Ok(());
    }
    let message = format!(
        "{what} {key} is used by {}; change these first, or delete it with `?force=true`: then nobody enters or leaves \
         such audiences any more, and such destinations stand still or lack the value",
        users.join(", ")
    );
    Err(Refusal::new(ErrorCode::Conflict, message))
}
