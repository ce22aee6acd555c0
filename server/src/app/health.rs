//! `/livez`, `/readyz`, `/metrics`: without a token, because they hold nothing of anybody's.

use super::behind::Behind;
use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tributary_eventlog::EventLog;
use tributary_model::ErrorCode;
use tributary_proto::status::http_status;

/// Knows how the parts are.
pub(super) struct Health {
    metrics: PrometheusHandle,
    events: Arc<dyn EventLog>,
    behind: Arc<Behind>,
    stopping: AtomicBool,
}

#[derive(Deserialize)]
struct ReadyQuery {
    part: Option<String>,
}

#[derive(Serialize)]
struct Part {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Result<(), String>> for Part {
    fn from(result: Result<(), String>) -> Self {
        Self { ready: result.is_ok(), reason: result.err() }
    }
}

impl Health {
    pub(super) fn new(metrics: PrometheusHandle, events: Arc<dyn EventLog>, behind: Arc<Behind>) -> Self {
        Self { metrics, events, behind, stopping: AtomicBool::new(false) }
    }

    /// From now on nothing is ready.
    pub(super) fn stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether events are accepted; if not, why.
    pub(super) fn collector(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err("the server is stopping".into());
        }
        let status = self.events.status();
        match status.refusal {
            Some(refusal) if !status.accepting => Err(refusal.to_string()),
            _ if status.accepting => Ok(()),
            _ => Err("the events log takes nothing".into()),
        }
    }

    /// Whether profiles show everything that the log held at the start; if not, why.
    pub(super) fn profiles(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err("the server is stopping".into());
        }
        self.behind.profiles_ready()
    }
}

/// Adds health and metrics to the private face.
pub(super) fn routes(health: Arc<Health>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::from(health))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics));
    }
}

/// Adds the collector's readiness to the public face.
pub(super) fn collector_routes(health: Arc<Health>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config.app_data(web::Data::from(health)).route("/readyz", web::get().to(collector_readyz));
    }
}

/// The answer for paths that do not exist.
pub(super) async fn not_found() -> HttpResponse {
    let message = "no such path; see /openapi.json";
    HttpResponse::NotFound().json(serde_json::json!({"error": {"code": "not_found", "message": message}}))
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"alive": true}))
}

async fn metrics(health: web::Data<Health>) -> HttpResponse {
    health.metrics.run_upkeep();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(health.metrics.render())
}

async fn collector_readyz(health: web::Data<Health>) -> HttpResponse {
    answer(&[("collector", health.collector().into())])
}

async fn readyz(health: web::Data<Health>, query: web::Query<ReadyQuery>) -> HttpResponse {
    let collector = ("collector", Part::from(health.collector()));
    let profiles = ("profiles", Part::from(health.behind.profiles_ready()));
    match query.part.as_deref() {
        None => answer(&[collector, profiles]),
        Some("collector") => answer(&[collector]),
        Some("profiles") => answer(&[profiles]),
        Some(_) => {
            let message = "`part` is `collector` or `profiles`";
            HttpResponse::BadRequest()
                .json(serde_json::json!({"error": {"code": "invalid_request", "message": message}}))
        }
    }
}

fn answer(parts: &[(&str, Part)]) -> HttpResponse {
    let ready = parts.iter().all(|(_, part)| part.ready);
    let parts: serde_json::Map<String, serde_json::Value> =
        parts.iter().map(|(name, part)| ((*name).to_owned(), serde_json::json!(part))).collect();
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        let code = http_status(ErrorCode::Unavailable);
        HttpResponse::build(actix_web::http::StatusCode::from_u16(code).expect("an HTTP status"))
    };
    response.json(serde_json::json!({"ready": ready, "parts": parts}))
}
