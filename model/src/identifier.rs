//! Identifiers: what an event says about whose it is.

use crate::event::EventView;
use crate::workspace::IdentityRules;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

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

    /// A namespace by its name.
    pub fn new(name: &str) -> Self {
        match name {
            "user_id" => Self::USER_ID,
            "email" => Self::EMAIL,
            "anonymous_id" => Self::ANONYMOUS_ID,
            other => Self(Cow::Owned(other.to_owned())),
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
    value: Box<str>,
}

impl Identifier {
    /// The default limit on the length of a value, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Brings a value into the form of its namespace: e-mail addresses trimmed and lower-cased, everything
    /// else as it is.
    ///
    /// # Errors
    /// If the value is empty, too long, or has not the form of its namespace.
    pub fn parse(namespace: Namespace, raw: &str) -> Result<Self, NotAnIdentifier> {
        let value: Cow<'_, str> = if namespace == Namespace::EMAIL {
            let text = raw.trim().to_lowercase();
            match text.split_once('@') {
                Some((local, domain)) if !local.is_empty() && !domain.is_empty() => Cow::Owned(text),
                _ if text.is_empty() => return Err(NotAnIdentifier::Empty),
                _ => return Err(NotAnIdentifier::Malformed),
            }
        } else {
            Cow::Borrowed(raw)
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

/// The identifiers that an event carries, highest priority first, each once. The first is the event's anchor.
/// Empty if the event carries none (only possible where values turn out not to be identifiers).
///
/// Where they are read from: `userId`, `anonymousId`; `traits.email` of an identify call;
/// `context.traits.email` of any call. A `group` call's `traits` are the account's and are not read.
pub fn identifiers_of(event: &EventView<'_>, rules: &IdentityRules) -> Vec<Identifier> {
    let mut found: Vec<(u32, Identifier)> = Vec::with_capacity(3);
    let mut add = |namespace: Namespace, raw: &str| {
        let Some(rule) = rules.rule(&namespace) else { return };
        if let Ok(identifier) = Identifier::parse(namespace, raw)
            && !found.iter().any(|(_, have)| *have == identifier)
        {
            found.push((rule.priority, identifier));
        }
    };
    if let Some(raw) = &event.user_id {
        add(Namespace::USER_ID, raw);
    }
    for email in [event.email_in_traits(), event.email_in_context()].into_iter().flatten() {
        add(Namespace::EMAIL, &email);
    }
    if let Some(raw) = &event.anonymous_id {
        add(Namespace::ANONYMOUS_ID, raw);
    }
    // Stable: within a namespace the place read first has the higher priority.
    found.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.namespace.cmp(&right.namespace)));
    found.into_iter().map(|(_, identifier)| identifier).collect()
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
    fn identifiers_come_in_order_of_priority() {
        let cases = [
            (
                r#"{"type":"identify","userId":"u","anonymousId":"a","traits":{"email":"A@x"},"context":{"traits":{"email":"b@x"}}}"#,
                vec!["user_id:u", "email:a@x", "email:b@x", "anonymous_id:a"],
            ),
            (r#"{"type":"track","anonymousId":"a","traits":{"email":"a@x"}}"#, vec!["anonymous_id:a"]),
            (
                r#"{"type":"group","userId":"u","traits":{"email":"acme@x"},"context":{"traits":{"email":"me@x"}}}"#,
                vec!["user_id:u", "email:me@x"],
            ),
            (
                r#"{"type":"identify","userId":null,"anonymousId":"a","traits":{"email":7}}"#,
                vec!["anonymous_id:a"],
            ),
            (r#"{"type":"alias","userId":"u","previousId":"a"}"#, vec!["user_id:u"]),
        ];
        for (text, want) in cases {
            let event = EventView::parse(text.as_bytes()).expect(text);
            let got: Vec<_> =
                identifiers_of(&event, &IdentityRules::default()).iter().map(Identifier::to_text).collect();
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn debug_hides_the_value() {
        let id = Identifier::parse(Namespace::EMAIL, "ada@example.com").expect("an e-mail");
        assert_eq!(format!("{id:?}"), "email:…");
    }
}
