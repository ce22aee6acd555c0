//! How the admin API says no: `{"error":{"code","message"}}`, with the status of the code. What is wrong within a
//! definition has its place beside that, for programs.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use tributary_model::ErrorCode;
use tributary_proto::status::http_status;
use utoipa::ToSchema;

use crate::metrics;
use crate::workspaces::{Fault, Refusal, StoreError};

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// The stable name of the kind of failure.
    #[schema(example = "invalid_request")]
    pub code: &'static str,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The member that is wrong, where that is known closely.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "definition.all[1].compare")]
    pub place: Option<String>,
    /// The line in the text of that member, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The character in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    retry_after_seconds: Option<u32>,
    allow: Option<String>,
    fault: Option<Box<Fault>>,
}

impl ApiError {
    /// A refusal of that kind. The message goes to the caller.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_seconds: None, allow: None, fault: None }
    }

    /// The request can't be read or breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// What was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The path exists, but takes other methods only.
    pub fn method_not_allowed(allow: String) -> Self {
        let message = format!("this path takes {allow} only");
        Self { allow: Some(allow), ..Self::new(ErrorCode::MethodNotAllowed, message) }
    }

    /// Our own fault: the cause goes to the log, the caller is told no more than that.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "admin request failed");
        Self::new(ErrorCode::Internal, "the server failed; its log says why")
    }

    /// Tells the caller when trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// What kind of failure it is.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    fn detail(&self) -> ErrorDetail {
        let fault = self.fault.as_deref();
        let at = fault.and_then(|fault| fault.at);
        ErrorDetail {
            code: self.code.name(),
            message: self.message.clone(),
            place: fault.map(|fault| fault.place.clone()),
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
            hint: fault.and_then(|fault| fault.hint.clone()),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self { fault: refusal.fault, ..Self::new(refusal.code, refusal.message) }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.code() == ErrorCode::Internal {
            return Self::internal(&error);
        }
        if let StoreError::Refused(refusal) = error {
            return refusal.into();
        }
        let message = match &error {
            StoreError::Log(source) => format!("{error}: {source}"),
            StoreError::Storage(source) => format!("{error}: {source}"),
            StoreError::Refused(_)
            | StoreError::OtherVersion { .. }
            | StoreError::NoWorkspace(_)
            | StoreError::Damaged(_)
            | StoreError::Unsettled
            | StoreError::Closed => error.to_string(),
        };
        Self { retry_after_seconds: error.retry_after_seconds(), ..Self::new(error.code(), message) }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code.name(), self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(http_status(self.code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        metrics::admin_refusal(self.code);
        let mut response = HttpResponse::build(self.status_code());
        if self.code == ErrorCode::Unauthenticated {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.clone()));
        }
        response.json(ErrorBody { error: self.detail() })
    }
}
