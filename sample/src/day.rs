//! The day as a stream of calls.
//!
//! People come in waves of parties. Within a wave everybody's calls are mixed by the time of posting; one
//! wave follows the other. Only the wave under way is held.

#[cfg(test)]
mod tests;

use crate::buyers::repeat_buyers;
use crate::call::{Call, Sending};
use crate::expectation::Expectation;
use crate::party::{DAY_MS, Draft, Party, Visit};
use crate::person::{Device, Person, Purpose, random_of};
use crate::scenario::{Place, SHARES, Scenario, play};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Parties in a wave.
const PARTIES: usize = 40;
/// Waves that share a store, and so a tablet.
const WAVES_PER_STORE: u64 = 4;
/// One call in so many is posted twice.
const REPEAT_EVERY: u64 = 50;
/// The hours of the day in which a wave can begin, in milliseconds.
const FIRST_WAVE_MS: i64 = 7 * 60 * 60 * 1000;
const WAVES_MS: i64 = 9 * 60 * 60 * 1000;
/// A wave's parties arrive within so long.
const ARRIVALS_MS: i64 = 60 * 60 * 1000;

/// How a day looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Another seed is another day with other people.
    pub seed: u64,
    /// How many people take part, exactly.
    pub people: u64,
    /// How many calls are posted, repeated ones included; more, if the people's scenarios need more.
    pub events: u64,
    /// When the day begins. Its calls happen in the 24 hours from there: choose a day that is over, since
    /// a collector takes no event to have happened after it arrived.
    pub day_start: jiff::Timestamp,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 1, people: 300, events: 5_000, day_start: jiff::Timestamp::UNIX_EPOCH }
    }
}

/// The calls of a day, in the order in which they have to be posted: who gets a contested identifier is
/// decided by that order.
#[derive(Debug)]
pub struct Day {
    config: Config,
    waves: u64,
    parties: u64,
    people: u64,
    wave: VecDeque<Call>,
    planned: u64,
    expectation: Expectation,
}

impl Day {
    /// The day that `config` describes.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            waves: 0,
            parties: 0,
            people: 0,
            wave: VecDeque::new(),
            planned: 0,
            expectation: Expectation::default(),
        }
    }

    /// What the calls given out so far amount to. Complete once the iterator has ended.
    pub fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    fn next_wave(&mut self) {
        let mut random = random_of(self.config.seed, Purpose::Wave, self.waves);
        let store = self.waves / WAVES_PER_STORE;
        let place = Place { store, tablet: Device::tablet(self.config.seed, store) };
        let share = self.people as f64 / self.config.people as f64;
        let opens_ms = FIRST_WAVE_MS + (WAVES_MS as f64 * share) as i64;

        let mut drafts = Vec::new();
        let mut visits = Vec::new();
        for _ in 0..PARTIES {
            let left = self.config.people - self.people;
            if left == 0 {
                break;
            }
            let scenario = self.choose(&mut random, left);
            let people: Vec<Person> = (self.people..self.people + scenario.people())
                .map(|index| Person::of(self.config.seed, index))
                .collect();
            let arrives_ms = opens_ms + random.random_range(0..ARRIVALS_MS);
            let party = Party::arriving(&mut random, self.config.day_start, arrives_ms);
            let (traces, profiles) = play(scenario, party, &people, &place);
            if scenario == Scenario::Example {
                self.expectation.example.identifiers = traces.identifiers.into_iter().collect();
            }
            drafts.extend(traces.drafts);
            visits.extend(traces.visits);
            self.people += scenario.people();
            self.parties += 1;
            self.expectation.people = self.people;
            self.expectation.profiles += profiles;
        }
        self.waves += 1;

        let wanted = self.wanted_so_far().saturating_sub(self.planned);
        fill(&mut random, self.config.day_start, &mut drafts, &visits, wanted);
        self.planned += drafts.len() as u64;
        self.expectation.repeat_buyers += repeat_buyers(&drafts);
        // Stable: a scenario's own calls come before those added at the same moment.
        drafts.sort_by_key(|draft| draft.post_at_ms);
        self.wave.extend(drafts.into_iter().map(|draft| draft.call));
    }

    /// The first parties go through every scenario in turn, so that a small day has them all.
    fn choose(&self, random: &mut ChaCha8Rng, people_left: u64) -> Scenario {
        let turn = usize::try_from(self.parties).unwrap_or(usize::MAX);
        let scenario = match turn.checked_sub(1) {
            None => Scenario::Example,
            Some(turn) if turn < SHARES.len() => SHARES[turn].0,
            Some(_) => by_share(random.random_range(0..100)),
        };
        if scenario.people() > people_left { Scenario::WebShopper } else { scenario }
    }

    /// How many calls there should be by the end of the wave that was just planned.
    fn wanted_so_far(&self) -> u64 {
        let wanted =
            u128::from(self.config.events) * u128::from(self.people) / u128::from(self.config.people.max(1));
        u64::try_from(wanted).unwrap_or(u64::MAX)
    }
}

impl Iterator for Day {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        while self.wave.is_empty() {
            if self.people == self.config.people {
                return None;
            }
            self.next_wave();
        }
        let call = self.wave.pop_front()?;
        self.expectation.take(&call);
        Some(call)
    }
}

fn by_share(dice: u32) -> Scenario {
    let mut left = dice;
    for (scenario, share) in SHARES {
        if left < share {
            return scenario;
        }
        left -= share;
    }
    unreachable!("the shares add up to a hundred")
}

/// Adds calls within visits, then repeats, until the wave has as many calls as wanted. What is added changes no
/// profile: further calls by what a [`Visit`] is, repeats because their message id has been seen.
fn fill(
    random: &mut ChaCha8Rng,
    day_start: jiff::Timestamp,
    drafts: &mut Vec<Draft>,
    visits: &[Visit],
    wanted: u64,
) {
    let repeats = (wanted.max(drafts.len() as u64) / REPEAT_EVERY).max(1);
    let further = wanted.saturating_sub(drafts.len() as u64 + repeats);
    // A few visits get most of it, as in life: the chance of a place falls with its number.
    let mut visits: Vec<&Visit> = visits.iter().collect();
    visits.shuffle(random);
    for _ in 0..further {
        let place = random.random::<f64>().powi(2);
        let visit = visits[(place * visits.len() as f64) as usize % visits.len()];
        drafts.push(visit.further(random, day_start));
    }
    for _ in 0..repeats {
        let draft = &drafts[random.random_range(0..drafts.len())];
        let post_at_ms = (draft.post_at_ms + random.random_range(1_000..10 * 60_000)).min(DAY_MS - 1);
        let call = Call { sending: Sending::Repeat, ..draft.call.clone() };
        drafts.push(Draft { post_at_ms, call });
    }
}
