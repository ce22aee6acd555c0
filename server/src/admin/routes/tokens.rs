//! Tokens: who may use the API.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use tributary_model::id::TokenId;
use tributary_model::workspace::{ApiToken, Scope};
use tributary_model::{ErrorCode, Workspace};

use super::{Answer, caller, deleted, order, versioned};
use crate::admin::auth::{Caller, scope_name};
use crate::admin::dto::{List, TokenCreated, TokenNew, TokenPatch, TokenView};
use crate::admin::edit::{check_name, check_room, gone, invalid};
use crate::admin::error::ApiError;
use crate::admin::{Admin, request};
use crate::credentials::{random_token, token_hash};
use crate::workspaces::{Refusal, is_first};

const WHAT: &str = "token";

/// Create a token
///
/// The token itself is shown in this answer, and never again.
#[utoipa::path(post, path = "/admin/v1/tokens", tag = "tokens", request_body = TokenNew,
    responses((status = 201, description = "Created", body = TokenCreated)))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (caller, order) = order(&admin, &http)?;
    let new: TokenNew = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    check_name(&new.name)?;
    let scopes = grantable(&caller, new.scopes)?;
    let token = random_token();
    let hash = token_hash(token.expose());
    let tokens_max = admin.editor.limits.tokens_max;
    let made = admin
        .store
        .change(order, move |draft| {
            check_room("tokens", draft.workspace.tokens.len(), tokens_max)?;
            let id = TokenId(draft.take_id());
            let created_at = draft.at;
            draft.workspace.tokens.push(ApiToken { id, name: new.name, hash, scopes, created_at });
            Ok((id, format!("token {id} created")))
        })
        .await?;
    let view = TokenView::of(find(&made.workspace, made.value)?);
    let body = TokenCreated { view, token: token.expose().to_owned() };
    Ok(versioned(StatusCode::CREATED, &made.workspace, &body))
}

/// List the tokens
#[utoipa::path(get, path = "/admin/v1/tokens", tag = "tokens",
    responses((status = 200, description = "All tokens, by id", body = List<TokenView>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let data = workspace.tokens.iter().map(TokenView::of).collect();
    Ok(versioned(StatusCode::OK, &workspace, &List { data }))
}

/// Read a token
#[utoipa::path(get, path = "/admin/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "Its id", example = "tok_2")),
    responses((status = 200, description = "The token, without the token itself", body = TokenView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let token = find(&workspace, request::id(&http, WHAT)?)?;
    Ok(versioned(StatusCode::OK, &workspace, &TokenView::of(token)))
}

/// Change a token
#[utoipa::path(patch, path = "/admin/v1/tokens/{id}", tag = "tokens", request_body = TokenPatch,
    params(("id" = String, Path, description = "Its id", example = "tok_2")),
    responses((status = 200, description = "The token as it is now", body = TokenView)))]
pub(in crate::admin) async fn change(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (caller, order) = order(&admin, &http)?;
    let id: TokenId = request::id(&http, WHAT)?;
    let patch: TokenPatch = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let scopes = patch.scopes.map(|scopes| grantable(&caller, scopes)).transpose()?;
    let made = admin
        .store
        .change(order, move |draft| {
            let token = draft.workspace.tokens.iter_mut().find(|token| token.id == id);
            let token = token.ok_or_else(|| gone(WHAT, id))?;
            if let Some(name) = patch.name {
                check_name(&name)?;
                token.name = name;
            }
            if let Some(scopes) = scopes {
                keep_first(token, "its scopes can't be changed")?;
                token.scopes = scopes;
            }
            Ok(((), format!("token {id} changed")))
        })
        .await?;
    let token = find(&made.workspace, id)?;
    Ok(versioned(StatusCode::OK, &made.workspace, &TokenView::of(token)))
}

/// Delete a token
///
/// It is refused from then on.
#[utoipa::path(delete, path = "/admin/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "Its id", example = "tok_2")),
    responses((status = 204, description = "Deleted")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let id: TokenId = request::id(&http, WHAT)?;
    let made = admin
        .store
        .change(order, move |draft| {
            let token = draft.workspace.tokens.iter().find(|token| token.id == id);
            keep_first(token.ok_or_else(|| gone(WHAT, id))?, "it can't be deleted")?;
            draft.workspace.tokens.retain(|token| token.id != id);
            Ok(((), format!("token {id} deleted")))
        })
        .await?;
    Ok(deleted(&made.workspace))
}

fn find(workspace: &Workspace, id: TokenId) -> Result<&ApiToken, ApiError> {
    let token = workspace.tokens.iter().find(|token| token.id == id);
    token.ok_or_else(|| request::no_such(WHAT, id))
}

/// A token may give what it has, except what the first token alone has.
fn grantable(caller: &Caller, mut scopes: Vec<Scope>) -> Result<Vec<Scope>, Refusal> {
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(invalid("`scopes`: give at least one of profiles:read, admin:read and admin:write"));
    }
    let forbidden = scopes.iter().find(|scope| **scope == Scope::WorkspacesWrite || !caller.may(**scope));
    match forbidden {
        Some(Scope::WorkspacesWrite) => {
            Err(Refusal::new(ErrorCode::Forbidden, "`scopes`: only the first token has workspaces:write"))
        }
        Some(scope) => {
            let message =
                format!("`scopes`: this token has not got {} and can't give it", scope_name(*scope));
            Err(Refusal::new(ErrorCode::Forbidden, message))
        }
        None => Ok(scopes),
    }
}

/// Without the first token nobody could manage workspaces any more.
fn keep_first(token: &ApiToken, what: &str) -> Result<(), Refusal> {
    if !is_first(token) {
        return Ok(());
    }
    let message = format!(
        "this is the first token: {what}; to replace it, start the server with TRIBUTARY_ADMIN_TOKEN set"
    );
    Err(Refusal::new(ErrorCode::Conflict, message))
}
