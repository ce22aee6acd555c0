//! The load: an endless seeded stream of posts, sent by several senders, and the books of what was answered.

use crate::harness::Faces;
use crate::harness::WRITE_KEY;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tributary_sample::{Call, Config, Day};

/// People and calls of one day; the next has another seed, so other people and other message ids.
const PEOPLE: u64 = 150;
const CALLS: u64 = 3_000;
/// One post in so many holds a single call.
const SINGLE_EVERY: u64 = 8;
/// One batch in so many holds an event that can't be accepted.
const BAD_EVERY: u64 = 5;

/// How hard the load presses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How many post at a time.
    pub(super) senders: usize,
    /// Events in a batch.
    pub(super) events: usize,
    /// How many events may be handed out ahead of their deliveries: bounds how much there is to compare.
    pub(super) ahead: u64,
    /// How long a sender waits for an answer before it posts again.
    pub(super) answer_within: Duration,
}

/// What one request posts.
#[derive(Debug)]
pub(super) struct Post {
    path: String,
    body: String,
    good: Vec<String>,
    bad: Vec<String>,
}

/// What was handed out and what was answered.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Message ids of good events that were handed to a sender.
    pub(super) handed_out: BTreeSet<String>,
    /// Those of acknowledged good events.
    pub(super) acknowledged: BTreeSet<String>,
    /// Those of acknowledged events that had to be rejected.
    pub(super) rejected: BTreeSet<String>,
}

/// See the module.
pub(super) struct Load {
    pub(super) pace: Pace,
    calls: Mutex<Calls>,
    books: Mutex<Books>,
    /// Acknowledged posts.
    posts: watch::Sender<u64>,
    /// Posts that were not answered in time.
    unanswered: watch::Sender<u64>,
    /// Deliveries that the receiver has got.
    delivered: watch::Receiver<u64>,
    ended: AtomicBool,
}

struct Calls {
    seed: u64,
    days: u64,
    day: Day,
    posts: u64,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "messageId")]
    message_id: String,
}

impl Load {
    pub(super) fn new(seed: u64, pace: Pace, delivered: watch::Receiver<u64>) -> Self {
        Self {
            pace,
            calls: Mutex::new(Calls { seed, days: 0, day: day(seed, 0), posts: 0 }),
            books: Mutex::default(),
            posts: watch::Sender::new(0),
            unanswered: watch::Sender::new(0),
            delivered,
            ended: AtomicBool::new(false),
        }
    }

    /// Acknowledged posts, as a value that can be awaited.
    pub(super) fn posts(&self) -> watch::Receiver<u64> {
        self.posts.subscribe()
    }

    /// Posts that were not answered in time, as a value that can be awaited.
    pub(super) fn unanswered(&self) -> watch::Receiver<u64> {
        self.unanswered.subscribe()
    }

    /// From now on nothing new is handed out.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Looks into the books.
    pub(super) fn books<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        look(&self.books.lock().expect("no sender panicked"))
    }

    /// The next post, once there is room for it; none if the load or the server's life has ended.
    async fn next(&self, over: &mut watch::Receiver<bool>) -> Option<Post> {
        let handed_out = self.books(|books| books.handed_out.len() as u64);
        let mut delivered = self.delivered.clone();
        let room = async { drop(delivered.wait_for(|count| count + self.pace.ahead >= handed_out).await) };
        let is_over = async { drop(over.wait_for(|over| *over).await) };
        if self.ended.load(Ordering::SeqCst) {
            return None;
        }
        tokio::select! {
            () = room => {}
            () = is_over => return None,
        }
        let post = self.calls.lock().expect("no sender panicked").next_post(self.pace.events);
        let mut books = self.books.lock().expect("no sender panicked");
        books.handed_out.extend(post.good.iter().cloned());
        Some(post)
    }

    /// Counts in an event that a test has posted by itself, and that was acknowledged.
    pub(super) fn posted(&self, id: &str) {
        let mut books = self.books.lock().expect("no sender panicked");
        books.handed_out.insert(id.to_owned());
        books.acknowledged.insert(id.to_owned());
    }

    fn acknowledge(&self, post: Post) {
        let mut books = self.books.lock().expect("no sender panicked");
        books.acknowledged.extend(post.good);
        books.rejected.extend(post.bad);
        drop(books);
        self.posts.send_modify(|count| *count += 1);
    }
}

impl Calls {
    fn next_post(&mut self, events: usize) -> Post {
        self.posts += 1;
        if self.posts.is_multiple_of(SINGLE_EVERY) {
            let call = self.next_call();
            let good = vec![message_id(&call)];
            return Post {
                path: format!("/v1/{}", call.kind.name()),
                body: call.body,
                good,
                bad: Vec::new(),
            };
        }
        let calls: Vec<Call> = (0..events).map(|_| self.next_call()).collect();
        let mut bodies: Vec<String> = calls.iter().map(|call| call.body.clone()).collect();
        let mut bad = Vec::new();
        if self.posts.is_multiple_of(BAD_EVERY) {
            // Nobody's: it names no identifier.
            let id = format!("bad-{}", self.posts);
            bodies
                .insert(bodies.len() / 2, format!(r#"{{"type":"track","event":"Seen","messageId":"{id}"}}"#));
            bad.push(id);
        }
        Post {
            path: "/v1/batch".to_owned(),
            body: format!(r#"{{"batch":[{}]}}"#, bodies.join(",")),
            good: calls.iter().map(message_id).collect(),
            bad,
        }
    }

    fn next_call(&mut self) -> Call {
        loop {
            if let Some(call) = self.day.next() {
                return call;
            }
            self.days += 1;
            self.day = day(self.seed, self.days);
        }
    }
}

fn day(seed: u64, number: u64) -> Day {
    let seed = seed.wrapping_mul(1_000_003).wrapping_add(number);
    Day::new(Config { seed, people: PEOPLE, events: CALLS, ..Config::default() })
}

fn message_id(call: &Call) -> String {
    serde_json::from_str::<Named>(&call.body).expect("a call is JSON and has an id").message_id
}

enum Answer {
    Taken,
    Later,
    TooLate,
    Gone,
}

/// Posts until the server is gone or the load has ended; hands back what was not acknowledged. As an SDK does, it
/// posts that again, with the same ids: to this server, or to the next.
pub(super) async fn send(
    faces: Faces,
    load: Arc<Load>,
    mut over: watch::Receiver<bool>,
    mut left: Option<Post>,
) -> Option<Post> {
    loop {
        let post = match left.take() {
            Some(post) => post,
            None => load.next(&mut over).await?,
        };
        match answer(&faces, &post, load.pace.answer_within).await {
            Answer::Taken => load.acknowledge(post),
            Answer::Gone => return Some(post),
            Answer::Later => left = Some(post),
            Answer::TooLate => {
                load.unanswered.send_modify(|count| *count += 1);
                left = Some(post);
            }
        }
    }
}

async fn answer(faces: &Faces, post: &Post, within: Duration) -> Answer {
    let request = faces.client.post(format!("http://{}{}", faces.http, post.path));
    let request = request.basic_auth(WRITE_KEY, Some("")).body(post.body.clone()).timeout(within);
    match request.send().await {
        Ok(answer) if answer.status() == 200 => {
            // Read to its end, so that the connection is used again. The answer counts without it.
            let _ = answer.bytes().await;
            Answer::Taken
        }
        Ok(answer) if answer.status().is_server_error() => Answer::Later,
        Ok(answer) => panic!("the collector refused a post: {}", answer.status()),
        Err(error) if error.is_timeout() => Answer::TooLate,
        Err(_) => Answer::Gone,
    }
}

#[test]
fn the_same_seed_gives_the_same_posts_and_ids_do_not_run_out() {
    let posts = |seed| {
        let mut calls = Calls { seed, days: 0, day: day(seed, 0), posts: 0 };
        (0..600).map(|_| calls.next_post(20)).collect::<Vec<_>>()
    };
    let (first, again) = (posts(7), posts(7));
    assert!(first.iter().zip(&again).all(|(left, right)| left.body == right.body && left.path == right.path));
    let ids: BTreeSet<_> = first.iter().flat_map(|post| &post.good).collect();
    let calls: usize = first.iter().map(|post| post.good.len()).sum();
    assert!(calls as u64 > 3 * CALLS, "several days");
    // A day repeats about one call in fifty, as SDKs do.
    assert!(ids.len() * 100 > calls * 95, "{} of {calls}", ids.len());
    assert!(first.iter().any(|post| !post.bad.is_empty()));
}
