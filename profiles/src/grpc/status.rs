//! Refusals as gRPC statuses.

use super::feed::FeedError;
use super::{ANSWER_BYTES_MAX, WATCHES_MAX};
use crate::metrics;
use crate::reader::LookupError;
use crate::waiting::WaitError;
use std::error::Error;
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};
use tributary_eventlog::ReadError;
use tributary_model::ErrorCode;
use tributary_proto::status::{grpc_status, http_status};

/// The metadata that tells after how many seconds trying again makes sense.
const RETRY_AFTER: &str = "retry-after";

/// Why a call is not answered with what it asks for. Its `Debug` hides the message: that may name identifiers.
#[derive(thiserror::Error)]
pub(super) enum Refusal {
    /// It can't be read, may not be done, or finds nothing.
    #[error("{1}")]
    Refused(ErrorCode, String),
    /// The state can't be read.
    #[error("the profile can't be read at the moment")]
    Lookup(#[from] LookupError),
    /// What is to be waited for is none, or is not visible in time.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The activations log can't be read.
    #[error("changes can't be read at the moment")]
    Feed(#[source] FeedError),
    /// Retention has removed what a watch would go on with.
    #[error(
        "the log no longer keeps what happened behind this token: read the profiles anew, and watch without a token"
    )]
    Expired,
    /// The answer would be larger than most clients take.
    #[error(
        "the profiles have more than {max} bytes together, which is the limit of an answer; ask for fewer, or for fewer \
         parts of them",
        max = ANSWER_BYTES_MAX
    )]
    Large,
    /// The limit on watches is met.
    #[error("{max} watches are open, which is the limit; close one, or try again later", max = WATCHES_MAX)]
    Watches,
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Refusal({:?})", self.codes())
    }
}

impl From<FeedError> for Refusal {
    fn from(error: FeedError) -> Self {
        if matches!(error, FeedError::Log(ReadError::Expired { .. })) {
            Self::Expired
        } else {
            Self::Feed(error)
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, _) = refusal.codes();
        let mut status = Self::new(code, refusal.to_string());
        if let Some(seconds) = refusal.retry_after_seconds() {
            status.metadata_mut().insert(RETRY_AFTER, seconds.into());
        }
        status.set_source(Arc::new(refusal));
        status
    }
}

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Refused(ErrorCode::InvalidRequest, message.into())
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::Refused(ErrorCode::NotFound, message.to_owned())
    }

    /// Nobody is there by that name.
    pub(super) fn no_profile() -> Self {
        Self::not_found("no profile has this identifier")
    }

    /// What the call needs is not open yet.
    pub(super) fn starting() -> Self {
        Self::Refused(ErrorCode::Unavailable, "profiles are still being opened".to_owned())
    }

    pub(super) fn stopping() -> Self {
        Self::Refused(ErrorCode::Unavailable, "the server is stopping".to_owned())
    }

    /// Something of ours ended that should not have.
    pub(super) fn abandoned() -> Self {
        Self::Refused(ErrorCode::Internal, "the call was given up".to_owned())
    }

    /// Its gRPC status, and the HTTP status that it would have.
    fn codes(&self) -> (Code, u16) {
        let of = |code| (grpc_status(code), http_status(code));
        match self {
            Self::Refused(code, _) => of(*code),
            Self::Lookup(error) => of(error.code()),
            Self::Wait(error) => of(error.code()),
            Self::Feed(error) => of(error.code()),
            Self::Expired => (Code::OutOfRange, 410),
            Self::Large => of(ErrorCode::TooLarge),
            Self::Watches => (Code::ResourceExhausted, 429),
        }
    }

    fn retry_after_seconds(&self) -> Option<u32> {
        let is_worth_it = matches!(self, Self::Watches) || self.codes().0 == Code::Unavailable;
        is_worth_it.then_some(1)
    }

    /// Logs it if it is our own fault: its causes, and nothing that is the client's.
    pub(super) fn log(&self, endpoint: &'static str) {
        if self.codes().0 != Code::Internal {
            return;
        }
        let why: Option<&(dyn Error + 'static)> = match self {
            Self::Lookup(error) => Some(error),
            Self::Feed(error) => Some(error),
            Self::Refused(..) | Self::Wait(_) | Self::Expired | Self::Large | Self::Watches => None,
        };
        tracing::error!(endpoint, error = why, "a gRPC call for profiles could not be answered");
    }
}

/// Counts an answer, and puts a refusal that came from below, where messages are decoded, into our words.
pub(super) fn settle(endpoint: &'static str, answer: http::Response<Body>) -> http::Response<Body> {
    let Some(status) = answer.extensions().get::<Status>() else {
        count(endpoint, 200);
        return answer;
    };
    if let Some(refusal) = refusal_of(status) {
        refusal.log(endpoint);
        count(endpoint, refusal.codes().1);
        return answer;
    }
    let code = status.code();
    let code = if code == Code::Unimplemented {
        // It tells the codings that are taken, as the protocol wants, and stays as it is.
        count(endpoint, http_status(ErrorCode::InvalidRequest));
        return answer;
    } else if code == Code::OutOfRange || code == Code::ResourceExhausted {
        ErrorCode::TooLarge
    } else if code == Code::Internal {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::Unavailable
    };
    let refusal = Refusal::Refused(code, format!("the request can't be taken: {}", status.message()));
    count(endpoint, refusal.codes().1);
    Status::from(refusal).into_http()
}

fn refusal_of(status: &Status) -> Option<&Refusal> {
    status.source()?.downcast_ref()
}

fn count(endpoint: &'static str, status: u16) {
    let status = status.to_string();
    ::metrics::counter!(metrics::API_REQUESTS, "endpoint" => endpoint, "status" => status).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::Position;

    #[test]
    fn every_refusal_has_a_status_and_unavailable_ones_a_time_to_come_back() {
        let refused = |code| Refusal::Refused(code, "no".to_owned());
        let expired = FeedError::Log(ReadError::Expired { first: 7 });
        let away = FeedError::Log(ReadError::Unavailable("the broker is away".to_owned()));
        let cases = [
            (Refusal::invalid("no"), Code::InvalidArgument, 400, None),
            (refused(ErrorCode::Unauthenticated), Code::Unauthenticated, 401, None),
            (refused(ErrorCode::Forbidden), Code::PermissionDenied, 403, None),
            (Refusal::no_profile(), Code::NotFound, 404, None),
            (Refusal::from(expired), Code::OutOfRange, 410, None),
            (Refusal::Large, Code::ResourceExhausted, 413, None),
            (Refusal::Watches, Code::ResourceExhausted, 429, Some("1")),
            (Refusal::from(FeedError::Form { sequence: 1 }), Code::Internal, 500, None),
            (Refusal::abandoned(), Code::Internal, 500, None),
            (Refusal::from(away), Code::Unavailable, 503, Some("1")),
            (Refusal::stopping(), Code::Unavailable, 503, Some("1")),
            (Refusal::from(WaitError::NotAPosition), Code::InvalidArgument, 400, None),
            (Refusal::from(WaitError::Late(Position::at(7))), Code::DeadlineExceeded, 504, None),
            (Refusal::from(WaitError::Stopped(Position::at(7))), Code::Unavailable, 503, Some("1")),
        ];
        for (refusal, code, http, retry_after) in cases {
            assert_eq!(refusal.codes(), (code, http));
            let status = Status::from(refusal);
            assert_eq!(status.code(), code);
            let seconds = status.metadata().get(RETRY_AFTER).map(|value| value.to_str().expect("text"));
            assert_eq!(seconds, retry_after, "{status}");
            assert!(refusal_of(&status).is_some());
        }
    }
}
