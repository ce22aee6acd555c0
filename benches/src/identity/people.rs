//! Whose events are measured: any number of people with three identifiers each, and the events that make them known.
//!
//! Every event is made from its number alone. Half of the people come by a browser that signs in later; of the other
//! half browser and account are known apart, until one event merges them.

use crate::population::{Population, mix};
use tributary_model::{Identifier, MessageId, Namespace, Timestamp};

/// How many people are familiar: few enough for every cache.
pub(super) const FAMILIAR: u64 = 10_000;

/// Two people, of whom one joins and the other merges, are made known by so many events.
const EVENTS_OF_TWO: u64 = 5;
/// So many twos come at once: their first events, then their second ones, and so on.
const TWOS: u64 = 5_000;
/// When the first event arrives, and how many arrive in a millisecond of the log.
const START_MS: i64 = 1_790_000_000_000;
const EVENTS_IN_A_MS: u64 = 10;

/// Everybody.
#[derive(Debug, Clone, Copy)]
pub(super) struct People {
    population: Population,
    twos: u64,
}

/// Which identifiers an event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// `anonymousId` alone.
    Browser,
    /// `userId` and e-mail address.
    Account,
    /// `userId` and `anonymousId`.
    SignedIn,
    /// All three.
    Everything,
}

/// An event, before it is written in any form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) person: u64,
    pub(super) carried: Carried,
}

/// Who the events of known people are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Circle {
    /// The same [`FAMILIAR`] people again and again.
    Familiar,
    /// Anybody, each as likely as the other.
    Anybody,
}

impl People {
    /// As many people as have so many identifiers: an even number.
    pub(super) fn with_identifiers(identifiers: u64) -> Self {
        let twos = (identifiers / 6).max(1);
        Self { population: Population::new(1, twos * 2), twos }
    }

    /// How many people there are.
    pub(super) fn people(&self) -> u64 {
        self.twos * 2
    }

    /// How many identifiers they have.
    pub(super) fn identifiers(&self) -> u64 {
        self.people() * 3
    }

    /// How many events make all of them known.
    pub(super) fn events(&self) -> u64 {
        self.twos * EVENTS_OF_TWO
    }

    /// The event of that number among those that make everybody known.
    pub(super) fn making(&self, number: u64) -> Said {
        let group = number / (TWOS * EVENTS_OF_TWO);
        let width = TWOS.min(self.twos - group * TWOS);
        let within = number - group * TWOS * EVENTS_OF_TWO;
        let joins = (group * TWOS + within % width) * 2;
        let (person, carried) = match within / width {
            0 => (joins, Carried::Browser),
            1 => (joins + 1, Carried::Browser),
            2 => (joins, Carried::Everything),
            3 => (joins + 1, Carried::Account),
            _ => (joins + 1, Carried::SignedIn),
        };
        Said { person, carried }
    }

    /// The event of that number among those of known people.
    pub(super) fn known(&self, number: u64, circle: Circle) -> Said {
        let among = match circle {
            Circle::Familiar => FAMILIAR.min(self.people()),
            Circle::Anybody => self.people(),
        };
        let dice = mix(number ^ 0x6b6e_6f77_6e00_0000);
        // Familiar people are spread over all, so that they are no neighbours in any store.
        let person = mix(dice) % among * (self.people() / among);
        let carried = match dice % 1_000 {
            0..100 => Carried::Everything,
            100..325 => Carried::Browser,
            _ => Carried::SignedIn,
        };
        Said { person, carried }
    }

    /// An event's identifiers, highest priority first.
    pub(super) fn identifiers_of(&self, said: Said) -> Vec<Identifier> {
        let texts = self.texts(said);
        let with = |namespace: Namespace, text: Option<String>| {
            text.map(|text| Identifier::parse(namespace, &text).expect("the population writes identifiers"))
        };
        let [user_id, email, anonymous_id] = texts;
        let all = [
            with(Namespace::USER_ID, user_id),
            with(Namespace::EMAIL, email),
            with(Namespace::ANONYMOUS_ID, anonymous_id),
        ];
        all.into_iter().flatten().collect()
    }

    /// `userId`, e-mail address and `anonymousId` of an event, as far as it carries them.
    pub(super) fn texts(&self, said: Said) -> [Option<String>; 3] {
        let text = |write: fn(&Population, u64, &mut Vec<u8>)| {
            let mut bytes = Vec::with_capacity(40);
            write(&self.population, said.person, &mut bytes);
            String::from_utf8(bytes).expect("the population writes ASCII")
        };
        let user_id = || Some(text(Population::write_user_id));
        let email = || Some(text(Population::write_email));
        let anonymous_id = || Some(text(Population::write_anonymous_id));
        match said.carried {
            Carried::Browser => [None, None, anonymous_id()],
            Carried::Account => [user_id(), email(), None],
            Carried::SignedIn => [user_id(), None, anonymous_id()],
            Carried::Everything => [user_id(), email(), anonymous_id()],
        }
    }
}

impl Carried {
    /// How many links an event brings that ties its identifiers.
    pub(super) const fn links(self) -> u64 {
        match self {
            Self::Browser => 0,
            Self::Account | Self::SignedIn => 1,
            Self::Everything => 2,
        }
    }
}

/// The message id of the event at a sequence of the log.
pub(super) fn message_id(sequence: u64) -> MessageId {
    MessageId::parse(&format!("ajs-next-00000000-0000-4000-8000-{sequence:012x}")).expect("a short text")
}

/// When the event at a sequence of the log arrived.
pub(super) fn arrival(sequence: u64) -> Timestamp {
    let millis = i64::try_from(sequence / EVENTS_IN_A_MS).expect("a bench ends sooner");
    Timestamp::from_millis(START_MS + millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn everybody_is_made_known_with_every_identifier_and_two_links() {
        for identifiers in [600, 60_000, 60_006] {
            let people = People::with_identifiers(identifiers);
            assert_eq!(people.identifiers(), identifiers);
            let all: Vec<Said> = (0..people.events()).map(|number| people.making(number)).collect();
            let links: u64 = all.iter().map(|said| said.carried.links()).sum();
            assert_eq!(links, people.people() * 2);
            let seen: BTreeSet<Identifier> =
                all.iter().flat_map(|said| people.identifiers_of(*said)).collect();
            assert_eq!(seen.len() as u64, identifiers);
        }
    }

    #[test]
    fn events_of_known_people_are_mixed_and_about_those_in_the_circle() {
        let people = People::with_identifiers(120_000);
        for (circle, most) in [(Circle::Familiar, FAMILIAR), (Circle::Anybody, people.people())] {
            let said: Vec<Said> = (0..100_000).map(|number| people.known(number, circle)).collect();
            let seen: BTreeSet<u64> = said.iter().map(|said| said.person).collect();
            assert!(seen.len() as u64 > most * 9 / 10 && seen.len() as u64 <= most, "{circle:?}");
            assert!(seen.iter().all(|person| *person < people.people()), "{circle:?}");
            let browsers = said.iter().filter(|said| said.carried == Carried::Browser).count();
            assert!((21_000..24_000).contains(&browsers), "{browsers}");
        }
    }

    #[test]
    fn what_an_event_carries_is_in_order_of_priority() {
        let people = People::with_identifiers(600);
        let cases = [
            (Carried::Browser, vec!["anonymous_id"]),
            (Carried::Account, vec!["user_id", "email"]),
            (Carried::SignedIn, vec!["user_id", "anonymous_id"]),
            (Carried::Everything, vec!["user_id", "email", "anonymous_id"]),
        ];
        for (carried, want) in cases {
            let identifiers = people.identifiers_of(Said { person: 7, carried });
            let got: Vec<&str> = identifiers.iter().map(|id| id.namespace().as_str()).collect();
            assert_eq!(got, want, "{carried:?}");
            assert_eq!(got.len() as u64 - 1, carried.links());
        }
    }
}
