//! People as a search for them shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use tributary_model::{ErrorCode, WorkspaceId};
use utoipa::ToSchema;

use super::error::ApiError;
use super::outside::{OutsideError, Rows};

/// Somebody who was found.
#[derive(Serialize, ToSchema)]
pub struct PersonRow {
    /// The profile's id.
    pub profile_id: String,
    /// What the text was found in: a trait, or the namespace of an identifier, and its value.
    #[schema(value_type = Object)]
    pub matched: BTreeMap<String, Box<RawValue>>,
    /// The traits that people are searched by.
    #[schema(value_type = Object)]
    pub traits: BTreeMap<String, Box<RawValue>>,
    /// The identifiers, as `namespace:value`.
    pub identifiers: Vec<String>,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchRefused {
    /// The text can't be searched for.
    #[error("`q`: {0}")]
    Text(String),
    /// The part behind it has no answer.
    #[error(transparent)]
    Outside(#[from] OutsideError),
}

impl From<SearchRefused> for ApiError {
    fn from(refused: SearchRefused) -> Self {
        match refused {
            SearchRefused::Text(_) => Self::new(ErrorCode::InvalidRequest, refused.to_string()),
            SearchRefused::Outside(error) => error.into(),
        }
    }
}

/// Finds people.
pub trait People: Send + Sync + 'static {
    /// People of a workspace who are found by a text. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, text or cursor can't be taken, or reading fails.
    fn search(
        &self,
        workspace: WorkspaceId,
        text: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<PersonRow>, SearchRefused>;
}
