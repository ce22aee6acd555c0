//! What something cost: time by the clock, CPU time of the whole process, memory.

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// One size on one graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) graph: String,
    pub(super) identifiers: u64,
    /// Making everybody known.
    pub(super) making: Cost,
    /// The last tenth of that: what it costs at this size.
    pub(super) last_tenth: Cost,
    /// Events of a few known people.
    pub(super) familiar: Cost,
    /// Events of known people, any of them.
    pub(super) anybody: Cost,
    /// Growth of resident memory by making everybody known.
    pub(super) memory_bytes: u64,
    /// What is on disk at the end.
    pub(super) disk_bytes: Option<u64>,
}

impl Measured {
    /// Bytes for each identifier.
    pub(super) fn bytes_each(&self, bytes: u64) -> String {
        format!("{:.0}", bytes as f64 / self.identifiers.max(1) as f64)
    }
}

/// Events, the links that they brought, and the time that they took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) events: u64,
    pub(crate) links: u64,
    pub(crate) seconds: f64,
    /// User and kernel time of all threads.
    pub(crate) cpu_seconds: f64,
}

impl Cost {
    /// Adds another cost.
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.links += other.links;
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
    }
}

/// A clock that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    began: Instant,
    cpu_seconds: f64,
}

impl Stopwatch {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self { cpu_seconds: cpu_seconds(), began: Instant::now() }
    }

    /// What it cost since the start.
    pub(crate) fn cost(&self, events: u64, links: u64) -> Cost {
        let seconds = self.began.elapsed().as_secs_f64();
        Cost { events, links, seconds, cpu_seconds: cpu_seconds() - self.cpu_seconds }
    }
}

/// CPU time of this process so far.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Resident memory of this process.
///
/// # Errors
/// If `/proc` does not tell.
pub(crate) fn resident_bytes() -> anyhow::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").context("/proc/self/statm can't be read")?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .context("/proc/self/statm has no second number")?;
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_add_up_and_time_does_not_run_backwards() {
        let stopwatch = Stopwatch::start();
        let mut all = Cost::default();
        all.add(&stopwatch.cost(3, 2));
        all.add(&stopwatch.cost(4, 1));
        assert_eq!((all.events, all.links), (7, 3));
        assert!(all.seconds >= 0.0 && all.cpu_seconds >= 0.0, "{all:?}");
        assert!(resident_bytes().expect("Linux tells") > 0);
    }
}
