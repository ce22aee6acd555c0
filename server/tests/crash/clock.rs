//! A clock that is set, backwards and forwards, before a start and while the server runs.

use super::compare::Survived;
use super::faults::{acknowledged, event, events};
use super::logs::Logs;
use super::receiver::Receiver;
use crate::harness::{Server, data_dir};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use tributary_model::{DestinationId, Timestamp};
use tributary_profiles::StatePaths;
use tributary_profiles::generation::Generation;
use tributary_server::keys::Keys;

const HOUR: i64 = 3_600_000_000;

/// More requests than readings of the clock before it is set: so it is set while the server runs.
const REQUESTS: usize = 30;

/// How the clock goes in each life, as actions of its fail point; seconds beside the machine's.
const LIVES: [(&str, &str); 5] = [
    ("the machine's", "off"),
    ("an hour behind", "return(-3600)"),
    ("two days ahead after a while", "25*off->return(172800)"),
    ("an hour back again after a while", "25*return(172800)->return(169200)"),
    ("the machine's again", "off"),
];

/// The projector's time, as a stopped server left it.
fn projector_time(path: &Path) -> Timestamp {
    let hash_key = Keys::open(path).expect("the keys are there").hash_key();
    let paths = StatePaths::within(path);
    let generation = Generation::open(&paths, &hash_key, 10 << 20).expect("the state opens");
    generation.checkpoint.log_time
}

async fn webhook(server: &Server, url: &str) -> DestinationId {
    let body = json!({"definition": "webhook", "name": "receiver", "settings": {"url": url}});
    let (status, body) = server.call(Method::POST, "/admin/v1/destinations", Some(body)).await;
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().expect("an id").parse().expect("a destination's id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_loses_nothing_and_doubles_nothing() {
    let (_directory, path) = data_dir();
    let receiver = Receiver::start();
    let server = Server::start(&path, &[]);
    let destination = webhook(&server, &receiver.url).await;
    assert!(server.stop().success());

    let mut sent: Vec<String> = Vec::new();
    let mut time = Timestamp::MIN;
    for (name, clock) in LIVES {
        let points = format!("clock::now={clock}");
        let server = Server::launch(&path, &[], &[("FAILPOINTS", points.as_str())]);
        let server = server.unwrap_or_else(|status| panic!("{name}: {status}"));
        server.ready().await;
        for _ in 0..REQUESTS {
            // Something new, and everything again from whatever time it was first sent at.
            sent.push(format!("m{}", sent.len()));
            let batch: Vec<Value> = sent.iter().map(|id| event(id)).collect();
            server.batch(&batch).await;
        }
        server.until("what is new is there", async || events(&server).await == sent.len()).await;
        receiver.until(sent.len() as u64).await;
        assert!(server.stop().success(), "{name}");
        let now = projector_time(&path);
        assert!(now >= time, "{name}: the projector's time went from {time} back to {now}");
        time = now;
    }
    // And once more after a crash, which leaves the clock's last step to be read again.
    let server = Server::launch(&path, &[], &[("FAILPOINTS", "clock::now=return(-7200)")]);
    let server = server.unwrap_or_else(|status| panic!("{status}"));
    sent.push("last".to_owned());
    let batch: Vec<Value> = sent.iter().map(|id| event(id)).collect();
    server.batch(&batch).await;
    server.signal(Signal::KILL);
    server.ended().await;
    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(events(&server).await, sent.len());
    receiver.until(sent.len() as u64).await;
    assert!(server.stop().success());

    let logs = Logs::embedded(path.clone());
    let survived = Survived::read(&path, &logs);
    let steps = survived.steps();
    assert!(steps.iter().any(|step| *step < -46 * HOUR), "two days back, between two lives");
    assert!(steps.iter().any(|step| (-2 * HOUR..-HOUR / 2).contains(step)), "an hour back");
    assert!(steps.iter().any(|step| *step > 47 * HOUR), "two days forward");
    assert!(projector_time(&path) >= time);
    let ids: Vec<&str> = sent.iter().map(String::as_str).collect();
    survived.holds(&acknowledged(&ids), &logs);
    survived.compare_state(&path);
    survived.compare_activations(&logs);
    survived.compare_deliveries(&path, &logs, destination, &receiver.deliveries()).await;
}
