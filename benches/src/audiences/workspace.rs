//! The workspace that is measured: nothing but audiences is defined in it.

use anyhow::{Context, anyhow};
use bytes::Bytes;
use tributary_model::condition::{Scope, parse_condition};
use tributary_model::workspace::{Audience, TraitRules};
use tributary_model::{AudienceId, IdentityRules, Record, Timestamp, Workspace, WorkspaceId};

/// Its number.
pub(super) const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// When its log begins.
pub(super) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// An audience of everybody for whom the condition holds; whether without a `user_id`, too, is said.
///
/// # Errors
/// If the text is no condition.
pub(super) fn audience(number: u32, definition: &str, include_anonymous: bool) -> anyhow::Result<Audience> {
    let condition = parse_condition(definition, Scope::Profile)
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("audience {number} can't be defined as `{definition}`"))?;
    Ok(Audience {
        id: AudienceId(number),
        key: format!("audience_{number}"),
        name: format!("Audience {number}"),
        definition: condition,
        include_anonymous,
        created_at: START,
    })
}

/// The record that puts these audiences into force: the first of the log.
///
/// # Errors
/// If it can't be written.
pub(super) fn version(audiences: Vec<Audience>) -> anyhow::Result<Bytes> {
    let document = Workspace {
        id: WORKSPACE,
        name: Workspace::DEFAULT_NAME.to_owned(),
        version: 1,
        created_at: START,
        next_id: u32::try_from(audiences.len())? + 1,
        sources: Vec::new(),
        destinations: Vec::new(),
        tokens: Vec::new(),
        identity: IdentityRules::default(),
        computed_traits: Vec::new(),
        audiences,
        traits: TraitRules::default(),
    };
    let document = serde_json::to_vec(&document)?;
    Ok(Record::of_workspace(WORKSPACE, 1, START, Some(document.into())).encode())
}
