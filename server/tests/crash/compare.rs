//! What is left in the end, against a slow, fresh projection of the log that survived: per outcome, per profile,
//! per activation, per delivery.

use super::load::Books;
use super::logs::Logs;
use super::receiver::Deliveries;
use crate::harness::until;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tributary_destinations::{
    DestinationConfig, DestinationStatus, Engine, EngineOptions, Limits, RetryPolicy,
};
use tributary_ingest::Reject;
use tributary_model::clock::SystemClock;
use tributary_model::outcome::Outcome;
use tributary_model::{
    Activation, DestinationId, HashKey, MessageId, Position, Record, RecordKind, Timestamp, WorkspaceId,
};
use tributary_profiles::StatePaths;
use tributary_profiles::generation::Generation;
use tributary_profiles::reference::{Reference, stored_counts, stored_profiles};
use tributary_server::keys::Keys;
use tributary_server::seal::SealingKey;

const WORKSPACE: WorkspaceId = WorkspaceId(1);
const CACHE_BYTES: u64 = 32 << 20;

/// What the log that survived says, and what it has to amount to.
pub(super) struct Survived {
    reference: Reference,
    /// Every event's message id, and how often it is there.
    logged: BTreeMap<MessageId, u64>,
    /// How many commands are there.
    commands: u64,
    /// The receive time of every record, in order.
    received: Vec<Timestamp>,
    hash_key: HashKey,
}

impl Survived {
    /// Reads the log of a stopped server and projects it anew.
    pub(super) fn read(path: &Path, logs: &Logs) -> Self {
        let hash_key = Keys::open(path).expect("the keys are there").hash_key();
        let mut reference = Reference::new(hash_key.clone());
        let mut logged = BTreeMap::<MessageId, u64>::new();
        let mut commands = 0;
        let mut received = Vec::new();
        for (sequence, bytes) in logs.read("events") {
            let record = Record::decode(&bytes).expect("a record");
            if let (RecordKind::Event(_), Some(id)) = (record.envelope.kind, &record.envelope.message_id) {
                *logged.entry(id.clone()).or_default() += 1;
            }
            commands += u64::from(record.envelope.kind == RecordKind::Command);
            received.push(record.envelope.received_at);
            reference.apply(sequence, &record);
        }
        Self { reference, logged, commands, received, hash_key }
    }

    /// By how many microseconds the receive time goes on from each record to the next.
    pub(super) fn steps(&self) -> Vec<i64> {
        self.received.windows(2).map(|pair| pair[1].micros_since(pair[0])).collect()
    }

    /// Everything that was acknowledged is there: good events and commands in the events log, bad events among the
    /// rejects.
    pub(super) fn holds(&self, books: &Books, logs: &Logs) {
        for id in &books.acknowledged {
            let id = MessageId::parse(id).expect("a message id");
            assert!(self.logged.contains_key(&id), "acknowledged event {id} is not in the log");
        }
        let wanted = books.commands();
        assert!(
            self.commands >= wanted,
            "{} of {wanted} acknowledged commands are in the log",
            self.commands
        );
        let rejected: BTreeSet<String> = logs
            .read("rejects")
            .iter()
            .filter_map(|(_, bytes)| Reject::decode(bytes).expect("a reject").message_id)
            .collect();
        for id in &books.rejected {
            assert!(rejected.contains(id), "rejected event {id} was answered and is not set aside");
        }
        let both =
            rejected.iter().find(|id| MessageId::parse(id).is_ok_and(|id| self.logged.contains_key(&id)));
        assert_eq!(both, None, "an event is either accepted or rejected");
    }

    /// The state counts every event once and holds every profile as the reference has it.
    pub(super) fn compare_state(&self, path: &Path) {
        let counts = self.reference.counts(WORKSPACE);
        assert_eq!(counts.projected, self.logged.len() as u64, "each message id is projected once");
        let all: u64 = self.logged.values().sum();
        assert_eq!(counts.projected + counts.duplicates, all, "each event of the log has one outcome");

        let paths = StatePaths::within(path);
        let generation = Generation::open(&paths, &self.hash_key, CACHE_BYTES).expect("the state opens");
        assert_eq!(generation.rebuilt, None, "what the last stop left is whole");
        let latest = self.received.iter().max().copied();
        assert_eq!(Some(generation.checkpoint.log_time), latest, "the projector's time is the log's");
        assert_eq!(stored_counts(&*generation.store, WORKSPACE).expect("readable"), counts);

        let stored = stored_profiles(&*generation.store, WORKSPACE).expect("the state is readable");
        let expected = self.reference.profiles(WORKSPACE);
        for (id, profile) in &expected {
            assert_eq!(stored.get(id), Some(profile), "profile {id}");
        }
        assert_eq!(stored.len(), expected.len(), "no profile but those");
    }

    /// The activations log holds what the reference says, in order; where entries may repeat, each at least once.
    pub(super) fn compare_activations(&self, logs: &Logs) {
        let mut written: BTreeMap<_, Activation> = BTreeMap::new();
        let mut last = None;
        for (_, bytes) in logs.read("activations") {
            let activation = Activation::decode(&bytes).expect("an activation");
            let place = activation.place();
            let is_next = last.is_none_or(|last| place > last);
            assert!(is_next || logs.may_repeat(), "the activation at {place:?} is doubled or out of order");
            last = Some(place);
            if let Some(before) = written.insert(place, activation.clone()) {
                assert_eq!(before, activation, "what is there twice is the same");
            }
        }
        for (got, want) in written.values().zip(&self.reference.activations) {
            assert_eq!(got, want, "activation {:?}", want.place());
        }
        assert_eq!(written.len(), self.reference.activations.len());
    }

    /// Every activation was delivered, under one id, and the books say one outcome for each.
    pub(super) async fn compare_deliveries(
        &self,
        path: &Path,
        logs: &Logs,
        destination: DestinationId,
        deliveries: &Deliveries,
    ) {
        let wanted: BTreeSet<&str> =
            self.reference.activations.iter().map(|one| one.header.message_id.as_str()).collect();
        let mut delivered = BTreeSet::new();
        for (id, events) in deliveries {
            assert_eq!(events.len(), 1, "delivery {id} brought several events: {events:?}");
            for event in events {
                assert!(delivered.insert(event.as_str()), "event {event} was delivered under two ids");
            }
        }
        assert_eq!(delivered.len(), wanted.len());
        assert_eq!(delivered, wanted, "what was delivered is what the log says");

        let status = books_of(path, logs, destination).await;
        let (totals, taken) = (&status.totals, status.totals.taken);
        assert_eq!(
            (totals.ended(Outcome::Delivered), totals.ended_in_all(), status.waiting),
            (taken, taken, 0),
            "one outcome for each delivery"
        );
        // Where entries repeat, a repeat may count as a delivery of its own, under the same id.
        let (least, most) = (self.reference.activations.len(), logs.read("activations").len());
        assert!(
            (least as u64..=most as u64).contains(&taken),
            "{taken} deliveries, {least} to {most} activations"
        );
    }
}

/// What is recorded of a destination in a stopped data directory.
async fn books_of(path: &Path, logs: &Logs, id: DestinationId) -> DestinationStatus {
    let db = fjall::Database::builder(path.join("index")).worker_threads(2).open().expect("fjall opens");
    let engine = Engine::start(EngineOptions {
        runtime: Handle::current(),
        activations: logs.open("activations"),
        db,
        clock: Arc::new(SystemClock),
        allow_private_destinations: true,
        vault: Arc::new(SealingKey::derive(b"nothing is sent")),
        retry: RetryPolicy::default(),
        limits: Limits::default(),
    })
    .expect("the books open");
    // It sends nothing and shows its books.
    let parked = DestinationConfig::new(WORKSPACE, id, "webhook", Position::default());
    engine.apply(vec![DestinationConfig { enabled: false, ..parked }]);
    let status = || engine.status(WORKSPACE, id).filter(|status| status.totals.taken > 0);
    until("the books are read", &mut async || status().is_some()).await;
    let status = status().expect("it was there");
    engine.stop(Duration::ZERO).await;
    status
}
