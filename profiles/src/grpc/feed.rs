//! One reader of the activations log for all watches.
//!
//! While anybody listens, a task reads what is appended, decodes it once, and hands the pieces round. A listener that
//! is slower misses pieces and reads them from the log itself: nobody waits for it.

use super::stopped;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, watch};
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::{Activation, ErrorCode};

/// Bytes of activations that are read at once.
const PIECE_BYTES: usize = 128 << 10;
/// Pieces that are kept for listeners who have not taken them yet.
const PIECES_MAX: usize = 32;

/// What can't be handed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    /// The log can't be read.
    #[error("the activations log can't be read")]
    Log(#[from] ReadError),
    /// An activation is in no form that this version knows.
    #[error("activation {sequence} can't be read")]
    Form {
        /// Which.
        sequence: u64,
    },
    /// The task that reads for everybody has ended.
    #[error("the activations log is no longer read")]
    Ended,
}

impl FeedError {
    /// What a caller outside is told.
    pub(super) fn code(&self) -> ErrorCode {
        match self {
            // The task has told why, in the server's own log; another one may get further.
            Self::Log(ReadError::Unavailable(_)) | Self::Ended => ErrorCode::Unavailable,
            Self::Log(_) | Self::Form { .. } => ErrorCode::Internal,
        }
    }
}

/// Activations that follow one another.
pub(super) struct Piece {
    /// The sequence at which it begins.
    pub(super) first: u64,
    /// The sequence behind it.
    pub(super) next: u64,
    /// Each with its sequence.
    pub(super) activations: Vec<(u64, Arc<Activation>)>,
}

type Pieces = broadcast::Sender<Arc<Piece>>;

/// Reads the activations log for all watches.
pub(super) struct Feed {
    log: Arc<dyn EventLog>,
    stopping: watch::Receiver<bool>,
    /// There while the task runs.
    pieces: Mutex<Option<Pieces>>,
}

impl Feed {
    /// A feed of this log; it reads nothing before anybody listens, and ends once `stopping` turns true.
    pub(super) fn new(log: Arc<dyn EventLog>, stopping: watch::Receiver<bool>) -> Self {
        Self { log, stopping, pieces: Mutex::default() }
    }

    /// The log.
    pub(super) fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// What is appended from now on. Pieces may begin before or behind where the listener is; what is missing is in
    /// the log. It closes when the log can't be read on.
    pub(super) fn listen(self: &Arc<Self>) -> broadcast::Receiver<Arc<Piece>> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pieces) = &*pieces {
            return pieces.subscribe();
        }
        let (sender, receiver) = broadcast::channel(PIECES_MAX);
        *pieces = Some(sender.clone());
        let end = self.log.watch();
        let next = *end.borrow();
        let feed = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = feed.run(&sender, end, next).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "watches end: the activations log can't be read on"
                );
            }
            feed.forget(&sender);
            // With both senders gone, everybody who listens is told.
        });
        receiver
    }

    /// Reads on until nobody listens any more, or the server stops.
    async fn run(
        &self,
        pieces: &Pieces,
        mut end: watch::Receiver<u64>,
        mut next: u64,
    ) -> Result<(), FeedError> {
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return Ok(()),
                grown = end.wait_for(|end| *end > next) => if grown.is_err() {
                    return Ok(());
                },
            }
            let piece = read(&self.log, next).await?;
            next = piece.next;
            if pieces.send(Arc::new(piece)).is_err() && self.retire(pieces) {
                return Ok(());
            }
        }
    }

    /// Another one may have begun meanwhile.
    fn forget(&self, pieces: &Pieces) {
        let mut current = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|current| current.same_channel(pieces));
    }

    /// Whether really nobody listens: then the next one who does begins anew.
    fn retire(&self, pieces: &Pieces) -> bool {
        // Whoever begins to listen does so under the lock.
        let mut current = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alone = pieces.receiver_count() == 0;
        if is_alone {
            *current = None;
        }
        is_alone
    }
}

/// Reads a piece, at least one activation if there is one.
///
/// # Errors
/// If the log can't be read, or what is in it.
pub(super) async fn read(log: &Arc<dyn EventLog>, from: u64) -> Result<Piece, FeedError> {
    let log = Arc::clone(log);
    let read = tokio::task::spawn_blocking(move || read_blocking(&*log, from));
    // It is given up only where the runtime ends.
    read.await.unwrap_or(Err(FeedError::Ended))
}

fn read_blocking(log: &dyn EventLog, first: u64) -> Result<Piece, FeedError> {
    let mut piece = Piece { first, next: first, activations: Vec::new() };
    for entry in log.read(first, PIECE_BYTES)? {
        let sequence = entry.sequence;
        match Activation::decode(&entry.bytes) {
            Ok(activation) => piece.activations.push((sequence, Arc::new(activation))),
            // What comes before it is told first.
            Err(_) if !piece.activations.is_empty() => break,
            Err(_) => return Err(FeedError::Form { sequence }),
        }
        piece.next = sequence + 1;
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::follow::tests::activation;
    use bytes::Bytes;
    use tributary_eventlog::MemoryLog;
    use tributary_model::ActivationKind;

    fn append(log: &MemoryLog, position: u64) {
        // A log in memory has appended once the call returns.
        drop(log.append(vec![activation(position, 0, ActivationKind::Event, 1).encode()]));
    }

    fn positions(piece: &Piece) -> Vec<u64> {
        piece.activations.iter().map(|(_, activation)| activation.header.position.sequence).collect()
    }

    #[tokio::test]
    async fn everybody_who_listens_gets_what_is_appended_and_a_reader_comes_back_after_all_left() {
        let log = Arc::new(MemoryLog::new());
        append(&log, 1);
        let (_stop, stopping) = watch::channel(false);
        let feed = Arc::new(Feed::new(Arc::<MemoryLog>::clone(&log), stopping));
        let (mut one, mut other) = (feed.listen(), feed.listen());
        append(&log, 2);
        for listener in [&mut one, &mut other] {
            let piece = listener.recv().await.expect("it is read on");
            assert_eq!((piece.first, piece.next, positions(&piece)), (1, 2, vec![2]));
        }
        drop((one, other));
        append(&log, 3);
        // The task meets the append without a listener, and ends.
        while feed.pieces.lock().expect("not poisoned").is_some() {
            tokio::task::yield_now().await;
        }
        let mut again = feed.listen();
        append(&log, 4);
        let piece = again.recv().await.expect("it is read on");
        assert_eq!((piece.first, positions(&piece)), (3, vec![4]));
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_read_ends_the_listening_and_a_stop_does() {
        let log = Arc::new(MemoryLog::new());
        let (stop, stopping) = watch::channel(false);
        let feed = Arc::new(Feed::new(Arc::<MemoryLog>::clone(&log), stopping));
        let mut listener = feed.listen();
        drop(log.append(vec![Bytes::from_static(&[9, 9])]));
        assert_eq!(listener.recv().await.err(), Some(broadcast::error::RecvError::Closed));
        let memory: Arc<dyn EventLog> = log;
        assert!(matches!(read(&memory, 0).await, Err(FeedError::Form { sequence: 0 })));

        let mut listener = feed.listen();
        stop.send_replace(true);
        assert_eq!(listener.recv().await.err(), Some(broadcast::error::RecvError::Closed));
    }
}
