//! What parties do, and how many profiles that leaves.
//!
//! Each scenario's count follows from three rules of the default identity rules:
//!
//! - *An identifier points to one profile.* Two events that share one meet in that profile.
//! - *Joining needs room.* Profiles that an event brings together become one if that one has at most one
//!   `user_id`, five `email` and five `anonymous_id`.
//! - *Where there is no room, the lowest identifier of the event gives way* (`anonymous_id`, then `email`), stays
//!   with its profile if it has one, and the rest is tried again.
//!
//! Parties share no identifier with one another, a store's tablet apart. Its part is reasoned at [`tablet`].

use crate::body::Content;
use crate::party::{Party, Standing, Traces};
use crate::person::{Device, Person};
use rand::RngExt;
use serde_json::{Value, json};

/// What a party may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scenario {
    Example,
    WebShopper,
    SecondDevice,
    NewsletterFirst,
    Guest,
    GuestReceipts,
    LoyaltyCard,
    TabletCustomer,
    Family,
    ManyDevices,
    CompanyBuyer,
}

/// Every scenario but the example, with how many parties in a hundred follow it.
pub(crate) const SHARES: [(Scenario, u32); 10] = [
    (Scenario::WebShopper, 22),
    (Scenario::SecondDevice, 16),
    (Scenario::NewsletterFirst, 8),
    (Scenario::Guest, 15),
    (Scenario::GuestReceipts, 8),
    (Scenario::LoyaltyCard, 9),
    (Scenario::TabletCustomer, 11),
    (Scenario::Family, 5),
    (Scenario::ManyDevices, 2),
    (Scenario::CompanyBuyer, 4),
];

impl Scenario {
    /// How many people it takes.
    pub(crate) const fn people(self) -> u64 {
        match self {
            Self::Family => 2,
            Self::Example
            | Self::WebShopper
            | Self::SecondDevice
            | Self::NewsletterFirst
            | Self::Guest
            | Self::GuestReceipts
            | Self::LoyaltyCard
            | Self::TabletCustomer
            | Self::ManyDevices
            | Self::CompanyBuyer => 1,
        }
    }
}

/// The place of a party: its store, and that store's tablet.
pub(crate) struct Place {
    pub(crate) store: u64,
    pub(crate) tablet: Device,
}

/// Plays a scenario to its end: its calls, and how many profiles they leave.
pub(crate) fn play(
    scenario: Scenario,
    mut party: Party<'_>,
    people: &[Person],
    place: &Place,
) -> (Traces, u64) {
    let party_ref = &mut party;
    let profiles = match (scenario, people) {
        (Scenario::Example, [person]) => example(party_ref, person, place),
        (Scenario::WebShopper, [person]) => web_shopper(party_ref, person),
        (Scenario::SecondDevice, [person]) => second_device(party_ref, person),
        (Scenario::NewsletterFirst, [person]) => newsletter_first(party_ref, person),
        (Scenario::Guest, [person]) => guest(party_ref, person),
        (Scenario::GuestReceipts, [person]) => guest_receipts(party_ref, person, place),
        (Scenario::LoyaltyCard, [person]) => loyalty_card(party_ref, person, place),
        (Scenario::TabletCustomer, [person]) => tablet(party_ref, person, place),
        (Scenario::Family, [first, second]) => family(party_ref, first, second),
        (Scenario::ManyDevices, [person]) => many_devices(party_ref, person),
        (Scenario::CompanyBuyer, [person]) => company_buyer(party_ref, person),
        (scenario, people) => unreachable!("{scenario:?} was given {} people", people.len()),
    };
    (party.leave(), profiles)
}

/// Looks around without saying who they are.
pub(crate) fn browses(party: &mut Party<'_>, person: &Person, device: &Device) {
    party.visit(person, device, Standing::Anonymous);
    party.does(&Content::Landing);
    let product = party.product();
    party.does(&Content::Viewed(product));
}

/// Signs in with an e-mail address, then does something without it.
pub(crate) fn signs_in(party: &mut Party<'_>, person: &Person, device: &Device, email: &str) {
    party.visit(person, device, Standing::SignedIn);
    party.identifies(traits_of(person, email));
    let product = party.product();
    party.does(&Content::ProductSeen(product));
}

pub(crate) fn traits_of(person: &Person, email: &str) -> Value {
    let (city, postal_code) = person.city;
    json!({
        "email": email,
        "name": format!("{} {}", person.given_name, person.family_name),
        "first_name": person.given_name,
        "last_name": person.family_name,
        "address": {"city": city, "postal_code": postal_code},
        "newsletter": person.index.is_multiple_of(3),
        "orders": person.index % 7,
    })
}

/// The address as somebody with a phone's keyboard writes it.
pub(crate) fn carelessly(email: &str) -> String {
    format!(" {} ", email.to_uppercase())
}

/// The first person of every day, whose profile is shown. One profile: the browser's and the phone's profiles
/// both meet the user id on sign-in, the newsletter's address is on the browser's profile already, and a
/// till knows the user id. One user id, one address and two devices are within every limit.
fn example(party: &mut Party<'_>, person: &Person, place: &Place) -> u64 {
    let browser = Device::browser(party.random(), person);
    let phone = Device::phone(party.random(), person);
    browses(party, person, &browser);
    party.identifies(json!({"email": carelessly(&person.email), "newsletter": true}));
    browses(party, person, &phone);
    party.visit(person, &browser, Standing::SignedIn);
    party.identifies(json!({
        "email": person.email,
        "name": format!("{} {}", person.given_name, person.family_name),
        "loyalty_tier": "bronze",
        "coupon": "WELCOME10",
        "address": {"city": person.city.0, "postal_code": person.city.1},
        "interests": ["coffee", "抹茶"],
        "account_number": 9_007_199_254_740_993_u64,
    }));
    let order = party.order();
    party.does(&order);
    party.visit(person, &phone, Standing::SignedIn);
    party.identifies(json!({"push_enabled": true, "coupon": null}));
    // Offline in the underground before all of that: the tier it brings is older and loses, the store is new.
    party.identifies_late(240, json!({"loyalty_tier": "none", "favourite_store": place.store}));
    party.visit(person, &Device::till(place.store), Standing::SignedIn);
    party.identifies(json!({"loyalty_tier": "silver"}));
    let order = party.order();
    party.does(&order);
    party.keeps("user_id", &person.user_id);
    party.keeps("email", &person.email);
    for device in [browser, phone] {
        party.keeps("anonymous_id", &device.anonymous_id.expect("browsers and phones have an id"));
    }
    1
}

/// Browses, then signs in on the same browser: one profile. Some change their address: a second `email` on it.
fn web_shopper(party: &mut Party<'_>, person: &Person) -> u64 {
    let browser = Device::browser(party.random(), person);
    browses(party, person, &browser);
    signs_in(party, person, &browser, &carelessly(&person.email));
    if party.chance(0.2) {
        party.identifies(json!({"email": person.further_email(), "email_changed": true}));
    }
    1
}

/// Browses on two devices, then signs in on both: the second sign-in finds the user id and the phone's own
/// profile, which become one. One profile.
fn second_device(party: &mut Party<'_>, person: &Person) -> u64 {
    let browser = Device::browser(party.random(), person);
    let phone = Device::phone(party.random(), person);
    browses(party, person, &browser);
    browses(party, person, &phone);
    signs_in(party, person, &browser, &person.email);
    signs_in(party, person, &phone, &person.email);
    let order = party.order();
    party.does(&order);
    1
}

/// Leaves only an address in the browser, and signs in with it on the phone alone: the address joins the two.
/// One profile.
fn newsletter_first(party: &mut Party<'_>, person: &Person) -> u64 {
    let browser = Device::browser(party.random(), person);
    let phone = Device::phone(party.random(), person);
    browses(party, person, &browser);
    party.identifies(json!({"email": person.email, "newsletter": true}));
    browses(party, person, &phone);
    signs_in(party, person, &phone, &carelessly(&person.email));
    1
}

/// Never signs in. Nothing ties one device to another, so each is a profile; unless the newsletter's
/// address is left on both, which is one profile.
fn guest(party: &mut Party<'_>, person: &Person) -> u64 {
    let mut devices = vec![Device::browser(party.random(), person)];
    if party.chance(0.4) {
        devices.push(Device::phone(party.random(), person));
    }
    let leaves_address = party.chance(0.3);
    for device in &devices {
        browses(party, person, device);
        if leaves_address {
            party.identifies(json!({"email": person.email}));
        }
    }
    if leaves_address { 1 } else { devices.len() as u64 }
}

/// Buys at the till without a card: the receipt's number is all there is, so a profile for each receipt.
fn guest_receipts(party: &mut Party<'_>, person: &Person, place: &Place) -> u64 {
    let receipts = if party.chance(0.3) { 2 } else { 1 };
    for _ in 0..receipts {
        let till = Device::till_with_receipt(party.random(), place.store);
        party.visit(person, &till, Standing::Anonymous);
        let order = party.order();
        party.does(&order);
    }
    receipts
}

/// Shows a loyalty card at the till (user id alone), another time asks for the receipt by e-mail without the
/// card (receipt and address: a second profile). Signing in on the web names user id and address together:
/// card's, receipt's and browser's profiles become one. Who never does so stays two.
fn loyalty_card(party: &mut Party<'_>, person: &Person, place: &Place) -> u64 {
    party.visit(person, &Device::till(place.store), Standing::SignedIn);
    let order = party.order();
    party.does(&order);
    let till = Device::till_with_receipt(party.random(), place.store);
    party.visit(person, &till, Standing::Anonymous);
    let order = party.order();
    party.does_with_email(&person.email, &order);
    if party.chance(0.5) {
        let browser = Device::browser(party.random(), person);
        browses(party, person, &browser);
        signs_in(party, person, &browser, &person.email);
        1
    } else {
        2
    }
}

/// Uses the tablet that the store's customers share: looks around, signs in, and leaves it to the next. Some
/// have a browser at home as well.
///
/// Whatever the order in which customers come, the tablet adds no profile. Until the first of them signs
/// in, its calls make one profile with its id alone; that sign-in takes it in (there is room: nobody here
/// has more than two devices). From then on the id has an owner. A later customer's sign-in would put a
/// second user id on the owner's profile, so the tablet's id gives way and user id and address stand for
/// themselves; the calls that follow name the user id, so they too leave the tablet's id where it is. What is
/// done there before a sign-in counts for the owner. So: one profile for each customer.
fn tablet(party: &mut Party<'_>, person: &Person, place: &Place) -> u64 {
    if party.chance(0.5) {
        let browser = Device::browser(party.random(), person);
        browses(party, person, &browser);
        signs_in(party, person, &browser, &person.email);
    }
    browses(party, person, &place.tablet);
    signs_in(party, person, &place.tablet, &person.email);
    1
}

/// Two people with one address. The second's sign-in would put a second user id on the first's profile: the
/// device's id gives way, that is not enough, the address gives way too, and the user id stands alone. The call
/// after that names user id and device without the address: a device of their own joins them then; the
/// first's device stays with the first. Either way two profiles, and the address stays with the first.
fn family(party: &mut Party<'_>, first: &Person, second: &Person) -> u64 {
    let shared = Device::browser(party.random(), first);
    browses(party, first, &shared);
    signs_in(party, first, &shared, &first.email);
    let seconds = if party.chance(0.5) { Device::phone(party.random(), second) } else { shared };
    browses(party, second, &seconds);
    signs_in(party, second, &seconds, &first.email);
    2
}

/// Signs in on seven devices in turn. The first five fit. From the sixth on the device's id gives way
/// whenever it comes with the user id; where somebody browsed on it before signing in, it has a profile of
/// its own, and keeps it. One profile, and one for each such device.
fn many_devices(party: &mut Party<'_>, person: &Person) -> u64 {
    let mut profiles = 1;
    for number in 1..=7 {
        let device = if number % 2 == 0 {
            Device::phone(party.random(), person)
        } else {
            Device::browser(party.random(), person)
        };
        if party.random().random_bool(0.6) {
            browses(party, person, &device);
            if number > 5 {
                profiles += 1;
            }
        }
        signs_in(party, person, &device, &person.email);
    }
    profiles
}

/// Buys for a company. The `group` call's traits are the company's: its address, which all its buyers share,
/// identifies nobody. The `alias` call names a device that the user id has already. One profile.
fn company_buyer(party: &mut Party<'_>, person: &Person) -> u64 {
    let browser = Device::browser(party.random(), person);
    browses(party, person, &browser);
    signs_in(party, person, &browser, &person.email);
    let company = party.random().random_range(0..crate::catalog::COMPANIES.len());
    party.does(&Content::Joined(company));
    let previous_id = browser.anonymous_id.expect("a browser has an id");
    party.does(&Content::Aliased { previous_id });
    let order = party.order();
    party.does(&order);
    1
}
