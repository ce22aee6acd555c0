//! Why it may be hard to tell who somebody is.

use crate::body::Content;
use crate::party::{Party, Standing, Traces};
use crate::person::{Device, Person, pick};
use crate::scenario::{self, Place, Scenario, browses, signs_in, traits_of};
use serde_json::json;

/// Why a person's identity may be hard to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Circumstance {
    /// None: browses, signs in, has a device or two, buys in a store with a loyalty card.
    Shopper,
    /// Never signs in.
    Guest,
    /// Signs in on seven devices, more than the default limit allows.
    ManyDevices,
    /// Two people with one e-mail address, often on one device, which both go on to use without signing in.
    FamilyAddress,
    /// A phone whose owner lends it once to somebody who signs in on it.
    LentPhone,
    /// A phone number that was somebody else's before.
    RecycledNumber,
    /// A store's tablet for customers, who sign in one after the other.
    StoreTablet,
    /// A kiosk that tells who signs in, and after that only which kiosk it is.
    Kiosk,
    /// An app that is reset whenever somebody leaves: a new anonymous id each time, on the same hardware.
    KioskApp,
    /// A tester's user id that a release named for all its first visitors.
    QaUserId,
    /// A release that sends a placeholder, `undefined`, where the user id is missing.
    PlaceholderId,
}

/// How many parties in a hundred are in each.
const SHARES: [(Circumstance, u32); 11] = [
    (Circumstance::Shopper, 64),
    (Circumstance::Guest, 12),
    (Circumstance::ManyDevices, 2),
    (Circumstance::FamilyAddress, 5),
    (Circumstance::LentPhone, 4),
    (Circumstance::RecycledNumber, 3),
    (Circumstance::StoreTablet, 3),
    (Circumstance::Kiosk, 3),
    (Circumstance::KioskApp, 2),
    (Circumstance::QaUserId, 1),
    (Circumstance::PlaceholderId, 1),
];

/// What ordinary shoppers do, and what guests do.
const SHOPPING: [Scenario; 5] = [
    Scenario::WebShopper,
    Scenario::SecondDevice,
    Scenario::NewsletterFirst,
    Scenario::LoyaltyCard,
    Scenario::CompanyBuyer,
];
const VISITING: [Scenario; 2] = [Scenario::Guest, Scenario::GuestReceipts];

impl Circumstance {
    /// Every circumstance.
    pub const ALL: [Self; 11] = [
        Self::Shopper,
        Self::Guest,
        Self::ManyDevices,
        Self::FamilyAddress,
        Self::LentPhone,
        Self::RecycledNumber,
        Self::StoreTablet,
        Self::Kiosk,
        Self::KioskApp,
        Self::QaUserId,
        Self::PlaceholderId,
    ];

    /// A name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shopper => "ordinary shoppers",
            Self::Guest => "guests",
            Self::ManyDevices => "many devices",
            Self::FamilyAddress => "family address",
            Self::LentPhone => "lent phone",
            Self::RecycledNumber => "recycled number",
            Self::StoreTablet => "store tablet",
            Self::Kiosk => "kiosk",
            Self::KioskApp => "kiosk app, reset",
            Self::QaUserId => "tester's user id",
            Self::PlaceholderId => "placeholder id",
        }
    }

    /// How many people meet in it.
    pub(crate) const fn people(self) -> u64 {
        match self {
            Self::Shopper | Self::Guest | Self::ManyDevices => 1,
            Self::FamilyAddress | Self::LentPhone | Self::RecycledNumber => 2,
            Self::PlaceholderId => 3,
            Self::KioskApp => 4,
            Self::StoreTablet | Self::Kiosk => 5,
            Self::QaUserId => 6,
        }
    }

    /// The circumstance of a party, by a throw below a hundred.
    pub(crate) fn by_share(dice: u32) -> Self {
        let mut left = dice;
        for (circumstance, share) in SHARES {
            if left < share {
                return circumstance;
            }
            left -= share;
        }
        unreachable!("the shares add up to a hundred")
    }
}

/// Plays a circumstance to its end.
pub(crate) fn play(
    circumstance: Circumstance,
    mut party: Party<'_>,
    people: &[Person],
    place: &Place,
) -> Traces {
    let ordinary = match circumstance {
        Circumstance::Shopper => Some(pick(party.random(), &SHOPPING)),
        Circumstance::Guest => Some(pick(party.random(), &VISITING)),
        Circumstance::ManyDevices => Some(Scenario::ManyDevices),
        Circumstance::FamilyAddress => pair(family_address, &mut party, people),
        Circumstance::LentPhone => pair(lent_phone, &mut party, people),
        Circumstance::RecycledNumber => pair(recycled_number, &mut party, people),
        Circumstance::StoreTablet => store_tablet(&mut party, people, place),
        Circumstance::Kiosk => kiosk(&mut party, people, place),
        Circumstance::KioskApp => kiosk_app(&mut party, people),
        Circumstance::QaUserId => qa_user_id(&mut party, people),
        Circumstance::PlaceholderId => placeholder_id(&mut party, people),
    };
    match ordinary {
        Some(scenario) => scenario::play(scenario, party, people, place).0,
        None => party.leave(),
    }
}

/// What is left to play: nothing.
type Played = Option<Scenario>;

fn pair(play: fn(&mut Party<'_>, &Person, &Person), party: &mut Party<'_>, people: &[Person]) -> Played {
    let [first, second] = people else { unreachable!("it was given {} people", people.len()) };
    play(party, first, second);
    None
}

/// Looks at so many products under one standing.
fn looks(party: &mut Party<'_>, person: &Person, device: &Device, standing: Standing, products: usize) {
    party.visit(person, device, standing);
    for _ in 0..products {
        let product = party.product();
        party.does(&Content::Viewed(product));
    }
}

/// Both sign in with the first one's address: on one browser, or each on a device of their own. Afterwards each goes
/// on without signing in, on the device that they used last.
fn family_address(party: &mut Party<'_>, first: &Person, second: &Person) {
    let firsts = Device::browser(party.random(), first);
    let seconds = if party.chance(0.5) { Device::phone(party.random(), second) } else { firsts.clone() };
    browses(party, first, &firsts);
    signs_in(party, first, &firsts, &first.email);
    looks(party, first, &firsts, Standing::Anonymous, 2);
    browses(party, second, &seconds);
    signs_in(party, second, &seconds, &first.email);
    looks(party, second, &seconds, Standing::Anonymous, 3);
}

/// The friend signs in once; the owner goes on, and half of them sign in again sooner or later.
fn lent_phone(party: &mut Party<'_>, owner: &Person, friend: &Person) {
    let phone = Device::named_phone(party.random(), owner);
    browses(party, owner, &phone);
    signs_in(party, owner, &phone, &owner.email);
    looks(party, owner, &phone, Standing::Anonymous, 3);
    signs_in(party, friend, &phone, &friend.email);
    looks(party, owner, &phone, Standing::Anonymous, 4);
    if party.chance(0.5) {
        signs_in(party, owner, &phone, &owner.email);
        looks(party, owner, &phone, Standing::Anonymous, 2);
    }
}

/// Whoever has the number now leaves it as a guest before opening an account: until then nothing tells the two apart.
fn recycled_number(party: &mut Party<'_>, before: &Person, now: &Person) {
    let number = before.phone_number();
    let befores = Device::browser(party.random(), before);
    browses(party, before, &befores);
    party.visit(before, &befores, Standing::SignedIn);
    let mut traits = traits_of(before, &before.email);
    traits["phone"] = json!(number);
    party.identifies(traits);

    let nows = Device::browser(party.random(), now);
    browses(party, now, &nows);
    party.identifies(json!({"phone": number.replace(' ', "-")}));
    let order = party.order();
    party.does(&order);
    party.visit(now, &nows, Standing::SignedIn);
    let mut traits = traits_of(now, &now.email);
    traits["phone"] = json!(number);
    party.identifies(traits);
    looks(party, now, &nows, Standing::Anonymous, 3);
}

/// Everybody looks around first, then signs in; as long as somebody is signed in, each call says so.
fn store_tablet(party: &mut Party<'_>, people: &[Person], place: &Place) -> Played {
    let tablet = Device::kiosk(party.random(), place.store);
    for person in people {
        browses(party, person, &tablet);
        signs_in(party, person, &tablet, &person.email);
    }
    None
}

/// Three in four sign in, half of them at once; the others leave as they came. Some know their way from home.
fn kiosk(party: &mut Party<'_>, people: &[Person], place: &Place) -> Played {
    let kiosk = Device::kiosk(party.random(), place.store);
    for person in people {
        if party.chance(0.4) {
            let browser = Device::browser(party.random(), person);
            browses(party, person, &browser);
            signs_in(party, person, &browser, &person.email);
        }
        let leaves_as_they_came = party.chance(0.25);
        if leaves_as_they_came || party.chance(0.5) {
            browses(party, person, &kiosk);
        }
        if !leaves_as_they_came {
            party.visit(person, &kiosk, Standing::SignedIn);
            party.identifies(traits_of(person, &person.email));
            looks(party, person, &kiosk, Standing::Anonymous, 3);
        }
    }
    None
}

/// As at a kiosk, but nobody finds the anonymous id of the one before: only the hardware is the same.
fn kiosk_app(party: &mut Party<'_>, people: &[Person]) -> Played {
    let [first, ..] = people else { unreachable!("a kiosk's app is for somebody") };
    let hardware = Device::named_phone(party.random(), first);
    for person in people {
        let app = hardware.reset(party.random());
        browses(party, person, &app);
        if party.chance(0.75) {
            signs_in(party, person, &app, &person.email);
            looks(party, person, &app, Standing::Anonymous, 2);
        }
    }
    None
}

/// Under the tester's user id first; once that is put right, everybody signs in with their own.
fn qa_user_id(party: &mut Party<'_>, people: &[Person]) -> Played {
    let [first, ..] = people else { unreachable!("a release is for somebody") };
    let user_id = format!("qa-tester-{}", first.index);
    under_wrong_id(party, people, &user_id)
}

/// The same with a text that stands for nobody.
fn placeholder_id(party: &mut Party<'_>, people: &[Person]) -> Played {
    under_wrong_id(party, people, "undefined")
}

fn under_wrong_id(party: &mut Party<'_>, people: &[Person], user_id: &str) -> Played {
    let browsers: Vec<Device> = people.iter().map(|person| Device::browser(party.random(), person)).collect();
    for (person, browser) in people.iter().zip(&browsers) {
        let told = Person { user_id: user_id.to_owned(), ..person.clone() };
        looks(party, &told, browser, Standing::SignedIn, 2);
    }
    for (person, browser) in people.iter().zip(&browsers) {
        signs_in(party, person, browser, &person.email);
        looks(party, person, browser, Standing::Anonymous, 2);
    }
    None
}
