//! Posts events in batches over HTTP, each with the time at which it was sent.

use crate::load::http::{Connection, request_head, write_request};
use crate::load::server::Target;
use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tributary_model::clock::{Clock, SystemClock};

/// Microseconds since 1970, by this machine's clock: the receiver runs in the same process.
pub(crate) fn now_micros() -> u64 {
    u64::try_from(SystemClock.now().as_micros()).unwrap_or_default()
}

/// Posts events.
#[derive(Debug)]
pub(crate) struct Poster {
    connection: Connection,
    head: Vec<u8>,
    request: Vec<u8>,
    next: u64,
}

impl Poster {
    /// For this server.
    pub(crate) fn new(target: &Target) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{}:", target.write_key)));
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let head = request_head("POST", "/v1/batch", target.http, &headers);
        Self { connection: Connection::new(target.http), head, request: Vec::new(), next: 0 }
    }

    /// Posts one batch of so many events, by so many people in turn.
    ///
    /// # Errors
    /// If the server does not take it.
    pub(crate) async fn post(&mut self, events: u64, people: u64) -> anyhow::Result<()> {
        let batch: Vec<_> = (0..events)
            .map(|_| {
                self.next += 1;
                json!({
                    "type": "track",
                    "event": "Order Completed",
                    "userId": format!("user-{}", self.next % people),
                    "messageId": format!("delivery-{}-{}", std::process::id(), self.next),
                    "context": {"library": {"name": "bench", "version": "1.0"}, "ip": "203.0.113.7",
                        "page": {"url": "https://shop.example.com/checkout?step=3", "title": "Checkout"},
                        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"},
                    "properties": {"sent_micros": now_micros(), "order_id": self.next, "total": 129.5,
                        "currency": "EUR", "coupon": "autumn", "products": [
                            {"product_id": "p-1", "name": "Lamp", "price": 59.5, "quantity": 1},
                            {"product_id": "p-2", "name": "Chair", "price": 35.0, "quantity": 2}]},
                })
            })
            .collect();
        let body = json!({ "batch": batch }).to_string();
        write_request(&mut self.request, &self.head, body.as_bytes());
        let answer = self.connection.exchange(&self.request).await?;
        ensure!(answer.status == 200, "the server answered events with {}", answer.status);
        Ok(())
    }
}
