//! `kill -9` under load: nothing acknowledged is lost, nothing counts twice, and what is left is what a slow,
//! fresh projection of the surviving log says.

use crate::harness::{Server, WRITE_KEY, data_dir};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;
use tributary_eventlog::embedded::EmbeddedLog;
use tributary_eventlog::{EventLog, LogOptions};
use tributary_model::{Activation, MessageId, Record, RecordKind, WorkspaceId};
use tributary_profiles::StatePaths;
use tributary_profiles::generation::Generation;
use tributary_profiles::reference::{Reference, stored_profiles};
use tributary_sample::{Config, Day};
use tributary_server::keys::Keys;

const KILLS: usize = 10;
const SENDERS: usize = 4;
const BATCH: usize = 20;

/// What is still to be posted, and what was acknowledged.
struct Load {
    calls: Mutex<Day>,
    acknowledged: Mutex<BTreeSet<String>>,
    count: AtomicU64,
}

impl Load {
    fn new(seed: u64) -> Self {
        let config = Config { seed, people: 600, events: 12_000, ..Config::default() };
        Self { calls: Mutex::new(Day::new(config)), acknowledged: Mutex::default(), count: AtomicU64::new(0) }
    }

    async fn next_batch(&self) -> Vec<String> {
        let mut calls = self.calls.lock().await;
        calls.by_ref().take(BATCH).map(|call| call.body).collect()
    }
}

/// Posts batches until the server is gone; hands back the batch that was not acknowledged.
async fn send(server: &Server, load: &Load, mut batch: Vec<String>) -> Vec<String> {
    loop {
        if batch.is_empty() {
            batch = load.next_batch().await;
        }
        if batch.is_empty() {
            return batch;
        }
        let url = format!("http://{}/v1/batch", server.http);
        let body = format!(r#"{{"batch":[{}]}}"#, batch.join(","));
        let sent = server.client.post(url).basic_auth(WRITE_KEY, Some("")).body(body).send().await;
        match sent {
            Ok(answer) if answer.status() == 200 => {
                let mut acknowledged = load.acknowledged.lock().await;
                acknowledged.extend(batch.drain(..).map(|body| message_id(&body)));
                load.count.fetch_add(1, Ordering::SeqCst);
            }
            // Not acknowledged: an SDK posts it again, with the same ids.
            _ => return batch,
        }
    }
}

fn message_id(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).expect("a call is JSON");
    value["messageId"].as_str().expect("a call has an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_ten_times_under_load_nothing_is_lost_or_doubled() {
    let seed = 20_261_120;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (_directory, path) = data_dir();
    let load = Arc::new(Load::new(seed));
    let mut left: Vec<Vec<String>> = vec![Vec::new(); SENDERS];
    for _ in 0..KILLS {
        let server = Arc::new(Server::start(&path, &[]));
        let senders: Vec<_> = left
            .drain(..)
            .map(|batch| {
                let (server, load) = (Arc::clone(&server), Arc::clone(&load));
                tokio::spawn(async move { send(&server, &load, batch).await })
            })
            .collect();
        // Somewhere in the middle of things: after so many more acknowledged batches.
        let from = load.count.load(Ordering::SeqCst);
        let more = random.random_range(1..40);
        server.until("the load goes on", async || load.count.load(Ordering::SeqCst) >= from + more).await;
        let pid = rustix::process::Pid::from_raw(server.pid() as i32).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
        for sender in senders {
            left.push(sender.await.expect("a sender does not panic"));
        }
    }
    let server = Server::start(&path, &[]);
    for batch in left {
        let left = send(&server, &load, batch).await;
        assert!(left.is_empty(), "the server that was not killed took everything");
    }
    server.ready().await;
    assert!(server.stop().success());

    let acknowledged = load.acknowledged.lock().await;
    compare_with_reference(&path, &acknowledged);
}

/// Reads the stopped data directory and compares it with a slow, fresh projection of its log.
fn compare_with_reference(path: &Path, acknowledged: &BTreeSet<String>) {
    let hash_key = Keys::open(path).expect("the keys are there").hash_key();
    let mut reference = Reference::new(hash_key.clone());
    let mut logged = BTreeMap::<MessageId, u64>::new();
    for (sequence, bytes) in read_all(path, "events") {
        let record = Record::decode(&bytes).expect("a record");
        if let (RecordKind::Event(_), Some(id)) = (record.envelope.kind, &record.envelope.message_id) {
            *logged.entry(id.clone()).or_default() += 1;
        }
        reference.apply(sequence, &record);
    }
    for id in acknowledged {
        let id = MessageId::parse(id).expect("a message id");
        assert!(logged.contains_key(&id), "acknowledged event {id} is not in the log");
    }
    assert_eq!(reference.projected[&WorkspaceId(1)], logged.len() as u64, "each event counts once");

    let generation =
        Generation::open(&StatePaths::within(path), &hash_key, 32 << 20).expect("the state opens");
    assert_eq!(generation.rebuilt, None, "the state survived");
    let written: Vec<Activation> = read_all(path, "activations")
        .into_iter()
        .map(|(_, bytes)| Activation::decode(&bytes).expect("an activation"))
        .collect();
    for (at, (got, want)) in written.iter().zip(&reference.activations).enumerate() {
        assert_eq!(got, want, "activation {at}");
    }
    assert_eq!(written.len(), reference.activations.len());

    let stored = stored_profiles(&*generation.store, WorkspaceId(1)).expect("the state is readable");
    let expected = reference.profiles(WorkspaceId(1));
    assert_eq!(stored.len(), expected.len());
    let wrong: Vec<_> = expected.iter().filter(|(id, profile)| stored.get(*id) != Some(*profile)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}: {:?} {:?}",
        wrong.len(),
        expected.len(),
        wrong[0],
        stored.get(wrong[0].0)
    );
}

fn read_all(path: &Path, log: &'static str) -> Vec<(u64, bytes::Bytes)> {
    let fatal = Arc::new(|reason: &str| panic!("{reason}"));
    let log = EmbeddedLog::open(&path.join(log), LogOptions::new(log), fatal).expect("the log opens");
    let mut entries = Vec::new();
    let bounds = log.bounds();
    let mut next = bounds.first;
    while next < bounds.end {
        for entry in log.read(next, 1 << 20).expect("readable") {
            next = entry.sequence + 1;
            entries.push((entry.sequence, entry.bytes));
        }
    }
    entries
}
