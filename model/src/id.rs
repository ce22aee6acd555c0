//! Ids: small newtypes, each with one text form.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: {0:?}")]
pub struct NotAnId(pub String);

macro_rules! numbered_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!($prefix, "_{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|digits| !digits.starts_with(['+', '0']) || *digits == "0")
                    .and_then(|digits| digits.parse().ok())
                    .map(Self)
                    .ok_or_else(|| NotAnId(text.to_owned()))
            }
        }
    };
}

numbered_id!(
    /// A workspace: the first part of every key in every store. Numbers are never used again.
    WorkspaceId,
    "ws"
);
numbered_id!(
    /// A source: where events come from, under a write key. Unique within its workspace.
    SourceId,
    "src"
);
numbered_id!(
    /// An audience. Unique within its workspace; numbers are never used again.
    AudienceId,
    "aud"
);
numbered_id!(
    /// A computed trait. Unique within its workspace.
    ComputedTraitId,
    "trt"
);
numbered_id!(
    /// A configured destination. Unique within its workspace.
    DestinationId,
    "dst"
);
numbered_id!(
    /// An API token. Unique within its workspace.
    TokenId,
    "tok"
);

/// The client's idempotency key of an event: 1 to 256 bytes of text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct MessageId(Arc<str>);

impl MessageId {
    /// The default limit on the length of a message id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Takes a client's text.
    ///
    /// # Errors
    /// If it is empty or longer than [`Self::BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, NotAnId> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(NotAnId(text.chars().take(40).collect()));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The id of a profile: a keyed hash of the identifier that created it, so that one log gives one set of
/// ids, while an id tells nothing about the person. Text form: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileId(pub [u8; 16]);

impl fmt::Display for ProfileId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ProfileId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for ProfileId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnId(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_ids_have_one_text_form() {
        let cases = [
            ("src_7", Some(SourceId(7))),
            ("src_0", Some(SourceId(0))),
            ("src_07", None),
            ("src_+7", None),
            ("dst_7", None),
            ("src_", None),
            ("src_99999999999", None),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse().ok(), want, "{text}");
            if let Some(id) = want {
                assert_eq!(id.to_string(), text);
            }
        }
    }
}
