//! A destination that is switched off and on again and again while events come in: nothing is lost, nothing comes twice, and
//! the numbers that are told add up.

use crate::harness::{Faces, PATIENCE, Server, data_dir};
use crate::item_receiver::{Item, ItemReceiver};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::watch;

const SEED: u64 = 20_260_307;
const TOGGLES: usize = 100;
/// Events that are posted before it is first switched off, at most.
const FIRST: usize = 200;
/// Events that may be posted for each time that it is switched off and on.
const EACH: usize = 40;
const EVENTS: usize = FIRST + TOGGLES * EACH;
/// Events in a post.
const POST: usize = 10;
const PEOPLE: usize = 70;

fn message_id(number: usize) -> String {
    format!("m{number:05}")
}

/// Posts all the time, as far as the budget lets it, and tells how many events it has posted.
async fn post(faces: Faces, mut budget: watch::Receiver<usize>, posted: watch::Sender<usize>) {
    for first in (0..EVENTS).step_by(POST) {
        drop(budget.wait_for(|budget| first + POST <= *budget).await);
        let event = |number: usize| {
            json!({"type": "track", "event": "Seen", "messageId": message_id(number),
                "userId": format!("u{}", number % PEOPLE), "properties": {"n": number}})
        };
        let events: Vec<Value> = (first..first + POST).map(event).collect();
        faces.batch(&events).await;
        posted.send_replace(first + POST);
    }
}

/// Waits until so many events were posted.
async fn until_posted(posted: &watch::Sender<usize>, wanted: usize) {
    let mut seen = posted.subscribe();
    let came = tokio::time::timeout(PATIENCE, seen.wait_for(|posted| *posted >= wanted)).await;
    assert!(came.is_ok_and(|came| came.is_ok()), "{wanted} events were not posted within {PATIENCE:?}");
}

async fn read(server: &Server, path: &str) -> Value {
    let (status, answer) = server.get(path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn switch(server: &Server, destination: &str, change: Value) {
    let (status, answer) = server.call(Method::PATCH, destination, Some(change.clone())).await;
    assert_eq!((status, &answer["enabled"]), (200, &change["enabled"]), "{answer}");
}

fn number(value: &Value) -> usize {
    value.as_u64().map_or(0, |number| number as usize)
}

/// What is told of a destination is consistent: each delivery that it took has ended or waits, and what it counts as delivered
/// has arrived.
fn check_status(status: &Value, arrived: usize) -> usize {
    let totals = &status["totals"];
    let ended: usize = totals["ended"].as_object().map_or(0, |ended| ended.values().map(number).sum());
    assert_eq!(number(&totals["taken"]), ended + number(&status["waiting"]), "{status}");
    let delivered = number(&totals["ended"]["delivered"]);
    assert!(delivered <= arrived, "{arrived} had arrived: {status}");
    delivered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn toggled_a_hundred_times_under_load_it_loses_and_doubles_nothing() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = ItemReceiver::start(SEED, 1_000..=8_000);
    server.ready().await;
    let settings = json!({"url": receiver.url(), "send": ["events"], "events_per_request": 10});
    let body = json!({"definition": "webhook", "name": "receiver", "settings": settings});
    let (status, made) = server.call(Method::POST, "/admin/v1/destinations", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let destination = format!("/admin/v1/destinations/{}", made["id"].as_str().expect("an id"));

    let (budget, posted) = (watch::Sender::new(FIRST), watch::Sender::new(0));
    let poster = tokio::spawn(post((*server).clone(), budget.subscribe(), posted.clone()));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut delivered = 0;
    for toggle in 1..=TOGGLES {
        let most = FIRST + toggle * EACH;
        budget.send_replace(most);
        switch(&server, &destination, json!({"enabled": false})).await;
        // Now and then it is on again before it is off.
        if random.random_bool(0.7) {
            let more = *posted.borrow() + random.random_range(1..=EACH);
            until_posted(&posted, more.min(most)).await;
        }
        switch(&server, &destination, json!({"enabled": true, "resume": "parked"})).await;
        // And off before it is on.
        if random.random_bool(0.7) {
            let more = receiver.seen() + random.random_range(1..=EACH + EACH / 2);
            receiver.until(more.min(most)).await;
        }
        let status = read(&server, &format!("{destination}/status")).await;
        let now = check_status(&status, receiver.seen());
        assert!(now >= delivered, "{delivered} had been delivered: {status}");
        delivered = now;
    }
    poster.await.expect("every post is taken");
    receiver.until(EVENTS).await;
    let path = format!("{destination}/status");
    let is_done = async || check_status(&read(&server, &path).await, receiver.seen()) == EVENTS;
    server.until("every delivery is on record", is_done).await;
    check_books(&server, &destination).await;
    assert!(server.stop().success());
    check_items(&receiver.items());
}

async fn check_books(server: &Server, destination: &str) {
    let status = read(server, &format!("{destination}/status")).await;
    assert_eq!(status["totals"], json!({"taken": EVENTS, "ended": {"delivered": EVENTS}}), "{status}");
    assert_eq!(status["replayed"], json!({"taken": 0, "ended": {}}), "{status}");
    assert_eq!(
        (&status["state"], &status["waiting"], &status["under_way"], &status["behind"]),
        (&json!("on"), &json!(0), &json!(0), &json!(0)),
        "{status}"
    );
    let overview = read(server, &format!("{destination}/overview?step=minute")).await;
    let total = &overview["total"];
    for name in ["delivered", "mapped", "received"] {
        assert_eq!(total[name], EVENTS, "{name}: {total}");
    }
}

fn check_items(items: &[Item]) {
    let wanted: Vec<String> = (0..EVENTS).map(message_id).collect();
    let mut arrived: Vec<&str> = items.iter().map(|item| &*item.message_id).collect();
    arrived.sort_unstable();
    assert_eq!(arrived.len(), wanted.len(), "each once");
    assert_eq!(arrived, wanted, "each once");
    let deliveries: BTreeSet<&str> = items.iter().map(|item| &*item.delivery).collect();
    assert_eq!(deliveries.len(), EVENTS, "each under an id of its own");
    let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
    for Item { user, message_id, .. } in items {
        let before = newest.insert(user, message_id);
        assert!(before < Some(&**message_id), "{user}: {before:?} came before {message_id}");
    }
}
