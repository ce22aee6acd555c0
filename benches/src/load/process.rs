//! A process from outside: CPU by thread, memory, bytes written, all from `/proc`.
//!
//! CPU time is counted in clock ticks (10 ms), which is fine over seconds. Threads are grouped by the beginning of
//! their name; what threads that have ended used shows as a group of its own.

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The group of threads that are gone.
const ENDED: &str = "(ended threads)";

/// A process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    directory: PathBuf,
}

/// A process at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    ticks: u64,
    /// By thread id: name and ticks.
    threads: BTreeMap<u64, (String, u64)>,
    pub(crate) rss_bytes: u64,
    /// The most that `rss_bytes` ever was, or was since [`Process::forget_peak`].
    pub(crate) peak_bytes: u64,
    /// Bytes that the process made the disk write.
    pub(crate) written_bytes: u64,
}

/// CPU time between two samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(crate) struct CpuTime {
    /// Of all threads.
    pub(crate) micros: f64,
    /// By group of threads.
    pub(crate) by_thread: BTreeMap<String, f64>,
}

impl Process {
    /// The process of that id.
    pub(crate) fn of(pid: u32) -> Self {
        Self { directory: PathBuf::from(format!("/proc/{pid}")) }
    }

    /// Looks at it now.
    ///
    /// # Errors
    /// If it is gone, or is another user's.
    pub(crate) fn sample(&self) -> anyhow::Result<Sample> {
        let read = |name: &str| {
            let path = self.directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))
        };
        let (_, ticks) = parse_stat(&read("stat")?)?;
        let status = read("status")?;
        let io = read("io")?;
        Ok(Sample {
            ticks,
            threads: threads(&self.directory.join("task"))?,
            rss_bytes: field(&status, "VmRSS:").unwrap_or(0) * 1024,
            peak_bytes: field(&status, "VmHWM:").unwrap_or(0) * 1024,
            written_bytes: field(&io, "write_bytes:").unwrap_or(0),
        })
    }

    /// Lets the peak of memory begin anew; where that is not allowed, it stays that of the whole life.
    pub(crate) fn forget_peak(&self) {
        // "5" resets the peak; see proc(5).
        let _may_be_refused = fs::write(self.directory.join("clear_refs"), "5");
    }
}

impl Sample {
    /// CPU time from `earlier` to this moment.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> CpuTime {
        let micros_each = 1_000_000.0 / rustix::param::clock_ticks_per_second() as f64;
        let mut groups = BTreeMap::<String, u64>::new();
        for (id, (name, ticks)) in &self.threads {
            let before = earlier.threads.get(id).map_or(0, |(_, ticks)| *ticks);
            *groups.entry(group_of(name)).or_default() += ticks.saturating_sub(before);
        }
        let all = self.ticks.saturating_sub(earlier.ticks);
        let ended = all.saturating_sub(groups.values().sum());
        if ended > 0 {
            groups.insert(ENDED.to_owned(), ended);
        }
        let groups = groups.into_iter().filter(|(_, ticks)| *ticks > 0);
        CpuTime {
            micros: all as f64 * micros_each,
            by_thread: groups.map(|(name, ticks)| (name, ticks as f64 * micros_each)).collect(),
        }
    }
}

impl CpuTime {
    /// The same, for each of so many events.
    pub(crate) fn per_event(&self, events: u64) -> Self {
        let events = events.max(1) as f64;
        Self {
            micros: self.micros / events,
            by_thread: self.by_thread.iter().map(|(name, micros)| (name.clone(), micros / events)).collect(),
        }
    }
}

fn threads(task: &Path) -> anyhow::Result<BTreeMap<u64, (String, u64)>> {
    let list = fs::read_dir(task).with_context(|| format!("{} can't be read", task.display()))?;
    let mut threads = BTreeMap::new();
    for entry in list.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // A thread may end at any time: then it counts among those that have ended.
        if let (Some(id), Ok(text)) = (id, fs::read_to_string(entry.path().join("stat"))) {
            threads.insert(id, parse_stat(&text)?);
        }
    }
    Ok(threads)
}

/// Name, and ticks in user and kernel mode, from `/proc/PID/stat` or that of a thread. The name is in parentheses and
/// may hold any character.
fn parse_stat(text: &str) -> anyhow::Result<(String, u64)> {
    let parse = || {
        let (begin, end) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text.get(end + 1..)?.split_whitespace().collect();
        // Fields 14 and 15 of the line; the first behind the name is field 3.
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some((text.get(begin + 1..end)?.to_owned(), ticks(11)? + ticks(12)?))
    };
    parse().ok_or_else(|| anyhow!("this is no line of /proc/PID/stat: {text}"))
}

/// The number behind a name at the beginning of a line.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Threads that do the same are named alike but for a number at the end.
fn group_of(name: &str) -> String {
    let group = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || "-_:#. ".contains(letter));
    if group.is_empty() { name.to_owned() } else { group.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_thread_is_called() {
        let rest = "R 4050 4050 23231 0 -1 4194304 102 0 7 0 130 25 3 4 20 0 1 0 104834 3133440";
        for name in ["cat", "actix-server wo", "a) R 1 (b", ""] {
            let (got, ticks) = parse_stat(&format!("4073 ({name}) {rest}")).expect("a line");
            assert_eq!((got.as_str(), ticks), (name, 155));
        }
        for text in ["", "4073 cat R", "4073 (cat) R 1 2"] {
            assert!(parse_stat(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_are_found_by_name() {
        let status = "Name:\tcat\nVmHWM:\t    1664 kB\nVmRSS:\t    1600 kB\n";
        assert_eq!(field(status, "VmRSS:"), Some(1_600));
        assert_eq!(field("write_bytes: 5\ncancelled_write_bytes: 9\n", "write_bytes:"), Some(5));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn threads_are_grouped_by_what_they_do() {
        let cases = [
            ("tokio-rt-worker", "tokio-rt-worker"),
            ("log-events", "log-events"),
            ("sled-io-12", "sled-io"),
            ("worker 3", "worker"),
            ("7", "7"),
        ];
        for (name, want) in cases {
            assert_eq!(group_of(name), want, "{name}");
        }
    }

    #[test]
    fn time_is_told_by_group_and_what_has_ended_is_not_lost() {
        let sample = |ticks, threads: &[(u64, &str, u64)]| Sample {
            ticks,
            threads: threads.iter().map(|(id, name, ticks)| (*id, ((*name).to_owned(), *ticks))).collect(),
            rss_bytes: 0,
            peak_bytes: 0,
            written_bytes: 0,
        };
        let before = sample(100, &[(1, "main", 10), (2, "io-1", 40), (3, "gone", 50)]);
        let after = sample(200, &[(1, "main", 10), (2, "io-1", 60), (4, "io-2", 30)]);
        let cpu = after.cpu_since(&before);
        let tick = 1_000_000.0 / rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(cpu.micros, 100.0 * tick);
        let want = [("(ended threads)".to_owned(), 50.0 * tick), ("io".to_owned(), 50.0 * tick)];
        assert_eq!(cpu.by_thread, BTreeMap::from(want));
        assert_eq!(cpu.per_event(50).micros, 2.0 * tick);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let process = Process::of(std::process::id());
        process.forget_peak();
        let sample = process.sample().expect("it runs");
        assert!(sample.rss_bytes > 0 && sample.peak_bytes >= sample.rss_bytes / 2);
        assert!(!sample.threads.is_empty());
    }
}
