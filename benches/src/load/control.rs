//! The private face of the server under load: readiness, metrics, destinations, snapshots.

use super::http::{Connection, request_head, write_request};
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often it is asked again.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// When nothing has moved for so long, what there is counts as the end.
const QUIET_FOR: Duration = Duration::from_secs(30);

/// Asks the server about itself, and sets it up.
#[derive(Debug)]
pub(crate) struct Control {
    connection: Connection,
    address: SocketAddr,
    token: String,
    request: Vec<u8>,
}

/// What the server has counted, from `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    /// Events that became durable.
    pub(crate) accepted: u64,
    /// Events set aside.
    pub(crate) rejected: u64,
    /// Events that the projector is done with, however.
    pub(crate) read: u64,
    /// Those of them that were folded into a profile.
    pub(crate) projected: u64,
    /// Deliveries of events to the load's own destination that have ended, however.
    pub(crate) deliveries: u64,
    /// Those of them that were delivered.
    pub(crate) delivered: u64,
    /// Live profiles.
    pub(crate) profiles: u64,
    /// Entries of the events log that the projector has yet to read.
    pub(crate) lag: u64,
}

/// The end of the road.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    /// When it was reached, or given up.
    pub(crate) at: Instant,
    /// What was counted since the beginning.
    pub(crate) figures: Figures,
    /// Whether everything has gone its whole way.
    pub(crate) done: bool,
}

impl Control {
    /// For this address, with a token that may do everything.
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { connection: Connection::new(address), address, token: token.to_owned(), request: Vec::new() }
    }

    /// Waits until everything is ready and the projector has read what there is.
    ///
    /// # Errors
    /// If that takes too long.
    pub(crate) async fn ready(&mut self, within: Duration) -> anyhow::Result<()> {
        let by = Instant::now() + within;
        let mut tick = tokio::time::interval(ASK_EVERY);
        loop {
            tick.tick().await;
            let (status, body) = self.get("/readyz").await.context("the health endpoint does not answer")?;
            if status == 200 && self.figures(None).await?.lag == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < by, "not ready within {} s: {status} {body}", within.as_secs());
        }
    }

    /// Whether everything is ready now.
    pub(crate) async fn is_ready(&mut self) -> bool {
        self.get("/readyz").await.is_ok_and(|(status, _)| status == 200)
    }

    /// Creates a webhook destination that is switched on; its id.
    ///
    /// # Errors
    /// If the admin API refuses.
    pub(crate) async fn create_webhook(
        &mut self,
        url: &str,
        events_per_request: u32,
    ) -> anyhow::Result<String> {
        // What is measured is events.
        let mut settings = json!({"url": url, "send": ["events"]});
        // Left out where it says what holds anyhow, so that builds are driven that don't know it.
        if events_per_request > 1 {
            settings["events_per_request"] = json!(events_per_request);
        }
        let mut new = json!({"definition": "webhook", "name": "load", "enabled": true, "settings": settings});
        let (mut status, mut body) = self.post("/admin/v1/destinations", &new).await?;
        if status == 400 && body.contains("settings.send") {
            // A build that knows no such setting sends nothing else.
            new["settings"].as_object_mut().context("settings are an object")?.remove("send");
            (status, body) = self.post("/admin/v1/destinations", &new).await?;
        }
        ensure!(status == 201, "the admin API refused the webhook: {status} {body}");
        let made: Value = serde_json::from_str(&body).context("the admin API did not answer with JSON")?;
        Ok(made["id"].as_str().context("the admin API told no id")?.to_owned())
    }

    /// Switches a destination on or off.
    ///
    /// # Errors
    /// If the admin API refuses.
    pub(crate) async fn switch(&mut self, destination: &str, enabled: bool) -> anyhow::Result<()> {
        let path = format!("/admin/v1/destinations/{destination}");
        let body = json!({ "enabled": enabled }).to_string();
        let (status, body) = self.request("PATCH", &path, body.as_bytes()).await?;
        ensure!(status == 200, "the admin API refused a switch: {status} {body}");
        Ok(())
    }

    /// Takes a snapshot of the state.
    ///
    /// # Errors
    /// If the admin API refuses.
    pub(crate) async fn take_snapshot(&mut self) -> anyhow::Result<()> {
        let (status, body) = self.post("/admin/v1/snapshots", &json!({})).await?;
        ensure!(status == 201, "the admin API refused a snapshot: {status} {body}");
        Ok(())
    }

    /// What the server has counted; deliveries of this destination.
    ///
    /// # Errors
    /// If the metrics can't be read.
    pub(crate) async fn figures(&mut self, destination: Option<&str>) -> anyhow::Result<Figures> {
        let (status, text) = self.get("/metrics").await.context("the metrics can't be read")?;
        ensure!(status == 200, "the metrics are answered with {status}");
        Ok(Figures::of(&text, destination))
    }

    /// Waits until everything that was accepted since `before` has gone its whole way, or nothing has moved for a
    /// while.
    ///
    /// # Errors
    /// If the metrics can't be read.
    pub(crate) async fn settle(
        &mut self,
        before: &Figures,
        destination: Option<&str>,
    ) -> anyhow::Result<Settled> {
        let mut last = (Figures::default(), Instant::now());
        let mut tick = tokio::time::interval(ASK_EVERY);
        loop {
            tick.tick().await;
            let figures = self.figures(destination).await?.since(before);
            let (at, done) = (Instant::now(), figures.is_settled(destination));
            if figures != last.0 {
                last = (figures, at);
            }
            if done || last.1.elapsed() > QUIET_FOR {
                return Ok(Settled { at, figures, done });
            }
        }
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<(u16, String)> {
        self.request("GET", path, b"").await
    }

    async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<(u16, String)> {
        self.request("POST", path, body.to_string().as_bytes()).await
    }

    async fn request(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<(u16, String)> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let head = request_head(method, path, self.address, &headers);
        write_request(&mut self.request, &head, body);
        let answered = self.connection.exchange_again(&self.request).await;
        let answer =
            answered.with_context(|| format!("{method} {path} on {} has no answer", self.address))?;
        if answer.status == 401 {
            bail!("{path} is answered with 401: give the server's admin token with --token");
        }
        Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
    }
}

impl Figures {
    fn of(text: &str, destination: Option<&str>) -> Self {
        let projector = |labels: &[(&str, &str)]| {
            let labels = [&[("stage", "projector")][..], labels].concat();
            total(text, "tributary_outcomes_total", &labels)
        };
        let deliveries = |labels: &[(&str, &str)]| {
            let Some(destination) = destination else { return 0 };
            let labels = [&[("destination", destination)][..], labels].concat();
            total(text, "tributary_deliveries_total", &labels)
        };
        Self {
            accepted: total(text, "tributary_ingest_events_accepted_total", &[]),
            rejected: total(text, "tributary_ingest_events_rejected_total", &[]),
            read: projector(&[]),
            projected: projector(&[("outcome", "projected")]),
            // Those that the settings leave out are none of the events.
            deliveries: deliveries(&[]) - deliveries(&[("outcome", "filtered")]),
            delivered: deliveries(&[("outcome", "delivered")]),
            profiles: total(text, "tributary_profiles", &[]),
            lag: total(text, "tributary_projector_lag_records", &[]),
        }
    }

    /// What was counted since `before`; what is no counter stays as it is.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            accepted: self.accepted.saturating_sub(before.accepted),
            rejected: self.rejected.saturating_sub(before.rejected),
            read: self.read.saturating_sub(before.read),
            projected: self.projected.saturating_sub(before.projected),
            deliveries: self.deliveries.saturating_sub(before.deliveries),
            delivered: self.delivered.saturating_sub(before.delivered),
            profiles: self.profiles,
            lag: self.lag,
        }
    }

    /// Whether everything that was accepted has gone its whole way.
    pub(crate) fn is_settled(&self, destination: Option<&str>) -> bool {
        self.read >= self.accepted && (destination.is_none() || self.deliveries >= self.projected)
    }
}

/// The sum of a metric over all series that have these labels, read from the Prometheus text form. No such series
/// is 0: a counter appears with its first event.
fn total(text: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let mut sum = 0.0;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let (series, value) = match rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
            Some(parts) => parts,
            None if rest.starts_with(' ') => ("", rest),
            None => continue,
        };
        let has = |(label, value): &(&str, &str)| {
            series
                .split(',')
                .any(|one| one.strip_prefix(label).is_some_and(|rest| rest == format!("=\"{value}\"")))
        };
        if labels.iter().all(has) {
            sum += value.trim().parse::<f64>().unwrap_or_default();
        }
    }
    sum as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE tributary_outcomes_total counter\n\
        tributary_ingest_events_accepted_total 130\n\
        tributary_outcomes_total{stage=\"projector\",outcome=\"projected\"} 90\n\
        tributary_outcomes_total{outcome=\"duplicate\",stage=\"projector\"} 10\n\
        tributary_outcomes_total{stage=\"collector\",outcome=\"rejected\"} 1000\n\
        tributary_deliveries_total{workspace=\"ws_1\",destination=\"dst_2\",outcome=\"delivered\"} 80\n\
        tributary_deliveries_total{workspace=\"ws_1\",destination=\"dst_2\",outcome=\"dead_letter\"} 3\n\
        tributary_deliveries_total{workspace=\"ws_1\",destination=\"dst_2\",outcome=\"filtered\"} 5\n\
        tributary_deliveries_total{workspace=\"ws_1\",destination=\"dst_21\",outcome=\"delivered\"} 7\n\
        tributary_profiles{workspace=\"ws_1\"} 12\n\
        tributary_projector_lag_records 30\n";

    #[test]
    fn figures_add_up_the_series_that_match() {
        let want = Figures {
            accepted: 130,
            rejected: 0,
            read: 100,
            projected: 90,
            deliveries: 83,
            delivered: 80,
            profiles: 12,
            lag: 30,
        };
        assert_eq!(Figures::of(TEXT, Some("dst_2")), want);
        assert_eq!(Figures::of(TEXT, None), Figures { deliveries: 0, delivered: 0, ..want });
        assert_eq!(Figures::of("", Some("dst_2")), Figures::default());
    }

    #[test]
    fn everything_has_gone_its_way_once_it_was_read_and_delivered() {
        let figures =
            |read, deliveries| Figures { accepted: 10, read, projected: 9, deliveries, ..Figures::default() };
        let cases = [
            ("nothing yet", figures(0, 0), None, false),
            ("read", figures(10, 0), None, true),
            ("read, not delivered", figures(10, 8), Some("dst_1"), false),
            ("delivered, the duplicate brings none", figures(10, 9), Some("dst_1"), true),
        ];
        for (name, figures, destination, want) in cases {
            assert_eq!(figures.is_settled(destination), want, "{name}");
        }
        assert_eq!(
            figures(10, 9).since(&figures(4, 9)),
            Figures { accepted: 0, projected: 0, ..figures(6, 0) }
        );
    }
}
