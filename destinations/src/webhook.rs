//! The webhook: one event a request, the body being the event as stored, signed by the Standard Webhooks
//! scheme. Its settings and its behaviour towards receivers are described in `catalog/webhook/`.

use crate::definition::{
    Definition, Delivery, Destination, InboundResponse, OutboundRequest, Payload, RawSettings, Rejection,
    SettingsError, Spec, Verdict, text, url,
};
use crate::retry::judge_status;
use std::sync::LazyLock;
use tributary_model::Timestamp;
use url::Url;

static SPEC: LazyLock<Spec> =
    LazyLock::new(|| Spec::from_catalog(include_str!("../catalog/webhook/definition.json")));

const SECRET_PREFIX: &str = "whsec_";

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
        Ok(Box::new(Webhook { url: url("url", address)?, signer }))
    }
}

fn parse_secret(secret: &str) -> Result<standardwebhooks::Webhook, SettingsError> {
    let expected = || SettingsError::new("secret", "must be whsec_ followed by base64 of the signing key");
    let key = secret.strip_prefix(SECRET_PREFIX).filter(|key| !key.is_empty()).ok_or_else(expected)?;
    standardwebhooks::Webhook::new(key).map_err(|_| expected())
}

struct Webhook {
    url: Url,
    signer: Option<standardwebhooks::Webhook>,
}

impl Destination for Webhook {
    fn encode(&self, delivery: &Delivery<'_>) -> Result<Payload, Rejection> {
        // The signature scheme is defined over text. Stored events are; anything else is our own fault.
        if std::str::from_utf8(&delivery.activation.event).is_err() {
            return Err(Rejection("the stored event is not UTF-8".to_owned()));
        }
        Ok(Payload { id: delivery.id.to_owned(), body: delivery.activation.event.clone() })
    }

    fn request(&self, batch: &[Payload], at: Timestamp) -> OutboundRequest {
        let payload = batch.first().expect("the worker hands over batches of one or more");
        let seconds = at.as_micros().div_euclid(1_000_000);
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", concat!("tributary/", env!("CARGO_PKG_VERSION")).to_owned()),
            (standardwebhooks::HEADER_WEBHOOK_ID, payload.id.clone()),
            (standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, seconds.to_string()),
        ];
        if let Some(signer) = &self.signer {
            let signature =
                signer.sign(&payload.id, seconds, &payload.body).expect("encode let only UTF-8 pass");
            headers.push((standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signature));
        }
        OutboundRequest { url: self.url.clone(), headers, body: payload.body.clone() }
    }

    fn verdicts(&self, response: &InboundResponse, batch_len: usize) -> Vec<Verdict> {
        vec![judge_status(response); batch_len]
    }
}

#[cfg(test)]
mod tests;
