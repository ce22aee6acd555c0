//! Three people whose windows run out while the demo runs.
//!
//! Nobody waits for thirty days: their events tell of a time in the past from which a window ends in some seconds. What
//! time alone brings about must then happen with no event, and each of them must enter and leave one audience, in that
//! order and no other.

use super::audiences::{CART_ABANDONED, LAPSED, REPEAT_BUYERS};
use super::observe::ASK_EVERY;
use super::receiver::{AudienceChange, Receiver, Way};
use super::report::mark;
use super::sender::Sender;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tributary_model::Timestamp;
use tributary_model::clock::{Clock, SystemClock};

/// From the posting of the first events, windows run out after so long.
const RUN_OUT: Duration = Duration::from_secs(6);
/// What is to happen must have happened so long after it is due.
const PATIENCE: Duration = Duration::from_secs(15);
const HOUR_MICROS: i64 = 60 * 60 * 1_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// Something that must happen.
struct Turn {
    user_id: &'static str,
    key: &'static str,
    way: Way,
    why: &'static str,
}

const fn turn(user_id: &'static str, key: &'static str, way: Way, why: &'static str) -> Turn {
    Turn { user_id, key, way, why }
}

/// What must happen; to each person in this order.
static TURNS: [Turn; 6] = [
    turn("demo-ada", REPEAT_BUYERS, Way::Entered, "her second order within 30 days"),
    turn("demo-ada", REPEAT_BUYERS, Way::Left, "no event: her first order is 30 days old"),
    turn("demo-ben", CART_ABANDONED, Way::Entered, "no event: an hour since he filled his cart"),
    turn("demo-ben", CART_ABANDONED, Way::Left, "he ordered"),
    turn("demo-lena", LAPSED, Way::Entered, "no event: 30 days since her last order"),
    turn("demo-lena", LAPSED, Way::Left, "she ordered"),
];
/// So many of them happen before the last events are posted.
const BEFORE: usize = 4;

/// What happened.
pub(super) struct Scene(Vec<AudienceChange>);

/// Plays the scene and tells what happens as it arrives.
///
/// # Errors
/// If events are refused.
pub(super) async fn play(sender: &Sender, receiver: &Receiver) -> anyhow::Result<Scene> {
    println!("\nThree people, while windows run out");
    let began = Instant::now();
    let mut told = 0;
    sender.post_events(&opening(SystemClock.now())).await?;
    tell(receiver, began, &mut told, BEFORE, RUN_OUT + PATIENCE).await;
    sender
        .post_events(&[order("demo-ben-2", "demo-ben", None), order("demo-lena-2", "demo-lena", None)])
        .await?;
    tell(receiver, began, &mut told, TURNS.len(), PATIENCE).await;
    let scene = Scene(of_scene(receiver));
    println!("  as it should be  {}", mark(scene.is_as_expected()));
    Ok(scene)
}

/// Ada's first order is thirty days old in a moment, and so is Lena's only one; Ben filled his cart almost an hour ago.
fn opening(now: Timestamp) -> [Value; 4] {
    let run_out = i64::try_from(RUN_OUT.as_micros()).expect("some seconds");
    let days = |days: i64| Some(now.plus_micros(run_out - days * DAY_MICROS));
    let filled = now.plus_micros(run_out - HOUR_MICROS);
    [
        order("demo-ada-1", "demo-ada", days(30)),
        order("demo-ada-2", "demo-ada", None),
        json!({"type": "track", "messageId": "demo-ben-1", "userId": "demo-ben", "event": "Product Added",
            "timestamp": filled.to_string(), "properties": {"product_id": "CF-101", "quantity": 1}}),
        order("demo-lena-1", "demo-lena", days(30)),
    ]
}

/// An order; of now, where no time is given.
fn order(id: &str, user_id: &str, at: Option<Timestamp>) -> Value {
    let mut order = json!({"type": "track", "messageId": id, "userId": user_id, "event": "Order Completed",
        "properties": {"order_id": id, "total": 12.9, "currency": "EUR"}});
    if let Some(at) = at {
        order["timestamp"] = at.to_string().into();
    }
    order
}

/// Tells what has not been told yet, until so much has happened, or for so long.
async fn tell(receiver: &Receiver, began: Instant, told: &mut usize, until: usize, within: Duration) {
    let waiting = Instant::now();
    let mut tick = tokio::time::interval(ASK_EVERY);
    while *told < until && waiting.elapsed() < within {
        tick.tick().await;
        for change in of_scene(receiver).iter().skip(*told) {
            println!("  {}", line(change, began));
            *told += 1;
        }
    }
}

fn of_scene(receiver: &Receiver) -> Vec<AudienceChange> {
    let is_of_scene =
        |change: &AudienceChange| TURNS.iter().any(|turn| change.user_id.as_deref() == Some(turn.user_id));
    receiver.changes().into_iter().filter(is_of_scene).collect()
}

fn line(change: &AudienceChange, began: Instant) -> String {
    let user_id = change.user_id.as_deref().unwrap_or_default();
    let turn = TURNS.iter().find(|turn| is_turn(turn, change));
    let why = turn.map_or("this should not have happened", |turn| turn.why);
    let way = match change.way {
        Way::Entered => "enters",
        Way::Left => "leaves",
    };
    let seconds = change.at.duration_since(began).as_secs_f64();
    format!("{seconds:5.1} s  {user_id:10} {way}  {:15} {why}", change.key)
}

fn is_turn(turn: &Turn, change: &AudienceChange) -> bool {
    change.user_id.as_deref() == Some(turn.user_id) && change.key == turn.key && change.way == turn.way
}

impl Scene {
    /// Whether to each person happened what must happen, in that order, and nothing else.
    pub(super) fn is_as_expected(&self) -> bool {
        TURNS.iter().all(|one| {
            let turns = TURNS.iter().filter(|turn| turn.user_id == one.user_id);
            let changes = self.0.iter().filter(|change| change.user_id.as_deref() == Some(one.user_id));
            turns.clone().count() == changes.clone().count()
                && turns.zip(changes).all(|(turn, change)| is_turn(turn, change))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_expected() -> Vec<AudienceChange> {
        let change = |turn: &Turn| AudienceChange {
            key: turn.key.to_owned(),
            way: turn.way,
            user_id: Some(turn.user_id.to_owned()),
            at: Instant::now(),
        };
        TURNS.iter().map(change).collect()
    }

    #[test]
    fn each_person_enters_and_leaves_once_and_in_order() {
        type Change = fn(&mut Vec<AudienceChange>);
        let good: [(&str, Change); 2] = [
            ("as it is written", |_| {}),
            ("of different people in another order", |changes| changes.rotate_left(2)),
        ];
        for (name, change) in good {
            let mut changes = as_expected();
            change(&mut changes);
            assert!(Scene(changes).is_as_expected(), "{name}");
        }
        let bad: [(&str, Change); 5] = [
            ("nothing", Vec::clear),
            ("one is missing", |changes| drop(changes.pop())),
            ("one twice", |changes| changes.push(changes[0].clone())),
            ("leaves before entering", |changes| changes.swap(0, 1)),
            ("another audience", |changes| changes[2].key = LAPSED.to_owned()),
        ];
        for (name, change) in bad {
            let mut changes = as_expected();
            change(&mut changes);
            assert!(!Scene(changes).is_as_expected(), "{name}");
        }
    }

    #[test]
    fn windows_run_out_some_seconds_after_the_events() {
        let now = Timestamp::parse("2026-11-20T10:00:00Z").expect("a time");
        let times = opening(now).map(|event| event["timestamp"].as_str().map(str::to_owned));
        let want = [
            Some("2026-10-21T10:00:06.000Z"),
            None,
            Some("2026-11-20T09:00:06.000Z"),
            Some("2026-10-21T10:00:06.000Z"),
        ];
        assert_eq!(times, want.map(|at| at.map(str::to_owned)));
    }
}
