//! Identity rules: how events are resolved to profiles.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use tributary_model::identity_rules::WrittenRules;
use tributary_model::workspace::Scope;

use super::{Answer, caller, order, versioned};
use crate::admin::identity::{self, RulesBody};
use crate::admin::{Admin, request};

/// Read the identity rules
///
/// Every rule in full, what was left to a default included.
#[utoipa::path(get, path = "/admin/v1/identity-rules", tag = "identity_rules",
    responses((status = 200, description = "The rules in force", body = RulesBody)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    Ok(versioned(StatusCode::OK, &workspace, &workspace.identity))
}

/// Replace the identity rules
///
/// Answers once they are in force: for every event that is accepted from then on. What is linked already stays as it
/// is, until a rebuild. Rules that can't work are refused as a whole.
#[utoipa::path(put, path = "/admin/v1/identity-rules", tag = "identity_rules", request_body = RulesBody,
    responses((status = 200, description = "The rules in force", body = RulesBody)))]
pub(in crate::admin) async fn replace(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let written: WrittenRules = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let made = admin
        .store
        .change(order, move |draft| {
            let rules = identity::checked(written, "")?;
            let words = identity::words(&draft.workspace.identity, &rules);
            draft.workspace.identity = rules;
            Ok(((), words))
        })
        .await?;
    Ok(versioned(StatusCode::OK, &made.workspace, &made.workspace.identity))
}
