//! The people of a day, and what they hold in their hands.

use crate::call::Channel;
use crate::catalog::{CITIES, FAMILY_NAMES, GIVEN_NAMES, LOCALES};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for. Each has streams of its own, so that none depends on another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Person,
    Wave,
    Tablet,
    Crowd,
}

/// The random numbers of one thing of the day.
pub(crate) fn random_of(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(index.wrapping_mul(4).wrapping_add(purpose as u64));
    random
}

/// A true person.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) index: u64,
    pub(crate) user_id: String,
    /// Normalized.
    pub(crate) email: String,
    pub(crate) given_name: &'static str,
    pub(crate) family_name: &'static str,
    pub(crate) city: (&'static str, &'static str),
    pub(crate) locale: (&'static str, &'static str),
}

impl Person {
    /// The person of that index. Ids hold the index, so that no two people share one by chance.
    pub(crate) fn of(seed: u64, index: u64) -> Self {
        let mut random = random_of(seed, Purpose::Person, index);
        let tag: u32 = random.random();
        Self {
            index,
            user_id: format!("cus_{tag:08x}{index:x}"),
            email: format!("customer.{index}.{:04x}@mail.example", tag & 0xffff),
            given_name: pick(&mut random, &GIVEN_NAMES),
            family_name: pick(&mut random, &FAMILY_NAMES),
            city: pick(&mut random, &CITIES),
            locale: pick(&mut random, &LOCALES),
        }
    }

    /// The person's mobile number, as people write one.
    pub(crate) fn phone_number(&self) -> String {
        format!("+49 151 {:08}", self.index % 100_000_000)
    }

    /// A further address of the same person.
    pub(crate) fn further_email(&self) -> String {
        format!("new.{}", self.email)
    }
}

/// One of several.
pub(crate) fn pick<T: Copy>(random: &mut impl Rng, from: &[T]) -> T {
    from[random.random_range(0..from.len())]
}

/// A version 4 UUID in lower case.
pub(crate) fn uuid(random: &mut impl Rng) -> String {
    let bits: u128 = random.random();
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A browser, a phone, a till or a tablet.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) channel: Channel,
    /// The `anonymousId` of its calls. A till has none of its own: one for each receipt, where a receipt asks for it.
    pub(crate) anonymous_id: Option<String>,
    /// What the hardware itself is called, where the SDK tells it: `context.device.id`.
    pub(crate) hardware_id: Option<String>,
    pub(crate) locale: (&'static str, &'static str),
    /// Which of the fixed models it is.
    pub(crate) model: usize,
}

impl Device {
    /// Somebody's browser.
    pub(crate) fn browser(random: &mut impl Rng, owner: &Person) -> Self {
        Self {
            channel: Channel::Web,
            anonymous_id: Some(uuid(random)),
            hardware_id: None,
            locale: owner.locale,
            model: random.random_range(0..4),
        }
    }

    /// Somebody's phone. Its SDK writes ids in upper case.
    pub(crate) fn phone(random: &mut impl Rng, owner: &Person) -> Self {
        Self {
            channel: Channel::Ios,
            anonymous_id: Some(uuid(random).to_uppercase()),
            hardware_id: None,
            locale: owner.locale,
            model: random.random_range(0..4),
        }
    }

    /// Somebody's phone, whose SDK tells which hardware it is.
    pub(crate) fn named_phone(random: &mut impl Rng, owner: &Person) -> Self {
        Self { hardware_id: Some(uuid(random).to_uppercase()), ..Self::phone(random, owner) }
    }

    /// The same hardware after its app was reset: under a new `anonymousId`.
    pub(crate) fn reset(&self, random: &mut impl Rng) -> Self {
        Self { anonymous_id: Some(uuid(random).to_uppercase()), ..self.clone() }
    }

    /// What tells the device from others: its hardware's id, else its `anonymousId`. A till has neither.
    pub(crate) fn id(&self) -> Option<&str> {
        self.hardware_id.as_deref().or(self.anonymous_id.as_deref())
    }

    /// A till of a store, for somebody who says who they are.
    pub(crate) fn till(store: u64) -> Self {
        Self {
            channel: Channel::PointOfSale,
            anonymous_id: None,
            hardware_id: None,
            locale: LOCALES[0],
            model: slot(store),
        }
    }

    /// A till of a store, for somebody who doesn't: the receipt's number stands for them.
    pub(crate) fn till_with_receipt(random: &mut impl Rng, store: u64) -> Self {
        Self { anonymous_id: Some(format!("receipt-{}", uuid(random))), ..Self::till(store) }
    }

    /// The tablet that a store's customers share.
    pub(crate) fn tablet(seed: u64, store: u64) -> Self {
        let mut random = random_of(seed, Purpose::Tablet, store);
        Self { anonymous_id: Some(format!("tablet-{}", uuid(&mut random))), ..Self::till(store) }
    }

    /// A kiosk of a store: one of many, for people in turn.
    pub(crate) fn kiosk(random: &mut impl Rng, store: u64) -> Self {
        Self { anonymous_id: Some(format!("kiosk-{}", uuid(random))), ..Self::till(store) }
    }
}

/// A store's number within the ten that have a city.
fn slot(store: u64) -> usize {
    usize::try_from(store % CITIES.len() as u64).expect("below ten")
}
