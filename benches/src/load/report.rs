//! What a run has shown: one JSON document, and the same as text.

use super::latency::Summary;
use super::machine::{CpuShares, Machine};
use super::process::CpuTime;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The command line.
    pub(crate) command: Vec<String>,
    pub(crate) generator_version: String,
    /// What `--version` of a started server says.
    pub(crate) server_version: Option<String>,
    pub(crate) machine: Machine,
    pub(crate) load: LoadFacts,
    /// Events accepted in a second, within the measured window.
    pub(crate) events_per_second: f64,
    pub(crate) accepted: u64,
    pub(crate) event_bytes: u64,
    /// Answers by status over the whole run; what never got one, by why.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Requests that were due but never sent.
    pub(crate) unsent: u64,
    /// From when a request was due to its answer.
    pub(crate) latency: Option<Summary>,
    /// From when a request was due to when it was sent.
    pub(crate) lateness: Option<Summary>,
    /// From an answer until the profile API shows the event.
    pub(crate) visible: Option<Summary>,
    /// Reads of profiles.
    pub(crate) reads: Option<Summary>,
    /// Probes and reads that failed.
    pub(crate) failed_probes: u64,
    /// The road behind the answer.
    pub(crate) road: Road,
    /// Figures of the server's process, if its id is known.
    pub(crate) server: Option<ServerFacts>,
    /// CPU time of the generator for each accepted event, until the load's end.
    pub(crate) generator_cpu_per_event: CpuTime,
    /// How the whole machine was used until the load's end.
    pub(crate) machine_use: CpuShares,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadFacts {
    pub(crate) protocol: String,
    pub(crate) rate: String,
    pub(crate) batch: u32,
    pub(crate) connections: u16,
    pub(crate) gzip: bool,
    pub(crate) seconds: u64,
    pub(crate) warm_up_seconds: u64,
    pub(crate) people: u64,
    pub(crate) seed: u64,
    pub(crate) destination: bool,
    pub(crate) events_per_request: u32,
}

/// What became of the events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Road {
    /// Whether everything that was accepted was projected, and delivered if there is a destination.
    pub(crate) settled: bool,
    /// Entries that the projector had yet to read at the load's end.
    pub(crate) lag_at_end: u64,
    /// From the load's end until everything had gone its whole way, in seconds.
    pub(crate) settle_seconds: f64,
    /// Events that went their whole way, in a second, from the load's beginning to then.
    pub(crate) events_per_second: f64,
    pub(crate) projected: u64,
    pub(crate) duplicates: u64,
    pub(crate) profiles: u64,
    /// Deliveries that ended as delivered.
    pub(crate) delivered: u64,
    /// Requests that the load's own receiver answered.
    pub(crate) delivery_requests: u64,
}

/// Figures of the server's process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerFacts {
    /// For each accepted event, from the window's beginning until everything had gone its whole way.
    pub(crate) cpu_per_event: CpuTime,
    /// For each accepted event, from the window's beginning to its end: what is left to do then is not in it.
    pub(crate) cpu_per_event_under_load: CpuTime,
    pub(crate) rss_start_bytes: u64,
    pub(crate) rss_peak_bytes: u64,
    pub(crate) rss_end_bytes: u64,
    pub(crate) disk: DiskFacts,
}

/// What the disk took, for each byte of event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DiskFacts {
    pub(crate) written_bytes: u64,
    pub(crate) written_per_event_byte: f64,
    /// By how much the data directory grew.
    pub(crate) kept_bytes: i64,
    pub(crate) kept_per_event_byte: f64,
    /// What the entries of the data directory weigh at the end.
    pub(crate) directory: BTreeMap<String, u64>,
}

impl Report {
    /// Saves it as a JSON document.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        save(self, path)
    }
}

/// Saves a value as a JSON document.
///
/// # Errors
/// If the file can't be written.
pub(crate) fn save(value: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, machine, .. } = self;
        writeln!(
            out,
            "{} over {}, batches of {}, {} connections, {} people, {} s{}",
            load.rate,
            load.protocol,
            load.batch,
            load.connections,
            load.people,
            load.seconds,
            if load.destination { ", one destination" } else { "" },
        )?;
        writeln!(out, "{} × {}, {}", machine.cores, machine.cpu, machine.file_system)?;
        writeln!(out, "  accepted           {:>12.0} events/s  ({})", self.events_per_second, self.accepted)?;
        let answers: Vec<String> =
            self.answers.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        writeln!(out, "  answers            {}", answers.join(", "))?;
        if self.unsent > 0 {
            writeln!(out, "  never sent         {} requests: the server was too far behind", self.unsent)?;
        }
        let times = [
            ("answer", &self.latency),
            ("sent late by", &self.lateness),
            ("readable after", &self.visible),
            ("profile read", &self.reads),
        ];
        for (name, summary) in times {
            if let Some(summary) = summary {
                writeln!(out, "  {name:<18} {summary}")?;
            }
        }
        if self.failed_probes > 0 {
            writeln!(out, "  failed probes      {}", self.failed_probes)?;
        }
        write!(out, "{}", self.road)?;
        if let Some(server) = &self.server {
            write!(out, "{server}")?;
        }
        let generator = &self.generator_cpu_per_event;
        writeln!(out, "  generator CPU      {:>12.2} µs an event{}", generator.micros, groups(generator))?;
        let CpuShares { busy_percent, stolen_percent } = self.machine_use;
        writeln!(
            out,
            "  machine            {busy_percent:>12.0} % busy, {stolen_percent:.1} % stolen by the host"
        )
    }
}

impl fmt::Display for Road {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "  whole road         {:>12.0} events/s  ({} entries behind at the end, {} after {:.1} s)",
            self.events_per_second,
            self.lag_at_end,
            if self.settled { "done" } else { "NOT DONE" },
            self.settle_seconds,
        )?;
        writeln!(
            out,
            "                     {} projected, {} duplicates, {} delivered in {} requests, {} profiles",
            self.projected, self.duplicates, self.delivered, self.delivery_requests, self.profiles,
        )
    }
}

impl fmt::Display for ServerFacts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, under_load) = (&self.cpu_per_event, &self.cpu_per_event_under_load);
        writeln!(out, "  server CPU         {:>12.2} µs an event{}", whole.micros, groups(whole))?;
        writeln!(out, "    until the end    {:>12.2} µs an event{}", under_load.micros, groups(under_load))?;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        writeln!(
            out,
            "  memory             {:>12.0} MB at most, {:.0} at the start, {:.0} at the end",
            megabytes(self.rss_peak_bytes),
            megabytes(self.rss_start_bytes),
            megabytes(self.rss_end_bytes),
        )?;
        let DiskFacts { written_per_event_byte, kept_per_event_byte, .. } = self.disk;
        writeln!(
            out,
            "  disk               {written_per_event_byte:>12.2} bytes written and {kept_per_event_byte:.2} kept for \
             each byte of event"
        )?;
        let parts: Vec<String> = self
            .disk
            .directory
            .iter()
            .filter(|(_, bytes)| **bytes >= 1_000_000)
            .map(|(name, bytes)| format!("{name} {:.0} MB", megabytes(*bytes)))
            .collect();
        writeln!(out, "                     {}", parts.join(", "))
    }
}

/// The groups of threads that matter, the largest first.
fn groups(cpu: &CpuTime) -> String {
    let mut groups: Vec<(&String, &f64)> =
        cpu.by_thread.iter().filter(|(_, micros)| **micros >= 0.005 * cpu.micros).collect();
    groups.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let parts: Vec<String> = groups.into_iter().map(|(name, micros)| format!("{name} {micros:.2}")).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report as of a small run.
    pub(crate) fn example() -> Report {
        let threads = [("log-events", 4.0), ("projector", 12.5), ("idle", 0.001)];
        let cpu = CpuTime {
            micros: 20.0,
            by_thread: threads.into_iter().map(|(name, micros)| (name.to_owned(), micros)).collect(),
        };
        let summary = Summary { count: 5, mean_ms: 1.0, p50_ms: 1.0, p99_ms: 2.0, p999_ms: 3.0, max_ms: 4.0 };
        Report {
            command: vec!["tributary-bench".to_owned()],
            generator_version: "0.1.0".to_owned(),
            server_version: None,
            machine: Machine {
                cores: 2,
                cpu: "a CPU".to_owned(),
                kernel: "6".to_owned(),
                memory_bytes: 1,
                file_system: "ext4".to_owned(),
            },
            load: LoadFacts {
                protocol: "http".to_owned(),
                rate: "5000".to_owned(),
                batch: 100,
                connections: 4,
                gzip: false,
                seconds: 60,
                warm_up_seconds: 5,
                people: 200_000,
                seed: 1,
                destination: true,
                events_per_request: 1,
            },
            events_per_second: 4_999.6,
            accepted: 300_000,
            event_bytes: 3_000_000,
            answers: BTreeMap::from([("200".to_owned(), 3_000), ("503".to_owned(), 2)]),
            unsent: 0,
            latency: Some(summary),
            lateness: None,
            visible: None,
            reads: None,
            failed_probes: 0,
            road: Road {
                settled: true,
                lag_at_end: 7,
                settle_seconds: 1.5,
                events_per_second: 4_900.0,
                projected: 300_000,
                duplicates: 0,
                profiles: 200_000,
                delivered: 300_000,
                delivery_requests: 300_000,
            },
            server: Some(ServerFacts {
                cpu_per_event: cpu.clone(),
                cpu_per_event_under_load: cpu.clone(),
                rss_start_bytes: 50_000_000,
                rss_peak_bytes: 400_000_000,
                rss_end_bytes: 300_000_000,
                disk: DiskFacts {
                    written_bytes: 9_000_000,
                    written_per_event_byte: 3.0,
                    kept_bytes: 3_000_000,
                    kept_per_event_byte: 1.0,
                    directory: BTreeMap::from([("events".to_owned(), 2_000_000), ("lock".to_owned(), 0)]),
                },
            }),
            generator_cpu_per_event: cpu,
            machine_use: CpuShares { busy_percent: 80.0, stolen_percent: 0.5 },
        }
    }

    #[test]
    fn the_text_tells_what_counts() {
        let text = example().to_string();
        for part in [
            "5000 over http, batches of 100, 4 connections, 200000 people, 60 s, one destination",
            "5000 events/s  (300000)",
            "3000 × 200, 2 × 503",
            "answer             p50 1.00  p99 2.00  p99.9 3.00  max 4.00 ms  (5)",
            "(7 entries behind at the end, done after 1.5 s)",
            "20.00 µs an event: projector 12.50, log-events 4.00\n",
            "400 MB at most, 50 at the start, 300 at the end",
            "3.00 bytes written and 1.00 kept for each byte of event",
            "events 2 MB\n",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("never sent") && !text.contains("readable"), "{text}");
    }

    #[test]
    fn a_saved_report_reads_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("runs/one.json");
        example().save(&path).expect("saved");
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("a report"), example());
    }
}
