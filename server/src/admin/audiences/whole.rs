//! Audiences, computed traits and the rules of traits as parts of the document of a workspace.
//!
//! Entries are told apart by their keys: those that are there are changed, others are created, those that are missing
//! are deleted. A deletion by document is never forced.

use std::collections::HashSet;

use serde_json::Value;

use super::bodies::{AudienceNew, AudiencePut, ComputedTraitNew, ComputedTraitPut, TraitRulesBody};
use super::{edits, references, trait_rules};
use crate::admin::document::within;
use crate::admin::edit::invalid;
use crate::workspaces::{Draft, Refusal};

const COMPUTED: &str = "computed_traits";
const AUDIENCES: &str = "audiences";

/// What a document says of them; `None` leaves a part as it is.
pub(in crate::admin) struct Parts {
    pub(in crate::admin) computed_traits: Option<Vec<ComputedTraitPut>>,
    pub(in crate::admin) audiences: Option<Vec<AudiencePut>>,
    pub(in crate::admin) trait_rules: Option<TraitRulesBody>,
}

/// Brings the draft to what the document says. Sources have to be as it says already.
pub(in crate::admin) fn replace_all(draft: &mut Draft, parts: Parts) -> Result<(), Refusal> {
    let before = draft.workspace.clone();
    let Parts { computed_traits, audiences, trait_rules } = parts;
    let computed_keys = keys(COMPUTED, computed_traits.as_deref(), |put| put.key.as_deref())?;
    let audience_keys = keys(AUDIENCES, audiences.as_deref(), |put| put.key.as_deref())?;
    // First what goes, so that its keys are free.
    if let Some(keys) = &computed_keys {
        draft.workspace.computed_traits.retain(|computed| keys.contains(&computed.key));
    }
    if let Some(keys) = &audience_keys {
        draft.workspace.audiences.retain(|audience| keys.contains(&audience.key));
    }
    let numbered = computed_traits.into_iter().flatten().zip(computed_keys.iter().flatten());
    for (index, (put, key)) in numbered.enumerate() {
        put_computed_trait(draft, key, put).map_err(|refusal| within(COMPUTED, index, refusal))?;
    }
    let sent: Vec<Value> = audiences.iter().flatten().map(|put| put.definition.clone()).collect();
    let numbered = audiences.into_iter().flatten().zip(audience_keys.iter().flatten());
    for (index, (put, key)) in numbered.enumerate() {
        put_audience(draft, key, put).map_err(|refusal| within(AUDIENCES, index, refusal))?;
    }
    references::check(&before, &draft.workspace).map_err(|wrong| {
        let index = audience_keys.iter().flatten().position(|key| *key == wrong.key);
        match index {
            Some(index) => {
                let key = wrong.key.clone();
                wrong.refusal(&format!("{AUDIENCES}[{index}].definition"), &key, sent.get(index))
            }
            // It was not sent: what it refers to goes.
            None => wrong.refusal(COMPUTED, "", None),
        }
    })?;
    if let Some(rules) = trait_rules {
        draft.workspace.traits = trait_rules::checked(rules, &draft.workspace, "trait_rules")?;
    }
    Ok(())
}

fn put_computed_trait(draft: &mut Draft, key: &str, put: ComputedTraitPut) -> Result<(), Refusal> {
    if draft.workspace.computed_traits.iter().any(|computed| computed.key == key) {
        return edits::put_computed_trait(draft, key, put);
    }
    check_new(put.id.as_deref())?;
    let (key_of_new, name, definition) = (key.to_owned(), put.name.clone(), put.definition.clone());
    edits::add_computed_trait(draft, ComputedTraitNew { key: key_of_new, name, definition })?;
    // Once more as a change: so what may only be sent back is checked, too.
    edits::put_computed_trait(draft, key, put)
}

fn put_audience(draft: &mut Draft, key: &str, put: AudiencePut) -> Result<(), Refusal> {
    if draft.workspace.audiences.iter().any(|audience| audience.key == key) {
        return edits::put_audience(draft, key, put);
    }
    check_new(put.id.as_deref())?;
    let (key_of_new, name, definition) = (key.to_owned(), put.name.clone(), put.definition.clone());
    let include_anonymous = put.include_anonymous;
    edits::add_audience(draft, AudienceNew { key: key_of_new, name, definition, include_anonymous })?;
    edits::put_audience(draft, key, put)
}

fn check_new(id: Option<&str>) -> Result<(), Refusal> {
    match id {
        Some(id) => Err(invalid(format!("`id`: {id} has another key; leave the id out to create one"))),
        None => Ok(()),
    }
}

/// The keys of entries, none twice; `None` without entries.
fn keys<T>(
    list: &str,
    entries: Option<&[T]>,
    key: impl Fn(&T) -> Option<&str>,
) -> Result<Option<Vec<String>>, Refusal> {
    let Some(entries) = entries else { return Ok(None) };
    let mut seen = HashSet::new();
    let read = |(index, entry): (usize, &T)| {
        let key = key(entry).ok_or_else(|| invalid(format!("`{list}[{index}].key` is missing")))?;
        if !seen.insert(key.to_owned()) {
            return Err(invalid(format!("`{list}[{index}].key`: {key} is there twice")));
        }
        Ok(key.to_owned())
    };
    entries.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}
