//! What the product says about itself: readiness and metrics.

use super::receiver::{Arrived, Receiver};
use anyhow::{Context, ensure};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tributary_model::outcome::Outcome;
use tributary_sample::Expectation;

/// How often it is asked again.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(50);

/// Asks the product about itself.
pub(super) struct Observer {
    client: reqwest::Client,
    base: String,
}

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Observed {
    /// Events that the collector accepted.
    pub(super) accepted: u64,
    /// Events that the collector set aside.
    pub(super) rejected: u64,
    /// Events folded into profiles.
    pub(super) projected: u64,
    /// Events seen before.
    pub(super) duplicates: u64,
    /// Live profiles.
    pub(super) profiles: u64,
    /// Deliveries that have ended, however, without those that the destination's settings leave out.
    pub(super) ended: u64,
    /// What the receiver got.
    pub(super) arrived: Arrived,
}

impl Observed {
    /// Whether there is nothing left to wait for.
    fn is_settled(&self, want: &Expectation) -> bool {
        self.accepted == want.accepted
            && self.projected + self.duplicates == self.accepted
            && self.profiles == want.profiles
            && self.ended == self.arrived.events + self.arrived.changes
            && self.arrived.events == self.projected
    }
}

impl Observer {
    pub(super) fn new(client: reqwest::Client, address: SocketAddr) -> Self {
        Self { client, base: format!("http://{address}") }
    }

    /// Waits until the product says that it is ready.
    pub(super) async fn ready(&self, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut tick = tokio::time::interval(ASK_EVERY);
        loop {
            tick.tick().await;
            let response = self.client.get(format!("{}/readyz", self.base)).send().await;
            let status = response.context("the health endpoint does not answer")?.status();
            if status.is_success() {
                return Ok(());
            }
            ensure!(began.elapsed() < within, "not ready within {} s: {status}", within.as_secs());
        }
    }

    /// Waits until everything has gone its whole way, or nothing has moved for a while.
    pub(super) async fn settle(
        &self,
        want: &Expectation,
        receiver: &Receiver,
        quiet_for: Duration,
    ) -> anyhow::Result<Observed> {
        let mut last = (Observed::default(), Instant::now());
        let mut tick = tokio::time::interval(ASK_EVERY);
        loop {
            tick.tick().await;
            let observed = self.look(receiver).await?;
            if observed.is_settled(want) {
                return Ok(observed);
            }
            if observed != last.0 {
                last = (observed, Instant::now());
            } else if last.1.elapsed() > quiet_for {
                return Ok(observed);
            }
        }
    }

    async fn look(&self, receiver: &Receiver) -> anyhow::Result<Observed> {
        let response = self.client.get(format!("{}/metrics", self.base)).send().await?;
        let text = response.error_for_status()?.text().await?;
        let events = |outcome: Outcome| {
            let labels = [("stage", "projector"), ("outcome", outcome.name())];
            total(&text, tributary_profiles::metrics::EVENTS, &labels)
        };
        let deliveries =
            |labels: &[(&str, &str)]| total(&text, tributary_destinations::metrics::DELIVERIES, labels);
        Ok(Observed {
            accepted: total(&text, tributary_ingest::metrics::EVENTS_ACCEPTED, &[]),
            rejected: total(&text, tributary_ingest::metrics::EVENTS_REJECTED, &[]),
            projected: events(Outcome::Projected),
            duplicates: events(Outcome::Duplicate),
            profiles: total(&text, tributary_profiles::metrics::PROFILES, &[]),
            ended: deliveries(&[]) - deliveries(&[("outcome", Outcome::Filtered.name())]),
            arrived: receiver.arrived(),
        })
    }
}

/// The sum of a metric over all series that have these labels, read from the Prometheus text form. No such
/// series is 0: a counter appears with its first event.
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
            series.split(',').any(|one| one == format!("{label}=\"{value}\""))
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

    #[test]
    fn totals_add_up_the_series_that_match() {
        let text = "# TYPE t_total counter\n\
                    t_total{stage=\"a\",outcome=\"x\"} 3\n\
                    t_total{outcome=\"x\",stage=\"a\",source=\"src_2\"} 4\n\
                    t_total{stage=\"b\",outcome=\"x\"} 100\n\
                    t_total_of_others{stage=\"a\",outcome=\"x\"} 1000\n\
                    plain 7\n";
        let cases = [
            ("t_total", vec![("stage", "a"), ("outcome", "x")], 7),
            ("t_total", vec![("stage", "b")], 100),
            ("t_total", vec![("stage", "c")], 0),
            ("t_total", vec![], 107),
            ("plain", vec![], 7),
            ("missing", vec![], 0),
        ];
        for (name, labels, want) in cases {
            assert_eq!(total(text, name, &labels), want, "{name} {labels:?}");
        }
    }
}
