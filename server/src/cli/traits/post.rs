//! Posts batches, and waits where a collector asks for it.

use super::feed::Event;
use crate::bulk::read::Problem;
use anyhow::{Context, bail};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use std::time::Duration;
use tributary_model::Timestamp;

/// How often a batch is posted at most. What was sent before counts once, by its message ids.
const ATTEMPTS: u32 = 12;
/// The same as long as nobody has ever answered: then the URL is probably wrong.
const ATTEMPTS_UNHEARD: u32 = 3;
/// The wait before the second attempt; each further one doubles it, up to the longest.
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest wait that a collector is granted.
const ASKED_MAX: Duration = Duration::from_secs(60);
/// A collector answers within so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Posts to the tracking API under a write key.
pub(super) struct Poster {
    client: Client,
    url: String,
    write_key: String,
    activate: bool,
    first_answer: Option<Timestamp>,
}

/// What became of a request.
enum Answer {
    Taken,
    /// It is larger than the collector takes.
    TooLarge,
    /// It may be taken later: in so long, if the collector says when.
    Later(Option<Duration>, anyhow::Error),
    /// There was none.
    None(anyhow::Error),
}

impl Poster {
    /// For the collector at this URL; unless events are to `activate`, they are kept from destinations.
    ///
    /// # Errors
    /// If no client can be made.
    pub(super) fn new(url: &str, write_key: String, activate: bool) -> anyhow::Result<Self> {
        crate::tls::install();
        let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = builder.timeout(ANSWER_WITHIN).build().context("no HTTP client can be made")?;
        let url = format!("{}/v1/batch", url.trim_end_matches('/'));
        Ok(Self { client, url, write_key, activate, first_answer: None })
    }

    /// When the collector first answered that it took something, by its own clock.
    pub(super) fn first_answer(&self) -> Option<Timestamp> {
        self.first_answer
    }

    /// Posts events until the collector has them, and tells which it does not take.
    ///
    /// # Errors
    /// If it refuses them all, or does not answer for long.
    pub(super) async fn post(&mut self, events: &[Event]) -> anyhow::Result<Vec<Problem>> {
        let mut refused = Vec::new();
        let mut parts = vec![events];
        while let Some(part) = parts.pop() {
            match (self.post_part(part).await?, part) {
                (Taken::Yes, _) | (Taken::TooLarge, []) => {}
                (Taken::TooLarge, [event]) => refused.push(Problem {
                    place: event.place,
                    reason: "the collector takes no event that large".to_owned(),
                }),
                (Taken::TooLarge, _) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
        Ok(refused)
    }

    async fn post_part(&mut self, events: &[Event]) -> anyhow::Result<Taken> {
        if events.is_empty() {
            return Ok(Taken::Yes);
        }
        let body = self.body(events);
        let (mut attempts, mut wait) = (0, WAIT_FIRST);
        loop {
            let (asked, error, most) = match self.send(body.clone()).await? {
                Answer::Taken => return Ok(Taken::Yes),
                Answer::TooLarge => return Ok(Taken::TooLarge),
                Answer::Later(asked, error) => (asked, error, ATTEMPTS),
                Answer::None(error) if self.first_answer.is_none() => (None, error, ATTEMPTS_UNHEARD),
                Answer::None(error) => (None, error, ATTEMPTS),
            };
            attempts += 1;
            if attempts == most {
                return Err(error.context(format!("gave up after {attempts} attempts")));
            }
            tokio::time::sleep(asked.unwrap_or(wait).min(ASKED_MAX)).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    fn body(&self, events: &[Event]) -> bytes::Bytes {
        let mut body = String::from("{\"batch\":[");
        for (at, event) in events.iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            body.push_str(&event.json);
        }
        body.push(']');
        if !self.activate {
            body.push_str(",\"integrations\":{\"All\":false}");
        }
        body.push('}');
        body.into()
    }

    async fn send(&mut self, body: bytes::Bytes) -> anyhow::Result<Answer> {
        let request = self.client.post(&self.url).basic_auth(&self.write_key, Some(""));
        let answer = request.header(CONTENT_TYPE, "application/json").body(body).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            // It may have been taken all the same.
            Err(error) if error.is_connect() || error.is_timeout() || error.is_request() => {
                let said = format!("the collector does not answer at {}", self.url);
                return Ok(Answer::None(anyhow::Error::from(error).context(said)));
            }
            Err(error) => return Err(error).context(format!("nothing can be posted to {}", self.url)),
        };
        match answer.status() {
            StatusCode::OK => {
                self.first_answer = self.first_answer.or_else(|| date(answer.headers()));
                Ok(Answer::Taken)
            }
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Answer::TooLarge),
            status if is_later(status) => {
                let asked = retry_after(answer.headers());
                let text = answer.text().await.unwrap_or_default();
                Ok(Answer::Later(asked, anyhow::anyhow!("the collector answered {status}: {text}")))
            }
            status => {
                let text = answer.text().await.unwrap_or_default();
                bail!("the collector answered {status}: {text}")
            }
        }
    }
}

/// Whether the same request may be taken another time.
fn is_later(status: StatusCode) -> bool {
    status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
}

/// Whether some events were taken.
enum Taken {
    Yes,
    TooLarge,
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(Timestamp::from_millis(date.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::{Bytes, Data};
    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
    use serde_json::Value;
    use std::net::Ipv4Addr;
    use std::sync::Mutex;

    /// A collector that answers as it is told, and keeps what it took.
    #[derive(Default)]
    struct Collector {
        /// The next answers, the last one first; 200 once there are none left.
        answers: Mutex<Vec<u16>>,
        /// Bodies of more events are too large.
        events_max: usize,
        taken: Mutex<Vec<Value>>,
    }

    async fn take(request: HttpRequest, body: Bytes, collector: Data<Collector>) -> HttpResponse {
        let header = request.headers().get("authorization").and_then(|header| header.to_str().ok());
        assert_eq!(header, Some("Basic a2V5Og=="));
        if let Some(status) = collector.answers.lock().expect("not poisoned").pop() {
            let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
            return HttpResponse::build(status).insert_header(("retry-after", "0")).body("not now");
        }
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        if body["batch"].as_array().expect("a batch").len() > collector.events_max {
            return HttpResponse::PayloadTooLarge().finish();
        }
        collector.taken.lock().expect("not poisoned").push(body);
        HttpResponse::Ok().body("{\"success\":true}")
    }

    /// Posts the events of these places to such a collector: what it took, what it refused, or why not.
    async fn post(
        collector: Collector,
        activate: bool,
        places: &[u64],
    ) -> (Vec<Value>, Result<Vec<u64>, String>) {
        let data = Data::new(collector);
        let of_server = data.clone();
        let server = HttpServer::new(move || {
            App::new().app_data(of_server.clone()).route("/v1/batch", web::post().to(take))
        });
        let server = server.workers(1).disable_signals().bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        let mut poster =
            Poster::new(&format!("http://{address}/"), "key".to_owned(), activate).expect("a client");
        let events: Vec<Event> =
            places.iter().map(|place| Event { place: *place, json: format!("{{\"n\":{place}}}") }).collect();
        let posted = poster.post(&events).await.map_err(|error| format!("{error:#}"));
        handle.stop(false).await;
        let taken = data.taken.lock().expect("not poisoned").clone();
        assert_eq!(poster.first_answer().is_some(), !taken.is_empty(), "answers tell the time");
        (taken, posted.map(|refused| refused.iter().map(|problem| problem.place).collect()))
    }

    #[actix_web::test]
    async fn a_batch_is_posted_until_it_is_taken() {
        let answers = Mutex::new(vec![500, 429, 503]);
        let collector = Collector { answers, events_max: 10, ..Collector::default() };
        let (taken, refused) = post(collector, false, &[1, 2]).await;
        let want = serde_json::json!({"batch": [{"n": 1}, {"n": 2}], "integrations": {"All": false}});
        assert_eq!((taken, refused), (vec![want], Ok(vec![])));
        let collector = Collector { events_max: 10, ..Collector::default() };
        let (taken, _) = post(collector, true, &[1]).await;
        assert_eq!(taken, [serde_json::json!({"batch": [{"n": 1}]})]);
    }

    #[actix_web::test]
    async fn a_batch_that_is_too_large_is_split_in_order() {
        let collector = Collector { events_max: 2, ..Collector::default() };
        let (taken, refused) = post(collector, true, &[1, 2, 3, 4, 5]).await;
        let places: Vec<&Value> = taken
            .iter()
            .flat_map(|body| body["batch"].as_array().expect("a batch"))
            .map(|event| &event["n"])
            .collect();
        assert_eq!((places, refused), ([1, 2, 3, 4, 5].map(Value::from).iter().collect(), Ok(vec![])));
        let (taken, refused) = post(Collector::default(), true, &[7, 8]).await;
        assert_eq!((taken.len(), refused), (0, Ok(vec![7, 8])), "each is too large by itself");
    }

    #[actix_web::test]
    async fn a_refusal_ends_it() {
        for status in [400, 401, 302] {
            let answers = Mutex::new(vec![status]);
            let (taken, refused) = post(Collector { answers, ..Collector::default() }, true, &[1]).await;
            let reason = refused.expect_err("refused");
            assert!(
                taken.is_empty() && reason.contains(&format!("the collector answered {status}")),
                "{reason}"
            );
        }
        let answers = Mutex::new(vec![503; ATTEMPTS as usize]);
        let (_, refused) = post(Collector { answers, ..Collector::default() }, true, &[1]).await;
        let reason = refused.expect_err("refused");
        assert!(reason.contains("gave up after 12 attempts: the collector answered 503"), "{reason}");
    }
}
