//! Reads profiles while a load runs: how soon an accepted event can be read, and how fast profiles are read.
//!
//! A probe sends an `identify` call that sets a trait to a value never used before, waits for the answer, and then
//! reads the profile until it shows that value. The time from the answer to the end of the read that showed it is
//! an upper bound: reads are a millisecond apart.

use super::drive::{Rate, new_salt};
use super::http::{Connection, request_head, write_request};
use super::latency::Latency;
use super::server::Target;
use super::tally::Window;
use crate::population::{Popularity, Population};
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};
use tributary_model::clock::{Clock, SystemClock};

/// A trait that no other event sets.
const MARKER: &str = "bench_marker";
/// Between two reads of one probe.
const READ_AGAIN: Duration = Duration::from_millis(1);
/// After that a probe is given up.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);
/// How many reads may be under way at once.
const READERS: u64 = 8;

/// Which probes run beside a load.
#[derive(Debug, Clone, Copy, PartialEq, Default, clap::Args)]
pub(crate) struct ProbeArgs {
    /// Measure from answer to readable profile, so many times in a second (10 is plenty)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) probe_profile: Option<Rate>,
    /// Read profiles, so many in a second
    #[arg(long, value_name = "NUMBER")]
    pub(crate) read_profiles: Option<Rate>,
}

/// What probes have found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probed {
    /// From an answer to a read that shows the event.
    pub(crate) visible: Latency,
    /// Events of probes that were accepted.
    pub(crate) accepted: u64,
    /// Probes that were not accepted, or not seen in time.
    pub(crate) missed: u64,
    /// Reads of profiles, from when they were due.
    pub(crate) reads: Latency,
    /// Reads by anything but 200.
    pub(crate) failed_reads: u64,
}

/// Runs the probes, on a thread of its own, until the window ends.
///
/// # Errors
/// If a rate is none, no runtime can be made, or a task panics.
pub(crate) fn run(
    target: &Target,
    args: ProbeArgs,
    window: Window,
    population: Population,
) -> anyhow::Result<Probed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (probing, reading) =
        (args.probe_profile.map(interval).transpose()?, args.read_profiles.map(interval).transpose()?);
    runtime.block_on(async {
        let mut tasks = Vec::new();
        if let Some(interval) = probing {
            let prober = Prober::new(target, population);
            tasks.push(tokio::spawn(prober.run(window, interval)));
        }
        if let Some(interval) = reading {
            for number in 0..READERS {
                let reader = Reader::new(target, population, number);
                tasks.push(tokio::spawn(reader.run(window, interval)));
            }
        }
        let mut all = Probed::default();
        for task in tasks {
            all.add(&task.await.context("a probe panicked")?);
        }
        Ok(all)
    })
}

impl Probed {
    fn add(&mut self, other: &Self) {
        self.visible.add(&other.visible);
        self.accepted += other.accepted;
        self.missed += other.missed;
        self.reads.add(&other.reads);
        self.failed_reads += other.failed_reads;
    }
}

fn interval(rate: Rate) -> anyhow::Result<Duration> {
    match rate {
        Rate::Max => bail!("probes and reads need a rate: give a number in a second"),
        Rate::PerSecond(rate) => Ok(Duration::from_secs_f64(1.0 / rate)),
    }
}

/// Reads the traits of profiles.
struct ProfileApi {
    connection: Connection,
    target: Target,
    bearer: String,
    request: Vec<u8>,
}

impl ProfileApi {
    fn new(target: &Target) -> Self {
        Self {
            connection: Connection::new(target.api),
            target: target.clone(),
            bearer: format!("Bearer {}", target.token),
            request: Vec::new(),
        }
    }

    /// The status, and whether the answer holds this text.
    async fn read(&mut self, user_id: &str, query: &str, wanted: &str) -> std::io::Result<(u16, bool)> {
        let path = format!("/v1/spaces/default/collections/users/profiles/user_id:{user_id}/traits{query}");
        let head = request_head("GET", &path, self.target.api, &[("authorization", self.bearer.as_str())]);
        write_request(&mut self.request, &head, b"");
        let answer = self.connection.exchange_again(&self.request).await?;
        let found = answer.body.windows(wanted.len().max(1)).any(|text| text == wanted.as_bytes());
        Ok((answer.status, found))
    }
}

struct Prober {
    collector: Connection,
    profiles: ProfileApi,
    head: Vec<u8>,
    population: Population,
    random: ChaCha8Rng,
    salt: u32,
}

impl Prober {
    fn new(target: &Target, population: Population) -> Self {
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:", target.write_key)));
        let headers = [("authorization", basic.as_str()), ("content-type", "application/json")];
        let salt = new_salt();
        Self {
            collector: Connection::new(target.http),
            profiles: ProfileApi::new(target),
            head: request_head("POST", "/v1/identify", target.http, &headers),
            population,
            random: ChaCha8Rng::seed_from_u64(u64::from(salt)),
            salt,
        }
    }

    async fn run(mut self, window: Window, interval: Duration) -> Probed {
        let mut probed = Probed::default();
        let mut number = 0u32;
        let mut due = window.from;
        let mut request = Vec::new();
        while due < window.until {
            tokio::time::sleep_until(due.into()).await;
            number += 1;
            let user_id = self.population.user_id(self.random.random_range(0..self.population.people()));
            let marker = format!("{:08x}-{number}", self.salt);
            let body = identify(&user_id, &marker, &SystemClock.now().floor_to_millis().to_string());
            write_request(&mut request, &self.head, body.as_bytes());
            let status = self.collector.exchange_again(&request).await.map(|answer| answer.status);
            match status {
                Ok(200) => {
                    probed.accepted += 1;
                    match self.until_visible(&user_id, &marker).await {
                        Some(time) => probed.visible.note(time),
                        None => probed.missed += 1,
                    }
                }
                Ok(_) | Err(_) => probed.missed += 1,
            }
            // One at a time: a slow one leaves out those that were due meanwhile.
            due = (due + interval).max(Instant::now());
        }
        probed
    }

    async fn until_visible(&mut self, user_id: &str, marker: &str) -> Option<Duration> {
        let answered = Instant::now();
        let (query, wanted) = (format!("?include={MARKER}"), format!("\"{marker}\""));
        while answered.elapsed() < VISIBLE_WITHIN {
            if let Ok((200, true)) = self.profiles.read(user_id, &query, &wanted).await {
                return Some(answered.elapsed());
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
        None
    }
}

fn identify(user_id: &str, marker: &str, time: &str) -> String {
    format!(
        r#"{{"messageId":"probe-{marker}","userId":"{user_id}","timestamp":"{time}","sentAt":"{time}","traits":{{"{MARKER}":"{marker}"}}}}"#
    )
}

struct Reader {
    profiles: ProfileApi,
    population: Population,
    popularity: Popularity,
    random: ChaCha8Rng,
    number: u64,
}

impl Reader {
    fn new(target: &Target, population: Population, number: u64) -> Self {
        Self {
            profiles: ProfileApi::new(target),
            population,
            popularity: Popularity::new(population.people()),
            random: ChaCha8Rng::seed_from_u64(number),
            number,
        }
    }

    /// Takes every eighth of the reads that are due.
    async fn run(mut self, window: Window, interval: Duration) -> Probed {
        let mut probed = Probed::default();
        let mut turn = self.number;
        loop {
            let due = window.from + interval.mul_f64(turn as f64);
            turn += READERS;
            if due >= window.until {
                return probed;
            }
            tokio::time::sleep_until(due.into()).await;
            let user_id = self.population.user_id(self.popularity.pick(&mut self.random));
            match self.profiles.read(&user_id, "?limit=200", "").await {
                Ok((200, _)) => probed.reads.note(due.elapsed()),
                Ok(_) | Err(_) => probed.failed_reads += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_sets_its_trait_and_nothing_else() {
        let body = identify("cus_1", "0000000a-7", "2026-11-20T10:00:00.250Z");
        let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(value["traits"], serde_json::json!({"bench_marker": "0000000a-7"}));
        assert_eq!(
            (value["userId"].as_str(), value["messageId"].as_str()),
            (Some("cus_1"), Some("probe-0000000a-7"))
        );
    }

    #[test]
    fn only_a_rate_has_an_interval() {
        assert!(interval(Rate::Max).is_err());
        assert_eq!(interval(Rate::PerSecond(20.0)).expect("a rate"), Duration::from_millis(50));
    }
}
