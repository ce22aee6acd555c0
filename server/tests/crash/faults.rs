//! What may go wrong beside a crash: a process that stands still, a full disk, a disk that can't fsync.

use super::Proof;
use super::compare::Survived;
use super::load::{Books, Pace};
use super::logs::Logs;
use crate::harness::{Faces, PATIENCE, Server, WRITE_KEY, data_dir};
use rustix::fs::statvfs;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// While the server stands still, clients give up after this time.
const IMPATIENT: Duration = Duration::from_millis(300);

/// An event of one person.
pub(super) fn event(id: &str) -> Value {
    json!({"type": "identify", "messageId": id, "userId": "u1", "traits": {"plan": id}})
}

/// How many events the person's profile has.
pub(super) async fn events(faces: &Faces) -> Value {
    faces.profile("user_id:u1", "metadata").await.1["event_count"].take()
}

/// The books where all of these were acknowledged.
pub(super) fn acknowledged(ids: &[&str]) -> Books {
    let ids = || ids.iter().map(|id| (*id).to_owned()).collect();
    Books { handed_out: ids(), acknowledged: ids(), ..Books::default() }
}

/// Compares what a stopped server left with what its log says, and with what was acknowledged.
pub(super) fn compare(path: &Path, books: &Books) {
    let logs = Logs::embedded(path.to_owned());
    let survived = Survived::read(path, &logs);
    survived.holds(books, &logs);
    survived.compare_state(path);
    survived.compare_activations(&logs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_and_goes_on_loses_and_doubles_nothing() {
    let (_directory, path) = data_dir();
    let logs = Logs::embedded(path);
    // A sender that waits for deliveries would not notice that the server stands still.
    let pace = Pace { ahead: 10_000, ..logs.pace() };
    let mut proof = Proof::begin_at(logs, 20_261_121, pace).await;
    let life = proof.start(None).expect("it starts");
    for _ in 0..2 {
        proof.until_posts(5).await;
        let mut unanswered = proof.load.unanswered();
        let wanted = *unanswered.borrow_and_update() + 2 * pace.senders as u64;
        life.server.signal(Signal::STOP);
        proof.load.be_impatient(Some(IMPATIENT));
        let gave_up = tokio::time::timeout(PATIENCE, unanswered.wait_for(|count| *count >= wanted)).await;
        assert!(gave_up.is_ok(), "clients give up while the server stands still");
        drop(gave_up);
        // How slow a server may be that does go on is not what this is about.
        proof.load.be_impatient(None);
        life.server.signal(Signal::CONT);
        proof.until_posts(10).await;
    }
    life.server.signal(Signal::TERM);
    assert!(proof.bury(life).await.success());
    proof.finish().await;
}

/// A file system in memory whose size can be changed. Gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` if this process may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a directory");
        let mounted = mount("tributary-test", at, "tmpfs", MountFlags::empty(), Some(&*size(ROOMY)));
        mounted.is_ok().then(|| Self(at.to_owned()))
    }

    /// Leaves so many bytes free.
    fn leave(&self, free: u64) {
        let room = statvfs(&self.0).expect("it is mounted");
        let used = (room.f_blocks - room.f_bfree) * room.f_frsize;
        self.resize(used + free);
    }

    fn resize(&self, bytes: u64) {
        mount_remount(&self.0, MountFlags::empty(), &*size(bytes)).expect("it takes what it holds");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that a failing test left behind may have files open.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Bytes; taken from memory only as they are used.
const ROOMY: u64 = 1 << 30;

fn size(bytes: u64) -> CString {
    CString::new(format!("size={bytes}")).expect("digits")
}

/// What the collector answers to an event: its status, and after how many seconds it may come again.
pub(super) async fn post(faces: &Faces, id: &str) -> (u16, Option<u32>) {
    let request = faces.client.post(format!("http://{}/v1/identify", faces.http));
    let request = request.basic_auth(WRITE_KEY, Some("")).body(event(id).to_string());
    let answer = request.send().await.expect("an answer");
    let after = answer.headers().get("retry-after");
    let after = after.map(|text| text.to_str().expect("text").parse().expect("seconds"));
    (answer.status().as_u16(), after)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_events_until_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = SmallDisk::mount(&directory.path().join("disk"));
    let path = directory.path().join("disk/data");
    if disk.is_none() {
        println!("this process may not mount a file system: the free-space mark stands in for a full disk");
    }
    let config = directory.path().join("config.toml");
    // Stores must never meet the full disk themselves: the mark leaves them room for what is under way.
    let text = "[log]\nfree_space_bytes = 1000000000000\nfree_space_percent = 50\n";
    std::fs::write(&config, text).expect("written");
    let with_mark = ["--config", config.to_str().expect("text")];

    let server = Server::start(&path, if disk.is_some() { &with_mark } else { &[] });
    let mut taken = vec!["m0".to_owned()];
    assert_eq!(post(&server, "m0").await, (200, None));
    server.until("it is there", async || events(&server).await == 1).await;
    let server = match &disk {
        Some(disk) => {
            // The mark is half of the disk: with this beside 6 MB of room, the disk is fuller than that.
            std::fs::write(directory.path().join("disk/ballast"), vec![7_u8; 16 << 20])
                .expect("there is room");
            disk.leave(6 << 20);
            server
        }
        None => {
            assert!(server.stop().success());
            let text = "[log]\nfree_space_bytes = 1000000000000\nfree_space_percent = 90\n";
            std::fs::write(&config, text).expect("written");
            Server::start(&path, &with_mark)
        }
    };
    // Figures of free space may be a moment old: what is still taken counts.
    let refused = loop {
        let id = format!("m{}", taken.len());
        match post(&server, &id).await {
            (200, _) => taken.push(id),
            (503, after) => break after,
            other => panic!("{id}: {other:?}"),
        }
        assert!(taken.len() < 10_000, "a full disk is noticed");
    };
    assert!(refused.is_some_and(|seconds| (1..=300).contains(&seconds)), "{refused:?}");
    let (status, body) = server.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body["parts"]["collector"]["reason"].as_str().expect("a reason").contains("space"), "{body}");
    server.until("what was taken is there", async || events(&server).await == taken.len()).await;

    let server = match &disk {
        Some(disk) => {
            disk.resize(ROOMY);
            server
        }
        None => {
            assert!(server.stop().success());
            Server::start(&path, &[])
        }
    };
    let id = format!("m{}", taken.len());
    server.until("it goes on by itself", async || post(&server, &id).await.0 == 200).await;
    taken.push(id);
    server.ready().await;
    server.until("all of it is there", async || events(&server).await == taken.len()).await;
    assert!(server.stop().success());
    let taken: Vec<&str> = taken.iter().map(String::as_str).collect();
    compare(&path, &acknowledged(&taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_ends_the_process_and_nothing_is_answered_for_it() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.batch(&[event("m0")]).await;
    assert!(server.stop().success());
    let mut answered = vec!["m0"];
    // Which log's fsync fails, and whether the request may have been answered by then.
    let cases = [("events", false), ("rejects", false), ("activations", true), ("redo", true)];
    for (log, may_be_answered) in cases {
        let points = format!("segment::sync::{log}=1*return");
        let environment = [("FAILPOINTS", points.as_str()), ("TRIBUTARY_STATE_CHECKPOINT_INTERVAL_MS", "20")];
        let server = Server::launch(&path, &[], &environment).expect("nothing was synced yet");
        let url = format!("http://{}/v1/batch", server.http);
        // The second is nobody's, so it is set aside.
        let bad = json!({"type": "track", "event": "Seen", "messageId": format!("bad-{log}")});
        let body = json!({"batch": [event(log), bad]}).to_string();
        let sent = server.client.post(url).basic_auth(WRITE_KEY, Some("")).body(body).send().await;
        if sent.is_ok_and(|answer| answer.status() == 200) {
            assert!(may_be_answered, "{log}: answered without being durable");
            answered.push(log);
        }
        let status = server.ended().await;
        assert!(status.code().is_some_and(|code| code != 0), "{log}: it ends by itself, not {status}");

        let server = Server::start(&path, &[]);
        server.ready().await;
        // A client that saw no answer sends it again; it counts once, whatever became of the first time.
        server.batch(&[event(log)]).await;
        if !answered.contains(&log) {
            answered.push(log);
        }
        let count = answered.len();
        server.until("each counts once", async || events(&server).await == count).await;
        assert!(server.stop().success());
        compare(&path, &acknowledged(&answered));
    }
}
