//! Rules of traits: which of several values counts, and which traits are searched.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use tributary_model::workspace::Scope;

use super::audiences::has_read;
use super::{Answer, caller, order, versioned};
use crate::admin::audiences::bodies::TraitRulesBody;
use crate::admin::audiences::{checked_trait_rules, shown_trait_rules};
use crate::admin::{Admin, request};

/// Read the rules of traits
///
/// With what was left to a default.
#[utoipa::path(get, path = "/admin/v1/trait-rules", tag = "trait_rules",
    responses((status = 200, description = "The rules in force", body = TraitRulesBody)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    Ok(versioned(StatusCode::OK, &workspace, &shown_trait_rules(&workspace.traits)))
}

/// Replace the rules of traits
///
/// What is left out gets its default. A policy counts for the values that are known already, as far back as the log
/// reaches.
#[utoipa::path(put, path = "/admin/v1/trait-rules", tag = "trait_rules", request_body = TraitRulesBody,
    responses((status = 200, description = "The rules in force", body = TraitRulesBody)))]
pub(in crate::admin) async fn replace(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let body: TraitRulesBody = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let made = admin
        .store
        .change(order, move |draft| {
            draft.workspace.traits = checked_trait_rules(body, &draft.workspace, "")?;
            Ok(((), "trait rules changed".to_owned()))
        })
        .await?;
    has_read(&admin, &made.workspace).await;
    Ok(versioned(StatusCode::OK, &made.workspace, &shown_trait_rules(&made.workspace.traits)))
}
