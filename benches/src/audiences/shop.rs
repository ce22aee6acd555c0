//! A shop's events of many names, and audiences over them, each about other events and traits: as in practice, an event
//! concerns some of them.
//!
//! Everything follows from numbers: two shops of equal size give the same bytes.

use super::workspace::{START, WORKSPACE, audience};
use crate::population::{Popularity, Population, mix};
use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tributary_model::event::AcceptedEvent;
use tributary_model::workspace::Audience;
use tributary_model::{EventKind, Marks, MessageId, Record, SourceId};

/// The calls about something that was done or seen, and how many of a thousand events each is.
const CALLS: [(EventKind, &str, u64); 27] = [
    (EventKind::Track, "Product Viewed", 230),
    (EventKind::Track, "Product List Viewed", 110),
    (EventKind::Track, "Product Clicked", 80),
    (EventKind::Page, "Product", 80),
    (EventKind::Page, "Category", 70),
    (EventKind::Track, "Products Searched", 60),
    (EventKind::Track, "Product Added", 60),
    (EventKind::Page, "Home", 60),
    (EventKind::Track, "Cart Viewed", 30),
    (EventKind::Track, "Application Opened", 30),
    (EventKind::Track, "Promotion Viewed", 24),
    (EventKind::Page, "Cart", 20),
    (EventKind::Track, "Checkout Started", 16),
    (EventKind::Track, "Product Removed", 12),
    (EventKind::Track, "Order Completed", 12),
    (EventKind::Track, "Checkout Step Viewed", 10),
    (EventKind::Track, "Checkout Step Completed", 8),
    (EventKind::Track, "Product Added to Wishlist", 6),
    (EventKind::Track, "Payment Info Entered", 6),
    (EventKind::Track, "Promotion Clicked", 4),
    (EventKind::Track, "Coupon Entered", 3),
    (EventKind::Track, "Coupon Applied", 2),
    (EventKind::Track, "Product Shared", 2),
    (EventKind::Track, "Product Reviewed", 2),
    (EventKind::Track, "Wishlist Product Added to Cart", 1),
    (EventKind::Track, "Coupon Denied", 1),
    (EventKind::Track, "Order Refunded", 1),
];
/// How many of a thousand events say who somebody is.
#[cfg(test)]
const IDENTIFY: u64 = 60;
/// How many traits such an event sets, beside the address.
const TRAITS_SET: u64 = 6;

const TRAITS: [&str; 24] = [
    "plan",
    "loyalty_tier",
    "price_sensitivity",
    "churn_risk",
    "engagement",
    "coffee_affinity",
    "tea_affinity",
    "tableware_affinity",
    "equipment_affinity",
    "sweets_affinity",
    "gift_affinity",
    "discount_affinity",
    "return_rate",
    "basket_size",
    "visit_frequency",
    "newsletter_interest",
    "app_usage",
    "store_usage",
    "support_contacts",
    "referral_activity",
    "review_activity",
    "wishlist_activity",
    "credit",
    "satisfaction",
];
const LEVELS: [&str; 8] = ["none", "low", "medium", "high", "bronze", "silver", "gold", "platinum"];
const CATEGORIES: [&str; 20] = [
    "coffee",
    "tea",
    "tableware",
    "equipment",
    "sweets",
    "gifts",
    "kettles",
    "grinders",
    "filters",
    "cups",
    "glasses",
    "spoons",
    "textiles",
    "books",
    "chocolate",
    "syrups",
    "biscuits",
    "storage",
    "cleaning",
    "vouchers",
];
const BRANDS: [&str; 12] = [
    "Tonwerk",
    "Blaue Stunde",
    "Notte",
    "Soleil",
    "Nordlicht",
    "Terra",
    "Alba",
    "Kiln",
    "Roast",
    "Leaf",
    "Steam",
    "Grove",
];
/// The windows of audiences. No event is older than the shortest when the last one comes, so none leaves any.
const WINDOWS: [&str; 4] = ["7d", "14d", "30d", "90d"];
/// How long it takes at most from the first event to the last.
const SPAN_MICROS: i64 = 6 * 86_400_000_000;
/// How far apart events are, unless that would take longer.
const SPACING_MICROS: i64 = 1_000_000;

/// An endless stream of a shop's events.
pub(super) struct Shop {
    population: Population,
    popularity: Popularity,
    random: ChaCha8Rng,
    spacing_micros: i64,
    number: u64,
}

impl Shop {
    /// The shop of so many people, in which so many events happen.
    pub(super) fn new(people: u64, events: u64) -> Self {
        let events = i64::try_from(events.max(1)).unwrap_or(i64::MAX);
        Self {
            population: Population::new(1, people),
            popularity: Popularity::new(people),
            random: ChaCha8Rng::seed_from_u64(1),
            spacing_micros: SPACING_MICROS.min(SPAN_MICROS / events),
            number: 0,
        }
    }

    /// Somebody's first call, with every identifier and trait.
    pub(super) fn sign_up(&mut self, person: u64) -> Bytes {
        let traits = self.traits(person, 0, 0..TRAITS.len() as u64);
        self.identify(person, traits)
    }

    /// What happens next, and to whom: a few people have most of it.
    pub(super) fn event(&mut self) -> Bytes {
        let person = self.popularity.pick(&mut self.random);
        let dice = mix(self.number ^ 0x7368_6f70);
        let mut share = dice % 1_000;
        for (kind, name, per_mille) in CALLS {
            if share < per_mille {
                return self.call(person, dice, kind, name);
            }
            share -= per_mille;
        }
        // Now and then somebody is no longer as before.
        let change = u64::from((dice / 1_000).is_multiple_of(10));
        let set = (0..TRAITS_SET).map(|turn| mix(dice ^ turn) % TRAITS.len() as u64);
        let traits = self.traits(person, change, set);
        self.identify(person, traits)
    }

    fn identify(&mut self, person: u64, traits: Value) -> Bytes {
        let body = json!({
            "userId": self.text(person, Population::write_user_id),
            "anonymousId": self.text(person, Population::write_anonymous_id),
            "traits": traits,
            "context": context("/account"),
        });
        self.record(EventKind::Identify, body)
    }

    fn call(&mut self, person: u64, dice: u64, kind: EventKind, name: &str) -> Bytes {
        let sku = format!("SKU-{:05}", dice / 7 % 20_000);
        let category = one_of(&CATEGORIES, dice / 11);
        let path = format!("/{category}/{sku}");
        let mut body = json!({
            "anonymousId": self.text(person, Population::write_anonymous_id),
            "properties": {
                "product_id": sku,
                "name": "Espresso cup, 80 ml, stoneware",
                "category": category,
                "brand": one_of(&BRANDS, dice / 13),
                "variant": "sand",
                "price": (dice / 17 % 18_000) as f64 / 100.0,
                "quantity": 1 + dice / 19 % 3,
                "currency": "EUR",
                "position": dice / 23 % 40,
                "url": format!("https://shop.example{path}"),
            },
            "context": context(&path),
        });
        let member = if kind == EventKind::Page { "name" } else { "event" };
        body[member] = name.into();
        // A quarter comes of those who are not signed in.
        if !(dice / 29).is_multiple_of(4) {
            body["userId"] = self.text(person, Population::write_user_id).into();
        }
        self.record(kind, body)
    }

    fn record(&mut self, kind: EventKind, mut body: Value) -> Bytes {
        let number = self.number;
        self.number += 1;
        let id = format!("ajs-next-00000000-0000-4000-8000-{number:012x}");
        body["type"] = kind.name().into();
        body["messageId"] = id.as_str().into();
        let passed = i64::try_from(number).expect("a bench ends sooner") * self.spacing_micros;
        let at = START.plus_micros(passed);
        let event = AcceptedEvent {
            workspace: WORKSPACE,
            workspace_version: 1,
            source: SourceId(1),
            kind,
            message_id: MessageId::parse(&id).expect("a short text"),
            received_at: at,
            event_time: at,
            marks: Marks::default(),
            anchor_hash: None,
            payload: body.to_string().into(),
        };
        Record::from_event(event).encode()
    }

    fn traits(&self, person: u64, change: u64, set: impl Iterator<Item = u64>) -> Value {
        let mut traits = json!({"email": self.text(person, Population::write_email)});
        for number in set {
            let level = self.population.hash(person, 16 + number).wrapping_add(change);
            traits[*one_of(&TRAITS, number)] = (*one_of(&LEVELS, level)).into();
        }
        traits
    }

    fn text(&self, person: u64, write: fn(&Population, u64, &mut Vec<u8>)) -> String {
        let mut bytes = Vec::with_capacity(40);
        write(&self.population, person, &mut bytes);
        String::from_utf8(bytes).expect("the population writes ASCII")
    }
}

fn context(path: &str) -> Value {
    json!({
        "page": {
            "path": path,
            "referrer": "https://shop.example/",
            "title": "Espresso cup, 80 ml",
            "url": format!("https://shop.example{path}"),
        },
        "userAgent": concat!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) ",
            "Chrome/142.0.0.0 Safari/537.36"
        ),
        "locale": "de-DE",
        "timezone": "Europe/Berlin",
        "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
    })
}

/// What the audiences behind the first ten are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// The shop, as the first ten are: an event concerns the more of them, the more there are.
    Shop,
    /// Calls and traits that the shop never sends: an event concerns as many as if they were not there.
    Elsewhere,
}

/// How many audiences are about the shop in any case.
const OF_SHOP: u32 = 10;

/// The first so many audiences. They are spread evenly over calls, traits and kinds of conditions.
///
/// # Errors
/// If one of them is refused.
pub(super) fn audiences(count: u32, others: Others) -> anyhow::Result<Vec<Audience>> {
    let define = |number: u32| {
        let mut definition = definition(u64::from(number));
        if others == Others::Elsewhere && number >= OF_SHOP {
            definition = definition.replace("\")", " elsewhere\")").replace("traits.", "traits.elsewhere_");
        }
        audience(number + 1, &definition, number.is_multiple_of(2))
    };
    (0..count).map(define).collect()
}

fn definition(number: u64) -> String {
    // Begun so that each of the first ten is touched about as often as each of the others.
    let (one, other) = (pattern(number * 7 + 1), pattern(number * 7 + 12));
    let turn = number / 8;
    let (this, that) = (one_of(&TRAITS, turn * 5 + number % 8), one_of(&TRAITS, turn * 5 + number % 8 + 7));
    let level = |next: u64| one_of(&LEVELS, turn / 5 + next);
    let (category, brand) = (one_of(&CATEGORIES, turn * 3), one_of(&BRANDS, turn * 5));
    let window = one_of(&WINDOWS, turn);
    match number % 8 {
        0 => format!(r#"count({one} where properties.category = "{category}" within {window}) >= 2"#),
        1 => format!("{one} within {window} and not {other} within 7d"),
        2 => format!(r#"traits.{this} = "{}" and {one} within {window}"#, level(0)),
        3 => {
            format!(r#"sum({one}.properties.price where properties.brand = "{brand}" within {window}) > 100"#)
        }
        4 => format!(
            r#"traits.{this} in ("{}", "{}") and traits.{that} != "{}""#,
            level(0),
            level(1),
            level(2)
        ),
        5 => format!("{one} where properties.price > 60 and not {other} within {window}"),
        6 => format!("sequence({one} then {other} within 2d) within {window}"),
        _ => format!("unique_count({one}.properties.product_id within {window}) >= 3"),
    }
}

/// A call in the text form of conditions.
fn pattern(number: u64) -> String {
    let (kind, name, _) = one_of(&CALLS, number);
    let call = if *kind == EventKind::Page { "page" } else { "event" };
    format!("{call}(\"{name}\")")
}

fn one_of<T>(all: &[T], number: u64) -> &T {
    let place = usize::try_from(number % all.len() as u64).expect("below the length");
    &all[place]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tributary_model::EventView;

    #[test]
    fn the_mix_is_as_it_says() {
        let shares: u64 = CALLS.iter().map(|(_, _, per_mille)| per_mille).sum();
        assert_eq!(shares + IDENTIFY, 1_000);
        let mut shop = Shop::new(500, 20_000);
        let (mut bytes, mut names, mut last) = (0, BTreeMap::<String, u32>::new(), START);
        for _ in 0..20_000 {
            let record = Record::decode(&shop.event()).expect("a record");
            let event = EventView::parse(&record.payload).expect("an event");
            let name = event.event_name().or_else(|| event.members().text("name"));
            let name = name.map_or_else(|| "identify".to_owned(), |name| name.into_owned());
            *names.entry(name).or_default() += 1;
            bytes += record.payload.len();
            last = record.envelope.event_time;
        }
        assert!((700..1_100).contains(&(bytes / 20_000)), "{}", bytes / 20_000);
        assert!((4_300..4_900).contains(&names["Product Viewed"]), "{names:?}");
        assert!((1_050..1_350).contains(&names["identify"]), "{names:?}");
        assert!((180..300).contains(&names["Order Completed"]), "{names:?}");
        assert!(last.micros_since(START) < SPAN_MICROS, "{last}");
    }

    #[test]
    fn audiences_are_all_different_and_many_begin_like_few() {
        let all = audiences(200, Others::Shop).expect("conditions");
        let definitions: BTreeSet<String> =
            all.iter().map(|audience| audience.definition.to_string()).collect();
        assert_eq!(definitions.len(), 200);
        assert_eq!(audiences(10, Others::Shop).expect("conditions"), all[..10]);
        let elsewhere = audiences(200, Others::Elsewhere).expect("conditions");
        assert_eq!(elsewhere[..10], all[..10]);
        assert!(elsewhere[10..].iter().all(|audience| !all.contains(audience)));
    }
}
