//! Tries what a destination would do: with an event, with its settings, with a person to be deleted. The code that does it is
//! that of deliveries, but for the worker: nothing is counted, remembered or tried again.
//!
//! Test calls and deletions need the settings only: they work while filters or mappings can't be used.

mod given;
mod search;

use super::Engine;
use crate::config::DestinationConfig;
use crate::configured::Configured;
use crate::definition::SettingsError;
use crate::exchange::{Payload, RequestRecord, ResponseRecord, Verdict};
use crate::failure::Failure;
use crate::fanout::delivery_id;
use crate::plan::Planned;
use crate::registry;
use crate::transport::{Called, Person};
use crate::worker::Shared;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use given::given;
use search::{Fit, LOOKED_AT_MAX, newest};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_eventlog::ReadError;
use tributary_model::activation::Carried;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, Identifier, Namespace, ProfileId};

/// Bytes of a request's body that are shown.
const BODY_BYTES_MAX: usize = 256 << 10;

/// What is tried.
#[derive(Debug, Clone)]
pub struct PreviewOrder {
    /// With which event.
    pub of: PreviewOf,
    /// Whether what is made of it is sent as well.
    pub send: bool,
}

/// The event that is tried.
#[derive(Clone)]
pub enum PreviewOf {
    /// A given one, and whose it shall be.
    Event {
        /// The event as JSON text.
        event: Bytes,
        /// Whose it shall be.
        profile: PreviewProfile,
    },
    /// The newest activation of that message id.
    Message(String),
    /// The newest activation that the destination takes, or else the newest one.
    Latest,
}

/// Shows no event: it holds personal data.
impl std::fmt::Debug for PreviewOf {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event { event, .. } => write!(out, "Event({} bytes)", event.len()),
            Self::Message(_) => write!(out, "Message"),
            Self::Latest => write!(out, "Latest"),
        }
    }
}

/// Whose a given event shall be.
#[derive(Debug, Clone, Default)]
pub struct PreviewProfile {
    /// The profile; none without it.
    pub id: Option<ProfileId>,
    /// Its identifiers, by namespace.
    pub identifiers: Vec<Identifier>,
    /// What it has of what destinations name. Traits that are not named here are missing.
    pub carried: Carried,
}

/// Why nothing can be tried.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The configuration can't be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The event is none.
    #[error("{0}")]
    Event(String),
    /// There is no such activation among the newest ones.
    #[error("no such event is among the newest {LOOKED_AT_MAX} activations")]
    NotFound,
    /// The activations log can't be read.
    #[error("the activations log can't be read")]
    Log(#[source] ReadError),
    /// The thread that reads was lost.
    #[error("a thread was lost")]
    Lost,
}

/// What a destination does with an event.
#[derive(Debug, Clone)]
pub struct PreviewReport {
    /// The event's message id.
    pub message_id: String,
    /// The id that its delivery has, or would have.
    pub delivery_id: String,
    /// Whether something was sent.
    pub sent: bool,
    /// How its delivery would end before there is a request, and by what.
    pub left_out: Option<(Outcome, String)>,
    /// Why it can't be sent at all.
    pub failure: Option<Failure>,
    /// What the mappings make of it.
    pub payloads: Vec<PreviewPayload>,
    /// Which mappings can't make anything of it, and why.
    pub refused: Vec<(u32, Failure)>,
    /// What is sent.
    pub requests: Vec<PreviewRequest>,
}

/// What a mapping makes of an event.
#[derive(Debug, Clone)]
pub struct PreviewPayload {
    /// The number of the mapping.
    pub mapping: u32,
    /// The name of its action.
    pub action: String,
    /// The id under which it is sent.
    pub id: String,
    /// A JSON object: the action's fields.
    pub body: Bytes,
}

/// A request, and what became of it.
#[derive(Debug, Clone)]
pub struct PreviewRequest {
    /// What is sent; secrets masked.
    pub request: Result<RequestRecord, Failure>,
    /// What came back, if it was sent and something did.
    pub response: Option<ResponseRecord>,
    /// What that means, by ids of payloads; empty if it was not sent.
    pub verdicts: Vec<(String, Verdict)>,
}

/// A call that was made to see whether it works.
#[derive(Debug, Clone)]
pub struct CallReport {
    /// What was sent; secrets masked.
    pub request: RequestRecord,
    /// What came back.
    pub response: Option<ResponseRecord>,
    /// Why it did not work, if it did not.
    pub failure: Option<Failure>,
}

impl Engine {
    /// Tries what a destination of that configuration, which need not be a saved one, does with an event.
    ///
    /// # Errors
    /// If the configuration can't be used, or there is no such event.
    pub fn preview(
        &self,
        config: DestinationConfig,
        order: PreviewOrder,
    ) -> BoxFuture<'static, Result<PreviewReport, PreviewError>> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let configured = Configured::new(&config, &shared.limits, &shared.ways)?;
            let activation = match order.of {
                PreviewOf::Event { event, profile } => {
                    let needs = configured.plan.needs();
                    given(&config, needs, (event, profile), shared.clock.now())
                        .map_err(PreviewError::Event)?
                }
                PreviewOf::Message(id) => {
                    let wanted = move |activation: &Activation| {
                        if activation.header.message_id.as_str() == id { Fit::Best } else { Fit::None }
                    };
                    found(&shared, &config, wanted).await?
                }
                PreviewOf::Latest => {
                    let (plan, key) = (Arc::clone(&configured.plan), config.key());
                    let now = shared.clock.now();
                    let wanted = move |activation: &Activation| match plan.plan(key, activation, now) {
                        Planned::Payloads { .. } => Fit::Best,
                        Planned::LeftOut { .. } | Planned::Dead(_) => Fit::Some,
                    };
                    found(&shared, &config, wanted).await?
                }
            };
            Ok(tried(&shared, &configured, &config, &activation, order.send).await)
        })
        .map(|report| report.unwrap_or(Err(PreviewError::Lost)))
        .boxed()
    }

    /// Makes the definition's test call with a configuration, which need not be a saved one; `None` where the definition has
    /// none. Filters and mappings do not matter.
    ///
    /// # Errors
    /// If the settings can't be used.
    pub fn test(
        &self,
        config: DestinationConfig,
    ) -> BoxFuture<'static, Result<Option<CallReport>, PreviewError>> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let transport = Configured::transport(&config, &shared.limits, &shared.ways)?;
            let called = match transport.test(shared.clock.now()) {
                Some(call) => Some(reported(call.await)),
                None => None,
            };
            Ok(called)
        })
        .map(|report| report.unwrap_or(Err(PreviewError::Lost)))
        .boxed()
    }

    /// Deletes a person at a destination; `None` where its definition can't. Filters and mappings do not matter.
    ///
    /// # Errors
    /// If the settings can't be used.
    pub fn delete_person(
        &self,
        config: DestinationConfig,
        person: Person,
    ) -> BoxFuture<'static, Result<Option<CallReport>, PreviewError>> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let transport = Configured::transport(&config, &shared.limits, &shared.ways)?;
            let called = match transport.delete(&person, shared.clock.now()) {
                Some(call) => Some(reported(call.await)),
                None => None,
            };
            Ok(called)
        })
        .map(|report| report.unwrap_or(Err(PreviewError::Lost)))
        .boxed()
    }
}

fn reported(called: Called) -> CallReport {
    let failure = match called.verdict {
        Verdict::Delivered => None,
        Verdict::Retry { failure, .. } | Verdict::Rejected(failure) | Verdict::Credentials(failure) => {
            Some(failure)
        }
    };
    CallReport { request: called.request, response: called.response, failure }
}

async fn tried(
    shared: &Shared,
    configured: &Configured,
    config: &DestinationConfig,
    activation: &Activation,
    send: bool,
) -> PreviewReport {
    let (key, header) = (config.key(), &activation.header);
    let mut report = PreviewReport {
        message_id: header.message_id.as_str().to_owned(),
        delivery_id: delivery_id(key, header.position, header.ordinal, &header.message_id),
        sent: false,
        left_out: None,
        failure: None,
        payloads: Vec::new(),
        refused: Vec::new(),
        requests: Vec::new(),
    };
    let payloads = match configured.plan.plan(key, activation, shared.clock.now()) {
        Planned::LeftOut { outcome, by } => {
            report.left_out = Some((outcome, by));
            return report;
        }
        Planned::Dead(failure) => {
            report.failure = Some(failure);
            return report;
        }
        Planned::Payloads { payloads, refused } => {
            report.refused = refused;
            payloads
        }
    };
    let shown = |payload: &Payload| PreviewPayload {
        mapping: payload.mapping,
        action: action_name(config, payload),
        id: payload.id.clone(),
        body: payload.body.clone(),
    };
    report.payloads = payloads.iter().map(shown).collect();
    for payloads in configured.requests(payloads) {
        let at = shared.clock.now();
        let request = configured.transport.describe(&payloads, at, BODY_BYTES_MAX);
        let mut shown = PreviewRequest { request, response: None, verdicts: Vec::new() };
        if send && shown.request.is_ok() {
            let exchange = configured.transport.send(&payloads, at).await;
            shown.response = exchange.response;
            let ids = payloads.iter().map(|payload| payload.id.clone());
            shown.verdicts = ids.zip(exchange.verdicts).collect();
            report.sent = true;
        }
        report.requests.push(shown);
    }
    report
}

fn action_name(config: &DestinationConfig, payload: &Payload) -> String {
    let spec = registry::find(&config.definition);
    let action = spec.and_then(|spec| spec.actions.get(payload.action));
    action.map(|action| action.name.clone()).unwrap_or_default()
}

/// The newest activation of the workspace that fits best.
async fn found(
    shared: &Arc<Shared>,
    config: &DestinationConfig,
    fit: impl Fn(&Activation) -> Fit + Send + 'static,
) -> Result<Activation, PreviewError> {
    let (log, workspace) = (Arc::clone(&shared.log), config.workspace);
    let search = tokio::task::spawn_blocking(move || newest(&*log, workspace, fit));
    search.await.map_err(|_| PreviewError::Lost)?.map_err(PreviewError::Log)?.ok_or(PreviewError::NotFound)
}

/// Identifiers of a given profile.
///
/// # Errors
/// The namespace whose value can't be one, and why.
pub fn identifiers(given: &BTreeMap<String, Vec<String>>) -> Result<Vec<Identifier>, String> {
    let mut identifiers = Vec::new();
    for (namespace, values) in given {
        let namespace = Namespace::new(namespace);
        for value in values {
            let identifier = Identifier::parse(namespace.clone(), value);
            identifiers.push(identifier.map_err(|why| format!("`{namespace}`: {why}"))?);
        }
    }
    Ok(identifiers)
}
