//! A server that is killed again and again while it delivers: every event arrives, and what arrives once more is what had
//! arrived shortly before a kill, under the same id.
//!
//! How far each life gets before it is killed, and how long each answer takes, follows from a seed.

use crate::harness::{Faces, Server, WRITE_KEY, data_dir};
use crate::item_receiver::{Item, ItemReceiver};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

const SEED: u64 = 20_260_306;
const KILLS: usize = 20;
const EVENTS: usize = 4_000;
/// Events in a post.
const POST: usize = 100;
/// Events may be posted so far ahead of their deliveries: in each life there is something to post, and to deliver.
const AHEAD: usize = 600;
/// Deliveries in a request.
const REQUEST: usize = 50;
/// How far the server may be ahead of what is durable about its deliveries.
const WINDOW: usize = 200;
const PEOPLE: usize = 90;

/// A kill.
#[derive(Debug, Clone, Copy)]
struct Kill {
    /// Different deliveries that had arrived by then.
    arrived: usize,
    /// Those of them whose results were durable.
    durable: usize,
}

fn message_id(number: usize) -> String {
    format!("m{number:05}")
}

/// The body of a post.
fn body(post: usize) -> String {
    let event = |number: usize| {
        json!({"type": "track", "event": "Seen", "messageId": message_id(number),
            "userId": format!("u{}", number % PEOPLE), "properties": {"n": number}})
    };
    let batch: Vec<Value> = (post * POST..(post + 1) * POST).map(event).collect();
    json!({ "batch": batch }).to_string()
}

/// Posts one batch after the other, so many events in all, each until it is acknowledged: as an SDK does, with the same ids.
async fn post(faces: Faces, posted: Arc<AtomicUsize>, events: usize, mut arrived: watch::Receiver<usize>) {
    loop {
        let next = posted.load(Ordering::SeqCst);
        if next * POST == events {
            return;
        }
        drop(arrived.wait_for(|arrived| next * POST <= arrived + AHEAD).await);
        let request = faces.client.post(format!("http://{}/v1/batch", faces.http));
        match request.basic_auth(WRITE_KEY, Some("")).body(body(next)).send().await {
            Ok(answer) if answer.status() == 200 => posted.store(next + 1, Ordering::SeqCst),
            Ok(answer) => assert!(answer.status().is_server_error(), "{}", answer.status()),
            // The server is gone. Whoever killed it ends this task, too.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn status(server: &Server, destination: &str) -> Value {
    let (code, status) = server.get(&format!("{destination}/status")).await;
    assert_eq!(code, 200, "{status}");
    status
}

/// How many deliveries are durably delivered.
fn delivered(status: &Value) -> usize {
    status["totals"]["ended"]["delivered"].as_u64().map_or(0, |count| count as usize)
}

async fn created(server: &Server, receiver: &ItemReceiver) -> String {
    let settings = json!({"url": receiver.url(), "send": ["events"], "events_per_request": REQUEST});
    let body = json!({"definition": "webhook", "name": "receiver", "settings": settings});
    let (status, made) = server.call(Method::POST, "/admin/v1/destinations", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    format!("/admin/v1/destinations/{}", made["id"].as_str().expect("an id"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_it_loses_nothing_and_repeats_only_what_was_not_durable() {
    let (_directory, path) = data_dir();
    let config = path.with_extension("toml");
    let window = format!("[destinations]\nwindow_activations_max = {WINDOW}\n");
    std::fs::write(&config, window).expect("it can be written");
    let arguments = ["--config", config.to_str().expect("text")];
    let receiver = ItemReceiver::start(SEED, 0..=30_000);
    let server = Server::start(&path, &arguments);
    server.ready().await;
    let destination = created(&server, &receiver).await;
    assert!(server.stop().success());

    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let posted = Arc::new(AtomicUsize::new(0));
    let mut kills: Vec<Kill> = Vec::new();
    receiver.next_life().await;
    for life in 1.. {
        // While nothing is answered no delivery ends, so what is told now is what the last kill left.
        receiver.hold();
        let server = Server::start(&path, &arguments);
        // Something is left to post for each life to come, however far this one gets before it is killed.
        let events = EVENTS - (KILLS - kills.len()) * POST;
        let poster = tokio::spawn(post((*server).clone(), Arc::clone(&posted), events, receiver.count()));
        receiver.hears_of(life).await;
        let durable = delivered(&status(&server, &destination).await);
        if let Some(kill) = kills.last_mut() {
            kill.durable = durable;
        }
        receiver.release();
        if kills.len() == KILLS {
            poster.await.expect("it does not panic");
            finish(server, &destination, &receiver).await;
            break;
        }
        let left = EVENTS - receiver.seen();
        let share = left / (KILLS - kills.len() + 1);
        assert!(share > 0, "it is killed while it delivers: {kills:?}");
        receiver.until(receiver.seen() + random.random_range(1..=share)).await;
        server.signal(Signal::KILL);
        let ended = server.ended().await;
        assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "{ended}");
        poster.abort();
        if let Err(why) = poster.await {
            assert!(why.is_cancelled(), "{why}");
        }
        kills.push(Kill { arrived: receiver.next_life().await, durable: 0 });
    }
    check(&receiver.items(), &kills);
}

/// The last life: everything is delivered, and the books say so.
async fn finish(server: Server, destination: &str, receiver: &ItemReceiver) {
    receiver.until(EVENTS).await;
    let is_done = async || delivered(&status(&server, destination).await) == EVENTS;
    server.until("every delivery is on record", is_done).await;
    let told = status(&server, destination).await;
    assert_eq!((&told["totals"]["taken"], &told["waiting"]), (&json!(EVENTS), &json!(0)), "{told}");
    assert_eq!(told["totals"]["ended"], json!({"delivered": EVENTS}), "{told}");
    assert!(server.stop().success());
}

fn check(items: &[Item], kills: &[Kill]) {
    let mut of_message: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut of_delivery: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    // By user, the newest of those that arrived for the first time.
    let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
    let mut lives: BTreeSet<(u32, &str)> = BTreeSet::new();
    let mut repeats = vec![0; kills.len() + 2];
    for Item { life, delivery, message_id, user } in items {
        if of_delivery.contains_key(&**delivery) {
            repeats[*life as usize] += 1;
        } else {
            let before = newest.insert(user, message_id);
            assert!(before < Some(&**message_id), "{user}: {before:?} came before {message_id}");
        }
        assert!(lives.insert((*life, &**delivery)), "{delivery} came twice in life {life}");
        of_message.entry(message_id).or_default().insert(delivery);
        of_delivery.entry(delivery).or_default().insert(message_id);
    }
    let wanted: BTreeSet<String> = (0..EVENTS).map(message_id).collect();
    let arrived: BTreeSet<String> = of_message.keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(arrived.len(), wanted.len());
    assert_eq!(arrived, wanted, "every event arrives");
    for (of, them) in of_message.iter().chain(&of_delivery) {
        assert_eq!(them.len(), 1, "an event has one delivery and a delivery one event: {of} has {them:?}");
    }

    assert_eq!(repeats[..2], [0, 0], "nothing had come before the first kill");
    for (life, kill) in (2..).zip(kills) {
        let open = kill.arrived - kill.durable;
        assert!(open <= WINDOW, "{kill:?}: more than the window was open");
        assert!(repeats[life] <= open, "{kill:?}: {} came again that were durable", repeats[life] - open);
    }
    let all: usize = repeats.iter().sum();
    assert!(all > 0, "deliveries were under way when it was killed");
    assert_eq!(items.len(), EVENTS + all);
}
