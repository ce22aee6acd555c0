//! Processes that outlive the program that started them: remembered, looked at, sent signals.
//!
//! A process id alone says little once the process has ended, because the system gives ids again. So each is
//! remembered with its start time, and nothing is sent to a process that started at another.

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long lies between two looks at something that is waited for.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A process of ours. Its text form is the process id and the start time, with a space between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: i32,
    /// In clock ticks since the machine started, as the system tells it.
    started: u64,
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs.
    Running,
    /// It was sent SIGSTOP.
    Paused,
    /// It has ended.
    Gone,
}

impl Process {
    /// The process that has this id now.
    pub(super) fn with_id(id: u32) -> Result<Self> {
        let pid = i32::try_from(id)?;
        let stat = stat(pid).with_context(|| format!("process {pid} ended at once"))?;
        Ok(Self { pid, started: stat.started })
    }

    /// How it is now.
    pub(super) fn state(self) -> State {
        match stat(self.pid) {
            Some(stat) if stat.started == self.started => stat.state,
            Some(_) | None => State::Gone,
        }
    }

    /// Sends a signal. A process that has ended takes none, and that is no error.
    pub(super) fn signal(self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("a process id is above 0")?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("process {pid:?} can't be reached")),
        };
        // The handle belongs to whatever has the id now, and stays with it: compared after it was opened, the
        // start time tells for certain whose it is.
        if self.state() == State::Gone {
            return Ok(());
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("process {pid:?} takes no signal")),
        }
    }

    /// Waits until it has ended; tells whether it has.
    pub(super) fn gone_by(self, by: Instant) -> bool {
        while self.state() != State::Gone {
            if Instant::now() >= by {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        true
    }
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.pid, self.started)
    }
}

impl FromStr for Process {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (pid, started) = text.trim().split_once(' ').context("a process id and a start time")?;
        Ok(Self { pid: pid.parse()?, started: started.parse()? })
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    state: State,
    started: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The state and start time in a line of `/proc/PID/stat`.
fn parse_stat(line: &str) -> Option<Stat> {
    // The name comes second, in parentheses, and may itself hold spaces and parentheses.
    let (_, after_name) = line.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = match fields.next()? {
        // A process that has ended, and that nobody has asked about yet.
        "Z" | "X" | "x" => State::Gone,
        "T" | "t" => State::Paused,
        _ => State::Running,
    };
    // The state is field 3, the start time is field 22.
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let process = Process { pid: 4711, started: 987_654 };
        assert_eq!(process.to_string(), "4711 987654");
        assert_eq!("4711 987654\n".parse::<Process>().expect("a record"), process);
        for wrong in ["", "4711", "a b", "4711 "] {
            assert!(wrong.parse::<Process>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn states_and_start_times_are_found_behind_any_name() {
        let line = |name: &str, state: &str| {
            format!("12 ({name}) {state} 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 31 0 5551212 99 100\n")
        };
        let cases = [
            ("java", "S", State::Running),
            ("java", "R", State::Running),
            ("a (b) c", "T", State::Paused),
            ("java", "Z", State::Gone),
        ];
        for (name, state, want) in cases {
            let stat = parse_stat(&line(name, state)).expect("a line");
            assert_eq!(stat, Stat { state: want, started: 5_551_212 }, "{name} {state}");
        }
        assert_eq!(parse_stat("12 (java) S 1"), None);
    }

    #[test]
    fn a_process_with_the_same_id_and_another_start_is_another() {
        let own = Process::with_id(std::process::id()).expect("this process runs");
        assert_eq!(own.state(), State::Running);
        let former = Process { started: own.started + 1, ..own };
        assert_eq!(former.state(), State::Gone);
        former.signal(Signal::KILL).expect("nothing is sent");
    }
}
