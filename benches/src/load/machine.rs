//! The machine, as far as it says what figures are worth.

use super::process::field;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// What figures were measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) memory_bytes: u64,
    /// The file system of the data directory; one in memory makes every fsync free.
    pub(crate) file_system: String,
}

impl Machine {
    /// This one, with the file system that holds `data_dir`.
    pub(crate) fn look(data_dir: Option<&Path>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let data_dir = data_dir.and_then(|path| path.canonicalize().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu.map_or("unknown", |(_, name)| name).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: field(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) * 1024,
            file_system: data_dir.map_or_else(
                || "unknown".to_owned(),
                |path| file_system_of(&read("/proc/mounts"), &path).unwrap_or("unknown").to_owned(),
            ),
        }
    }
}

/// The type of the file system that holds a path, from the lines of `/proc/mounts`: that of the longest mount
/// point above it; of two on one point, the later.
fn file_system_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(point), Some(kind)) = (words.next(), words.next())
            && path.starts_with(point)
            && best.is_none_or(|(length, _)| point.len() >= length)
        {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// How the machine's CPU time was spent, in ticks since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CpuUse {
    all: u64,
    idle: u64,
    stolen: u64,
}

/// Shares of the machine's CPU time, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct CpuShares {
    /// In use by anything.
    pub(crate) busy_percent: f64,
    /// Taken away by the host of a virtual machine: what makes times worthless.
    pub(crate) stolen_percent: f64,
}

impl CpuUse {
    /// Until now.
    pub(crate) fn look() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// From the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(text: &str) -> Self {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        Self { all: ticks.iter().sum(), idle: at(3) + at(4), stolen: at(7) }
    }

    /// How it was spent since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> CpuShares {
        let all = self.all.saturating_sub(earlier.all).max(1) as f64;
        let percent = |now: u64, before: u64| 100.0 * now.saturating_sub(before) as f64 / all;
        let stolen_percent = percent(self.stolen, earlier.stolen);
        CpuShares { busy_percent: 100.0 - percent(self.idle, earlier.idle) - stolen_percent, stolen_percent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between() {
        let before = CpuUse::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n");
        let after = CpuUse::parse("cpu  140 0 60 830 60 0 0 10 0 0\n");
        let shares = after.since(&before);
        assert_eq!((shares.busy_percent, shares.stolen_percent), (50.0, 10.0));
        assert_eq!(CpuUse::parse(""), CpuUse::default());
    }

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/data xfs rw 0 0\n";
        let cases = [("/home/x", "ext4"), ("/tmp/x", "tmpfs"), ("/tmp/data/x", "xfs"), ("/tmpx", "ext4")];
        for (path, want) in cases {
            assert_eq!(file_system_of(mounts, Path::new(path)), Some(want), "{path}");
        }
        assert_eq!(file_system_of("", Path::new("/")), None);
    }

    #[test]
    fn this_machine_has_something_to_tell() {
        let machine = Machine::look(Some(Path::new("/")));
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && !machine.kernel.is_empty());
    }
}
