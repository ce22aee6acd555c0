//! A webhook's receiver on loopback that keeps what it was sent.

use crate::harness::{Server, until};
use actix_web::{App, HttpResponse, HttpServer, web};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// See the module.
pub(super) struct Receiver {
    got: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    /// Starts one and makes it a destination that gets both forms of every change of an audience.
    pub(super) async fn start(server: &Server) -> Self {
        let got: Arc<Mutex<Vec<Value>>> = Arc::default();
        let keep = Arc::clone(&got);
        let receiver = HttpServer::new(move || {
            let keep = Arc::clone(&keep);
            App::new().default_service(web::to(move |body: web::Bytes| {
                let body = serde_json::from_slice(&body).expect("JSON");
                keep.lock().expect("not poisoned").push(body);
                async { HttpResponse::Ok().finish() }
            }))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
        let url = format!("http://{}/in", receiver.addrs()[0]);
        tokio::spawn(receiver.run());
        let settings = json!({"url": url, "send": ["audience_changes", "audience_traits"]});
        let body = json!({"definition": "webhook", "name": "w", "settings": settings});
        let (status, made) = server.call(Method::POST, "/admin/v1/destinations", Some(body)).await;
        assert_eq!(status, 201, "{made}");
        Self { got }
    }

    /// What it got by now, without what differs from run to run: `event` or `type`, the user, and the rest.
    pub(super) fn told(&self) -> Vec<Value> {
        self.all().into_iter().map(without_place).collect()
    }

    /// What it got by now, as it came.
    pub(super) fn all(&self) -> Vec<Value> {
        self.got.lock().expect("not poisoned").clone()
    }

    /// Waits until it got so many calls, and tells them.
    pub(super) async fn after(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} calls"), &mut async || self.all().len() >= count).await;
        let told = self.told();
        assert_eq!(told.len(), count, "{told:#?}");
        told
    }
}

fn without_place(mut call: Value) -> Value {
    let members = call.as_object_mut().expect("an object");
    let id = members.remove("messageId");
    assert!(id.and_then(|id| Some(id.as_str()?.starts_with("tributary-"))).expect("an id"), "{members:?}");
    assert!(members.remove("timestamp").is_some_and(|at| at.is_string()), "{members:?}");
    call
}

/// The two calls of one change, without what differs from run to run.
pub(super) fn change(user: &str, key: &str, is_in: bool) -> [Value; 2] {
    let event = if is_in { "Audience Entered" } else { "Audience Exited" };
    [
        json!({"type": "track", "event": event, "userId": user,
            "properties": {"audience_key": key, key: is_in}}),
        json!({"type": "identify", "userId": user, "traits": {key: is_in}}),
    ]
}

/// Whether both hold the same calls, in whatever order.
pub(super) fn same(mut one: Vec<Value>, mut other: Vec<Value>) -> bool {
    one.sort_by_key(Value::to_string);
    other.sort_by_key(Value::to_string);
    one == other
}
