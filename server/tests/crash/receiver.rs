//! A webhook's receiver on loopback, which keeps the id of every delivery and the event that came under it.

use crate::harness::PATIENCE;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Ids of deliveries, each with the message ids of the events that came under it.
pub(super) type Deliveries = BTreeMap<String, BTreeSet<String>>;

/// See the module.
pub(super) struct Receiver {
    pub(super) url: String,
    got: Arc<Mutex<Deliveries>>,
    /// How many different deliveries there were.
    count: watch::Sender<u64>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "messageId")]
    message_id: String,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let got: Arc<Mutex<Deliveries>> = Arc::default();
        let count = watch::Sender::new(0);
        let (keep, tell) = (Arc::clone(&got), count.clone());
        let server = HttpServer::new(move || {
            let (keep, tell) = (Arc::clone(&keep), tell.clone());
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let id = request.headers().get("webhook-id").expect("a delivery has an id");
                let id = id.to_str().expect("it is text").to_owned();
                let event: Event = serde_json::from_slice(&body).expect("a delivery is an event");
                let mut got = keep.lock().expect("no request panicked");
                got.entry(id).or_default().insert(event.message_id);
                tell.send_replace(got.len() as u64);
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

    /// How many different deliveries there were, as a value that can be awaited.
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

    /// All deliveries so far.
    pub(super) fn deliveries(&self) -> Deliveries {
        self.got.lock().expect("no request panicked").clone()
    }
}
