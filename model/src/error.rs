//! The codes that every boundary shares.

/// What kind of failure a caller meets. `proto::status` gives each its HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request can't be read or breaks a rule: the caller has to change it.
    InvalidRequest,
    /// No credentials, or unknown ones.
    Unauthenticated,
    /// Known credentials that may not do this.
    Forbidden,
    /// What was asked for does not exist.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// It clashes with what is there already.
    Conflict,
    /// `If-Match` names another version than the one in force.
    PreconditionFailed,
    /// Larger than a limit.
    TooLarge,
    /// Can't be done at the moment; trying again later may work.
    Unavailable,
    /// What was waited for did not come in time.
    Timeout,
    /// Our own fault.
    Internal,
}

impl ErrorCode {
    /// The stable name that goes into error bodies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}
