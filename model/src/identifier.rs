//! Identifiers: what an event says about whose it is.

use crate::identity_rules::{Normalization, e164};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The kind of an identifier, such as `user_id` or `email`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Namespace(Cow<'static, str>);

impl Namespace {
    /// The customer's own id for a person: `userId`.
    pub const USER_ID: Self = Self(Cow::Borrowed("user_id"));
    /// An e-mail address: `traits.email` of an identify, `context.traits.email` of any event.
    pub const EMAIL: Self = Self(Cow::Borrowed("email"));
    /// A device's or browser's id: `anonymousId`.
    pub const ANONYMOUS_ID: Self = Self(Cow::Borrowed("anonymous_id"));
    /// The namespace by which a profile's own id is looked up. No event carries it.
    pub const PROFILE_ID: &'static str = "profile_id";

    /// The namespace that the field uses for accounts. An identifier of a person can't be of it.
    pub const GROUP_ID: &'static str = "group_id";

    /// The namespaces that are declared where no rules were written, but for the three above.
    pub(crate) const DEVICES: [&'static str; 7] = [
        "android.id",
        "android.idfa",
        "android.push_token",
        "ga_client_id",
        "ios.id",
        "ios.idfa",
        "ios.push_token",
    ];

    /// A namespace by its name.
    pub fn new(name: &str) -> Self {
        match name {
            "user_id" => Self::USER_ID,
            "email" => Self::EMAIL,
            "anonymous_id" => Self::ANONYMOUS_ID,
            other => match Self::DEVICES.into_iter().find(|device| *device == other) {
                Some(device) => Self(Cow::Borrowed(device)),
                None => Self(Cow::Owned(other.to_owned())),
            },
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Why a text is not an identifier of its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIdentifier {
    /// Nothing is left of it.
    #[error("the value is empty")]
    Empty,
    /// It is longer than [`Identifier::BYTES_MAX`].
    #[error("the value is longer than {} bytes", Identifier::BYTES_MAX)]
    TooLong,
    /// It lacks the form that its namespace has (an e-mail address without an @, say).
    #[error("the value has not the form of its namespace")]
    Malformed,
}

/// A namespace and a value in the one form in which values of that namespace are compared. Its `Debug` hides
/// the value: it is personal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    namespace: Namespace,
    /// Shared: an identifier is named in its node, its profile and its edges.
    value: Arc<str>,
}

impl Identifier {
    /// The default limit on the length of a value, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Brings a value into the form that its namespace has where no rules say otherwise: e-mail addresses
    /// trimmed and lower-cased, everything else as it is.
    ///
    /// # Errors
    /// If the value is empty, too long, or has not the form of its namespace.
    pub fn parse(namespace: Namespace, raw: &str) -> Result<Self, NotAnIdentifier> {
        let normalization =
            if namespace == Namespace::EMAIL { Normalization::Email } else { Normalization::Exact };
        Self::normalized(namespace, raw, &normalization)
    }

    /// Brings a value into the form that a rule gives its namespace. Doing so twice is doing so once.
    ///
    /// # Errors
    /// If the value is empty, too long, or can't be brought into that form.
    pub fn normalized(
        namespace: Namespace,
        raw: &str,
        normalization: &Normalization,
    ) -> Result<Self, NotAnIdentifier> {
        let value: Cow<'_, str> = match normalization {
            Normalization::Exact => Cow::Borrowed(raw),
            Normalization::Email => Cow::Owned(email(raw)?),
            Normalization::Phone { region } => Cow::Owned(e164(raw, region.as_deref())?),
        };
        if value.is_empty() {
            return Err(NotAnIdentifier::Empty);
        }
        if value.len() > Self::BYTES_MAX {
            return Err(NotAnIdentifier::TooLong);
        }
        Ok(Self { namespace, value: value.into() })
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its normalized value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The text form `namespace:value`.
    pub fn to_text(&self) -> String {
        format!("{}:{}", self.namespace, self.value)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:…", self.namespace)
    }
}

/// A node of the identity graph, and the key of a fragment: an identifier in one of its epochs. The epoch is
/// 0 until a rule or a person hands the identifier to another owner, which opens the next.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NodeKey {
    /// The identifier.
    pub identifier: Identifier,
    /// Which of its lives; 0 is the first.
    pub epoch: u32,
}

impl NodeKey {
    /// The node of an identifier in its first epoch.
    pub fn first_epoch(identifier: Identifier) -> Self {
        Self { identifier, epoch: 0 }
    }
}

/// An e-mail address in the one form in which addresses are compared.
fn email(raw: &str) -> Result<String, NotAnIdentifier> {
    let text = raw.trim().to_lowercase();
    match text.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => Ok(text),
        _ if text.is_empty() => Err(NotAnIdentifier::Empty),
        _ => Err(NotAnIdentifier::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_normalizes_or_refuses() {
        let long = "x".repeat(513);
        let cases = [
            ("plain", Namespace::EMAIL, "ada@example.com", Ok("ada@example.com")),
            ("case and space", Namespace::EMAIL, " Ada@Example.COM\n", Ok("ada@example.com")),
            ("no domain", Namespace::EMAIL, "ada@", Err(NotAnIdentifier::Malformed)),
            ("no at", Namespace::EMAIL, "ada", Err(NotAnIdentifier::Malformed)),
            ("blank e-mail", Namespace::EMAIL, "  ", Err(NotAnIdentifier::Empty)),
            ("user id as it is", Namespace::USER_ID, " U:1 ", Ok(" U:1 ")),
            ("empty", Namespace::USER_ID, "", Err(NotAnIdentifier::Empty)),
            ("too long", Namespace::ANONYMOUS_ID, &long, Err(NotAnIdentifier::TooLong)),
        ];
        for (name, namespace, raw, want) in cases {
            let got = Identifier::parse(namespace, raw).map(|id| id.value().to_owned());
            assert_eq!(got, want.map(str::to_owned), "{name}");
        }
    }

    #[test]
    fn a_rule_may_give_another_form() {
        let german = Normalization::Phone { region: Some("DE".to_owned()) };
        let cases = [
            ("an e-mail as it is", Normalization::Exact, "Ada@x", Ok("Ada@x")),
            ("a number as an e-mail", Normalization::Email, "+49 30 123456", Err(NotAnIdentifier::Malformed)),
            ("a German number", german.clone(), "030 123456", Ok("+4930123456")),
            ("no number", german, "n/a", Err(NotAnIdentifier::Malformed)),
        ];
        for (name, normalization, raw, want) in cases {
            let got = Identifier::normalized(Namespace::new("x"), raw, &normalization);
            assert_eq!(got.map(|id| id.value().to_owned()), want.map(str::to_owned), "{name}");
        }
    }

    #[test]
    fn debug_hides_the_value() {
        let id = Identifier::parse(Namespace::EMAIL, "ada@example.com").expect("an e-mail");
        assert_eq!(format!("{id:?}"), "email:…");
    }
}
