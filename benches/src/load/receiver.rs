//! The load's own receiver of webhooks: counts what it answers.

use super::loopback::{Loopback, Taker};
use std::sync::atomic::{AtomicU64, Ordering};

/// A receiver at work on a free loopback port, until dropped.
#[derive(Debug)]
pub(crate) struct Receiver(Loopback<Received>);

/// How many requests there were.
#[derive(Debug, Default)]
struct Received(AtomicU64);

impl Taker for Received {
    async fn take(&self, _: &[u8], _: &[u8]) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Receiver {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no free port, or no thread can be started.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Loopback::start("receiver", Received::default()).map(Self)
    }

    /// Where it takes deliveries.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.0.address)
    }

    /// How many requests it has answered.
    pub(crate) fn received(&self) -> u64 {
        self.0.taker.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::http::{Connection, request_head, write_request};

    #[test]
    fn every_request_is_answered_and_counted() {
        let receiver = Receiver::start().expect("started");
        let address = receiver.0.address;
        assert_eq!(receiver.url(), format!("http://{address}/events"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            for body in [&b""[..], b"{}", &[b'x'; 100_000]] {
                let mut connection = Connection::new(address);
                let head = request_head("POST", "/events", address, &[]);
                let mut request = Vec::new();
                write_request(&mut request, &head, body);
                for _ in 0..3 {
                    let answer = connection.exchange(&request).await.expect("answered");
                    assert_eq!((answer.status, answer.body), (200, &b""[..]));
                }
            }
        });
        assert_eq!(receiver.received(), 9);
    }
}
