//! `Watch`: the changes of a profile, or of who is in an audience, in the order of the activations log.
//!
//! A watch reads what it has yet to tell from the log, and then listens to the [`Feed`](super::feed::Feed). If its
//! client does not read what it is told, it stops listening, and reads from the log again once there is room: it holds
//! up nobody, and keeps little. It ends when the client goes, the server stops, the token may no longer read, or what
//! comes next has expired.

use super::feed::{FeedError, Piece, read};
use super::follow::{Follow, Subject};
use super::status::Refusal;
use super::token::{Token, TokenSubject, key_hash};
use super::{Api, blocking, stopped};
use crate::metrics;
use crate::reader::ProfileReader;
use futures_util::Stream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch::Receiver;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::Status;
use tributary_model::WorkspaceId;
use tributary_proto::grpc::v1::{Change, ChangeKind, WatchRequest, watch_request};

/// Changes that wait for the client to read them.
const CHANGES_MAX: usize = 16;
/// How often a client that has nothing to be told gets a newer token.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

/// What the client is told: changes, then how it ended.
pub(super) struct Changes {
    changes: mpsc::Receiver<Change>,
    end: Arc<Mutex<Option<Status>>>,
}

impl Stream for Changes {
    type Item = Result<Change, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll_recv(context).map(|change| match change {
            Some(change) => Some(Ok(change)),
            None => self.end.lock().unwrap_or_else(PoisonError::into_inner).take().map(Err),
        })
    }
}

/// Opens a watch, which is served in a task of its own.
pub(super) async fn open(
    api: &Arc<Api>,
    token: Option<String>,
    request: WatchRequest,
) -> Result<Changes, Refusal> {
    let workspace = api.admit(token.as_deref(), &request.workspace)?;
    let permit = Arc::clone(&api.watches).try_acquire_owned().map_err(|_| Refusal::Watches)?;
    let reader = api.reader()?;
    let asked = request.subject.ok_or_else(|| Refusal::invalid("give an `identifier` or an `audience`"))?;
    let follow = if request.resume_token.is_empty() {
        // Before the profile is looked for: what becomes of it from then on is told.
        let end = api.feed.log().bounds().end;
        let subject = blocking(move || find(&reader, workspace, asked)).await?;
        Follow::from_now(workspace, subject, end)
    } else {
        let token = resume_token(&request.resume_token, workspace)?;
        check_kept(api, &token)?;
        Follow::resumed(resumed(asked, &token)?, &token)
    };
    let (sender, changes) = mpsc::channel(CHANGES_MAX);
    // Stands until the task says otherwise: one that panics does not look like a good end.
    let end = Arc::new(Mutex::new(Some(Status::from(Refusal::abandoned()))));
    let watch = Watch {
        api: Arc::clone(api),
        token,
        workspace: request.workspace,
        next: follow.token().sequence,
        told: None,
        follow,
        stopping: api.stopping.clone(),
        _permit: permit,
        changes: sender,
    };
    tokio::spawn(watch.run(Arc::clone(&end)));
    Ok(Changes { changes, end })
}

/// What is asked for, if it is there. Blocking.
fn find(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    asked: watch_request::Subject,
) -> Result<Subject, Refusal> {
    match asked {
        watch_request::Subject::Identifier(name) => {
            super::read::check(&name).map_err(|why| Refusal::invalid(format!("`identifier`: {why}")))?;
            let found = reader.find(workspace, &name.namespace, &name.value)?;
            Ok(Subject::Profile(found.ok_or_else(Refusal::no_profile)?.id))
        }
        watch_request::Subject::Audience(key) => {
            let catalog = reader.catalog(workspace)?;
            if catalog.audiences().iter().any(|plan| plan.key == key) {
                Ok(Subject::Audience(key))
            } else {
                Err(Refusal::not_found("no audience has this key"))
            }
        }
    }
}

fn resume_token(text: &str, workspace: WorkspaceId) -> Result<Token, Refusal> {
    let token = Token::parse(text).filter(|token| token.workspace == workspace);
    token.ok_or_else(|| Refusal::invalid("`resume_token` is not one that a watch of this workspace gave"))
}

/// Whether the log still has what is behind the token.
fn check_kept(api: &Api, token: &Token) -> Result<(), Refusal> {
    let bounds = api.feed.log().bounds();
    if token.sequence < bounds.first {
        return Err(Refusal::Expired);
    }
    if token.sequence > bounds.end {
        let message = "`resume_token` is from behind the end of the log: it is not one of this server's";
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

/// What a watch goes on with: the profile that it followed last, or the same audience, be it deleted since.
fn resumed(asked: watch_request::Subject, token: &Token) -> Result<Subject, Refusal> {
    match (asked, token.subject) {
        (watch_request::Subject::Identifier(_), TokenSubject::Profile(id)) => Ok(Subject::Profile(id)),
        (watch_request::Subject::Audience(key), TokenSubject::Audience(hash)) if key_hash(&key) == hash => {
            Ok(Subject::Audience(key))
        }
        _ => Err(Refusal::invalid("`resume_token` is one of a watch of something else")),
    }
}

/// How a watch ends.
enum End {
    /// The client is gone.
    Gone,
    /// It can't go on.
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FeedError> for End {
    fn from(error: FeedError) -> Self {
        Self::Refused(error.into())
    }
}

/// An open watch.
struct Watch {
    api: Arc<Api>,
    /// Who watches what, to be asked for again.
    token: Option<String>,
    workspace: String,
    follow: Follow,
    /// The sequence of the next activation to look at.
    next: u64,
    /// The token that the client was told last.
    told: Option<Token>,
    stopping: Receiver<bool>,
    /// Given back before the client is told of the end.
    _permit: OwnedSemaphorePermit,
    changes: mpsc::Sender<Change>,
}

impl Watch {
    async fn run(mut self, told: Arc<Mutex<Option<Status>>>) {
        ::metrics::gauge!(metrics::WATCHES).increment(1.0);
        let status = match self.serve().await {
            Ok(()) | Err(End::Gone) => None,
            Err(End::Refused(refusal)) => {
                refusal.log("grpc_watch");
                Some(Status::from(refusal))
            }
        };
        ::metrics::gauge!(metrics::WATCHES).decrement(1.0);
        *told.lock().unwrap_or_else(PoisonError::into_inner) = status;
        // Only now does the sender of the changes go, and with it the client is told.
    }

    /// Tells what happens until the watch ends.
    async fn serve(&mut self) -> Result<(), End> {
        self.tell_progress().await?;
        // What is appended behind this is heard of; what is there already is read.
        let mut pieces = self.api.feed.listen();
        let end = *self.api.feed.log().watch().borrow();
        self.read_until(end).await?;
        let mut ticks = interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return Err(Refusal::stopping().into()),
                () = self.changes.closed() => return Err(End::Gone),
                _ = ticks.tick() => {
                    self.check_access()?;
                    self.tell_progress().await?;
                }
                piece = pieces.recv() => match piece {
                    Ok(piece) => {
                        self.read_until(piece.first).await?;
                        self.take(&piece).await?;
                    }
                    // What was missed is read from the log when the next piece comes, which is here already.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(FeedError::Ended.into()),
                },
            }
        }
    }

    /// Reads from the log what comes before this sequence.
    async fn read_until(&mut self, end: u64) -> Result<(), End> {
        while self.next < end {
            if *self.stopping.borrow() {
                return Err(Refusal::stopping().into());
            }
            if self.changes.is_closed() {
                return Err(End::Gone);
            }
            let piece = read(self.api.feed.log(), self.next).await?;
            self.take(&piece).await?;
        }
        Ok(())
    }

    /// Tells what of a piece is about the subject and new.
    async fn take(&mut self, piece: &Piece) -> Result<(), End> {
        for (sequence, activation) in &piece.activations {
            if *sequence < self.next {
                continue;
            }
            self.next = sequence + 1;
            let changes = self.follow.look(*sequence, activation);
            if !changes.is_empty() {
                self.check_access()?;
                self.told = Some(self.follow.token());
            }
            for change in changes {
                self.tell(change).await?;
            }
        }
        Ok(())
    }

    /// Tells the token, if it is a newer one.
    async fn tell_progress(&mut self) -> Result<(), End> {
        let token = self.follow.token();
        if self.told == Some(token) {
            return Ok(());
        }
        self.told = Some(token);
        let kind = ChangeKind::Progress.into();
        self.tell(Change { kind, resume_token: token.to_text(), ..Change::default() }).await
    }

    /// Hands a change on, once the client has read enough of those before.
    async fn tell(&mut self, change: Change) -> Result<(), End> {
        tokio::select! {
            biased;
            sent = self.changes.send(change) => sent.map_err(|_| End::Gone),
            () = stopped(&mut self.stopping) => Err(Refusal::stopping().into()),
        }
    }

    /// Tokens are withdrawn, and workspaces deleted, while watches are open.
    fn check_access(&self) -> Result<(), End> {
        self.api.admit(self.token.as_deref(), &self.workspace)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
