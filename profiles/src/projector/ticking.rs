//! Ticks: when the projector appends which.
//!
//! One tick is under way at a time, from its append until it is read: it waits behind the events that were there
//! before, and steps of work take turns with timers. One that the log refuses is tried again a little later, as it is
//! due then. Whether one was stored after all does no harm: a step that was taken is passed over.

use super::ProjectorError;
use super::run::{IDLE, Run};
use crate::machine::READ_RECORDS_MAX;
use crate::metrics;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};
use tributary_eventlog::AppendFuture;
use tributary_model::tick::Tick;
use tributary_model::{Record, Timestamp, WorkspaceId};

/// How long to wait before a tick that the log refused is tried again, or one due.
const AGAIN: Duration = Duration::from_secs(1);
/// The shortest wait for a timer: as exact as the clock needs to be.
const SHORTEST: Duration = Duration::from_millis(1);
/// How many bytes of records one step reads back, about.
const READ_BYTES: usize = 1 << 20;

/// The tick under way, and what came before.
#[derive(Default)]
pub(super) struct Ticking {
    under_way: Option<UnderWay>,
    /// The workspace whose work came last: the next one has its turn first.
    worked: Option<WorkspaceId>,
    /// Whether timers had their turn last.
    were_timers: bool,
    /// Nothing is appended before this moment: the log refused the last one.
    not_before: Option<Instant>,
}

enum UnderWay {
    /// The log has not answered.
    Asked(AppendFuture),
    /// It is stored there.
    Stored(u64),
}

impl Run {
    /// Appends the tick that is due, if one is and none is under way. Answers with how long to wait for records at most.
    /// To be called once everything is published.
    pub(super) fn tick(&mut self) -> Result<Duration, ProjectorError> {
        self.reads.note(self.machine.reads_from()?);
        self.look_after_tick();
        let waits = self.ticking.not_before.is_some_and(|moment| Instant::now() < moment);
        if self.ticking.under_way.is_some() || waits || self.stop.load(Ordering::SeqCst) {
            return Ok(IDLE);
        }
        self.ticking.not_before = None;
        let due = self.machine.due(self.ticking.worked.unwrap_or(WorkspaceId(0)))?;
        // A clock that was set back does not hold back what is due by the log.
        let now = self.parts.clock.now().max(self.machine.checkpoint().log_time);
        let timer = due.timer.filter(|(at, _)| *at <= now);
        let wait = due.timer.map_or(IDLE, |(at, _)| until(now, at));
        let timers_turn = due.work.is_none() || !self.ticking.were_timers;
        match (timer, due.work) {
            (Some((_, workspace)), _) if timers_turn => {
                self.ticking.were_timers = true;
                let tick = self.machine.timers_tick(workspace)?;
                self.append_tick(workspace, &tick)?;
            }
            (_, Some((workspace, tick))) => {
                self.ticking.were_timers = false;
                self.ticking.worked = Some(workspace);
                let tick = self.narrowed(tick);
                self.append_tick(workspace, &tick)?;
            }
            (_, None) => return Ok(wait),
        }
        Ok(IDLE)
    }

    fn append_tick(&mut self, workspace: WorkspaceId, tick: &Tick) -> Result<(), ProjectorError> {
        let version = self.machine.version_of(workspace)?;
        let record = Record::of_tick(workspace, version, self.parts.clock.now(), tick);
        let future = self.parts.events.append(vec![record.encode()]);
        self.ticking.under_way = Some(UnderWay::Asked(future));
        self.look_after_tick();
        Ok(())
    }

    /// Sees whether the tick under way is stored, or read, or refused.
    fn look_after_tick(&mut self) {
        if let Some(UnderWay::Asked(future)) = &mut self.ticking.under_way {
            let answer = poll_fn(|context| Poll::Ready(future.as_mut().poll(context)));
            match self.waiter.block_on(answer) {
                Poll::Pending => {}
                Poll::Ready(Ok(stored)) => self.ticking.under_way = Some(UnderWay::Stored(stored.start)),
                Poll::Ready(Err(error)) => {
                    ::metrics::counter!(metrics::TICKS_REFUSED).increment(1);
                    tracing::debug!(%error, "the events log refused a tick; it is tried again");
                    self.ticking.under_way = None;
                    self.ticking.not_before = Some(Instant::now() + AGAIN);
                }
            }
        }
        if let Some(UnderWay::Stored(sequence)) = self.ticking.under_way
            && self.machine.checkpoint().next > sequence
        {
            self.ticking.under_way = None;
        }
    }

    /// A step of reading back, cut to so many bytes of what the log has.
    fn narrowed(&self, tick: Tick) -> Tick {
        let Tick::ReadLog { from, to } = tick else { return tick };
        let first = self.parts.events.bounds().first;
        // What the log has lost costs nothing to pass over.
        let (start, to) =
            if first > from { (first, first.saturating_add(READ_RECORDS_MAX)) } else { (from, to) };
        let last = match self.parts.events.read(start, READ_BYTES) {
            Ok(entries) => entries.last().map(|entry| entry.sequence),
            Err(error) => {
                tracing::debug!(%error, start, "the log can't be read to cut a step");
                None
            }
        };
        Tick::ReadLog { from, to: last.map_or(to, |last| to.min(last + 1)) }
    }
}

/// How long to wait until a moment, within what the projector ever waits.
fn until(now: Timestamp, at: Timestamp) -> Duration {
    let micros = u64::try_from(at.micros_since(now)).unwrap_or(0);
    Duration::from_micros(micros).clamp(SHORTEST, IDLE)
}
