//! A webhook's receiver on loopback that keeps what it was sent and answers as the test says.

use crate::harness::until;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// A call: the delivery's id, its body, and how it was answered.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) body: Value,
    pub(super) status: u16,
}

/// See the module.
pub(super) struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    status: Arc<Mutex<u16>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let (calls, status) = (Arc::<Mutex<Vec<Call>>>::default(), Arc::new(Mutex::new(200)));
        let (keep, answer) = (Arc::clone(&calls), Arc::clone(&status));
        let server = HttpServer::new(move || {
            let (keep, answer) = (Arc::clone(&keep), Arc::clone(&answer));
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let status = *answer.lock().expect("not poisoned");
                let id =
                    request.headers().get("webhook-id").expect("an id").to_str().expect("text").to_owned();
                let body = serde_json::from_slice(&body).expect("JSON");
                keep.lock().expect("not poisoned").push(Call { id, body, status });
                let status = StatusCode::from_u16(status).expect("a status");
                async move { HttpResponse::build(status).body("noted") }
            }))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
        let address = server.addrs()[0];
        tokio::spawn(server.run());
        Self { address, calls, status }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// Answers so from now on.
    pub(super) fn answer(&self, status: u16) {
        *self.status.lock().expect("not poisoned") = status;
    }

    /// Every call by now.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("not poisoned").clone()
    }

    /// Message ids of what it took, sorted.
    pub(super) fn taken(&self) -> Vec<String> {
        let calls = self.calls();
        let taken = calls.iter().filter(|call| call.status == 200);
        let mut ids: Vec<String> =
            taken.filter_map(|call| call.body["messageId"].as_str()).map(str::to_owned).collect();
        ids.sort();
        ids
    }

    /// Waits until it took these.
    pub(super) async fn takes(&self, ids: &[&str]) {
        until(&format!("the receiver takes {ids:?}"), &mut async || self.taken() == ids).await;
    }
}
