//! The demo's own receiver of webhooks: a customer's endpoint that checks signatures, as it should.

use actix_web::dev::ServerHandle;
use actix_web::web::{Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use base64::Engine as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

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

/// What has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Arrived {
    /// Deliveries with a good signature, each `webhook-id` once.
    pub(super) distinct: u64,
    /// Requests whose signature is wrong.
    pub(super) unverified: u64,
}

struct Inbox {
    webhook: Webhook,
    seen: Mutex<(HashSet<String>, u64)>,
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
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match (&verified, headers.get(HEADER_WEBHOOK_ID).and_then(|id| id.to_str().ok())) {
            (Ok(()), Some(id)) => {
                seen.0.insert(id.to_owned());
            }
            _ => seen.1 += 1,
        }
        verified
    }

    fn arrived(&self) -> Arrived {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Arrived { distinct: seen.0.len() as u64, unverified: seen.1 }
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
        assert_eq!(inbox.arrived(), Arrived { distinct: 2, unverified: 3 });
    }
}
