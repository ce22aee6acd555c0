//! The load: an endless seeded stream of posts and orders, sent by several senders, and the books of what was answered.

use super::orders::{Kind, Order, Orders};
use crate::harness::{Faces, WRITE_KEY};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
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
    /// One turn in so many is an order instead of a post; `None` for none.
    pub(super) orders_every: Option<u64>,
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

/// What a sender does next.
#[derive(Debug)]
enum Turn {
    Post(Post),
    Order(Order),
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
    /// Orders that were answered: how many were taken, how many refused.
    pub(super) orders: BTreeMap<Kind, Ordered>,
}

/// What became of the orders of a kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ordered {
    pub(super) taken: u64,
    pub(super) refused: u64,
}

/// See the module.
pub(super) struct Load {
    pub(super) pace: Pace,
    calls: Mutex<Calls>,
    books: Mutex<Books>,
    /// Acknowledged posts, and answered orders.
    posts: watch::Sender<u64>,
    /// Posts and orders that were not answered in time.
    unanswered: watch::Sender<u64>,
    /// Within which time answers have to come for now, if it is less than the pace's.
    impatience: watch::Sender<Option<Duration>>,
    /// Deliveries of events that the receiver has got.
    delivered: watch::Receiver<u64>,
    ended: AtomicBool,
}

struct Calls {
    seed: u64,
    days: u64,
    day: Day,
    turns: u64,
    posts: u64,
    orders: Orders,
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
            calls: Mutex::new(Calls::new(seed)),
            books: Mutex::default(),
            posts: watch::Sender::new(0),
            unanswered: watch::Sender::new(0),
            impatience: watch::Sender::new(None),
            delivered,
            ended: AtomicBool::new(false),
        }
    }

    /// Acknowledged posts and answered orders, as a value that can be awaited.
    pub(super) fn posts(&self) -> watch::Receiver<u64> {
        self.posts.subscribe()
    }

    /// Posts and orders that were not answered in time, as a value that can be awaited.
    pub(super) fn unanswered(&self) -> watch::Receiver<u64> {
        self.unanswered.subscribe()
    }

    /// Who posts gives up after this time from now on, also on what is under way; `None` for the pace's.
    pub(super) fn be_impatient(&self, within: Option<Duration>) {
        self.impatience.send_replace(within);
    }

    /// Ends when somebody gives up: who has been impatient for that time, and is still.
    async fn too_late(&self) {
        let mut impatience = self.impatience.subscribe();
        loop {
            let within = impatience.wait_for(Option::is_some).await.ok().and_then(|within| *within);
            let within = within.unwrap_or(self.pace.answer_within);
            if tokio::time::timeout(within, impatience.wait_for(Option::is_none)).await.is_err() {
                return;
            }
        }
    }

    /// From now on nothing new is handed out.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Looks into the books.
    pub(super) fn books<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        look(&self.books.lock().expect("no sender panicked"))
    }

    /// The next turn, once there is room for it; none if the load or the server's life has ended.
    async fn next(&self, over: &mut watch::Receiver<bool>) -> Option<Turn> {
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
        let turn = self.calls.lock().expect("no sender panicked").next(&self.pace);
        if let Turn::Post(post) = &turn {
            let mut books = self.books.lock().expect("no sender panicked");
            books.handed_out.extend(post.good.iter().cloned());
        }
        Some(turn)
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

    fn ordered(&self, kind: Kind, answer: &Answer) {
        let mut books = self.books.lock().expect("no sender panicked");
        let ordered = books.orders.entry(kind).or_default();
        match answer {
            Answer::Taken => ordered.taken += 1,
            Answer::Refused(_) => ordered.refused += 1,
            Answer::TooLate => self.unanswered.send_modify(|count| *count += 1),
            // Nobody knows what became of it, but the log.
            Answer::Later | Answer::Gone => return,
        }
        drop(books);
        self.posts.send_modify(|count| *count += 1);
    }
}

impl Books {
    /// How many orders were taken that are commands of the log.
    pub(super) fn commands(&self) -> u64 {
        self.orders.iter().filter(|(kind, _)| kind.is_command()).map(|(_, ordered)| ordered.taken).sum()
    }
}

impl Calls {
    fn new(seed: u64) -> Self {
        Self { seed, days: 0, day: day(seed, 0), turns: 0, posts: 0, orders: Orders::new(seed) }
    }

    fn next(&mut self, pace: &Pace) -> Turn {
        self.turns += 1;
        if pace.orders_every.is_some_and(|every| self.turns.is_multiple_of(every))
            && let Some(order) = self.orders.next()
        {
            return Turn::Order(order);
        }
        Turn::Post(self.next_post(pace.events))
    }

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
                self.orders.notice(&call.body);
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

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was answered as a success.
    Taken,
    /// It was refused for good, with this status.
    Refused(u16),
    /// It may be sent again later.
    Later,
    /// There was no answer in time.
    TooLate,
    /// Nobody was there any more.
    Gone,
}

/// Posts and orders until the server is gone or the load has ended; hands back the post that was not acknowledged. As an
/// SDK does, it posts that again, with the same ids: to this server, or to the next. Orders are given once.
pub(super) async fn send(
    faces: Faces,
    load: Arc<Load>,
    mut over: watch::Receiver<bool>,
    mut left: Option<Post>,
) -> Option<Post> {
    loop {
        let post = match left.take() {
            Some(post) => post,
            None => match load.next(&mut over).await? {
                Turn::Post(post) => post,
                Turn::Order(order) => {
                    let answer = tokio::select! {
                        answer = order.answer(&faces, load.pace.answer_within) => answer,
                        () = load.too_late() => Answer::TooLate,
                    };
                    load.ordered(order.kind, &answer);
                    continue;
                }
            },
        };
        let answer = tokio::select! {
            answer = answer(&faces, &post, load.pace.answer_within) => answer,
            () = load.too_late() => Answer::TooLate,
        };
        match answer {
            Answer::Taken => load.acknowledge(post),
            Answer::Refused(status) => panic!("the collector refused a post: {status}"),
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
        Ok(answer) => Answer::Refused(answer.status().as_u16()),
        Err(error) if error.is_timeout() => Answer::TooLate,
        Err(_) => Answer::Gone,
    }
}

#[test]
fn the_same_seed_gives_the_same_turns_and_ids_do_not_run_out() {
    let turns = |seed| {
        let pace =
            Pace { senders: 1, events: 20, ahead: 0, orders_every: Some(7), answer_within: Duration::ZERO };
        let mut calls = Calls::new(seed);
        (0..700).map(|_| calls.next(&pace)).collect::<Vec<_>>()
    };
    let (first, again) = (turns(7), turns(7));
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
    let posts: Vec<&Post> = first
        .iter()
        .filter_map(|turn| match turn {
            Turn::Post(post) => Some(post),
            Turn::Order(_) => None,
        })
        .collect();
    assert_eq!(posts.len(), 600);
    let ids: BTreeSet<_> = posts.iter().flat_map(|post| &post.good).collect();
    let calls: usize = posts.iter().map(|post| post.good.len()).sum();
    assert!(calls as u64 > 3 * CALLS, "several days");
    // A day repeats about one call in fifty, as SDKs do.
    assert!(ids.len() * 100 > calls * 95, "{} of {calls}", ids.len());
    assert!(posts.iter().any(|post| !post.bad.is_empty()));
}
