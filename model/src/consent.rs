//! What a person consented to, from `context.consent.categoryPreferences` of their events.
//!
//! A preference is somebody's: it is kept for each of the two ids that an event can carry, `userId` and `anonymousId`,
//! and the newest one of each counts. Of a profile, which may have many such ids, a refusal of any of them wins. So
//! what was refused on a device before its profile met another one stays refused after they merged, whichever is
//! newer; it is granted again by an event of that device, signed in or not.
//!
//! "The newest for each id" is commutative, associative and idempotent: the order of events makes no difference, nor by
//! which fragment they came, and an event can be folded into the merge of fragments as well as into its own.
//!
//! An event that states preferences itself is judged by these ([`StatedConsent`]): of its profile, only what other ids than the
//! event's own said counts beside them. So nothing that was said for the same ids before, after or at the same time overrules
//! an event.
//!
//! Only `true` grants: a category that is named with anything else is refused. An event without preferences says nothing, nor
//! does one with `null` in their place. Preferences that are empty refuse everything: every category for the ids of that event,
//! until a later event with that id grants it. That is kept under the empty name, which no category has. What can't be read as
//! preferences counts as empty ones ([`Preferences`]).

use crate::event::EventView;
use crate::fragment::Sighting;
use crate::id::{MessageId, SourceId};
use crate::json::{Members, is_null};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How many categories are kept; those first by name.
pub const CATEGORIES_MAX: usize = 100;
/// The longest name of a category, in bytes; a longer one is passed over.
pub const CATEGORY_BYTES_MAX: usize = 128;
/// Under what name it is kept that everything was refused.
const EVERYTHING: &str = "";
/// How many ids' preferences are kept for a category. Beyond, the oldest grants are forgotten, refusals last.
pub const IDS_MAX: usize = 100;

/// A preference, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentValue {
    /// The event time of the event that said so.
    pub at: Timestamp,
    /// Whether it is granted, or refused.
    pub granted: bool,
    /// The id of that event; decides between equal times.
    pub message_id: MessageId,
    /// The source of that event.
    pub source: SourceId,
}

impl ConsentValue {
    /// By which the newer of two preferences is told; of equal times, a refusal is the newer one.
    fn age(&self) -> (Timestamp, bool, &MessageId, SourceId) {
        (self.at, !self.granted, &self.message_id, self.source)
    }

    /// By which it is told what is forgotten first.
    fn weight(&self) -> (bool, Timestamp, &MessageId, SourceId) {
        (!self.granted, self.at, &self.message_id, self.source)
    }
}

/// The newest preference of each id, by category. Ids are kept as hashes: they are compared, never shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Consent(BTreeMap<Box<str>, BTreeMap<u64, ConsentValue>>);

impl Consent {
    /// Folds one event in. Folding it again changes nothing.
    pub fn fold(&mut self, event: &EventView<'_>, sighting: &Sighting) {
        let Some(Preferences(preferences)) = Preferences::of(event.members()) else { return };
        let ids = ids(event);
        let mut say = |category: &str, granted: bool| {
            let Sighting { at, message_id, source } = sighting.clone();
            let value = ConsentValue { at, granted, message_id, source };
            ids.into_iter().flatten().for_each(|id| self.set(category, id, &value));
        };
        if preferences.is_empty() {
            return say(EVERYTHING, false);
        }
        // A name that occurs twice counts with its last value, as everywhere.
        let said: BTreeMap<&str, bool> =
            preferences.iter().map(|(category, value)| (category, is_grant(value))).collect();
        for (category, granted) in said {
            if category != EVERYTHING && category.len() <= CATEGORY_BYTES_MAX {
                say(category, granted);
            }
        }
    }

    /// Merges another fragment's preferences in.
    pub fn merge(&mut self, other: &Self) {
        for (category, values) in &other.0 {
            for (id, value) in values {
                self.set(category, *id, value);
            }
        }
    }

    /// What counts for a profile, by category that was named: the newest refusal if any id of it refused, else the newest
    /// grant.
    pub fn current(&self) -> impl Iterator<Item = (&str, &ConsentValue)> {
        let named = self.0.keys().filter(|category| &***category != EVERYTHING);
        named.filter_map(|category| Some((&**category, self.counts(category, |_| true)?)))
    }

    /// What counts for a profile of a category, whether it was named or refused with everything: `None` if nothing was said
    /// about it.
    pub fn says(&self, category: &str) -> Option<bool> {
        self.counts(category, |_| true).map(|value| value.granted)
    }

    /// The same, without what was said for the ids of this event: `None` if no other id said anything about the category.
    pub fn says_beside(&self, category: &str, event: &EventView<'_>) -> Option<bool> {
        let own = ids(event);
        self.counts(category, |id| !own.contains(&Some(id))).map(|value| value.granted)
    }

    /// Of each id that is asked the newer one of what it said about the category and that it refused everything; of those, a
    /// refusal before a grant, then the newest.
    fn counts(&self, category: &str, is_asked: impl Fn(u64) -> bool) -> Option<&ConsentValue> {
        let (own, refused) = (self.0.get(category), self.0.get(EVERYTHING));
        let refusal = |id: &u64| refused.and_then(|values| values.get(id)).filter(|value| !value.granted);
        let own_values = own.into_iter().flatten().map(|(id, value)| match refusal(id) {
            Some(refusal) if refusal.age() > value.age() => (id, refusal),
            Some(_) | None => (id, value),
        });
        let refused_only = refused
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter(|id| own.is_none_or(|own| !own.contains_key(*id)))
            .filter_map(|id| Some((id, refusal(id)?)));
        let asked = own_values.chain(refused_only).filter(|(id, _)| is_asked(**id));
        asked.map(|(_, value)| value).max_by(|one, other| one.weight().cmp(&other.weight()))
    }

    /// Whether nothing was ever said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> u64 {
        self.0.iter().map(|(category, values)| (60 + category.len() + 120 * values.len()) as u64).sum()
    }

    /// How many categories were named.
    fn named(&self) -> usize {
        self.0.len() - usize::from(self.0.contains_key(EVERYTHING))
    }

    fn set(&mut self, category: &str, id: u64, value: &ConsentValue) {
        if !self.0.contains_key(category) {
            let is_past_last = self.0.last_key_value().is_some_and(|(last, _)| **last < *category);
            if self.named() >= CATEGORIES_MAX && is_past_last {
                return;
            }
            self.0.insert(category.into(), BTreeMap::new());
            if self.named() > CATEGORIES_MAX {
                self.0.pop_last();
            }
        }
        let Some(values) = self.0.get_mut(category) else { return };
        match values.get_mut(&id) {
            Some(have) if have.age() >= value.age() => {}
            Some(have) => have.clone_from(value),
            None => {
                values.insert(id, value.clone());
                if values.len() > IDS_MAX {
                    let least = values.iter().min_by(|one, other| one.1.weight().cmp(&other.1.weight()));
                    let least = least.map(|(id, _)| *id).expect("it was just filled");
                    values.remove(&least);
                }
            }
        }
    }
}

/// What an event says of consent itself, in `context.consent.categoryPreferences`: be it that everything is refused.
///
/// Where `consent` or `categoryPreferences` is neither an object nor null, somebody meant to say something that can't be read:
/// that refuses everything, as preferences that are empty do. So does an object with names that are no text.
#[derive(Default)]
pub struct Preferences<'a>(Members<'a>);

impl<'a> Preferences<'a> {
    /// Reads the members of an event; `None` if they say nothing, as most don't.
    pub fn of(event: &Members<'a>) -> Option<Self> {
        let context = event.get("context")?.get();
        if !may_state(context.as_bytes()) {
            return None;
        }
        let Ok(context) = Members::parse(context) else {
            // Something else than an object has no place for consent.
            return context.starts_with('{').then(Self::default);
        };
        let Ok(consent) = Members::parse(given(&context, "consent")?.get()) else {
            return Some(Self::default());
        };
        let preferences = given(&consent, "categoryPreferences")?;
        Some(Self(Members::parse(preferences.get()).unwrap_or_default()))
    }

    /// Whether they grant a category: one that they do not name is refused.
    pub fn grants(&self, category: &str) -> bool {
        self.0.get(category).is_some_and(is_grant)
    }
}

/// An event that states preferences itself, be they empty.
pub struct StatedConsent<'a> {
    event: EventView<'a>,
    preferences: Preferences<'a>,
}

impl<'a> StatedConsent<'a> {
    /// Reads a stored payload; `None` if it states no preferences, as most don't.
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        if !may_state(payload) {
            return None;
        }
        let event = EventView::parse(payload).ok()?;
        let preferences = Preferences::of(event.members())?;
        Some(Self { event, preferences })
    }

    /// The event.
    pub fn event(&self) -> &EventView<'a> {
        &self.event
    }

    /// Whether it grants a category: one that it does not name is refused.
    pub fn grants(&self, category: &str) -> bool {
        self.preferences.grants(category)
    }
}

/// A member that is there and not null.
fn given<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.get(name).filter(|value| !is_null(value))
}

/// Whether it is worth a closer look: most events state nothing, and this is asked of every event. A name can be written with
/// escapes.
fn may_state(json: &[u8]) -> bool {
    memchr::memmem::find(json, br#""consent""#).is_some() || memchr::memmem::find(json, br"\u").is_some()
}

fn is_grant(value: &RawValue) -> bool {
    value.get() == "true"
}

/// Whose preference an event states: hashes of its two ids.
fn ids(event: &EventView<'_>) -> [Option<u64>; 2] {
    let hash = |kind: u8, id: &str| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind]).update(id.as_bytes());
        let mut short = [0; 8];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_be_bytes(short)
    };
    [
        event.user_id.as_deref().map(|id| hash(b'u', id)),
        event.anonymous_id.as_deref().map(|id| hash(b'a', id)),
    ]
}

#[cfg(test)]
mod tests;
