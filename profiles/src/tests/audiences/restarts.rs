//! Random logs with definitions and ticks: restarts change nothing, and what was kept up to date is what a fresh
//! evaluation finds.

use super::super::*;
use super::driver::Driver;
use super::{DAY, identifier, quiet, recent, repeat};
use crate::definitions::Stage;
use crate::testing::audience;
use serde_json::{Value as Json, json};
use tributary_model::AudienceId;
use tributary_model::command::{Action, UnmergeTarget, Who};
use tributary_model::workspace::Audience;

/// What happens in a log of random records.
#[derive(Debug, Clone)]
enum Happens {
    Event { kind: EventKind, user: Option<u8>, device: u8, age: i64, plan: Option<u8> },
    Define(u8),
    Part(u8),
    Passes(i64),
    Steps(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    let kind =
        prop_oneof![3 => Just(EventKind::Track), 2 => Just(EventKind::Identify), 1 => Just(EventKind::Group)];
    let event = (kind, proptest::option::of(0..3u8), 0..4u8, 0..3 * DAY, proptest::option::of(0..3u8));
    prop_oneof![
        8 => event.prop_map(|(kind, user, device, age, plan)| Happens::Event { kind, user, device, age, plan }),
        1 => (0..32u8).prop_map(Happens::Define),
        1 => (0..4u8).prop_map(Happens::Part),
        2 => (0..10 * DAY).prop_map(Happens::Passes),
        2 => (1..4u8).prop_map(Happens::Steps),
    ]
}

impl Driver {
    fn happen(&mut self, happens: &Happens) {
        match happens {
            Happens::Event { kind, user, device, age, plan } => {
                let mut body = json!({"anonymousId": format!("d{device}"), "event": "Order Completed"});
                if let Some(user) = user {
                    body["userId"] = format!("u{user}").into();
                }
                if *kind == EventKind::Group {
                    body["groupId"] = "acme".into();
                }
                let plans = [json!("pro"), json!("free"), Json::Null];
                body["traits"] = json!({"plan": plan.map(|plan| plans[usize::from(plan)].clone())});
                self.send_late(*kind, body, *age);
            }
            Happens::Define(which) => {
                let all = [
                    repeat(),
                    recent(),
                    quiet(),
                    audience(4, "pro", "traits.plan = \"pro\" or audience(\"recent\")"),
                    audience(5, "buyers", "account(any member(event(\"Order Completed\") within 5d))"),
                ];
                let chosen = all.into_iter().enumerate().filter(|(at, _)| which & (1 << at) != 0);
                self.define(chosen.map(|(_, audience)| audience).collect());
            }
            Happens::Part(device) => self.command(Action::Unmerge {
                who: Who::Identifier(identifier(Namespace::ANONYMOUS_ID, &format!("d{device}"))),
                target: UnmergeTarget::Identifier(identifier(Namespace::ANONYMOUS_ID, &format!("d{device}"))),
                retake: false,
            }),
            Happens::Passes(micros) => self.now = self.now.plus_micros(*micros),
            Happens::Steps(count) => {
                for _ in 0..*count {
                    self.step();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// One log with definitions and ticks gives one state and one list of activations, however a run was cut by stops
    /// and by crashes; and once all is settled, the members of each audience are those that a fresh evaluation finds.
    #[test]
    fn restarts_around_ticks_change_nothing(
        all in proptest::collection::vec(happens(), 1..60),
        cuts in proptest::collection::vec((0..80u64, any::<bool>()), 0..6),
    ) {
        let mut whole = Driver::new();
        for happens in &all {
            whole.happen(happens);
        }
        whole.settle();
        whole.write();
        let end = whole.log.bounds().end;

        let mut cut = Driver::over(Arc::clone(&whole.log));
        let mut told = Vec::new();
        for (to, is_stop) in cuts {
            cut.read(to.min(end));
            if is_stop {
                told.extend(cut.machine().publish());
                cut.write();
            } else {
                drop(cut.machine().publish());
            }
            cut.reopen();
        }
        cut.read(end);
        told.extend(cut.machine().publish());
        cut.write();
        prop_assert_eq!(dump(&cut.open().state), dump(&whole.open().state));
        prop_assert_eq!(&told, &whole.told);

        let before = whole.definitions();
        let audiences = before.defined.audiences.clone();
        let entered: Vec<BTreeSet<String>> = (1..=5).map(|id| whole.members(id)).collect();
        // Other ids under other keys: each is filled and evaluated from nothing.
        let renamed = |audience: &Audience| Audience {
            id: AudienceId(audience.id.0 + 10),
            key: format!("{}_again", audience.key),
            ..audience.clone()
        };
        let again: Vec<Audience> = audiences.iter().chain(&audiences.iter().map(renamed).collect::<Vec<_>>()).cloned().collect();
        whole.define(again);
        whole.settle();
        for id in 1..=5 {
            prop_assert_eq!(&whole.members(id), &entered[id as usize - 1]);
            let is_broken = before.audiences.iter().any(|known| known.id.0 == id && known.stage == Stage::Broken);
            if !is_broken {
                prop_assert_eq!(&whole.members(id + 10), &entered[id as usize - 1], "{}", id);
            }
        }
    }
}
