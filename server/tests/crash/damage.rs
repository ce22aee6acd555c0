//! Files that are not as they were left: what the product notices, what it makes good, and what it refuses.

use super::Proof;
use super::faults::{acknowledged, compare, event, events};
use super::load::Pace;
use super::logs::Logs;
use crate::harness::{Server, data_dir};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The segment files of a directory, oldest first.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries =
        directory.read_dir().expect("a log's directory").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    found.sort();
    found
}

fn newest(directory: &Path) -> PathBuf {
    segments(directory).pop().expect("a log has a segment")
}

fn length(file: &Path) -> u64 {
    file.metadata().expect("the file is there").len()
}

fn cut(file: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(file).expect("the file is there").set_len(bytes).expect("it is cut");
}

/// Flips one bit.
fn flip(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is that long");
    file.write_all_at(&[byte[0] ^ 1], at).expect("it can be written");
}

/// Starts the server, which refuses; what it says about that.
fn refusal(path: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(["--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data-dir"]);
    let output = command.arg(path).output().expect("it runs");
    assert!(!output.status.success(), "it must not start");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a server that will be ended by what it finds, sooner or later.
async fn ends_by_itself(path: &Path) {
    let status = match Server::launch(path, &[], &[]) {
        Ok(server) => server.ended().await,
        Err(status) => status,
    };
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_cut_off_and_what_was_answered_is_there() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.batch(&[event("m1")]).await;
    assert!(server.stop().success());
    let before = length(&newest(&path.join("events")));

    let written_not_synced = [("FAILPOINTS", "segment::sync::events=1*return(kill)")];
    let server = Server::launch(&path, &[], &written_not_synced).expect("nothing was synced yet");
    let url = format!("http://{}/v1/batch", server.http);
    let body = json!({"batch": [event("m2")]}).to_string();
    let request = server.client.post(url).basic_auth(crate::harness::WRITE_KEY, Some(""));
    assert!(request.body(body).send().await.is_err(), "nothing is answered before it is durable");
    assert_eq!(server.ended().await.signal(), Some(Signal::KILL.as_raw()));
    let last = newest(&path.join("events"));
    let written = length(&last);
    assert!(written > before, "it was written");
    cut(&last, written - 7);

    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(events(&server).await, 1, "what was answered, and nothing else");
    server.batch(&[event("m2")]).await;
    server.until("it is taken", async || events(&server).await == 2).await;
    assert!(server.stop().success());
    compare(&path, &acknowledged(&["m1", "m2"]));
}

/// Only a disk that lies can lose what was fsynced. Sequences that were given once must not be given again then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_what_was_read_from_it_is_refused() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.batch(&[event("m1")]).await;
    server.until("it is there", async || events(&server).await == 1).await;
    let before = length(&newest(&path.join("events")));
    server.batch(&[event("m2")]).await;
    let end = r#"tributary_log_end_sequence{log="activations"}"#;
    server.until("it is projected", async || server.metric(end).await == 2.0).await;
    server.signal(Signal::KILL);
    assert_eq!(server.ended().await.signal(), Some(Signal::KILL.as_raw()));
    cut(&newest(&path.join("events")), before);

    let said = refusal(&path);
    assert!(said.contains("its newest entries are lost"), "{said}");
    for store in ["state", "index", "activations"] {
        fs::rename(path.join(store), path.join(format!("{store}.aside"))).expect("moved aside, as it says");
    }
    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(events(&server).await, 1);
    server.batch(&[event("m2")]).await;
    server.until("it is taken again", async || events(&server).await == 2).await;
    assert!(server.stop().success());
    compare(&path, &acknowledged(&["m1", "m2"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_the_newest_segment_is_refused_with_its_place() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    for id in ["m1", "m2", "m3"] {
        server.batch(&[event(id)]).await;
    }
    assert!(server.stop().success());
    let file = newest(&path.join("events"));
    // In the first frame: those behind it prove that it was durable.
    flip(&file, 120);
    let said = refusal(&path);
    assert!(said.contains(file.to_str().expect("text")) && said.contains("is damaged at byte"), "{said}");
    flip(&file, 120);

    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(events(&server).await, 3);
    assert!(server.stop().success());
    compare(&path, &acknowledged(&["m1", "m2", "m3"]));
}

/// An event that no compression makes small.
fn large(number: u64) -> Value {
    let mut state = number;
    let noise: String = std::iter::repeat_with(|| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        format!("{:016x}", mixed ^ (mixed >> 27))
    })
    .take(1_500)
    .collect();
    json!({"type": "track", "messageId": format!("large-{number}"), "userId": format!("u{number}"),
           "event": "Seen", "properties": {"noise": noise}})
}

/// Opening reads the newest segment only, so older damage is met where somebody reads there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_an_older_segment_is_reported_where_it_is_read() {
    let (_directory, path) = data_dir();
    let small_segments = [("TRIBUTARY_LOG_SEGMENT_BYTES", "1048576")];
    let server = Server::launch(&path, &[], &small_segments).expect("it starts");
    let mut count = 0;
    while segments(&path.join("events")).len() < 3 {
        let batch: Vec<Value> = (count..count + 10).map(large).collect();
        server.batch(&batch).await;
        count += 10;
        assert!(count < 2_000, "segments of 1 MB are full by now");
    }
    let last = format!("user_id:u{}", count - 1);
    server.until("all of it is there", async || server.profile(&last, "metadata").await.0 == 200).await;
    assert!(server.stop().success());
    let oldest = segments(&path.join("events")).remove(0);
    flip(&oldest, length(&oldest) / 2);

    let server = Server::start(&path, &[]);
    server.ready().await;
    let mut unreadable = 0;
    for number in 0..count {
        let who = format!("user_id:u{number}");
        assert_eq!(
            server.profile(&who, "metadata").await.1["event_count"],
            1,
            "profiles do not need the log"
        );
        let (status, body) = server.profile(&who, "events").await;
        match status {
            200 => assert_eq!(body["data"].as_array().expect("rows").len(), 1, "{who}"),
            500 => unreadable += 1,
            other => panic!("{who}: {other} {body}"),
        }
    }
    assert!(unreadable > 0, "damage is reported, never skipped");
    server.batch(&[event("m1")]).await;
    // This person had one of the large ones.
    server.until("new events are taken", async || events(&server).await == 2).await;
    assert!(server.stop().success());

    // A state that has to be made again needs all of the log.
    fs::rename(path.join("state"), path.join("state.aside")).expect("moved aside");
    ends_by_itself(&path).await;
}

/// Some load, then a stop. Nothing is ordered, so the state is the first generation still.
async fn with_state(seed: u64) -> (tempfile::TempDir, Proof) {
    let (directory, path) = data_dir();
    let logs = Logs::embedded(path);
    let pace = Pace { orders_every: None, ..logs.pace() };
    let mut proof = Proof::begin_at(logs, seed, pace).await;
    let life = proof.start(None).expect("it starts");
    proof.until_posts(40).await;
    life.server.signal(Signal::TERM);
    assert!(proof.bury(life).await.success());
    (directory, proof)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_moved_aside_and_made_again() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 3] = [
        ("emptied", |db| {
            let bytes = length(db);
            cut(db, 0);
            cut(db, bytes);
        }),
        ("overwritten", |db| {
            let file = File::options().write(true).open(db).expect("sled's file");
            file.write_all_at(&vec![0xa5; length(db) as usize], 0).expect("it can be written");
        }),
        ("cut", |db| cut(db, 0)),
    ];
    for (number, (name, damage)) in (1..).zip(cases) {
        let (_directory, proof) = with_state(20_261_130 + number).await;
        let path = proof.logs.path.clone();
        damage(&path.join("state/gen-000001/sled/db"));
        // It stops before it reads the first record, so that what it says meanwhile can be read.
        let paused = [("FAILPOINTS", "projector::read=pause")];
        let server = Server::launch(&path, &[], &paused).expect("events are taken meanwhile");
        let told = async || {
            let (status, body) = server.get("/readyz").await;
            let reason = body["parts"]["profiles"]["reason"].as_str().unwrap_or_default();
            status == 503 && reason.contains("gen-000001 could not be opened")
        };
        server.until(&format!("{name}: readiness says so"), told).await;
        server.signal(Signal::KILL);
        server.ended().await;
        assert!(path.join("state/broken-000001").is_dir(), "{name}: it is kept for a look");
        proof.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redo_record_cut_short_is_passed_over() {
    for lost in [1, 300] {
        let (_directory, mut proof) = with_state(20_261_150 + lost).await;
        let life = proof.start(Some("checkpoint::redo_synced=3*off->1*return"));
        let status = match life {
            Ok(life) => proof.bury(life).await,
            Err(status) => status,
        };
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}");
        let redo = newest(&proof.logs.path.join("state/gen-000001/redo"));
        let whole = length(&redo);
        assert!(whole > 2 * lost, "a record is there");
        cut(&redo, whole - lost);
        let path = proof.logs.path.clone();
        proof.finish().await;
        assert!(!path.join("state/broken-000001").exists(), "the state before it was good");
    }
}
