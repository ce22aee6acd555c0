//! A workspace changed as one document: what is sent against what is there.

use std::collections::HashSet;
use std::str::FromStr;

use tributary_model::ErrorCode;

use super::audiences::{Parts, replace_all};
use super::destinations::bodies::{DestinationNew, DestinationPut};
use super::destinations::check_references;
use super::dto::{DocumentPut, SourceNew, SourcePatch, SourcePut};
use super::edit::{Editor, invalid};
use super::identity;
use crate::workspaces::{Draft, Refusal};

/// Whether the caller may give a workspace another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renaming {
    /// It holds the first token.
    Allowed,
    /// It does not.
    Refused,
}

/// Brings the draft to what the document says.
pub(super) fn replace(
    editor: &Editor,
    draft: &mut Draft,
    put: DocumentPut,
    renaming: Renaming,
) -> Result<String, Refusal> {
    if put.id.is_some_and(|id| id != draft.workspace.id.to_string()) {
        return Err(invalid(format!("`id`: the token belongs to workspace {}", draft.workspace.id)));
    }
    let before = draft.workspace.clone();
    if let Some(written) = put.identity {
        draft.workspace.identity = identity::checked(written, "identity")?;
    }
    if let Some(name) = put.name.filter(|name| *name != draft.workspace.name) {
        if renaming == Renaming::Refused {
            let message = "`name`: only the first token may rename a workspace";
            return Err(Refusal::new(ErrorCode::Forbidden, message));
        }
        draft.workspace.name = name;
    }
    let sources = ids("sources", "source", put.sources.iter().map(|put| put.id.as_deref()), |id| {
        draft.workspace.source(id).is_some()
    })?;
    let destinations =
        ids("destinations", "destination", put.destinations.iter().map(|put| put.id.as_deref()), |id| {
            draft.workspace.destination(id).is_some()
        })?;
    let kept: HashSet<_> = sources.iter().flatten().copied().collect();
    draft.workspace.sources.retain(|source| kept.contains(&source.id));
    let kept: HashSet<_> = destinations.iter().flatten().copied().collect();
    draft.workspace.destinations.retain(|destination| kept.contains(&destination.id));
    for (index, (put, id)) in put.sources.into_iter().zip(sources).enumerate() {
        let SourcePut { name, write_key, enabled, .. } = put;
        let done = match id {
            Some(id) => editor.patch_source(draft, id, SourcePatch { name: Some(name), write_key, enabled }),
            None => editor.create_source(draft, SourceNew { name, write_key, enabled }).map(drop),
        };
        done.map_err(|refusal| within("sources", index, refusal))?;
    }
    let parts = Parts {
        computed_traits: put.computed_traits,
        audiences: put.audiences,
        trait_rules: put.trait_rules,
    };
    replace_all(draft, parts)?;
    // After the audiences, which they may ask for.
    for (index, (put, id)) in put.destinations.into_iter().zip(destinations).enumerate() {
        let done = match id {
            Some(id) => editor.put_destination(draft, id, put),
            None => editor.create_destination(draft, new_of(put)).map(drop),
        };
        done.map_err(|refusal| within("destinations", index, refusal))?;
    }
    check_references(&before, &draft.workspace)?;
    Ok("workspace replaced as a document".to_owned())
}

fn new_of(put: DestinationPut) -> DestinationNew {
    let DestinationPut { definition, name, enabled, settings, mappings, filters, consent, .. } = put;
    DestinationNew { definition, name, enabled, settings, mappings: mappings.flatten(), filters, consent }
}

/// Reads the ids of entries: each known, and none twice.
fn ids<'a, T: FromStr + Copy + Eq + std::hash::Hash>(
    list: &str,
    what: &str,
    texts: impl Iterator<Item = Option<&'a str>>,
    known: impl Fn(T) -> bool,
) -> Result<Vec<Option<T>>, Refusal> {
    let mut seen = HashSet::new();
    let read = |(index, text): (usize, Option<&str>)| {
        let Some(text) = text else { return Ok(None) };
        let id = text.parse().ok().filter(|id| known(*id)).ok_or_else(|| {
            invalid(format!(
                "`{list}[{index}].id`: there is no {what} {text}; leave the id out to create one"
            ))
        })?;
        if !seen.insert(id) {
            return Err(invalid(format!("`{list}[{index}].id`: {text} is there twice")));
        }
        Ok(Some(id))
    };
    texts.enumerate().map(read).collect()
}

/// The refusal of an entry as one of the whole document.
pub(super) fn within(list: &str, index: usize, mut refusal: Refusal) -> Refusal {
    if let Some(fault) = &mut refusal.fault {
        fault.place = format!("{list}[{index}].{}", fault.place);
    }
    Refusal { message: format!("`{list}[{index}]`: {}", refusal.message), ..refusal }
}
