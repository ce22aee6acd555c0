//! Who asks: the token of a request, its workspace, and what it may do. The profile API uses the same.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tributary_model::id::TokenId;
use tributary_model::workspace::Scope;
use tributary_model::{ErrorCode, Workspace};

use super::error::ApiError;
use crate::workspaces::{Author, Snapshot};

/// The bearer of a token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The workspace of the token, at the version in force when the request came.
    pub workspace: Arc<Workspace>,
    /// The token.
    pub token: TokenId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    name: String,
}

impl Caller {
    /// Whether the token has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Insists on a scope.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] if the token has not got it.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.may(scope) {
            return Ok(());
        }
        let message = format!("this token has not got the scope {}", scope_name(scope));
        Err(ApiError::new(ErrorCode::Forbidden, message))
    }

    /// The caller as the author of a change.
    pub fn author(&self) -> Author {
        Author::Token { workspace: self.workspace.id, token: self.token, name: self.name.clone() }
    }

    /// The caller as the one who orders a command, in the words of the profile API.
    pub fn orderer(&self) -> String {
        format!("{} {}", self.token, self.name)
    }
}

/// The name of a scope as the API writes it.
pub fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::ProfilesRead => "profiles:read",
        Scope::AdminRead => "admin:read",
        Scope::AdminWrite => "admin:write",
        Scope::WorkspacesWrite => "workspaces:write",
    }
}

/// Finds out who asks: the token stands in `Authorization`, as Bearer or as the user of Basic.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`] if there is no token or nobody has it.
pub fn authenticate(snapshot: &Snapshot, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let refuse = |message: &str| ApiError::new(ErrorCode::Unauthenticated, message);
    let header = headers
        .get(AUTHORIZATION)
        .ok_or_else(|| refuse("a token is missing; send it as `Authorization: Bearer …`"))?;
    let token = header
        .to_str()
        .ok()
        .and_then(token_in)
        .ok_or_else(|| refuse("`Authorization` can't be read; send `Bearer` and the token"))?;
    let (workspace, token) = snapshot.token(&token).ok_or_else(|| refuse("the token is not known"))?;
    Ok(Caller {
        workspace: Arc::clone(workspace),
        token: token.id,
        scopes: token.scopes.clone(),
        name: token.name.clone(),
    })
}

fn token_in(header: &str) -> Option<String> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    Some(match decoded.split_once(':') {
        Some((user, _)) => user.to_owned(),
        None => decoded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_bearer_and_basic() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let cases = [
            ("bearer", "Bearer abc".to_owned(), Some("abc")),
            ("any case", "bEARER  abc ".to_owned(), Some("abc")),
            ("basic with colon", basic("abc:"), Some("abc")),
            ("basic without", basic("abc"), Some("abc")),
            ("basic with password", basic("abc:x"), Some("abc")),
            ("another scheme", "Digest abc".to_owned(), None),
            ("no scheme", "abc".to_owned(), None),
            ("no base64", "Basic ?".to_owned(), None),
        ];
        for (name, header, want) in cases {
            assert_eq!(token_in(&header).as_deref(), want, "{name}");
        }
    }
}
