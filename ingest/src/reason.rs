//! Why an event is rejected: stable names, and words for the customer.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why an event is rejected. The names are stable: rejects, metrics and the API use them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RejectReason {
            $($(#[$doc])* $variant,)*
        }

        impl RejectReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// An element of a batch that is no JSON object.
    NotAnObject = "not_an_object",
    /// No `type`, and no path that implies it.
    TypeMissing = "type_missing",
    /// A `type` that is none of the six calls.
    TypeUnknown = "type_unknown",
    /// `type` names another call than the path.
    TypeMismatch = "type_mismatch",
    /// Neither `userId` nor `anonymousId`.
    NoIdentifier = "no_identifier",
    /// A member of a wrong JSON type.
    WrongType = "wrong_type",
    /// Over gRPC: a member whose bytes are not JSON, or a time that no calendar has.
    Unreadable = "unreadable",
    /// A track call without the name of its event.
    EventNameMissing = "event_name_missing",
    /// A group call without `groupId`.
    GroupIdMissing = "group_id_missing",
    /// An alias call without `previousId`.
    PreviousIdMissing = "previous_id_missing",
    /// More bytes than the limit.
    EventTooLarge = "event_too_large",
    /// Nested deeper than the limit.
    TooDeep = "too_deep",
    /// More properties or traits than the limit.
    TooManyProperties = "too_many_properties",
    /// `messageId` longer than the limit.
    MessageIdTooLong = "message_id_too_long",
    /// An identifier longer than the limit.
    IdentifierTooLong = "identifier_too_long",
}

impl RejectReason {
    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name of the limit that was hit, if it was one.
    pub const fn limit(self) -> Option<&'static str> {
        match self {
            Self::EventTooLarge => Some("event_bytes_max"),
            Self::TooDeep => Some("depth_max"),
            Self::TooManyProperties => Some("properties_max"),
            Self::MessageIdTooLong => Some("message_id_bytes_max"),
            Self::IdentifierTooLong => Some("identifier_bytes_max"),
            Self::NotAnObject
            | Self::TypeMissing
            | Self::TypeUnknown
            | Self::TypeMismatch
            | Self::NoIdentifier
            | Self::WrongType
            | Self::Unreadable
            | Self::EventNameMissing
            | Self::GroupIdMissing
            | Self::PreviousIdMissing => None,
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: RejectReason,
    /// JSON pointer into the event to where it is; empty for the event as a whole.
    pub(crate) pointer: &'static str,
    /// What was wrong and what to do, for the customer. Never a value of the event.
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(reason: RejectReason, pointer: &'static str, text: impl Into<String>) -> Self {
        Self { reason, pointer, text: text.into() }
    }
}
