//! The figures: how well the profiles of a crowd that was played meet its people.
//!
//! An identifier that calls of several people carry has no true person; such shared ones are left out of the figures
//! about identifiers and listed. Events always have a true person, whatever device they come from.

use super::play::{Played, PlayedIdentifier};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::{Namespace, ProfileId};
use tributary_sample::Circumstance;

/// What a policy came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Score {
    pub(super) policy: &'static str,
    pub(super) profiles: i64,
    pub(super) identifier_pairs: PairScore,
    /// Of all events that carry an identifier.
    pub(super) events: EventRates,
    /// Events that carry none.
    pub(super) unidentified_events: u64,
    /// Of the events that were made on devices which several people use.
    pub(super) events_on_shared_devices: EventRates,
    /// Of the others.
    pub(super) events_on_own_devices: EventRates,
    pub(super) by_circumstance: Vec<CircumstanceScore>,
    /// Profiles that hold identifiers of several people.
    pub(super) over_merged_profiles: u64,
    /// People who have an identifier on such a profile.
    pub(super) over_merged_people: u64,
    /// People whose identifiers are on several profiles.
    pub(super) split_people: u64,
    /// Those of them whose own events tie identifiers together that are on several profiles.
    pub(super) needlessly_split_people: u64,
    /// Profiles with more than one user id: none, or the rules are broken.
    pub(super) joined_user_ids: u64,
    pub(super) shared_identifiers: Vec<SharedIdentifier>,
}

/// Of all that was put together, how much belongs together; and of all that belongs together, how much was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Rates {
    pub(super) precision: f64,
    pub(super) recall: f64,
}

/// Pairs of identifiers that are one person's alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct PairScore {
    /// Pairs on one profile.
    pub(super) on_one_profile: u64,
    /// Pairs of one person.
    pub(super) of_one_person: u64,
    /// Pairs of one person on one profile.
    pub(super) both: u64,
    /// Pairs of one person that the person's own events tie together, over several events too.
    pub(super) knowable: u64,
    #[serde(flatten)]
    pub(super) rates: Rates,
    /// The recall of somebody who takes each of these ties and no other.
    pub(super) recall_at_best: f64,
}

/// How well events found their people.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct EventRates {
    pub(super) people: u64,
    pub(super) events: u64,
    #[serde(flatten)]
    pub(super) rates: Rates,
}

/// The events of the people in one circumstance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct CircumstanceScore {
    pub(super) circumstance: &'static str,
    #[serde(flatten)]
    pub(super) events: EventRates,
}

/// An identifier that calls of several people carry. The people are made up, so the value may be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SharedIdentifier {
    pub(super) circumstance: &'static str,
    pub(super) namespace: String,
    pub(super) value: String,
    pub(super) people: u64,
    pub(super) calls: u64,
}

impl Score {
    /// Measures what was played under a policy.
    pub(super) fn of(policy: &'static str, played: &Played) -> Self {
        let components = components(played);
        let identities = Identities::of(played);
        let scores = EventScores::of(played);
        let by_circumstance = scores.by_circumstance.iter().map(|(circumstance, sums)| CircumstanceScore {
            circumstance: circumstance.name(),
            events: sums.scores(),
        });
        Self {
            policy,
            profiles: played.profiles,
            identifier_pairs: identities.pairs(&components),
            events: scores.all.scores(),
            unidentified_events: played.unidentified,
            events_on_shared_devices: scores.shared_devices.scores(),
            events_on_own_devices: scores.own_devices.scores(),
            by_circumstance: by_circumstance.collect(),
            over_merged_profiles: count(identities.over_merged().count()),
            over_merged_people: {
                let people: BTreeSet<u64> = identities.over_merged().flatten().copied().collect();
                count(people.len())
            },
            split_people: count(identities.of_person.values().filter(|profiles| profiles.len() > 1).count()),
            needlessly_split_people: needlessly_split(played, &components),
            joined_user_ids: joined_user_ids(played),
            shared_identifiers: shared_identifiers(played),
        }
    }
}

/// How many identifiers each person has on each profile; of identifiers that are one person's alone.
#[derive(Default)]
struct Identities {
    /// Identifiers by profile and person.
    cells: BTreeMap<(ProfileId, u64), u64>,
    of_profile: BTreeMap<ProfileId, BTreeSet<u64>>,
    of_person: BTreeMap<u64, BTreeSet<ProfileId>>,
    /// All identifiers of a person, those on no profile included.
    identifiers: BTreeMap<u64, u64>,
}

impl Identities {
    fn of(played: &Played) -> Self {
        let mut identities = Self::default();
        for identifier in &played.identifiers {
            let Some(person) = owner(identifier) else { continue };
            *identities.identifiers.entry(person).or_default() += 1;
            let Some(profile) = identifier.profile else { continue };
            *identities.cells.entry((profile, person)).or_default() += 1;
            identities.of_profile.entry(profile).or_default().insert(person);
            identities.of_person.entry(person).or_default().insert(profile);
        }
        identities
    }

    /// The people of each profile that has several.
    fn over_merged(&self) -> impl Iterator<Item = &BTreeSet<u64>> {
        self.of_profile.values().filter(|people| people.len() > 1)
    }

    fn pairs(&self, components: &[Component]) -> PairScore {
        let mut on_profile: BTreeMap<ProfileId, u64> = BTreeMap::new();
        for ((profile, _), identifiers) in &self.cells {
            *on_profile.entry(*profile).or_default() += identifiers;
        }
        let on_one_profile = on_profile.values().copied().map(pairs_of).sum();
        let of_one_person = self.identifiers.values().copied().map(pairs_of).sum();
        let both = self.cells.values().copied().map(pairs_of).sum();
        let knowable = components.iter().map(|component| pairs_of(count(component.own.len()))).sum();
        PairScore {
            on_one_profile,
            of_one_person,
            both,
            knowable,
            rates: Rates { precision: share(both, on_one_profile), recall: share(both, of_one_person) },
            recall_at_best: share(knowable, of_one_person),
        }
    }
}

/// The person of an identifier that is one person's alone.
fn owner(identifier: &PlayedIdentifier) -> Option<u64> {
    match (identifier.people.first(), identifier.people.last()) {
        (Some(first), Some(last)) if first == last => Some(*first),
        _ => None,
    }
}

/// Identifiers of one person that the person's own events tie together.
struct Component {
    /// Those that are the person's alone.
    own: Vec<usize>,
}

/// Everybody's identifiers by what ties them; a shared device ties what its user brought to it.
fn components(played: &Played) -> Vec<Component> {
    let mut events: BTreeMap<u64, BTreeSet<&[usize]>> = BTreeMap::new();
    for event in &played.events {
        events.entry(event.person).or_default().insert(event.identifiers.as_slice());
    }
    let mut components = Vec::new();
    for ties in events.into_values() {
        let mut tied: Vec<BTreeSet<usize>> = Vec::new();
        for tie in ties {
            let mut joined: BTreeSet<usize> = tie.iter().copied().collect();
            tied.retain(|other| {
                let meets = !other.is_disjoint(&joined);
                if meets {
                    joined.extend(other);
                }
                !meets
            });
            tied.push(joined);
        }
        components.extend(tied.into_iter().map(|component| {
            Component {
                own: component
                    .into_iter()
                    .filter(|place| {
                        played.identifiers.get(*place).is_some_and(|known| owner(known).is_some())
                    })
                    .collect(),
            }
        }));
    }
    components
}

fn needlessly_split(played: &Played, components: &[Component]) -> u64 {
    let mut people = BTreeSet::new();
    for component in components {
        let known = component.own.iter().filter_map(|place| played.identifiers.get(*place));
        let profiles: BTreeSet<ProfileId> = known.clone().filter_map(|known| known.profile).collect();
        if profiles.len() > 1 {
            people.extend(known.filter_map(owner));
        }
    }
    count(people.len())
}

fn joined_user_ids(played: &Played) -> u64 {
    let mut user_ids: BTreeMap<ProfileId, u64> = BTreeMap::new();
    for played in &played.identifiers {
        if let Some(profile) = played.profile
            && *played.identifier.namespace() == Namespace::USER_ID
        {
            *user_ids.entry(profile).or_default() += 1;
        }
    }
    count(user_ids.values().filter(|user_ids| **user_ids > 1).count())
}

fn shared_identifiers(played: &Played) -> Vec<SharedIdentifier> {
    let shared = played.identifiers.iter().filter(|known| known.people.len() > 1);
    let mut shared: Vec<_> = shared
        .map(|known| {
            let row = SharedIdentifier {
                circumstance: known.circumstance.name(),
                namespace: known.identifier.namespace().to_string(),
                value: known.identifier.value().to_owned(),
                people: count(known.people.len()),
                calls: known.calls,
            };
            (known.circumstance, row)
        })
        .collect();
    shared.sort_by(|(a, left), (b, right)| {
        a.cmp(b).then_with(|| (&left.namespace, &left.value).cmp(&(&right.namespace, &right.value)))
    });
    shared.into_iter().map(|(_, row)| row).collect()
}

/// Precision and recall of events.
///
/// Taken for each event: of the events on its profile, the share that is of its person; and of the events of its
/// person, the share that is on its profile. A rate is the mean over events (known as B-cubed). So no profile
/// counts for more than its events, however large it grows.
#[derive(Default)]
struct EventScores {
    all: Sums,
    shared_devices: Sums,
    own_devices: Sums,
    by_circumstance: BTreeMap<Circumstance, Sums>,
}

impl EventScores {
    fn of(played: &Played) -> Self {
        let mut on_profile: BTreeMap<ProfileId, u64> = BTreeMap::new();
        let mut of_person: BTreeMap<u64, u64> = BTreeMap::new();
        let mut both: BTreeMap<(ProfileId, u64), u64> = BTreeMap::new();
        for event in &played.events {
            *on_profile.entry(event.profile).or_default() += 1;
            *of_person.entry(event.person).or_default() += 1;
            *both.entry((event.profile, event.person)).or_default() += 1;
        }
        let mut scores = Self::default();
        for event in &played.events {
            let together = both[&(event.profile, event.person)];
            let rates = Rates {
                precision: share(together, on_profile[&event.profile]),
                recall: share(together, of_person[&event.person]),
            };
            let by_device =
                if event.shared_device { &mut scores.shared_devices } else { &mut scores.own_devices };
            by_device.add(event.person, rates);
            scores.all.add(event.person, rates);
            scores.by_circumstance.entry(event.circumstance).or_default().add(event.person, rates);
        }
        scores
    }
}

/// What adds up to rates.
#[derive(Default)]
struct Sums {
    people: BTreeSet<u64>,
    events: u64,
    precision: f64,
    recall: f64,
}

impl Sums {
    fn add(&mut self, person: u64, rates: Rates) {
        self.people.insert(person);
        self.events += 1;
        self.precision += rates.precision;
        self.recall += rates.recall;
    }

    fn scores(&self) -> EventRates {
        let mean = |sum: f64| if self.events == 0 { 1.0 } else { sum / self.events as f64 };
        EventRates {
            people: count(self.people.len()),
            events: self.events,
            rates: Rates { precision: mean(self.precision), recall: mean(self.recall) },
        }
    }
}

/// Of nothing, everything is right.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn pairs_of(number: u64) -> u64 {
    number * number.saturating_sub(1) / 2
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("memory holds fewer things than u64 counts")
}
