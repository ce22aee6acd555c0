//! How payloads reach a destination: over HTTP, into a database, into files. Everything that leaves the process goes through
//! [`crate::connect`], which refuses addresses that are not allowed.
//!
//! A transport makes requests and reads answers. When to send, how often, and what becomes of a delivery is none of its
//! business: the worker's.

mod http;
mod object_storage;
mod postgresql;

pub(crate) use http::Grant;
pub(crate) use postgresql::check_columns;

use crate::connect::Outbound;
use crate::definition::{RawSettings, SettingsError, Spec, TransportSpec};
use crate::exchange::{Exchange, Payload, RequestRecord, ResponseRecord, Verdict};
use crate::failure::Failure;
use crate::tokens::Tokens;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tributary_model::Timestamp;

/// A person, as a deletion names them: identifiers by namespace (`user_id`, `anonymous_id`, `email`, …).
pub type Person = BTreeMap<String, Vec<String>>;

/// What a transport is made with, beside settings.
#[derive(Clone)]
pub(crate) struct TransportParts {
    /// The only way out.
    pub(crate) outbound: Arc<Outbound>,
    /// How long a whole exchange may take.
    pub(crate) timeout: Duration,
    /// Bytes of an answer that are read.
    pub(crate) response_bytes: usize,
    /// Where its tokens are; without that, tokens are this transport's own and are gone with it.
    pub(crate) tokens: Option<Tokens>,
}

/// What a test call, or a deletion, did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) request: RequestRecord,
    pub(crate) response: Option<ResponseRecord>,
    pub(crate) verdict: Verdict,
}

/// A way to a configured destination. Dropping a future breaks the exchange off; the receiver may have got it then.
pub(crate) trait Transport: Send + Sync {
    /// Payloads share a request only if this is equal, beside their group: the file they belong into, for instance.
    fn part(&self, payload: &Payload) -> u64;

    /// What would be sent for these payloads: their request with secrets masked, bodies cut to `body_bytes`, of which a mark is
    /// the end. Never empty.
    ///
    /// # Errors
    /// Why it can never be sent.
    fn describe(
        &self,
        payloads: &[Payload],
        at: Timestamp,
        body_bytes: usize,
    ) -> Result<RequestRecord, Failure>;

    /// Sends these payloads, of which there is at least one, and all have one group and part.
    fn send<'a>(&'a self, payloads: &'a [Payload], at: Timestamp) -> BoxFuture<'a, Exchange>;

    /// A call that does no harm and tells whether the settings are good; `None` where the definition has none.
    fn test(&self, at: Timestamp) -> Option<BoxFuture<'_, Called>>;

    /// Deletes a person; `None` where the definition can't.
    fn delete<'a>(&'a self, person: &'a Person, at: Timestamp) -> Option<BoxFuture<'a, Called>>;
}

/// The transport of a definition with these settings, which have been checked; nothing is connected yet.
///
/// # Errors
/// The first setting that can't be used.
pub(crate) fn transport(
    spec: &'static Spec,
    settings: &RawSettings,
    parts: &TransportParts,
) -> Result<Arc<dyn Transport>, SettingsError> {
    match &spec.transport {
        TransportSpec::Http(http) => Ok(Arc::new(http::Http::new(spec, http, settings, parts)?)),
        TransportSpec::Postgresql => Ok(Arc::new(postgresql::Postgresql::new(spec, settings, parts)?)),
        TransportSpec::ObjectStorage => {
            Ok(Arc::new(object_storage::ObjectStorage::new(spec, settings, parts)?))
        }
    }
}
