//! Posts the day, as SDKs do: single calls, small batches, large batches with gzip, each waited for.
//!
//! One source posts everything, one request after the other: so the order of the log is the order of the day,
//! which is what the expected numbers hold for.

use anyhow::{Context, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tributary_model::Timestamp;
use tributary_model::clock::{Clock, SystemClock};
use tributary_sample::{Call, Channel, Day};

/// How many calls each request holds, over and over: a browser's single calls, an app's batch, a server's batch.
const SIZES: [usize; 5] = [1, 1, 1, 15, 80];
/// From this size on a body is compressed.
const GZIP_FROM: usize = 50;
/// How often a request is sent while the collector asks to come back later.
const ATTEMPTS: u32 = 5;
/// The longest wait that is granted to a collector.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Posts calls under one write key.
pub(super) struct Sender {
    client: reqwest::Client,
    base: String,
    write_key: String,
}

/// What was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Posted {
    pub(super) calls: u64,
    pub(super) requests: u64,
    /// In the order of [`Channel::ALL`].
    pub(super) by_channel: [u64; Channel::ALL.len()],
}

struct Request {
    path: String,
    body: Vec<u8>,
    gzip: bool,
}

impl Sender {
    pub(super) fn new(client: reqwest::Client, address: SocketAddr, write_key: String) -> Self {
        Self { client, base: format!("http://{address}"), write_key }
    }

    /// Posts a whole day behind a progress bar.
    pub(super) async fn post_day(&self, day: &mut Day, about: u64) -> anyhow::Result<Posted> {
        let bar = ProgressBar::new(about).with_style(
            ProgressStyle::with_template("  posting {bar:40} {human_pos}/{human_len} {per_sec}")
                .context("the progress bar's template")?,
        );
        let mut posted = Posted::default();
        for size in SIZES.into_iter().cycle() {
            let calls: Vec<Call> = day.by_ref().take(size).collect();
            if calls.is_empty() {
                break;
            }
            self.post(&request(&calls, SystemClock.now())?).await?;
            posted.requests += 1;
            posted.calls += calls.len() as u64;
            for (channel, count) in Channel::ALL.iter().zip(&mut posted.by_channel) {
                *count += calls.iter().filter(|call| call.channel == *channel).count() as u64;
            }
            bar.set_length(about.max(posted.calls));
            bar.set_position(posted.calls);
        }
        bar.finish_and_clear();
        Ok(posted)
    }

    /// Posts events that are no part of the day, as a server does.
    pub(super) async fn post_events(&self, events: &[Value]) -> anyhow::Result<()> {
        let body = json!({"batch": events, "sentAt": SystemClock.now().to_string()});
        let body = serde_json::to_vec(&body)?;
        self.post(&Request { path: "/v1/batch".to_owned(), body, gzip: false }).await
    }

    /// Posts one request until it is accepted. A collector that asks to come back later took nothing of it.
    async fn post(&self, request: &Request) -> anyhow::Result<()> {
        for _ in 0..ATTEMPTS {
            let mut builder = self
                .client
                .post(format!("{}{}", self.base, request.path))
                .basic_auth(&self.write_key, Some(""))
                .header(CONTENT_TYPE, "application/json");
            if request.gzip {
                builder = builder.header(CONTENT_ENCODING, "gzip");
            }
            let response =
                builder.body(request.body.clone()).send().await.context("a call was not answered")?;
            match response.status() {
                StatusCode::OK => return Ok(()),
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
                    tokio::time::sleep(Duration::from_secs(seconds).min(WAIT_MAX)).await;
                }
                status => bail!("the collector answered {status}: {}", response.text().await?),
            }
        }
        bail!("the collector asked {ATTEMPTS} times to come back later")
    }
}

/// The request for some calls, sent at a time: a single call has a path of its own.
fn request(calls: &[Call], sent_at: Timestamp) -> anyhow::Result<Request> {
    if let [call] = calls {
        let members = call.body.strip_suffix('}').context("a call is a JSON object")?;
        let body = format!("{members},\"sentAt\":\"{sent_at}\"}}");
        return Ok(Request {
            path: format!("/v1/{}", call.kind.name()),
            body: body.into_bytes(),
            gzip: false,
        });
    }
    let mut body = String::from("{\"batch\":[");
    for (place, call) in calls.iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        body.push_str(&call.body);
    }
    body.push_str(&format!("],\"sentAt\":\"{sent_at}\"}}"));
    let gzip = calls.len() >= GZIP_FROM;
    let body = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body.as_bytes())?;
        encoder.finish()?
    } else {
        body.into_bytes()
    };
    Ok(Request { path: "/v1/batch".to_owned(), body, gzip })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn requests_hold_the_calls_as_they_are() {
        let calls: Vec<Call> = Day::new(tributary_sample::Config::default()).take(60).collect();
        let want: Vec<Value> =
            calls.iter().map(|call| serde_json::from_str(&call.body).expect("JSON")).collect();
        let at = Timestamp::from_millis(1_000);

        let single = request(&calls[..1], at).expect("made");
        let mut event: Value = serde_json::from_slice(&single.body).expect("JSON");
        assert_eq!(event["sentAt"], "1970-01-01T00:00:01.000Z");
        event.as_object_mut().expect("an object").remove("sentAt");
        let path = format!("/v1/{}", calls[0].kind.name());
        assert_eq!((event, single.path, single.gzip), (want[0].clone(), path, false));

        for (count, gzip) in [(15, false), (60, true)] {
            let batch = request(&calls[..count], at).expect("made");
            assert_eq!((batch.path.as_str(), batch.gzip), ("/v1/batch", gzip));
            let mut text = Vec::new();
            if gzip {
                flate2::read::GzDecoder::new(&*batch.body).read_to_end(&mut text).expect("gzip");
            } else {
                text.clone_from(&batch.body);
            }
            let body: Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(body["batch"].as_array().expect("a list")[..], want[..count]);
        }
    }
}
