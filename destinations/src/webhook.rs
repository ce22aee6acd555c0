//! The webhook: one event a request, the body being the event as stored, or several a request, each with the id
//! of its delivery; signed by the Standard Webhooks scheme. Its settings and its behaviour towards receivers are described in `catalog/webhook/`.

use crate::definition::{
    Definition, Delivery, Destination, InboundResponse, OutboundRequest, Payload, RawSettings, Rejection,
    SettingsError, Spec, Verdict, count, text, url,
};
use crate::retry::judge_status;
use bytes::Bytes;
use std::sync::LazyLock;
use tributary_model::Timestamp;
use url::Url;

static SPEC: LazyLock<Spec> =
    LazyLock::new(|| Spec::from_catalog(include_str!("../catalog/webhook/definition.json")));

const SECRET_PREFIX: &str = "whsec_";

/// The setting that turns batches on.
const EVENTS_PER_REQUEST: &str = "events_per_request";

/// How many events a request may carry at most.
const EVENTS_PER_REQUEST_MAX: u64 = 1000;

/// The definition named `webhook`.
pub(crate) struct WebhookDefinition;

impl Definition for WebhookDefinition {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn configure(&self, settings: &RawSettings) -> Result<Box<dyn Destination>, SettingsError> {
        SPEC.check(settings)?;
        let address = text(settings, "url")?.ok_or_else(|| SettingsError::new("url", "is required"))?;
        let signer = text(settings, "secret")?.map(parse_secret).transpose()?;
        let batch = count(settings, EVENTS_PER_REQUEST)?.map(parse_batch).transpose()?;
        Ok(Box::new(Webhook { url: url("url", address)?, signer, batch }))
    }
}

fn parse_secret(secret: &str) -> Result<standardwebhooks::Webhook, SettingsError> {
    let expected = || SettingsError::new("secret", "must be whsec_ followed by base64 of the signing key");
    let key = secret.strip_prefix(SECRET_PREFIX).filter(|key| !key.is_empty()).ok_or_else(expected)?;
    standardwebhooks::Webhook::new(key).map_err(|_| expected())
}

fn parse_batch(events: u64) -> Result<usize, SettingsError> {
    match usize::try_from(events) {
        Ok(size) if events <= EVENTS_PER_REQUEST_MAX => Ok(size),
        Ok(_) | Err(_) => {
            let message = format!("must be a whole number from 1 to {EVENTS_PER_REQUEST_MAX}");
            Err(SettingsError::new(EVENTS_PER_REQUEST, message))
        }
    }
}

struct Webhook {
    url: Url,
    signer: Option<standardwebhooks::Webhook>,
    /// How many events go into a request in the form of a batch; `None` sends each in a request of its own, as it is.
    batch: Option<usize>,
}

/// `{"deliveries":[{"id":…,"event":…},…]}`, the events as they are stored.
fn batch_body(batch: &[Payload]) -> Bytes {
    const BEGIN: &[u8] = b"{\"deliveries\":[";
    const BETWEEN: &[u8] = b",\"event\":";
    let each = |payload: &Payload| payload.id.len() + payload.body.len() + 24;
    let mut body = Vec::with_capacity(BEGIN.len() + 2 + batch.iter().map(each).sum::<usize>());
    body.extend_from_slice(BEGIN);
    for (at, payload) in batch.iter().enumerate() {
        body.extend_from_slice(if at == 0 { b"{\"id\":" } else { b",{\"id\":" });
        serde_json::to_writer(&mut body, &payload.id).expect("memory takes a text");
        body.extend_from_slice(BETWEEN);
        body.extend_from_slice(&payload.body);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body.into()
}

impl Destination for Webhook {
    fn encode(&self, delivery: &Delivery<'_>) -> Result<Payload, Rejection> {
        // The signature scheme is defined over text. Stored events are; anything else is our own fault.
        if std::str::from_utf8(&delivery.activation.event).is_err() {
            return Err(Rejection("the stored event is not UTF-8".to_owned()));
        }
        Ok(Payload { id: delivery.id.to_owned(), body: delivery.activation.event.clone() })
    }

    fn batch_events_max(&self) -> usize {
        self.batch.unwrap_or(1)
    }

    fn request(&self, batch: &[Payload], at: Timestamp) -> OutboundRequest {
        let first = batch.first().expect("the worker hands over batches of one or more");
        let (id, body) = match self.batch {
            Some(_) => (format!("batch_{}", first.id), batch_body(batch)),
            None => (first.id.clone(), first.body.clone()),
        };
        let seconds = at.as_micros().div_euclid(1_000_000);
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", concat!("tributary/", env!("CARGO_PKG_VERSION")).to_owned()),
            (standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, seconds.to_string()),
        ];
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&id, seconds, &body).expect("encode let only UTF-8 pass");
            headers.push((standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signature));
        }
        headers.push((standardwebhooks::HEADER_WEBHOOK_ID, id));
        OutboundRequest { url: self.url.clone(), headers, body }
    }

    fn verdicts(&self, response: &InboundResponse, batch_len: usize) -> Vec<Verdict> {
        vec![judge_status(response); batch_len]
    }
}

#[cfg(test)]
mod tests;
