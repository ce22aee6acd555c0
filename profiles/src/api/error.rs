//! How the profile API says no: `{"error":{"code","message"}}`, with codes of Segment's Profile API where it has one.

use super::reasons;
use crate::desk::DeskError;
use crate::reader::LookupError;
use crate::waiting::WaitError;
use actix_web::HttpResponse;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use serde_json::json;
use tributary_identity::{CommandRefused, RefusedKind};
use tributary_model::{ErrorCode, Timestamp};
use tributary_proto::status::http_status;

/// Why a request is not answered with what it asks for. Its `Debug` hides the message: that may name identifiers.
#[derive(thiserror::Error)]
pub(super) enum ApiError {
    /// It can't be read, may not be done, or finds nothing.
    #[error("{1}")]
    Refused(ErrorCode, String),
    /// The path is there, but takes another method only.
    #[error("this path takes {0} only")]
    Method(Method),
    /// The graph does not let a change happen.
    #[error("{}", .0.message)]
    Command(Box<CommandRefused>),
    /// What the read was to wait for is not visible.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The log does not reach back far enough to tell how the profile stood.
    #[error(
        "the profile has older events than the log still holds; as_of can be {first_possible} at the earliest"
    )]
    Incomplete {
        /// The earliest receive time as of which it can be told.
        first_possible: Timestamp,
    },
    /// The state can't be read.
    #[error("the profile can't be read at the moment")]
    Lookup(#[from] LookupError),
    /// A change can't be brought into force, or not in time.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

impl std::fmt::Debug for ApiError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ApiError({})", self.code().name())
    }
}

impl From<CommandRefused> for ApiError {
    fn from(refused: CommandRefused) -> Self {
        Self::Command(Box::new(refused))
    }
}

impl ApiError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Refused(ErrorCode::InvalidRequest, message.into())
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::Refused(ErrorCode::NotFound, message.into())
    }

    /// Nobody is there by that name.
    pub(super) fn no_profile() -> Self {
        Self::not_found("no profile has this identifier")
    }

    /// What the request needs is not open yet.
    pub(super) fn starting() -> Self {
        Self::Refused(ErrorCode::Unavailable, "profiles are still being opened".into())
    }

    pub(super) fn stopping() -> Self {
        Self::Refused(ErrorCode::Unavailable, "the server is stopping".into())
    }

    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(code, _) => *code,
            Self::Method(_) => ErrorCode::MethodNotAllowed,
            Self::Command(refused) => match refused.kind {
                RefusedKind::NotFound | RefusedKind::NothingToPart => ErrorCode::NotFound,
                RefusedKind::Ambiguous | RefusedKind::Conflict => ErrorCode::Conflict,
                RefusedKind::Invalid => ErrorCode::InvalidRequest,
            },
            Self::Wait(error) => error.code(),
            Self::Incomplete { .. } => ErrorCode::Conflict,
            Self::Lookup(error) => error.code(),
            Self::Desk(error) => error.code(),
        }
    }

    /// The name that goes into the body.
    fn name(&self) -> &'static str {
        if let Self::Incomplete { .. } = self {
            return "history_incomplete";
        }
        match self.code() {
            ErrorCode::Unauthenticated | ErrorCode::Forbidden => "authentication_error",
            ErrorCode::NotFound => "not_found",
            ErrorCode::MethodNotAllowed => "method_not_allowed",
            ErrorCode::Conflict => "conflict",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::Timeout => "timeout",
            ErrorCode::Internal => "internal_error",
            ErrorCode::InvalidRequest | ErrorCode::PreconditionFailed | ErrorCode::TooLarge => {
                "invalid_request_error"
            }
        }
    }

    fn retry_after_seconds(&self) -> u32 {
        match self {
            Self::Desk(error) => error.retry_after_seconds(),
            Self::Refused(..)
            | Self::Method(_)
            | Self::Command(_)
            | Self::Wait(_)
            | Self::Incomplete { .. }
            | Self::Lookup(_) => 1,
        }
    }

    /// The answer to the request of this id.
    pub(super) fn response(&self, request_id: &str) -> HttpResponse {
        let code = self.code();
        if code == ErrorCode::Internal {
            self.log(request_id);
        }
        let status = StatusCode::from_u16(http_status(code)).expect("the table holds HTTP statuses");
        let mut response = HttpResponse::build(status);
        if code == ErrorCode::Unauthenticated {
            response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        if code == ErrorCode::Unavailable {
            response.insert_header((RETRY_AFTER, self.retry_after_seconds().to_string()));
        }
        if let Self::Method(method) = self {
            response.insert_header((ALLOW, method.as_str()));
        }
        let mut body = json!({"error": {"code": self.name(), "message": self.to_string()}});
        if let Self::Incomplete { first_possible } = self {
            body["error"]["first_possible"] = first_possible.to_string().into();
        }
        if let Self::Command(refused) = self {
            body["paths"] = refused.paths.iter().map(|path| reasons::path(path)).collect();
        }
        response.json(body)
    }

    /// Our own fault: the causes go to the log, and nothing that is the client's.
    fn log(&self, request_id: &str) {
        match self {
            Self::Lookup(error) => {
                tracing::error!(
                    request_id,
                    error = error as &dyn std::error::Error,
                    "a request to the profile API could not be answered"
                );
            }
            Self::Desk(error) => {
                tracing::error!(
                    request_id,
                    error = error as &dyn std::error::Error,
                    "a change of a profile could not be answered"
                );
            }
            Self::Refused(..)
            | Self::Method(_)
            | Self::Command(_)
            | Self::Wait(_)
            | Self::Incomplete { .. } => {
                tracing::error!(request_id, "a request to the profile API could not be answered");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody;
    use actix_web::http::header::HeaderName;
    use tributary_model::Position;

    #[test]
    fn every_refusal_has_a_status_a_name_and_its_headers() {
        let command =
            |kind| ApiError::from(CommandRefused { kind, message: "no".to_owned(), paths: vec![Vec::new()] });
        let refused = |code| ApiError::Refused(code, "no".to_owned());
        let cases = [
            (ApiError::invalid("no"), 400, "invalid_request_error"),
            (ApiError::not_found("no"), 404, "not_found"),
            (ApiError::starting(), 503, "unavailable"),
            (ApiError::Method(Method::POST), 405, "method_not_allowed"),
            (refused(ErrorCode::Unauthenticated), 401, "authentication_error"),
            (refused(ErrorCode::Forbidden), 403, "authentication_error"),
            (refused(ErrorCode::TooLarge), 413, "invalid_request_error"),
            (refused(ErrorCode::Internal), 500, "internal_error"),
            (command(RefusedKind::NotFound), 404, "not_found"),
            (command(RefusedKind::NothingToPart), 404, "not_found"),
            (command(RefusedKind::Ambiguous), 409, "conflict"),
            (command(RefusedKind::Conflict), 409, "conflict"),
            (command(RefusedKind::Invalid), 400, "invalid_request_error"),
            (ApiError::from(DeskError::Late { sequence: 7 }), 503, "unavailable"),
            (ApiError::from(WaitError::NotAPosition), 400, "invalid_request_error"),
            (ApiError::from(WaitError::Late(Position::at(7))), 504, "timeout"),
            (ApiError::from(WaitError::Stopped(Position::at(7))), 503, "unavailable"),
            (ApiError::Incomplete { first_possible: Timestamp::from_millis(0) }, 409, "history_incomplete"),
        ];
        for (error, status, name) in cases {
            let response = error.response("req_1");
            assert_eq!((response.status().as_u16(), error.name()), (status, name), "{error:?}");
            let header =
                |name: HeaderName| response.headers().get(name).map(|value| value.to_str().expect("text"));
            assert_eq!(header(RETRY_AFTER).is_some(), status == 503, "{error:?}");
            assert_eq!(header(WWW_AUTHENTICATE), (status == 401).then_some("Bearer"), "{error:?}");
            assert_eq!(header(ALLOW), (status == 405).then_some("POST"), "{error:?}");
        }
    }

    #[test]
    fn an_incomplete_history_tells_the_first_possible_time() {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let response = ApiError::Incomplete { first_possible: at }.response("req_1");
        let bytes = response.into_body().try_into_bytes().expect("the body is there");
        let body: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(body["error"]["first_possible"], at.to_string());
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.contains(&at.to_string()), "{message}");
    }
}
