//! People who make identity hard, over some weeks: a seeded stream of calls with the truth about each.
//!
//! A [`Day`](crate::Day) is a shop's day whose profiles can be counted beforehand. A crowd is for measuring how well
//! profiles meet people: half of them are ordinary shoppers and guests, the others share devices, addresses and numbers,
//! or meet somebody's mistake ([`Circumstance`]). Nothing is foretold; instead each call tells whose it is, under which
//! circumstance, and whether its device is shared.
//!
//! Guarantees: the same [`CrowdConfig`] gives the same bytes; calls come in the order in which they are posted; people
//! of different parties share no identifier, a placeholder apart. Only the day under way is held. Left out: calls that
//! are posted twice.

mod circumstance;
#[cfg(test)]
mod tests;

pub use circumstance::Circumstance;

use crate::call::Call;
use crate::party::{Draft, Party};
use crate::person::{Device, Person, Purpose, random_of};
use crate::scenario::Place;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Parties that come in one day.
const PARTIES: usize = 40;
/// A visit has at most so many calls more than its circumstance needs.
const FURTHER_MAX: u32 = 3;
/// The hours of the day in which parties arrive, in milliseconds.
const ARRIVALS_MS: std::ops::Range<i64> = 7 * 60 * 60 * 1000..15 * 60 * 60 * 1000;

/// What a crowd is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrowdConfig {
    /// Another seed is another crowd.
    pub seed: u64,
    /// How many people there are, exactly.
    pub people: u64,
    /// When the first day begins; the others follow.
    pub first_day: jiff::Timestamp,
}

/// One call, and the truth about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdCall {
    /// The call; its person and device are true.
    pub call: Call,
    /// When it is posted.
    pub posted_at: jiff::Timestamp,
    /// Why its person's identity may be hard to tell.
    pub circumstance: Circumstance,
    /// Whether the device is used by several people, at whatever time.
    pub shared_device: bool,
}

/// The calls of a crowd, in the order in which they are posted.
#[derive(Debug)]
pub struct Crowd {
    config: CrowdConfig,
    days: u64,
    parties: usize,
    people: u64,
    day: VecDeque<CrowdCall>,
}

impl Crowd {
    /// The crowd that `config` describes.
    pub fn new(config: CrowdConfig) -> Self {
        Self { config, days: 0, parties: 0, people: 0, day: VecDeque::new() }
    }

    fn next_day(&mut self) {
        let seed = self.config.seed;
        let mut random = random_of(seed, Purpose::Crowd, self.days);
        let hours = i64::try_from(self.days).expect("a calendar ends before i64 does").saturating_mul(24);
        let day_start = self.config.first_day + jiff::SignedDuration::from_hours(hours);
        let place = Place { store: self.days, tablet: Device::tablet(seed, self.days) };

        let mut drafts: Vec<(Circumstance, Draft)> = Vec::new();
        for _ in 0..PARTIES {
            let left = self.config.people - self.people;
            if left == 0 {
                break;
            }
            let circumstance = self.choose(&mut random, left);
            let people: Vec<Person> = (self.people..self.people + circumstance.people())
                .map(|index| Person::of(seed, index))
                .collect();
            let arrives_ms = random.random_range(ARRIVALS_MS);
            let party = Party::arriving(&mut random, day_start, arrives_ms);
            let traces = circumstance::play(circumstance, party, &people, &place);
            drafts.extend(traces.drafts.into_iter().map(|draft| (circumstance, draft)));
            for visit in &traces.visits {
                for _ in 0..random.random_range(0..=FURTHER_MAX) {
                    drafts.push((circumstance, visit.further(&mut random, day_start)));
                }
            }
            self.people += circumstance.people();
            self.parties += 1;
        }
        self.days += 1;

        // Stable: what a circumstance needs comes before what was added at the same moment.
        drafts.sort_by_key(|(_, draft)| draft.post_at_ms);
        let shared = shared_devices(&drafts);
        self.day.extend(drafts.into_iter().map(|(circumstance, draft)| CrowdCall {
            shared_device: draft.call.device.as_ref().is_some_and(|device| shared.contains(device)),
            posted_at: day_start + jiff::SignedDuration::from_millis(draft.post_at_ms),
            circumstance,
            call: draft.call,
        }));
    }

    /// The first parties go through every circumstance in turn, so that a small crowd has them all.
    fn choose(&self, random: &mut ChaCha8Rng, people_left: u64) -> Circumstance {
        let circumstance = match Circumstance::ALL.get(self.parties) {
            Some(circumstance) => *circumstance,
            None => Circumstance::by_share(random.random_range(0..100)),
        };
        if circumstance.people() > people_left { Circumstance::Shopper } else { circumstance }
    }
}

impl Iterator for Crowd {
    type Item = CrowdCall;

    fn next(&mut self) -> Option<CrowdCall> {
        while self.day.is_empty() {
            if self.people == self.config.people {
                return None;
            }
            self.next_day();
        }
        self.day.pop_front()
    }
}

/// The devices that several people use. No device is used on two days, so a day knows.
fn shared_devices(drafts: &[(Circumstance, Draft)]) -> BTreeSet<String> {
    let mut users: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (_, draft) in drafts {
        if let Some(device) = &draft.call.device {
            users.entry(device).or_default().insert(draft.call.person);
        }
    }
    let shared = users.into_iter().filter(|(_, users)| users.len() > 1);
    shared.map(|(device, _)| device.to_owned()).collect()
}
