//! One party at a time: a person, or several who share something, going through the day.
//!
//! A party only ever appends: what it does later is posted later. So within a party the order of posting is
//! the order of the scenario, and its count of profiles can be reasoned step by step.

use crate::body::{Claim, Content, product_at, render};
use crate::call::{Call, Channel, Sending};
use crate::person::{Device, Person};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

/// The milliseconds of a day. Nothing is posted after its end.
pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A call, and when it is posted (in milliseconds of the day).
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) post_at_ms: i64,
    pub(crate) call: Call,
}

/// Who a person says they are during a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Only by the device.
    Anonymous,
    /// By user id, and by the device where it has an id.
    SignedIn,
}

/// A stretch of time in which somebody uses a device under one standing. It begins with a call of that
/// standing, so further calls of the same standing within it bring no identifier that is not linked (or
/// refused) already: they never change how many profiles there are, wherever they are put.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    person: Person,
    device: Device,
    standing: Standing,
    from_ms: i64,
    to_ms: i64,
}

/// A party under way.
pub(crate) struct Party<'a> {
    random: &'a mut ChaCha8Rng,
    day_start: jiff::Timestamp,
    now_ms: i64,
    visit: Option<Visit>,
    visits: Vec<Visit>,
    drafts: Vec<Draft>,
    identifiers: Vec<(&'static str, String)>,
}

/// What a party leaves: the calls that its scenario needs, and visits in which more can happen.
pub(crate) struct Traces {
    pub(crate) drafts: Vec<Draft>,
    pub(crate) visits: Vec<Visit>,
    /// The identifiers that end up on one profile, where the scenario says so.
    pub(crate) identifiers: Vec<(&'static str, String)>,
}

impl<'a> Party<'a> {
    /// A party that arrives at a time of the day.
    pub(crate) fn arriving(random: &'a mut ChaCha8Rng, day_start: jiff::Timestamp, now_ms: i64) -> Self {
        Self {
            random,
            day_start,
            now_ms,
            visit: None,
            visits: Vec::new(),
            drafts: Vec::new(),
            identifiers: Vec::new(),
        }
    }

    /// The party's random numbers.
    pub(crate) fn random(&mut self) -> &mut ChaCha8Rng {
        self.random
    }

    /// True with that chance.
    pub(crate) fn chance(&mut self, chance: f64) -> bool {
        self.random.random_bool(chance)
    }

    /// Begins a visit, which ends the one before. The first call that follows belongs to it.
    pub(crate) fn visit(&mut self, person: &Person, device: &Device, standing: Standing) {
        self.end_visit();
        self.now_ms = (self.now_ms + self.random.random_range(30_000..15 * 60_000)).min(DAY_MS - 1);
        self.visit = Some(Visit {
            person: person.clone(),
            device: device.clone(),
            standing,
            from_ms: self.now_ms,
            to_ms: self.now_ms,
        });
    }

    /// One call of the visit.
    pub(crate) fn does(&mut self, content: &Content) {
        self.post(None, 0, content);
    }

    /// An identify call of the visit, with these traits.
    pub(crate) fn identifies(&mut self, traits: Value) {
        self.post(None, 0, &Content::Identified(members(traits)));
    }

    /// An identify call that happened so many minutes ago, when the device was offline.
    pub(crate) fn identifies_late(&mut self, minutes: i64, traits: Value) {
        self.post(None, minutes * 60_000, &Content::Identified(members(traits)));
    }

    /// One call of the visit, with an e-mail address in its context.
    pub(crate) fn does_with_email(&mut self, email: &str, content: &Content) {
        self.post(Some(email), 0, content);
    }

    /// An order of one to three products.
    pub(crate) fn order(&mut self) -> Content {
        order(self.random)
    }

    /// Any product.
    pub(crate) fn product(&mut self) -> &'static crate::catalog::Product {
        product_at(self.random.random_range(0..64))
    }

    /// Says that an identifier ends up on the profile that this scenario is about.
    pub(crate) fn keeps(&mut self, namespace: &'static str, value: &str) {
        self.identifiers.push((namespace, value.to_owned()));
    }

    /// Ends the party's day.
    pub(crate) fn leave(mut self) -> Traces {
        self.end_visit();
        Traces { drafts: self.drafts, visits: self.visits, identifiers: self.identifiers }
    }

    fn end_visit(&mut self) {
        if let Some(mut visit) = self.visit.take() {
            visit.to_ms = self.now_ms;
            self.visits.push(visit);
        }
    }

    fn post(&mut self, email: Option<&str>, late_ms: i64, content: &Content) {
        let visit = self.visit.as_ref().expect("scenarios begin a visit before they post");
        let call = visit.call(self.random, self.day_start, self.now_ms, late_ms, email, content);
        self.drafts.push(Draft { post_at_ms: self.now_ms, call });
        self.now_ms = (self.now_ms + self.random.random_range(5_000..3 * 60_000)).min(DAY_MS - 1);
    }
}

impl Visit {
    /// Something more that happens during the visit. One in thirty is posted late.
    pub(crate) fn further(&self, random: &mut ChaCha8Rng, day_start: jiff::Timestamp) -> Draft {
        let happened_ms = random.random_range(self.from_ms..=self.to_ms);
        let late_ms = if random.random_ratio(1, 30) {
            random.random_range(10 * 60_000..3 * 60 * 60_000).min(DAY_MS - 1 - happened_ms)
        } else {
            0
        };
        let content = self.something(random);
        let post_at_ms = happened_ms + late_ms;
        let call = self.call(random, day_start, post_at_ms, late_ms, None, &content);
        Draft { post_at_ms, call }
    }

    fn something(&self, random: &mut ChaCha8Rng) -> Content {
        let product = product_at(random.random_range(0..64));
        let dice = random.random_range(0..100);
        match (self.device.channel, self.standing) {
            (Channel::PointOfSale, Standing::SignedIn) if dice < 70 => order(random),
            (Channel::PointOfSale, _) => Content::ProductSeen(product),
            (_, Standing::SignedIn) if dice < 6 => order(random),
            (_, Standing::SignedIn) if dice < 10 => Content::Reviewed(product, random.random_range(1..=5)),
            (Channel::Ios, _) if dice < 16 => Content::AppOpened,
            _ if dice < 24 => {
                let searches = &crate::catalog::SEARCHES;
                Content::Searched(searches[random.random_range(0..searches.len())])
            }
            _ if dice < 36 => Content::Added(product, random.random_range(1..=3)),
            _ if dice < 60 => Content::Viewed(product),
            _ if dice < 70 => Content::Landing,
            _ => Content::ProductSeen(product),
        }
    }

    fn call(
        &self,
        random: &mut impl Rng,
        day_start: jiff::Timestamp,
        post_at_ms: i64,
        late_ms: i64,
        email: Option<&str>,
        content: &Content,
    ) -> Call {
        let claim = Claim {
            user_id: match self.standing {
                Standing::Anonymous => None,
                Standing::SignedIn => Some(&self.person.user_id),
            },
            anonymous_id: self.device.anonymous_id.as_deref(),
            context_email: email,
        };
        let at = day_start + jiff::SignedDuration::from_millis(post_at_ms - late_ms);
        Call {
            body: render(random, &self.device, claim, at, content),
            person: self.person.index,
            device: self.device.id().map(str::to_owned),
            channel: self.device.channel,
            kind: content.kind(self.device.channel),
            sending: Sending::First,
            late_ms,
        }
    }
}

fn order(random: &mut ChaCha8Rng) -> Content {
    let count = random.random_range(1..=3);
    let lines =
        (0..count).map(|_| (product_at(random.random_range(0..64)), random.random_range(1..=2))).collect();
    Content::Ordered { number: format!("ord-{:08x}", random.random::<u32>()), lines }
}

fn members(traits: Value) -> Map<String, Value> {
    match traits {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("scenarios write traits as objects")
        }
    }
}
