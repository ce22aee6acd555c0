//! The thread that writes.

use super::space::Figures;
use super::{Command, Fatal, State, retention};
use crate::log::AppendError;
use crate::segment::{SegmentLog, is_lack_of_room};
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A group takes no further append once it has this many bytes.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// After this long without an append, what is durable is written down as such.
const QUIET: Duration = Duration::from_secs(1);

type Answer = oneshot::Sender<Result<Range<u64>, AppendError>>;

/// Owns the segment log.
pub(super) struct Writer {
    state: Arc<State>,
    log: SegmentLog,
    commands: Receiver<Command>,
    fatal: Fatal,
    group: Group,
    last_commit: Option<Instant>,
}

/// Appends that are written together.
#[derive(Default)]
struct Group {
    appends: Vec<(Vec<Bytes>, Answer)>,
    bytes: usize,
}

/// Whether the writer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Writer {
    pub(super) fn new(state: Arc<State>, log: SegmentLog, commands: Receiver<Command>, fatal: Fatal) -> Self {
        Self { state, log, commands, fatal, group: Group::default(), last_commit: None }
    }

    /// Works until told to close, or until the log fails. Whatever is still queued then is answered with `Closed`
    /// as the queue is dropped.
    pub(super) fn run(mut self) {
        let mut next = Next::GoOn;
        let mut quiet = false;
        while next == Next::GoOn {
            let command = match self.commands.recv_timeout(if quiet { Duration::MAX } else { QUIET }) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => {
                    quiet = true;
                    let marked = self.log.mark();
                    next = self.check(marked);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            quiet = false;
            next = self.gather(command);
        }
        self.state.closed.store(true, Ordering::Release);
    }

    /// Writes an append and all that wait behind it, then does what came after them. The first append after a pause
    /// is written at once; under load, appends wait for each other, since an fsync costs more than all of theirs.
    fn gather(&mut self, first: Command) -> Next {
        if let Some(last) = self.last_commit {
            let pause = self.state.options.commit_interval.saturating_sub(last.elapsed());
            if !pause.is_zero() {
                thread::park_timeout(pause);
            }
        }
        self.last_commit = Some(Instant::now());
        let mut command = Some(first);
        while let Some(now) = command {
            match now {
                Command::Append { entries, bytes, answer } => {
                    self.group.appends.push((entries, answer));
                    self.group.bytes += bytes;
                    if self.group.bytes >= GROUP_BYTES_MAX {
                        break;
                    }
                }
                other @ (Command::Retain { .. } | Command::Close) => {
                    return match self.write_group() {
                        Next::GoOn => self.control(other),
                        Next::Stop => Next::Stop,
                    };
                }
            }
            command = self.commands.try_recv().ok();
        }
        self.write_group()
    }

    fn control(&mut self, command: Command) -> Next {
        match command {
            Command::Append { .. } => Next::GoOn,
            Command::Retain { now, answer } => {
                let retained =
                    retention::retain(&mut self.log, &self.state.options, &self.state.protected, now);
                let failed = self.log.has_failed();
                // A caller that no longer waits leaves the files to the next start.
                let _ = answer.send(retained);
                if failed { self.fail("its next segment could not be made") } else { Next::GoOn }
            }
            Command::Close => self.finish(),
        }
    }

    /// Writes what was queued before the log was closed, and leaves proof that all of it is durable.
    fn finish(&mut self) -> Next {
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Append { entries, bytes, answer } = command {
                self.group.appends.push((entries, answer));
                self.group.bytes += bytes;
            }
        }
        self.write_admitted();
        if !self.log.has_failed() {
            let closed = self.log.mark().and_then(|()| self.log.sync());
            self.check(closed);
        }
        Next::Stop
    }

    fn write_group(&mut self) -> Next {
        if self.group.appends.is_empty() {
            return Next::GoOn;
        }
        // Closing is no reason to refuse here: what was queued before it is still written.
        match self.state.refusal(Figures::Recent).filter(|refusal| *refusal != AppendError::Closed) {
            Some(refusal) => {
                self.refuse(&refusal);
                Next::GoOn
            }
            None => self.write_admitted(),
        }
    }

    fn write_admitted(&mut self) -> Next {
        let kept_before = self.log.kept_bytes();
        let appended = {
            let appends: Vec<&[Bytes]> = self.group.appends.iter().map(|(entries, _)| &entries[..]).collect();
            if appends.is_empty() {
                return Next::GoOn;
            }
            self.log.append_group(&appends)
        };
        match appended {
            Ok(range) => self.sync_and_answer(range, kept_before),
            Err(error) if is_lack_of_room(&error) && !self.log.has_failed() => {
                let refusal = self.state.space.met_full_disk();
                self.refuse(&refusal);
                Next::GoOn
            }
            Err(error) => self.fail(&format!("writing failed: {error}")),
        }
    }

    fn sync_and_answer(&mut self, range: Range<u64>, kept_before: u64) -> Next {
        let started = Instant::now();
        if let Err(error) = self.log.sync() {
            return self.fail(&format!("fsync failed: {error}"));
        }
        let figures = &self.state.figures;
        figures.synced(started.elapsed());
        figures.wrote(
            range.end - range.start,
            self.group.bytes as u64,
            self.log.kept_bytes().saturating_sub(kept_before),
        );
        self.state.advance(range.end);
        let mut first = range.start;
        self.state.waiting.give_back(self.group.bytes);
        self.group.bytes = 0;
        for (entries, answer) in self.group.appends.drain(..) {
            let end = first + entries.len() as u64;
            // A caller that no longer waits has its entries all the same.
            let _ = answer.send(Ok(first..end));
            first = end;
        }
        self.state.show_figures();
        Next::GoOn
    }

    fn refuse(&mut self, refusal: &AppendError) {
        self.state.waiting.give_back(self.group.bytes);
        self.group.bytes = 0;
        for (_, answer) in self.group.appends.drain(..) {
            self.state.figures.refused(refusal);
            let _ = answer.send(Err(refusal.clone()));
        }
    }

    fn check(&mut self, result: io::Result<()>) -> Next {
        match result {
            Ok(()) => Next::GoOn,
            Err(error) => self.fail(&format!("writing failed: {error}")),
        }
    }

    /// Ends the log for good. Closed first, so that nothing can be queued behind what is given up here.
    fn fail(&mut self, reason: &str) -> Next {
        self.state.closed.store(true, Ordering::Release);
        (self.fatal)(&format!("log {}: {reason}", self.state.options.name));
        self.refuse(&AppendError::Closed);
        Next::Stop
    }
}
