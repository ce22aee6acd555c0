//! The people of a load: as many as wanted, each with three identifiers.
//!
//! Person 7 of a seed is always the same, so a population that one run has prepared is known to the next. Nothing
//! is kept of anybody: identifiers are made from seed and number whenever they are written.

use rand::Rng;
use rand_distr::{Distribution, Zipf};
use std::io::Write;

/// Everybody there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Population {
    seed: u64,
    people: u64,
}

impl Population {
    /// So many people (at least one) of this seed.
    pub fn new(seed: u64, people: u64) -> Self {
        Self { seed, people: people.max(1) }
    }

    /// How many there are.
    pub fn people(&self) -> u64 {
        self.people
    }

    /// Writes a person's `userId`.
    pub fn write_user_id(&self, person: u64, out: &mut Vec<u8>) {
        put(out, format_args!("cus_{:08x}{person:x}", self.hash(person, 1) >> 32));
    }

    /// Writes a person's e-mail address.
    pub fn write_email(&self, person: u64, out: &mut Vec<u8>) {
        put(out, format_args!("customer.{person}.{:04x}@mail.example", self.hash(person, 2) >> 48));
    }

    /// Writes a person's `anonymousId`, in the form of a UUID.
    pub fn write_anonymous_id(&self, person: u64, out: &mut Vec<u8>) {
        let (high, low) = (self.hash(person, 3), self.hash(person, 4));
        let (first, second, third) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        let (fourth, fifth) = ((low >> 48) & 0xfff, low & 0xffff_ffff_ffff);
        put(out, format_args!("{first:08x}-{second:04x}-4{third:03x}-8{fourth:03x}-{fifth:012x}"));
    }

    /// A person's `userId`.
    pub fn user_id(&self, person: u64) -> String {
        let mut bytes = Vec::with_capacity(24);
        self.write_user_id(person, &mut bytes);
        String::from_utf8(bytes).expect("ids are ASCII")
    }

    /// A number that is the person's own, for whatever `purpose` tells apart.
    pub(crate) fn hash(&self, person: u64, purpose: u64) -> u64 {
        mix(mix(self.seed ^ purpose.rotate_left(48)) ^ person)
    }
}

/// The finalizer of SplitMix64: every bit of the input changes about half of the output's.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes everything");
}

/// Who an event is about: a few people have most of the events, after Zipf's law.
#[derive(Debug, Clone, Copy)]
pub struct Popularity {
    zipf: Zipf<f64>,
    people: u64,
}

impl Popularity {
    /// The exponent of Zipf's law.
    pub const EXPONENT: f64 = 0.99;
    /// A prime above any number of people, so that rank times stride names everybody once.
    const STRIDE: u128 = 4_294_967_311;

    /// Over so many people (at least one).
    pub fn new(people: u64) -> Self {
        let people = people.max(1);
        let zipf =
            Zipf::new(people as f64, Self::EXPONENT).expect("one person or more, and a sound exponent");
        Self { zipf, people }
    }

    /// Somebody. Popular people are spread over all numbers, so that they are no neighbours in any store.
    pub fn pick(&self, random: &mut impl Rng) -> u64 {
        let rank = (self.zipf.sample(random) as u64).clamp(1, self.people) - 1;
        let person = u128::from(rank) * Self::STRIDE % u128::from(self.people);
        u64::try_from(person).expect("below the number of people")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    #[test]
    fn a_person_is_always_the_same_and_nobody_shares_an_identifier() {
        let population = Population::new(1, 5_000);
        let ids = |population: Population, person| {
            let mut all = [Vec::new(), Vec::new(), Vec::new()];
            population.write_user_id(person, &mut all[0]);
            population.write_email(person, &mut all[1]);
            population.write_anonymous_id(person, &mut all[2]);
            all.map(|bytes| String::from_utf8(bytes).expect("ASCII"))
        };
        let mut seen = BTreeSet::new();
        for person in 0..population.people() {
            let three = ids(population, person);
            assert_eq!(three, ids(Population::new(1, 7), person), "the seed alone decides");
            assert_eq!(three[2].len(), 36, "{}", three[2]);
            seen.extend(three);
        }
        assert_eq!(seen.len(), 15_000);
        assert_ne!(ids(population, 3), ids(Population::new(2, 5_000), 3));
    }

    #[test]
    fn the_popular_few_have_their_share_and_everybody_may_come() {
        let people = 1_000;
        let popularity = Popularity::new(people);
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut counts = vec![0u32; 1_000];
        for _ in 0..200_000 {
            counts[usize::try_from(popularity.pick(&mut random)).expect("small")] += 1;
        }
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // Under Zipf 0.99 over 1,000, the first has 1/7.73 and the first hundred 0.68 of all.
        let share = |first: usize| f64::from(counts[..first].iter().sum::<u32>()) / 200_000.0;
        assert!((0.12..0.14).contains(&share(1)), "{}", share(1));
        assert!((0.65..0.71).contains(&share(100)), "{}", share(100));
        assert!(counts.iter().all(|count| *count > 0), "a rank names one person only");
    }

    #[test]
    fn one_person_is_a_population() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        assert_eq!(Popularity::new(1).pick(&mut random), 0);
        assert_eq!(Popularity::new(0).pick(&mut random), 0);
    }
}
