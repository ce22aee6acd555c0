//! The demo's own receiver of webhooks: a customer's endpoint that checks signatures, as it should.

use actix_web::dev::ServerHandle;
use actix_web::web::{Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use base64::Engine as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The largest delivery that is taken, in bytes: an event of the largest size, with what was filled in.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A receiver at work on a free loopback port.
pub(super) struct Receiver {
    address: SocketAddr,
    secret: String,
    inbox: Arc<Inbox>,
    server: ServerHandle,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// What has arrived: deliveries with a good signature, each `webhook-id` once, and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Arrived {
    /// Events.
    pub(super) events: u64,
    /// That somebody entered or left an audience.
    pub(super) changes: u64,
    /// Requests whose signature is wrong.
    pub(super) unverified: u64,
}

/// Which way somebody went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    Entered,
    Left,
}

/// That somebody entered or left an audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AudienceChange {
    pub(super) key: String,
    pub(super) way: Way,
    pub(super) user_id: Option<String>,
    pub(super) at: Instant,
}

impl AudienceChange {
    /// The change that a delivery tells of; `None` if it is anything else.
    fn of(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Track {
            event: String,
            user_id: Option<String>,
            properties: Properties,
        }
        #[derive(Deserialize)]
        struct Properties {
            audience_key: String,
        }
        let Track { event, user_id, properties } = serde_json::from_slice(body).ok()?;
        let way = match event.as_str() {
            "Audience Entered" => Way::Entered,
            "Audience Exited" => Way::Left,
            _ => return None,
        };
        Some(Self { key: properties.audience_key, way, user_id, at: Instant::now() })
    }
}

struct Inbox {
    webhook: Webhook,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    events: u64,
    changes: Vec<AudienceChange>,
    unverified: u64,
}

impl Receiver {
    /// Starts one, with a secret of its own.
    pub(super) fn start() -> anyhow::Result<Self> {
        let secret =
            format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 32]>()));
        let inbox = Arc::new(Inbox::new(&secret)?);
        let data = Data::from(Arc::clone(&inbox));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .route("/events", web::post().to(receive))
        })
        .workers(1)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))
        .context("no free loopback port for the receiver")?;
        let address = *server.addrs().first().context("the receiver has no address")?;
        let server = server.run();
        Ok(Self { address, secret, inbox, server: server.handle(), served: tokio::spawn(server) })
    }

    /// Where it takes deliveries.
    pub(super) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// What it expects deliveries to be signed with.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// What has arrived so far.
    pub(super) fn arrived(&self) -> Arrived {
        self.inbox.arrived()
    }

    /// The changes of audiences that have arrived so far, in that order.
    pub(super) fn changes(&self) -> Vec<AudienceChange> {
        self.inbox.seen().changes.clone()
    }

    /// Ends. The product has stopped by then, so nothing is under way.
    pub(super) async fn stop(self) {
        self.server.stop(false).await;
        if let Ok(Err(error)) = self.served.await {
            tracing::error!(%error, "the demo's receiver failed");
        }
    }
}

impl Inbox {
    fn new(secret: &str) -> Result<Self, WebhookError> {
        Ok(Self { webhook: Webhook::new(secret)?, seen: Mutex::default() })
    }

    /// Takes one delivery in. An error if its signature is wrong.
    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        let verified = self.webhook.verify(body, headers);
        let mut seen = self.seen();
        match (&verified, headers.get(HEADER_WEBHOOK_ID).and_then(|id| id.to_str().ok())) {
            (Ok(()), Some(id)) => {
                if seen.ids.insert(id.to_owned()) {
                    match AudienceChange::of(body) {
                        Some(change) => seen.changes.push(change),
                        None => seen.events += 1,
                    }
                }
            }
            _ => seen.unverified += 1,
        }
        verified
    }

    fn arrived(&self) -> Arrived {
        let seen = self.seen();
        Arrived { events: seen.events, changes: seen.changes.len() as u64, unverified: seen.unverified }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(request: HttpRequest, body: Bytes, inbox: Data<Inbox>) -> HttpResponse {
    let mut headers = HeaderMap::new();
    for name in [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE] {
        // The server and the verifier know headers by different types; a missing one fails the verification.
        if let Some(value) = request.headers().get(name)
            && let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    match inbox.take(&headers, &body) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(_) => HttpResponse::Unauthorized().finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::clock::{Clock, SystemClock};

    fn headers(webhook: &Webhook, id: &str, body: &[u8]) -> HeaderMap {
        let now = SystemClock.now().as_millis() / 1000;
        let signature = webhook.sign(id, now, body).expect("signed");
        let mut headers = HeaderMap::new();
        let values: [(&'static str, &str); 3] = [
            (HEADER_WEBHOOK_ID, id),
            (HEADER_WEBHOOK_TIMESTAMP, &now.to_string()),
            (HEADER_WEBHOOK_SIGNATURE, &signature),
        ];
        for (name, value) in values {
            headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        }
        headers
    }

    #[test]
    fn each_id_counts_once_and_only_if_signed() {
        let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==";
        let other = Webhook::new("whsec_ZmVkY2JhOTg3NjU0MzIxMA==").expect("a secret");
        let inbox = Inbox::new(secret).expect("a secret");
        let signed = |id| headers(&inbox.webhook, id, b"{}");
        assert!(inbox.take(&signed("a"), b"{}").is_ok());
        assert!(inbox.take(&signed("a"), b"{}").is_ok());
        assert!(inbox.take(&signed("b"), b"{}").is_ok());
        assert!(inbox.take(&signed("c"), b"{\"changed\":1}").is_err());
        assert!(inbox.take(&headers(&other, "d", b"{}"), b"{}").is_err());
        assert!(inbox.take(&HeaderMap::new(), b"{}").is_err());
        assert_eq!(inbox.arrived(), Arrived { events: 2, changes: 0, unverified: 3 });
    }

    #[test]
    fn changes_of_audiences_are_told_from_events() {
        let inbox = Inbox::new("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").expect("a secret");
        let take = |id: &str, body: &str| {
            inbox.take(&headers(&inbox.webhook, id, body.as_bytes()), body.as_bytes()).expect("signed");
        };
        let change = |event: &str| {
            format!(
                r#"{{"type":"track","event":"{event}","userId":"u1","properties":{{"audience_key":"lapsed"}}}}"#
            )
        };
        take("a", &change("Audience Entered"));
        take("a", &change("Audience Entered"));
        take("b", &change("Audience Exited"));
        take("c", &change("Order Completed"));
        take("d", r#"{"type":"identify","userId":"u1","traits":{}}"#);
        assert_eq!(inbox.arrived(), Arrived { events: 2, changes: 2, unverified: 0 });
        let changes: Vec<(String, Way, Option<String>)> =
            inbox.seen().changes.iter().map(|c| (c.key.clone(), c.way, c.user_id.clone())).collect();
        let want = |way| ("lapsed".to_owned(), way, Some("u1".to_owned()));
        assert_eq!(changes, [want(Way::Entered), want(Way::Left)]);
    }
}
