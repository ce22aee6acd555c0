//! Where commands are handed in: each becomes a record of the events log, and its result is waited for.
//!
//! A command that was handed in comes into force even if nobody waits for it any more. What it led to is kept for
//! a while only, so whoever asks much later reads the graph instead.

use crate::machine::{CommandResult, CommandResults};
use crate::projector::Progress;
use crate::waiting::{WAIT_MAX, WaitError, until_visible};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tributary_eventlog::{AppendError, EventLog};
use tributary_model::clock::Clock;
use tributary_model::command::Command;
use tributary_model::{ErrorCode, Position, Record, Timestamp, WorkspaceId};

/// How long [`CommandDesk::order`] waits until a command is in force.
pub const ORDER_WAIT: Duration = Duration::from_secs(30);

/// A command's result can't be told.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The events log did not take the command.
    #[error("the change can't be made at the moment: {0}")]
    Log(#[source] AppendError),
    /// The command is in the log, but the projector has not read it in time.
    #[error(
        "the change is stored as record {sequence} of the log and will come into force, but not as soon as this \
         request could wait for; don't ask for it again"
    )]
    Late {
        /// The command's record.
        sequence: u64,
    },
    /// The command is in the log, but the projector has ended.
    #[error(
        "the change is stored as record {sequence} of the log and will come into force after the next start: the \
         server is stopping"
    )]
    Stopped {
        /// The command's record.
        sequence: u64,
    },
    /// Readers don't see yet what the log holds: nothing was handed in.
    #[error("profiles are still being made of what the log holds; nothing was changed, ask again")]
    Behind,
    /// The command is in force or was refused, but which of the two is no longer known.
    #[error("record {sequence} of the log was read, but what it led to is no longer kept; read the profile")]
    Forgotten {
        /// The command's record.
        sequence: u64,
    },
}

impl DeskError {
    /// What a caller outside is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Log(error) => error.code(),
            Self::Late { .. } | Self::Stopped { .. } | Self::Forgotten { .. } | Self::Behind => {
                ErrorCode::Unavailable
            }
        }
    }

    /// After how many seconds asking again makes sense.
    pub fn retry_after_seconds(&self) -> u32 {
        match self {
            Self::Log(error) => error.retry_after_seconds().unwrap_or(1),
            Self::Late { .. } | Self::Stopped { .. } | Self::Forgotten { .. } | Self::Behind => 5,
        }
    }
}

/// Takes commands in.
#[derive(Clone)]
pub struct CommandDesk {
    events: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    progress: watch::Receiver<Progress>,
    results: Arc<CommandResults>,
}

impl CommandDesk {
    /// A desk that writes to `events` and learns from the projector how far that is read, and what came of it.
    pub fn new(
        events: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        progress: watch::Receiver<Progress>,
        results: Arc<CommandResults>,
    ) -> Self {
        Self { events, clock, progress, results }
    }

    /// The time that a command would be given now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits up to [`WAIT_MAX`] until readers see the record at a position, and everything before it.
    ///
    /// # Errors
    /// If they don't in time, or the projector ends.
    pub async fn seen(&self, position: Position) -> Result<(), WaitError> {
        until_visible(self.progress.clone(), position, WAIT_MAX).await
    }

    /// Waits until readers see everything that the log holds now: what was answered before is taken into account.
    ///
    /// # Errors
    /// If they don't within [`ORDER_WAIT`].
    pub async fn settle(&self) -> Result<(), DeskError> {
        let end = self.events.bounds().end;
        let mut progress = self.progress.clone();
        let visible = progress.wait_for(|progress| progress.visible >= end);
        match tokio::time::timeout(ORDER_WAIT, visible).await.map(|seen| seen.map(drop)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(DeskError::Behind),
        }
    }

    /// Hands a command in and waits up to [`ORDER_WAIT`] until it is in force: then readers see what it changed.
    /// `version` is the workspace's version under which it was asked for.
    ///
    /// # Errors
    /// If the log does not take it, or it is not in force in time.
    pub async fn order(
        &self,
        workspace: WorkspaceId,
        version: u64,
        command: &Command,
    ) -> Result<CommandResult, DeskError> {
        let sequence = self.put(workspace, version, command).await?;
        self.result(sequence, ORDER_WAIT).await
    }

    /// Whether readers see what the command in that record changed.
    pub fn is_in_force(&self, sequence: u64) -> bool {
        self.progress.borrow().visible > sequence
    }

    /// Hands a command in; answers with its record's sequence once it is durable.
    ///
    /// # Errors
    /// [`DeskError::Log`] if the log does not take it.
    pub async fn put(
        &self,
        workspace: WorkspaceId,
        version: u64,
        command: &Command,
    ) -> Result<u64, DeskError> {
        let record = Record::of_command(workspace, version, self.clock.now(), command);
        let taken = self.events.append(vec![record.encode()]).await.map_err(DeskError::Log)?;
        Ok(taken.start)
    }

    /// Waits up to `wait` until the command in that record is in force, and tells what came of it. A result is
    /// handed out once.
    ///
    /// # Errors
    /// If it is not in force in time, or its result is no longer kept.
    pub async fn result(&self, sequence: u64, wait: Duration) -> Result<CommandResult, DeskError> {
        let mut progress = self.progress.clone();
        let visible = progress.wait_for(|progress| progress.visible > sequence);
        match tokio::time::timeout(wait, visible).await.map(|seen| seen.map(drop)) {
            Ok(Ok(())) => self.results.take(sequence).ok_or(DeskError::Forgotten { sequence }),
            Ok(Err(_)) => Err(DeskError::Stopped { sequence }),
            Err(_) => Err(DeskError::Late { sequence }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_eventlog::memory::MemoryLog;
    use tributary_identity::{CommandRefused, RefusedKind};
    use tributary_model::RecordKind;
    use tributary_model::clock::ManualClock;
    use tributary_model::command::Action;

    const WORKSPACE: WorkspaceId = WorkspaceId(1);

    fn command() -> Command {
        Command { by: "tok_1 first".to_owned(), reason: None, action: Action::Rebuild }
    }

    fn refusal() -> CommandResult {
        let message = "nothing to part".to_owned();
        CommandResult::Refused(CommandRefused {
            kind: RefusedKind::NothingToPart,
            message,
            paths: Vec::new(),
        })
    }

    /// A desk, what it writes to, and what it learns from.
    fn desk() -> (CommandDesk, Arc<MemoryLog>, watch::Sender<Progress>, Arc<CommandResults>) {
        let (log, results) = (Arc::new(MemoryLog::default()), Arc::new(CommandResults::default()));
        let (sender, progress) = watch::channel(Progress::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(7)));
        let desk = CommandDesk::new(log.clone(), clock, progress, Arc::clone(&results));
        (desk, log, sender, results)
    }

    #[tokio::test]
    async fn a_command_is_a_record_and_its_result_is_told_once_it_is_visible() {
        let (desk, log, progress, results) = desk();
        let ordered = {
            let desk = desk.clone();
            tokio::spawn(async move { desk.order(WORKSPACE, 3, &command()).await })
        };
        log.watch().wait_for(|end| *end == 1).await.expect("the log is there");
        let stored = log.read_one(0, 0).expect("readable").expect("there");
        let record = Record::decode(&stored).expect("a record");
        assert_eq!((record.envelope.kind, record.envelope.workspace_version), (RecordKind::Command, 3));
        assert_eq!(record.envelope.received_at, desk.now());
        results.put(0, refusal());
        progress.send_modify(|progress| progress.visible = 1);
        let result = ordered.await.expect("it does not panic").expect("a result");
        assert!(matches!(result, CommandResult::Refused(_)));
    }

    #[tokio::test]
    async fn a_result_that_can_not_be_told_says_why() {
        let (desk, log, progress, results) = desk();
        assert_eq!(desk.put(WORKSPACE, 3, &command()).await.expect("taken"), 0);
        let late = desk.result(0, Duration::ZERO).await;
        assert!(matches!(late, Err(DeskError::Late { sequence: 0 })));
        progress.send_modify(|progress| progress.visible = 1);
        let forgotten = desk.result(0, ORDER_WAIT).await;
        assert!(matches!(forgotten, Err(DeskError::Forgotten { sequence: 0 })));
        results.put(0, refusal());
        drop(progress);
        assert!(desk.result(0, ORDER_WAIT).await.is_ok(), "what is in force is told even then");
        let stopped = desk.result(1, ORDER_WAIT).await;
        assert!(matches!(stopped, Err(DeskError::Stopped { sequence: 1 })));
        log.set_refusal(Some(AppendError::QueueFull));
        let refused = desk.order(WORKSPACE, 3, &command()).await;
        assert!(matches!(refused, Err(DeskError::Log(AppendError::QueueFull))));
    }

    #[test]
    fn every_trouble_has_a_code_and_a_time_to_ask_again() {
        let cases = [
            (DeskError::Log(AppendError::Unreachable), ErrorCode::Unavailable, 5),
            (DeskError::Log(AppendError::TooLarge { bytes: 2, limit: 1 }), ErrorCode::TooLarge, 1),
            (DeskError::Late { sequence: 1 }, ErrorCode::Unavailable, 5),
            (DeskError::Stopped { sequence: 1 }, ErrorCode::Unavailable, 5),
            (DeskError::Forgotten { sequence: 1 }, ErrorCode::Unavailable, 5),
        ];
        for (error, code, seconds) in cases {
            assert_eq!((error.code(), error.retry_after_seconds()), (code, seconds), "{error}");
        }
    }
}
