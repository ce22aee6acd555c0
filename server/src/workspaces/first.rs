//! What a start does before anything else: create the first workspace, or take over new credentials.

use tributary_model::id::TokenId;
use tributary_model::workspace::{ApiToken, Scope, Source};
use tributary_model::{ErrorCode, SourceId, Workspace};

use super::change::{Author, Draft, Order, Refusal, StoreError};
use super::owner::Owner;
use super::{FIRST, Given};
use crate::credentials::{Secret, random_token, random_write_key, token_hash};

/// The credentials of a new workspace. The token is shown once, here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its first token.
    pub token: Secret,
    /// The id of that token.
    pub token_id: TokenId,
    /// The write key of its source `default`.
    pub write_key: String,
    /// The id of that source.
    pub source_id: SourceId,
}

/// Creates the first workspace where there is none, and otherwise brings the credentials that were given into
/// force. The credentials are returned if they were made or taken just now for the first time.
pub(super) fn prepare(owner: &mut Owner, given: &Given) -> Result<Option<Credentials>, StoreError> {
    if owner.is_new() {
        let token = given.admin_token.clone().unwrap_or_else(random_token);
        let write_key = given.write_key.as_ref().map_or_else(random_write_key, |key| key.expose().to_owned());
        let made = owner.create(Author::FirstStart, move |draft| {
            let name = Workspace::DEFAULT_NAME;
            let made = furnish(draft, name, "first", token, write_key, &Scope::ALL);
            Ok((made, format!("workspace {name} created by the first start")))
        })?;
        return Ok(Some(made.value));
    }
    replace_token(owner, given)?;
    replace_write_key(owner, given)?;
    Ok(None)
}

/// Gives a new workspace its name, its source `default` and its first token.
pub(super) fn furnish(
    draft: &mut Draft,
    name: &str,
    token_name: &str,
    token: Secret,
    write_key: String,
    scopes: &[Scope],
) -> Credentials {
    let source_id = SourceId(draft.take_id());
    let token_id = TokenId(draft.take_id());
    let created_at = draft.at;
    draft.workspace.name = name.to_owned();
    draft.workspace.sources.push(Source {
        id: source_id,
        name: Workspace::DEFAULT_NAME.to_owned(),
        write_key: write_key.clone(),
        enabled: true,
        created_at,
    });
    draft.workspace.tokens.push(ApiToken {
        id: token_id,
        name: token_name.to_owned(),
        hash: token_hash(token.expose()),
        scopes: scopes.to_vec(),
        created_at,
    });
    Credentials { token, token_id, write_key, source_id }
}

fn replace_token(owner: &mut Owner, given: &Given) -> Result<(), StoreError> {
    let Some(hash) = given.admin_token.as_ref().map(|token| token_hash(token.expose())) else {
        return Ok(());
    };
    let order = Order { workspace: FIRST, by: Author::Environment, expected: None };
    owner.change(order, |draft| {
        let first = draft.workspace.tokens.iter_mut().find(|token| is_first(token));
        let first = first.ok_or_else(|| Refusal::new(ErrorCode::Internal, "the first token is missing"))?;
        first.hash = hash;
        Ok(((), format!("first token {} replaced from the environment", first.id)))
    })?;
    Ok(())
}

fn replace_write_key(owner: &mut Owner, given: &Given) -> Result<(), StoreError> {
    let Some(write_key) = given.write_key.as_ref().map(|key| key.expose().to_owned()) else { return Ok(()) };
    let known = |source: &Source| source.write_key == write_key;
    if owner.workspace(FIRST).is_some_and(|first| first.sources.iter().any(known)) {
        return Ok(());
    }
    if let Some(other) = owner.workspaces().find(|other| other.sources.iter().any(known)) {
        let message = format!(
            "the write key in the environment belongs to a source of workspace {}; give another one",
            other.name
        );
        return Err(Refusal::new(ErrorCode::Conflict, message).into());
    }
    let order = Order { workspace: FIRST, by: Author::Environment, expected: None };
    owner.change(order, |draft| {
        let created_at = draft.at;
        if let Some(source) = draft.workspace.sources.iter_mut().find(|source| source.id == DEFAULT_SOURCE) {
            source.write_key = write_key;
            return Ok(((), format!("write key of source {} replaced from the environment", source.id)));
        }
        let id = SourceId(draft.take_id());
        let name = Workspace::DEFAULT_NAME.to_owned();
        draft.workspace.sources.push(Source { id, name, write_key, enabled: true, created_at });
        Ok(((), format!("source {id} created with the write key from the environment")))
    })?;
    Ok(())
}

/// The source that the first start creates: it gets the first number.
const DEFAULT_SOURCE: SourceId = SourceId(1);

/// Whether that is the first token: the only one with that scope.
pub(crate) fn is_first(token: &ApiToken) -> bool {
    token.scopes.contains(&Scope::WorkspacesWrite)
}
