//! Replays of destinations: begun and cancelled here, and done by the destination's worker.

use super::Engine;
use crate::config::{Key, wanted_config};
use crate::replay::{ReplayError, ReplayJob, ReplayOrder, prepare};
use crate::store::StoreError;
use crate::worker::Shared;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tributary_model::{DestinationId, WorkspaceId};

/// How long a replay waits for a destination that has just been created.
const BEGIN_WAIT: Duration = Duration::from_secs(5);

impl Engine {
    /// Begins a replay of a destination. While that is off or paused, it waits. Progress is in [`Engine::replays`]. One that
    /// has just been created is given a moment to begin.
    ///
    /// # Errors
    /// If one of the destination runs (for a dry run: another dry run), there is no such destination or it does not begin, the
    /// condition can't be used, or the store fails.
    pub fn start_replay(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        order: ReplayOrder,
    ) -> BoxFuture<'static, Result<ReplayJob, ReplayError>> {
        let key = Key { workspace, destination };
        let (shared, cells) = (Arc::clone(&self.shared), Arc::clone(&self.cells));
        let wanted = self.wanted.subscribe();
        let begun = self.spawned(async move {
            let has_begun = has_begun(&shared, key).await;
            let cell = cells.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
            let Some(cell) = cell.filter(|_| has_begun) else {
                let is_wanted = wanted_config(&wanted, key).is_some();
                return Err(if is_wanted { ReplayError::NotBegun } else { ReplayError::NoSuch });
            };
            let (log, store) = (Arc::clone(&shared.log), Arc::clone(&shared.store));
            let now = shared.clock.now();
            let prepared = tokio::task::spawn_blocking(move || prepare(&*log, &store, key, order, now));
            let prepared = prepared.await.map_err(|_| StoreError::Closed)??;
            let job = shared.store.begin_replay(prepared).await?;
            cell.ask(|asked| asked.replay = true);
            Ok(job)
        });
        async move { begun.await.unwrap_or(Err(ReplayError::Store(StoreError::Closed))) }.boxed()
    }

    /// Cancels a replay: what it queued and is not under way is not sent. False if there is none of that number that runs.
    ///
    /// # Errors
    /// If the store fails.
    pub fn cancel_replay(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        id: u64,
    ) -> BoxFuture<'static, Result<bool, StoreError>> {
        let key = Key { workspace, destination };
        let Some(cell) = self.cell(key) else { return futures_util::future::ready(Ok(false)).boxed() };
        let shared = Arc::clone(&self.shared);
        let cancelled = self.spawned(async move {
            let now = shared.clock.now();
            let cancelled = shared.store.cancel_replay(key, id, now).await?;
            cell.ask(|asked| asked.replay = true);
            Ok(cancelled)
        });
        async move { cancelled.await.unwrap_or(Err(StoreError::Closed)) }.boxed()
    }
}

/// Whether a destination's books are there, at the latest after a moment.
async fn has_begun(shared: &Shared, key: Key) -> bool {
    let mut begun = shared.begun.subscribe();
    let waited = tokio::time::timeout(BEGIN_WAIT, begun.wait_for(|begun| begun.contains(&key)));
    waited.await.is_ok_and(|begun| begun.is_ok())
}
