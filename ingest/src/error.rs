//! Why a request is refused whole.

use tributary_eventlog::AppendError;
use tributary_model::ErrorCode;
use tributary_proto::json::BodyError;

/// Why a request is refused whole. None of its events was taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// No write key, neither in the header nor in the body.
    #[error("no write key: send it as the user name of Basic authorization, or as `writeKey` in the body")]
    MissingWriteKey,
    /// The `Authorization` header holds no write key that can be read.
    #[error(
        "the authorization header can't be read: send `Basic` and the base64 text of the write key and a colon"
    )]
    MalformedAuthorization,
    /// No enabled source has this write key.
    #[error("the write key is unknown or its source is disabled")]
    UnknownWriteKey,
    /// `position` in the query is neither on nor off.
    #[error("position in the query is `true`, `false`, or left out")]
    BadPosition,
    /// A body coded in a way that is not supported.
    #[error("content encoding is not supported: send gzip, or none")]
    UnsupportedEncoding,
    /// The body ended early or its framing is broken.
    #[error("the body did not arrive whole")]
    BodyBroken,
    /// The body took too long to arrive.
    #[error("the body did not arrive within {seconds} s")]
    BodyTimeout {
        /// The limit.
        seconds: u64,
    },
    /// Coded as gzip, but can't be decoded.
    #[error("the body is not valid gzip")]
    NotGzip,
    /// More bytes than the limit as sent.
    #[error("the body is larger than the limit of {limit} bytes; send fewer events at once")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// More bytes than the limit once decoded.
    #[error("the decoded body is larger than the limit of {limit} bytes; send fewer events at once")]
    DecodedTooLarge {
        /// The limit.
        limit: usize,
    },
    /// Grows too much when decoded.
    #[error("the decoded body is more than {ratio} times as large as the one sent")]
    RatioTooHigh {
        /// The limit.
        ratio: usize,
    },
    /// Too many events.
    #[error("the batch holds {len} events; the limit is {limit}")]
    BatchTooLarge {
        /// Events in the batch.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// What a gRPC request says for all its events can't be read.
    #[error("`{member}` of the request is {flaw}; send {wanted}, or leave it out")]
    Default {
        /// Which of them.
        member: &'static str,
        /// What is wrong with it.
        flaw: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The defaults of a batch, repeated in each event, amount to too much.
    #[error(
        "`context` and `integrations` of the batch add more than {limit} bytes to its events; send fewer events at once"
    )]
    DefaultsTooLarge {
        /// The limit.
        limit: usize,
    },
    /// No body that can be taken apart.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A gRPC message that can't be decoded.
    #[error("the message can't be decoded: {0}")]
    Undecodable(String),
    /// A gRPC stream that does not keep to its rules.
    #[error(transparent)]
    Stream(#[from] StreamFault),
    /// Bodies in work take all the memory that they may.
    #[error("too many requests are being worked on; try again")]
    InFlightFull,
    /// A log refused the events.
    #[error("events can't be stored at the moment: {0}")]
    Log(#[from] AppendError),
    /// The server ends, and with it what is open.
    #[error("the server is stopping; connect again")]
    Stopping,
    /// Our own fault: work was abandoned.
    #[error("the request was not completed")]
    Abandoned,
}

impl IngestError {
    /// What kind of failure it is.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::MissingWriteKey | Self::MalformedAuthorization | Self::UnknownWriteKey => {
                ErrorCode::Unauthenticated
            }
            Self::BadPosition
            | Self::UnsupportedEncoding
            | Self::BodyBroken
            | Self::NotGzip
            | Self::Body(_)
            | Self::Default { .. }
            | Self::Undecodable(_)
            | Self::Stream(_) => ErrorCode::InvalidRequest,
            Self::BodyTooLarge { .. }
            | Self::DecodedTooLarge { .. }
            | Self::RatioTooHigh { .. }
            | Self::BatchTooLarge { .. }
            | Self::DefaultsTooLarge { .. } => ErrorCode::TooLarge,
            Self::BodyTimeout { .. } | Self::InFlightFull | Self::Stopping => ErrorCode::Unavailable,
            Self::Log(why) => why.code(),
            Self::Abandoned => ErrorCode::Internal,
        }
    }

    /// After how many seconds the client should try again, if that makes sense.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        if let Self::Log(why) = self {
            return why.retry_after_seconds();
        }
        (self.code() == ErrorCode::Unavailable).then_some(1)
    }

    /// The name of the limit that was hit, if it was one.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::BodyTooLarge { .. } => Some("wire_bytes_max"),
            Self::DecodedTooLarge { .. } => Some("decoded_bytes_max"),
            Self::RatioTooHigh { .. } => Some("inflate_ratio_max"),
            Self::BatchTooLarge { .. } => Some("batch_events_max"),
            Self::DefaultsTooLarge { .. } => Some("defaults_bytes_max"),
            Self::InFlightFull => Some("in_flight_bytes_max"),
            Self::BodyTimeout { .. } => Some("body_read_timeout"),
            Self::MissingWriteKey
            | Self::MalformedAuthorization
            | Self::UnknownWriteKey
            | Self::BadPosition
            | Self::UnsupportedEncoding
            | Self::BodyBroken
            | Self::NotGzip
            | Self::Body(_)
            | Self::Default { .. }
            | Self::Undecodable(_)
            | Self::Stream(_)
            | Self::Log(_)
            | Self::Stopping
            | Self::Abandoned => None,
        }
    }
}

/// How a gRPC stream breaks its rules. What came before is taken; what is wrong and what follows is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// Something else came first, or nothing at all.
    #[error("the first request of a stream has to open it: send `open` with a stream id")]
    NotOpened,
    /// It is open already.
    #[error("the stream is open already: send `open` in its first request only")]
    OpenedTwice,
    /// A stream id that can't name a stream.
    #[error("`stream_id` has to be 1 to 128 visible ASCII characters, such as a UUID")]
    StreamId,
    /// A request that holds nothing.
    #[error("the request is empty: send `event` with a sequence number")]
    Empty,
    /// A stream that begins with 0.
    #[error("sequence number 0 is never used: begin with another one")]
    SequenceZero,
    /// A number that does not follow on the one before.
    #[error("expected sequence number {expected}, not {got}: numbers grow by one from request to request")]
    Sequence {
        /// The number that would have followed.
        expected: u64,
        /// The number that came.
        got: u64,
    },
}
