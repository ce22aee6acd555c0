//! The one thread that writes: what is there when it looks becomes durable together, with one fsync.
//!
//! Its time is that of what it writes: the newest minute that a commit counted. Now and then it removes what is too old, a
//! bounded piece at a time, after what was written has been answered.

use super::outcomes::NextNumbers;
use super::records::Budget;
use super::replays::Changed;
use super::rollup::Rows;
use super::{Commit, MINUTES_KEPT, StoreError, Tables, numbered};
use crate::config::Key;
use crate::counts::start_of;
use crate::replay::{NewReplay, ReplayError, ReplayJob};
use fjall::{OwnedWriteBatch, PersistMode};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tributary_model::Timestamp;

/// Orders that may queue before those who hand them in have to wait, and that are written together.
pub(super) const QUEUED_MAX: usize = 64;

/// How often old counts are looked for, in minutes.
const TIDY_EVERY: u32 = 60;

/// What is to be written, and who is told once it is durable.
pub(super) enum Written {
    /// Changes of a destination.
    Commit(Box<Commit>, oneshot::Sender<Result<(), StoreError>>),
    /// A replay begins.
    Begin(Box<NewReplay>, oneshot::Sender<Result<ReplayJob, ReplayError>>),
    /// A replay ends before its time.
    Cancel(Key, u64, Timestamp, oneshot::Sender<Result<bool, StoreError>>),
}

/// Tells somebody how it went. Who is gone needs no answer.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

/// What is written together.
struct Turn {
    batch: OwnedWriteBatch,
    answers: Vec<Answer>,
    numbers: NextNumbers,
    rows: Rows,
    replays: Changed,
    /// The newest minute that was counted.
    minute: Option<u32>,
}

/// The thread's own.
pub(super) struct Writer {
    tables: Arc<Tables>,
    record_days: u16,
    budget: Budget,
    /// The minute of the last turn that had one.
    minute: Option<u32>,
    tidying: Tidying,
}

/// How far the search for old counts is.
enum Tidying {
    /// It begins at that minute, or whenever the time is another one by far.
    Rests(u32),
    /// It goes on at that key.
    Works(Vec<u8>),
}

impl Writer {
    pub(super) fn new(tables: Arc<Tables>, record_days: u16, record_bytes: u64) -> Self {
        let budget = Budget::new(record_bytes);
        Self { tables, record_days, budget, minute: None, tidying: Tidying::Rests(0) }
    }

    /// Writes until nobody can order anything any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Written>) {
        while let Some(first) = queue.blocking_recv() {
            let batch = self.tables.db.batch().durability(Some(PersistMode::SyncAll));
            let mut turn = Turn {
                batch,
                answers: Vec::new(),
                numbers: NextNumbers::new(),
                rows: Rows::new(),
                replays: Changed::new(),
                minute: None,
            };
            let mut result = Ok(());
            let mut next = Some(first);
            let mut orders = 0;
            while let Some(order) = next {
                // A commit of which a part is missing is none: all of them fail then.
                result = result.and(self.take(&mut turn, order));
                orders += 1;
                next = if orders < QUEUED_MAX { queue.try_recv().ok() } else { None };
            }
            let minute = turn.minute;
            let (answers, result) = match result {
                Ok(()) => self.write(turn),
                Err(why) => (turn.answers, Err(why)),
            };
            for answer in answers {
                answer(result.clone());
            }
            if let Some(minute) = minute
                && let Err(why) = self.keep_house(minute)
            {
                tracing::error!(
                    error = &why as &dyn std::error::Error,
                    "old records of deliveries can't be removed"
                );
            }
        }
    }

    fn take(&mut self, turn: &mut Turn, order: Written) -> Result<(), StoreError> {
        match order {
            Written::Commit(commit, answer) => {
                turn.answers.push(Box::new(move |result| drop(answer.send(result))));
                self.put(turn, &commit)
            }
            Written::Begin(new, answer) => {
                match self.tables.replays.begin(&mut turn.batch, &mut turn.replays, *new) {
                    Ok(job) => turn.answers.push(Box::new(move |result| {
                        drop(answer.send(result.map(|()| job).map_err(ReplayError::from)));
                    })),
                    Err(why) => drop(answer.send(Err(why))),
                }
                Ok(())
            }
            Written::Cancel(key, id, now, answer) => {
                match self.tables.replays.cancel(&mut turn.replays, (key, id), now) {
                    Ok(is_done) => turn.answers.push(Box::new(move |result| {
                        drop(answer.send(result.map(|()| is_done)));
                    })),
                    Err(why) => drop(answer.send(Err(why))),
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, turn: &mut Turn, commit: &Commit) -> Result<(), StoreError> {
        let (tables, batch, key) = (&*self.tables, &mut turn.batch, commit.key);
        let minute = commit.counts.minutes().map(|(minute, _)| minute).max();
        turn.minute = turn.minute.max(minute);
        // What has no time of its own is of the last turn's.
        let today = minute.or(self.minute).map_or(0, |minute| start_of(minute).day());
        let oldest = today - i64::from(self.record_days);
        batch.insert(&tables.states, key.prefix(), commit.state.encode());
        for (sequence, waiting) in &commit.waiting {
            match waiting {
                Some(waiting) => batch.insert(&tables.waiting, numbered(key, *sequence), waiting.encode()),
                None => batch.remove(&tables.waiting, numbered(key, *sequence)),
            }
        }
        for (number, letter) in &commit.letters {
            tables.letters.put(batch, key, *number, letter);
        }
        for (number, size) in &commit.letters_dropped {
            tables.letters.remove(batch, key, *number, *size);
        }
        let budget = &mut self.budget;
        tables.records.put(batch, budget, (key, oldest), &commit.attempts, &commit.exchanges)?;
        tables.outcomes.put(batch, &mut turn.numbers, (key, today), &commit.endings)?;
        tables.rollups.add(&mut turn.rows, key, &commit.counts)?;
        for job in &commit.replays {
            tables.replays.update(&mut turn.replays, key, job)?;
        }
        Ok(())
    }

    fn write(&self, turn: Turn) -> (Vec<Answer>, Result<(), StoreError>) {
        let Turn { mut batch, answers, rows, replays, .. } = turn;
        self.tables.rollups.put(&mut batch, &rows);
        self.tables.replays.put(&mut batch, &replays);
        (answers, batch.commit().map_err(StoreError::from))
    }

    /// Removes some of what is too old at that minute.
    fn keep_house(&mut self, minute: u32) -> Result<(), StoreError> {
        let today = start_of(minute).day();
        let is_new_day = self.minute.is_none_or(|last| start_of(last).day() != today);
        self.minute = Some(minute);
        if is_new_day {
            self.tables.records.turn(&mut self.budget, today, self.record_days)?;
            self.tables.outcomes.turn(today)?;
        }
        let from = match &mut self.tidying {
            // A clock that was set back does not keep it resting.
            Tidying::Rests(until) if (*until).abs_diff(minute) <= TIDY_EVERY && minute < *until => {
                return Ok(());
            }
            Tidying::Rests(_) => Vec::new(),
            Tidying::Works(from) => std::mem::take(from),
        };
        let mut batch = self.tables.db.batch();
        let next = self.tables.rollups.tidy(&mut batch, &from, minute.saturating_sub(MINUTES_KEPT))?;
        self.tidying = match next {
            Some(next) => Tidying::Works(next),
            None => Tidying::Rests(minute.saturating_add(TIDY_EVERY)),
        };
        batch.commit()?;
        Ok(())
    }
}
