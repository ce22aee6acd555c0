//! The changes themselves: functions over the draft of a workspace, used by single routes and by the document. Those of
//! destinations and of audiences are beside those.

use tributary_ingest::IngestLimits;
use tributary_model::workspace::Source;
use tributary_model::{ErrorCode, SourceId};

use super::dto::{SourceNew, SourcePatch};
use crate::config::AdminSettings;
use crate::credentials;
use crate::seal::SealingKey;
use crate::workspaces::{Draft, Fault, Refusal};

/// The longest name for people, in characters.
const NAME_CHARS_MAX: usize = 200;

/// What the changes need beside the draft.
#[derive(Debug, Clone)]
pub struct Editor {
    /// What secrets are sealed with.
    pub sealing: SealingKey,
    /// How much there may be.
    pub limits: AdminSettings,
    /// Whether destinations may have private, loopback and link-local addresses: what the engine is told.
    pub allow_private_destinations: bool,
    /// What the collector takes: events that are tried have to keep to it.
    pub intake: IngestLimits,
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// The refusal of a member of what was sent; `message` follows its name.
pub(super) fn invalid_at(place: &str, message: &str) -> Refusal {
    let fault = Fault { place: place.to_owned(), at: None, hint: None };
    invalid(format!("`{place}`{message}")).at(fault)
}

/// Whether a text can be a name for people.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    check_name_at("name", name)
}

/// Whether a text that stands at a place can be a name for people.
pub(super) fn check_name_at(place: &str, name: &str) -> Result<(), Refusal> {
    let fits = !name.trim().is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    let advice = format!(": give 1 to {NAME_CHARS_MAX} characters, none of them a control character");
    Err(invalid_at(place, &advice))
}

/// A limit on how many there may be.
pub(super) fn check_room(what: &str, have: usize, max: u64) -> Result<(), Refusal> {
    if (have as u64) < max {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::Conflict,
        format!("there are {have} {what} in the workspace, which is the limit"),
    ))
}

fn check_write_key(key: &str) -> Result<(), Refusal> {
    credentials::check(key).map_err(|problem| invalid(format!("`write_key` {problem}")))
}

impl Editor {
    pub(super) fn create_source(&self, draft: &mut Draft, new: SourceNew) -> Result<SourceId, Refusal> {
        check_name(&new.name)?;
        check_room("sources", draft.workspace.sources.len(), self.limits.sources_max)?;
        let write_key = new.write_key.unwrap_or_else(credentials::random_write_key);
        check_write_key(&write_key)?;
        let id = SourceId(draft.take_id());
        let (name, enabled, created_at) = (new.name, new.enabled.unwrap_or(true), draft.at);
        draft.workspace.sources.push(Source { id, name, write_key, enabled, created_at });
        Ok(id)
    }

    pub(super) fn patch_source(
        &self,
        draft: &mut Draft,
        id: SourceId,
        patch: SourcePatch,
    ) -> Result<(), Refusal> {
        let source = draft.workspace.sources.iter_mut().find(|source| source.id == id);
        let source = source.ok_or_else(|| gone("source", id))?;
        if let Some(name) = patch.name {
            check_name(&name)?;
            source.name = name;
        }
        if let Some(write_key) = patch.write_key {
            check_write_key(&write_key)?;
            source.write_key = write_key;
        }
        source.enabled = patch.enabled.unwrap_or(source.enabled);
        Ok(())
    }
}

/// There is nothing of that id (any more).
pub(super) fn gone(what: &str, id: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("there is no {what} {id}"))
}
