//! A webhook's receiver on loopback, which keeps the id of every delivery and the event that came under it.

use crate::harness::PATIENCE;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Ids of deliveries, each with the message ids of the events that came under it.
pub(super) type Deliveries = BTreeMap<String, BTreeSet<String>>;

/// What the message ids begin with that the product gives to changes of profiles.
const CHANGES: &str = "tributary-";

/// See the module.
pub(super) struct Receiver {
    pub(super) url: String,
    got: Arc<Mutex<Got>>,
    /// How many different deliveries of events there were.
    count: watch::Sender<u64>,
}

#[derive(Default)]
struct Got {
    deliveries: Deliveries,
    /// Deliveries of events, not of changes of profiles.
    events: u64,
    /// The message ids that came.
    ids: BTreeSet<String>,
}

impl Got {
    fn take(&mut self, id: String, message_id: String) {
        if !self.deliveries.contains_key(&id) && !message_id.starts_with(CHANGES) {
            self.events += 1;
        }
        self.ids.insert(message_id.clone());
        self.deliveries.entry(id).or_default().insert(message_id);
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "messageId")]
    message_id: String,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let got: Arc<Mutex<Got>> = Arc::default();
        let count = watch::Sender::new(0);
        let (keep, tell) = (Arc::clone(&got), count.clone());
        let server = HttpServer::new(move || {
            let (keep, tell) = (Arc::clone(&keep), tell.clone());
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let id = request.headers().get("webhook-id").expect("a delivery has an id");
                let id = id.to_str().expect("it is text").to_owned();
                let event: Event = serde_json::from_slice(&body).expect("a delivery is an event");
                let mut got = keep.lock().expect("no request panicked");
                got.take(id, event.message_id);
                tell.send_replace(got.events);
                async { HttpResponse::Ok().finish() }
            }))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
        let url = format!("http://{}/in", server.addrs()[0]);
        tokio::spawn(server.run());
        Self { url, got, count }
    }

    /// How many different deliveries of events there were, as a value that can be awaited.
    pub(super) fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// Waits until there were so many, for as long as there are more of them.
    pub(super) async fn until(&self, wanted: u64) {
        let mut seen = self.count();
        loop {
            let now = *seen.borrow_and_update();
            if now >= wanted {
                return;
            }
            let more = tokio::time::timeout(PATIENCE, seen.changed()).await;
            assert!(more.is_ok(), "{now} of {wanted} deliveries came, and no further within {PATIENCE:?}");
        }
    }

    /// Waits until this event was delivered, for as long as there are more of them.
    pub(super) async fn until_event(&self, message_id: &str) {
        let mut seen = self.count();
        loop {
            // Marked as seen before the look: what comes after it is waited for.
            seen.borrow_and_update();
            if self.got.lock().expect("no request panicked").ids.contains(message_id) {
                return;
            }
            let more = tokio::time::timeout(PATIENCE, seen.changed()).await;
            assert!(more.is_ok(), "{message_id} did not come, and no other event within {PATIENCE:?}");
        }
    }

    /// All deliveries so far.
    pub(super) fn deliveries(&self) -> Deliveries {
        self.got.lock().expect("no request panicked").deliveries.clone()
    }
}
