//! What people change while events come in: they unmerge, hand identifiers over, put other identity rules into force and
//! have the graph rebuilt, so that kills meet these too.
//!
//! An order is given once, whatever becomes of it: what it did, or did not, is read from the log in the end.

use super::load::Answer;
use crate::harness::{Faces, TOKEN};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;

/// Of so many people orders are about those seen last.
const PEOPLE_MAX: usize = 64;

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Unmerge,
    Link,
    Remove,
    Move,
    Rebuild,
    Rules,
}

impl Kind {
    /// How often each is ordered, in parts of all of them.
    const PARTS: [(Self, u32); 6] = [
        (Self::Unmerge, 5),
        (Self::Link, 2),
        (Self::Remove, 1),
        (Self::Move, 1),
        (Self::Rebuild, 1),
        (Self::Rules, 2),
    ];

    /// Whether it is a command of the events log once it is taken.
    pub(super) fn is_command(self) -> bool {
        match self {
            Self::Unmerge | Self::Link | Self::Remove | Self::Move | Self::Rebuild => true,
            Self::Rules => false,
        }
    }

    /// Whether the state of the profiles may speak against it.
    fn may_be_refused(self) -> bool {
        match self {
            // A rebuild is, while the one before it is not in force.
            Self::Unmerge | Self::Link | Self::Remove | Self::Move | Self::Rebuild => true,
            Self::Rules => false,
        }
    }
}

/// What one request orders.
#[derive(Debug, PartialEq)]
pub(super) struct Order {
    pub(super) kind: Kind,
    /// The segments of the path.
    path: Vec<String>,
    body: Value,
}

/// See the module. Everything follows from the seed and from the calls it is shown.
pub(super) struct Orders {
    random: ChaCha8Rng,
    /// Two identifiers of each person, as `namespace:value`.
    people: VecDeque<[String; 2]>,
}

impl Orders {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), people: VecDeque::new() }
    }

    /// Takes notice of a call: whoever it names may be the next to be changed.
    pub(super) fn notice(&mut self, call: &str) {
        let call: Value = serde_json::from_str(call).expect("a call is JSON");
        let places = [
            ("user_id", "/userId"),
            ("email", "/traits/email"),
            ("email", "/context/traits/email"),
            ("anonymous_id", "/anonymousId"),
        ];
        let mut found = places
            .into_iter()
            .filter_map(|(namespace, place)| Some(format!("{namespace}:{}", call.pointer(place)?.as_str()?)));
        let Some(first) = found.next() else { return };
        let Some(last) = found.next_back() else { return };
        self.people.push_back([first, last]);
        if self.people.len() > PEOPLE_MAX {
            self.people.pop_front();
        }
    }

    /// The next order; none before anybody is known.
    pub(super) fn next(&mut self) -> Option<Order> {
        let [one, its] = self.person()?;
        let [other, theirs] = self.person()?;
        let kind = self.kind();
        let (action, body) = match kind {
            Kind::Unmerge => {
                let mut body = match self.random.random_range(0..3) {
                    0 => json!({"identifier": its}),
                    1 => json!({"edge": [one, its]}),
                    _ => json!({"sides": [[one], [its]]}),
                };
                body["retake"] = self.random.random_bool(0.5).into();
                ("unmerge", body)
            }
            Kind::Link => ("identifiers/link", json!({"identifier": theirs})),
            Kind::Remove => ("identifiers/remove", json!({"identifier": its})),
            Kind::Move => ("identifiers/move", json!({"identifier": its, "to": other})),
            Kind::Rebuild => return Some(Order::rebuild()),
            Kind::Rules => return Some(Order::of_rules(kind, "", self.rules())),
        };
        Some(Order::of_profile(kind, &one, action, body))
    }

    fn person(&mut self) -> Option<[String; 2]> {
        let at = self.random.random_range(0..self.people.len().max(1));
        self.people.get(at).cloned()
    }

    fn kind(&mut self) -> Kind {
        let all: u32 = Kind::PARTS.iter().map(|(_, parts)| parts).sum();
        let mut part = self.random.random_range(0..all);
        for (kind, parts) in Kind::PARTS {
            match part.checked_sub(parts) {
                Some(rest) => part = rest,
                None => return kind,
            }
        }
        unreachable!("a part is one of all parts")
    }

    /// Rules under which every event still has an identifier, tight enough to decide something now and then.
    fn rules(&mut self) -> Value {
        let window = ["ever", "day", "month"][self.random.random_range(0..3)];
        let device = ["first_owner", "last_sign_in"][self.random.random_range(0..2)];
        let mut limit = |most: u32| self.random.random_range(1..=most);
        json!({
            "namespaces": [
                {"name": "user_id", "limit": {"count": limit(2), "window": "ever"}},
                {"name": "email", "limit": {"count": limit(5), "window": window}},
                {"name": "anonymous_id", "limit": {"count": limit(6), "window": "ever"}, "shared_device": device},
            ],
            "identifiers_max": 4 + limit(40),
            "merges_max": 2 + limit(20),
        })
    }
}

impl Order {
    /// That the graph be rebuilt.
    pub(super) fn rebuild() -> Self {
        Self::of_rules(Kind::Rebuild, "/rebuild", json!({}))
    }

    fn of_profile(kind: Kind, who: &str, action: &str, mut body: Value) -> Self {
        let path = ["v1", "spaces", "default", "collections", "users", "profiles", who];
        body["reason"] = "a crash test".into();
        Self { kind, path: path.into_iter().chain(action.split('/')).map(str::to_owned).collect(), body }
    }

    fn of_rules(kind: Kind, end: &str, body: Value) -> Self {
        let path = format!("admin/v1/identity-rules{end}");
        Self { kind, path: path.split('/').map(str::to_owned).collect(), body }
    }

    /// Gives it to a server.
    pub(super) async fn answer(&self, faces: &Faces, within: Duration) -> Answer {
        let mut url = Url::parse(&format!("http://{}/", faces.api)).expect("an address makes a URL");
        url.path_segments_mut().expect("http has paths").extend(&self.path);
        let method = if self.kind == Kind::Rules { Method::PUT } else { Method::POST };
        let request = faces.client.request(method, url).bearer_auth(TOKEN).timeout(within);
        let request = request.header("content-type", "application/json").body(self.body.to_string());
        let (status, text) = match request.send().await {
            Ok(answer) => (answer.status(), answer.text().await.unwrap_or_default()),
            Err(error) if error.is_timeout() => return Answer::TooLate,
            Err(_) => return Answer::Gone,
        };
        match status.as_u16() {
            200 | 202 => Answer::Taken,
            refused @ (400 | 404 | 409) if self.kind.may_be_refused() => Answer::Refused(refused),
            _ if status.is_server_error() => Answer::Later,
            other => panic!("{:?} was answered with {other}: {text}", self.kind),
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_orders_and_all_kinds_come() {
    let orders = |seed| {
        let mut orders = Orders::new(seed);
        assert!(orders.next().is_none(), "nobody is known yet");
        for number in 0..100 {
            let email = format!("{number}@example.com");
            orders.notice(
                &json!({"userId": format!("u/{number}"), "anonymousId": "a", "traits": {"email": email}})
                    .to_string(),
            );
        }
        orders.notice(r#"{"userId":"alone"}"#);
        assert_eq!(orders.people.len(), PEOPLE_MAX);
        assert_eq!(orders.people[63], ["user_id:u/99", "anonymous_id:a"]);
        std::iter::repeat_with(move || orders.next().expect("people are known")).take(300).collect::<Vec<_>>()
    };
    let first = orders(7);
    assert_eq!(first, orders(7));
    for (kind, _) in Kind::PARTS {
        assert!(first.iter().any(|order| order.kind == kind), "{kind:?}");
    }
}
