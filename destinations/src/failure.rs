//! Why a delivery was not taken: a stable code for machines, and words for people.

use serde::{Deserialize, Serialize};

/// Why an attempt failed, or a delivery could not be sent at all. The names are stable: records, dead letters, metrics and
/// the API use them. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There was no answer in time.
    Timeout,
    /// The connection could not be made, or broke.
    Connection,
    /// The encrypted connection could not be made: a certificate that is not trusted, for instance.
    Tls,
    /// The receiver's address is refused.
    AddressRefused,
    /// 400.
    BadRequest,
    /// 401, or another answer that says that the credentials are not good.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404 or 410.
    NotFound,
    /// 413: the request was too large.
    TooLarge,
    /// 429, or another answer that says that there were too many requests.
    RateLimited,
    /// 5xx.
    ServerError,
    /// Another status.
    UnexpectedStatus,
    /// A redirect, which is not followed.
    Redirected,
    /// The status was a success, but the answer's body says that it was none.
    RefusedInBody,
    /// The answer can't be read as the definition says.
    UnreadableAnswer,
    /// A field that the action requires is missing.
    MissingField,
    /// A field has a value that the action does not take.
    InvalidField,
    /// The request can't be made: it would not be valid.
    InvalidRequest,
    /// A filter names what the activation does not carry, so that it can't be told whether it may be sent.
    FilterNotEvaluable,
    /// The stored event can't be read.
    UnreadableEvent,
    /// The database or the storage refused the data.
    DataRefused,
    /// The database or the storage does not let us do that.
    PermissionDenied,
    /// From before reasons had codes.
    Unknown,
    /// The token endpoint of OAuth 2.0 gave no token, without refusing the credentials.
    TokenEndpoint,
    /// The event happened longer ago than the vendor takes events.
    TooOld,
}

/// How long the words of a failure are at most, in characters: they are kept with every attempt that it is about.
const TEXT_CHARACTERS_MAX: usize = 500;

impl Reason {
    /// Every reason, in order.
    pub const ALL: [Self; 25] = [
        Self::Timeout,
        Self::Connection,
        Self::Tls,
        Self::AddressRefused,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::TooLarge,
        Self::RateLimited,
        Self::ServerError,
        Self::UnexpectedStatus,
        Self::Redirected,
        Self::RefusedInBody,
        Self::UnreadableAnswer,
        Self::MissingField,
        Self::InvalidField,
        Self::InvalidRequest,
        Self::FilterNotEvaluable,
        Self::UnreadableEvent,
        Self::DataRefused,
        Self::PermissionDenied,
        Self::Unknown,
        Self::TokenEndpoint,
        Self::TooOld,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::AddressRefused => "address_refused",
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::UnexpectedStatus => "unexpected_status",
            Self::Redirected => "redirected",
            Self::RefusedInBody => "refused_in_body",
            Self::UnreadableAnswer => "unreadable_answer",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::InvalidRequest => "invalid_request",
            Self::FilterNotEvaluable => "filter_not_evaluable",
            Self::UnreadableEvent => "unreadable_event",
            Self::DataRefused => "data_refused",
            Self::PermissionDenied => "permission_denied",
            Self::Unknown => "unknown",
            Self::TokenEndpoint => "token_endpoint",
            Self::TooOld => "too_old",
        }
    }

    /// The reason of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The reason that a failed HTTP status stands for.
    pub const fn of_status(status: u16) -> Self {
        match status {
            300..=399 => Self::Redirected,
            400 | 422 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 | 410 => Self::NotFound,
            408 => Self::Timeout,
            413 => Self::TooLarge,
            425 | 429 => Self::RateLimited,
            500..=599 => Self::ServerError,
            _ => Self::UnexpectedStatus,
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code.
    pub reason: Reason,
    /// In words: the answer or the error, and what to do where that is known; without secrets, and addresses with
    /// credentials. What a receiver says of a single delivery of several stands in it and may hold personal data, so it
    /// is shown and kept where the delivery is, and never logged.
    pub text: String,
    /// The answer's HTTP status, if there was one.
    pub status: Option<u16>,
    /// It looks as if the receiver were out: no connection, no answer, 5xx, or no token for it.
    pub outage: bool,
    /// Nothing of the request can have reached the receiver, so that nothing in it can be the cause. Not kept.
    #[serde(skip)]
    pub(crate) unsent: bool,
    /// How many bytes of the words are ours, where those of the receiver about a single delivery follow. Not kept.
    #[serde(skip)]
    pub(crate) own_bytes: Option<usize>,
}

impl Failure {
    /// A failure without an answer that has nothing to do with how the receiver is. Words beyond the limit are cut off.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: bounded(text.into()),
            status: None,
            outage: false,
            unsent: false,
            own_bytes: None,
        }
    }

    /// The same of a request of which nothing can have reached the receiver.
    pub(crate) fn unsent(self) -> Self {
        Self { unsent: true, ..self }
    }

    /// The same with what the receiver says of a single delivery behind it.
    pub(crate) fn told(self, words: &str) -> Self {
        let own_bytes = Some(self.text.len());
        let text = format!("{}: {words}", self.text);
        Self { own_bytes, ..self.in_words(text) }
    }

    /// The words without the receiver's about a single delivery: nothing personal is in them.
    pub(crate) fn own_words(&self) -> &str {
        self.own_bytes.and_then(|bytes| self.text.get(..bytes)).unwrap_or(&self.text)
    }

    /// A failure without an answer that looks as if the receiver were out.
    pub fn outage(reason: Reason, text: impl Into<String>) -> Self {
        Self { outage: true, ..Self::new(reason, text) }
    }

    /// An answer that was no success.
    pub fn answered(status: u16, text: impl Into<String>) -> Self {
        Self { status: Some(status), ..Self::new(Reason::of_status(status), text) }
    }

    /// The same in other words.
    pub(crate) fn in_words(self, text: impl Into<String>) -> Self {
        Self { text: bounded(text.into()), own_bytes: None, ..self }
    }

    /// The same, with what another one says behind it.
    pub(crate) fn and(self, other: &Self) -> Self {
        let text = format!("{}; {}", self.text, other.text);
        self.in_words(text)
    }

    /// Several mappings of a delivery, by number, were refused: the first says how, its words name all. `None` of none.
    pub(crate) fn of_mappings(refused: &[(u32, Self)]) -> Option<Self> {
        match refused {
            [] => None,
            [(_, only)] => Some(only.clone()),
            [(_, first), ..] => {
                let named = refused.iter().map(|(mapping, why)| format!("mapping {mapping}: {}", why.text));
                Some(first.clone().in_words(named.collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARACTERS_MAX) {
        text.truncate(end);
        let last = text.char_indices().next_back().map_or(0, |(last, _)| last);
        text.truncate(last);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_by_their_names_and_stored_by_their_places() {
        for (place, reason) in (0_u8..).zip(Reason::ALL) {
            assert_eq!(Reason::find(reason.name()), Some(reason));
            assert_eq!(postcard::to_stdvec(&reason).expect("a plain value"), [place], "{reason:?}");
            assert_eq!(serde_json::to_value(reason).expect("a plain value"), reason.name());
        }
    }

    #[test]
    fn words_are_cut_at_a_character() {
        let cases = [(499, 499, 'é'), (500, 500, 'é'), (501, 500, '…'), (100_000, 500, '…')];
        for (said, kept, last) in cases {
            let words = "é".repeat(said);
            let failures = [
                Failure::new(Reason::InvalidField, words.as_str()),
                Failure::answered(400, words.as_str()),
                Failure::outage(Reason::Timeout, words.as_str()),
                Failure::new(Reason::Timeout, "").in_words(words.as_str()),
            ];
            for Failure { text, .. } in failures {
                assert_eq!((text.chars().count(), text.chars().next_back()), (kept, Some(last)), "{said}");
            }
        }
    }

    #[test]
    fn all_refused_mappings_are_named() {
        let missing = |name: &str| Failure::new(Reason::MissingField, format!("{name} is missing"));
        assert_eq!(Failure::of_mappings(&[]), None);
        assert_eq!(Failure::of_mappings(&[(2, missing("id"))]), Some(missing("id")));
        let several = [(1, missing("id")), (3, Failure::answered(400, "answered 400"))];
        let named = Failure::of_mappings(&several).expect("some were refused");
        assert_eq!(
            named,
            Failure::new(Reason::MissingField, "mapping 1: id is missing; mapping 3: answered 400")
        );
        assert_eq!(missing("id").and(&missing("name")).text, "id is missing; name is missing");
        let many: Vec<_> = (1..=50).map(|mapping| (mapping, missing(&"x".repeat(200)))).collect();
        let named = Failure::of_mappings(&many).expect("some were refused");
        assert_eq!(named.text.chars().count(), TEXT_CHARACTERS_MAX);
    }
}
