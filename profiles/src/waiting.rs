//! Reads that wait until readers see what was written before.
//!
//! Whoever writes an event can ask for its position in the events log, and hand that to a read as `wait_for`.

use crate::projector::Progress;
use std::time::Duration;
use tokio::sync::watch;
use tributary_model::{ErrorCode, Position};

/// How long a read waits at most.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a read does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The text is no position.
    #[error("wait_for is not a position; give the `position` of an answer to events, 0.1234 for instance")]
    NotAPosition,
    /// It is a position in a partition that there is not.
    #[error("wait_for names partition {0}, and the events log has only partition 0")]
    NoPartition(u32),
    /// Readers did not see it in time.
    #[error("position {0} is not visible after {seconds} s; it may become so: ask again", seconds = WAIT_MAX.as_secs())]
    Late(Position),
    /// The projector has ended.
    #[error("the server is stopping before position {0} is visible")]
    Stopped(Position),
}

impl WaitError {
    /// What a caller outside is told.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotAPosition | Self::NoPartition(_) => ErrorCode::InvalidRequest,
            Self::Late(_) => ErrorCode::Timeout,
            Self::Stopped(_) => ErrorCode::Unavailable,
        }
    }
}

/// Reads the position that a read is to wait for.
///
/// # Errors
/// If the text is not the form of a position, or no record can have that position.
pub fn parse_wait_for(text: &str) -> Result<Position, WaitError> {
    let position = Position::parse(text).ok_or(WaitError::NotAPosition)?;
    if position.partition == 0 { Ok(position) } else { Err(WaitError::NoPartition(position.partition)) }
}

/// Waits until readers see the record at a position, and everything before it.
///
/// # Errors
/// If they don't within `wait`, or the projector ends.
pub async fn until_visible(
    mut progress: watch::Receiver<Progress>,
    position: Position,
    wait: Duration,
) -> Result<(), WaitError> {
    let visible = progress.wait_for(|progress| progress.visible > position.sequence);
    match tokio::time::timeout(wait, visible).await.map(|seen| seen.map(drop)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(WaitError::Stopped(position)),
        Err(_) => Err(WaitError::Late(position)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_or_refused() {
        let cases = [
            ("0.0", Ok(Position::at(0))),
            ("0.1234", Ok(Position::at(1234))),
            ("1.7", Err(WaitError::NoPartition(1))),
            ("1234", Err(WaitError::NotAPosition)),
            ("", Err(WaitError::NotAPosition)),
            ("null", Err(WaitError::NotAPosition)),
        ];
        for (text, want) in cases {
            assert_eq!(parse_wait_for(text), want, "{text}");
        }
    }

    #[tokio::test]
    async fn a_read_goes_on_once_its_position_is_visible_or_its_time_is_over() {
        let (sender, progress) = watch::channel(Progress { visible: 5, ..Progress::default() });
        let now = |sequence| until_visible(progress.clone(), Position::at(sequence), Duration::ZERO);
        assert_eq!(now(4).await, Ok(()), "it is visible already");
        assert_eq!(now(5).await, Err(WaitError::Late(Position::at(5))), "the next record is not");
        assert_eq!(now(u64::MAX).await.map_err(|late| late.code()), Err(ErrorCode::Timeout));

        let waiting = tokio::spawn(until_visible(progress.clone(), Position::at(5), WAIT_MAX));
        sender.send_modify(|progress| progress.visible = 6);
        assert_eq!(waiting.await.expect("it does not panic"), Ok(()));

        let waiting = tokio::spawn(until_visible(progress.clone(), Position::at(6), WAIT_MAX));
        drop(sender);
        let stopped = Err(WaitError::Stopped(Position::at(6)));
        assert_eq!(waiting.await.expect("it does not panic"), stopped);
        assert_eq!(now(5).await, Ok(()), "what is visible is told even then");
    }
}
