//! The events of a load, as a browser's SDK writes them: about 1,000 bytes each.
//!
//! One in ten is an `identify` with all three identifiers; the others are `track` and `page` calls, three quarters of
//! them with `userId` and `anonymousId`, one quarter (not logged in) with `anonymousId` alone. Seed, worker and
//! salt decide about everything but the time; the salt keeps message ids of different runs apart.

use crate::population::{Popularity, Population};
use crate::template::{Filling, Template};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Write;
use std::sync::Arc;
use tributary_model::EventKind;

/// The largest share of events without `userId`, in percent of `track` and `page` calls.
const ANONYMOUS_PERCENT: u32 = 25;

/// Which call an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who somebody is.
    Identify,
    /// What somebody did.
    Track,
    /// A page was seen.
    Page,
}

impl Kind {
    /// The value of `type`, and the last part of the path for a single event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
        }
    }

    /// The same in the words of the model.
    pub(crate) const fn of_model(self) -> EventKind {
        match self {
            Self::Identify => EventKind::Identify,
            Self::Track => EventKind::Track,
            Self::Page => EventKind::Page,
        }
    }

    /// The member that holds what the event tells.
    const fn member(self) -> &'static str {
        match self {
            Self::Identify => "traits",
            Self::Track | Self::Page => "properties",
        }
    }

    /// The member that names it.
    const fn name_member(self) -> Option<&'static str> {
        match self {
            Self::Identify => None,
            Self::Track => Some("event"),
            Self::Page => Some("name"),
        }
    }
}

/// What an event looks like.
#[derive(Debug)]
struct Shape {
    kind: Kind,
    name: &'static str,
    /// So many of a hundred events look like this.
    percent: u32,
    object: Template,
    context: Template,
}

/// An event that is decided on, but not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    person: u64,
    shape: usize,
    anonymous: bool,
    number: u32,
    serial: u64,
}

/// An endless stream of events.
#[derive(Debug)]
pub struct Events {
    population: Population,
    popularity: Popularity,
    shapes: Arc<[Shape]>,
    random: ChaCha8Rng,
    salt: u32,
    worker: u16,
    serial: u64,
}

/// The parts of an event, for wires that are no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) message_id: String,
    pub(crate) user_id: String,
    pub(crate) anonymous_id: String,
    /// Traits or properties, as JSON.
    pub(crate) object: Vec<u8>,
    /// As JSON.
    pub(crate) context: Vec<u8>,
}

impl Events {
    /// The events of one worker. Workers of one run share seed and salt.
    pub fn new(population: Population, seed: u64, salt: u32, worker: u16) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::from(worker));
        Self {
            popularity: Popularity::new(population.people()),
            population,
            shapes: shapes(),
            random,
            salt,
            worker,
            serial: 0,
        }
    }

    /// What happens next, and to whom: by popularity.
    pub fn choose(&mut self) -> Event {
        let person = self.popularity.pick(&mut self.random);
        let mut percent = self.random.random_range(0..100_u32);
        let shape = self.shapes.iter().position(|shape| {
            let here = percent < shape.percent;
            percent = percent.saturating_sub(shape.percent);
            here
        });
        let shape = shape.expect("the shapes' shares add up to a hundred");
        let logged_out = self.random.random_range(0..100_u32) < ANONYMOUS_PERCENT;
        let anonymous = self.shapes[shape].kind != Kind::Identify && logged_out;
        self.event(person, shape, anonymous)
    }

    /// This person's `identify` call, with all three identifiers.
    pub fn identify(&mut self, person: u64) -> Event {
        self.event(person, 0, false)
    }

    fn event(&mut self, person: u64, shape: usize, anonymous: bool) -> Event {
        self.serial += 1;
        Event { person, shape, anonymous, number: self.random.random(), serial: self.serial }
    }

    /// Which call it is.
    pub fn kind(&self, event: &Event) -> Kind {
        self.shapes[event.shape].kind
    }

    /// Its message id.
    pub fn message_id(&self, event: &Event) -> String {
        let mut bytes = Vec::with_capacity(48);
        self.write_message_id(event, &mut bytes);
        String::from_utf8(bytes).expect("ids are ASCII")
    }

    /// Writes the JSON object of an event that happened at `time` (RFC 3339).
    pub fn write(&self, event: &Event, time: &str, out: &mut Vec<u8>) {
        let shape = &self.shapes[event.shape];
        let filling = self.filling(event, time);
        put(out, format_args!("{{\"type\":\"{}\",\"messageId\":\"", shape.kind.name()));
        self.write_message_id(event, out);
        put(out, format_args!("\",\"timestamp\":\"{time}\",\"userId\":"));
        if event.anonymous {
            out.extend_from_slice(b"null");
        } else {
            out.push(b'"');
            self.population.write_user_id(event.person, out);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"anonymousId\":\"");
        self.population.write_anonymous_id(event.person, out);
        out.extend_from_slice(b"\",");
        if let Some(member) = shape.kind.name_member() {
            put(out, format_args!("\"{member}\":\"{}\",", shape.name));
        }
        put(out, format_args!("\"{}\":", shape.kind.member()));
        shape.object.write(&filling, out);
        out.extend_from_slice(b",\"context\":");
        shape.context.write(&filling, out);
        out.extend_from_slice(b",\"integrations\":{}}");
    }

    /// The parts of the same event.
    pub(crate) fn parts(&self, event: &Event, time: &str) -> Parts {
        let shape = &self.shapes[event.shape];
        let filling = self.filling(event, time);
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::with_capacity(48);
            write(&mut bytes);
            String::from_utf8(bytes).expect("ids are ASCII")
        };
        let json = |template: &Template| {
            let mut bytes = Vec::with_capacity(640);
            template.write(&filling, &mut bytes);
            bytes
        };
        let user_id = |out: &mut Vec<u8>| self.population.write_user_id(event.person, out);
        Parts {
            kind: shape.kind,
            name: shape.name,
            message_id: self.message_id(event),
            user_id: if event.anonymous { String::new() } else { text(&user_id) },
            anonymous_id: text(&|out: &mut Vec<u8>| self.population.write_anonymous_id(event.person, out)),
            object: json(&shape.object),
            context: json(&shape.context),
        }
    }

    fn filling<'a>(&'a self, event: &Event, time: &'a str) -> Filling<'a> {
        Filling { population: &self.population, person: event.person, number: event.number, time }
    }

    fn write_message_id(&self, event: &Event, out: &mut Vec<u8>) {
        let (salt, worker, serial) = (self.salt, self.worker, event.serial);
        put(out, format_args!("ajs-next-{salt:08x}-{worker:04x}-4000-8000-{serial:012x}"));
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes everything");
}

/// The first is the `identify` call.
fn shapes() -> Arc<[Shape]> {
    let shape = |kind, name, percent, object, context| Shape {
        kind,
        name,
        percent,
        object: Template::parse(object),
        context: Template::parse(context),
    };
    Arc::new([
        shape(Kind::Identify, "", 10, IDENTIFY, DESKTOP),
        shape(Kind::Track, "Product Viewed", 30, PRODUCT, DESKTOP),
        shape(Kind::Track, "Product Added", 12, PRODUCT, PHONE),
        shape(Kind::Track, "Order Completed", 4, ORDER, DESKTOP),
        shape(Kind::Page, "Home", 20, HOME, PHONE),
        shape(Kind::Page, "Product", 24, VIEW, DESKTOP),
    ])
}

const IDENTIFY: &str = concat!(
    r#"{"email":"<email>","firstName":"<name>","plan":"pro","newsletter":true,"logins":<number>,"#,
    r#""lastSeen":"<time>","basketValue":<price>,"favourite":"<product>","loyaltyTier":"silver","language":"de","#,
    r#""address":{"city":"Berlin","country":"DE","postalCode":"10115"},"createdAt":"2024-03-01T08:15:00.000Z"}"#
);
const PRODUCT: &str = concat!(
    r#"{"product_id":"<product>","sku":"<product>","name":"Espresso cup, 80 ml, stoneware","category":"kitchen","#,
    r#""brand":"Tonwerk","variant":"sand","price":<price>,"quantity":1,"currency":"EUR","position":<number>,"#,
    r#""url":"https://shop.example/kitchen/<product>","image_url":"https://img.shop.example/<product>.webp"}"#
);
const ORDER: &str = concat!(
    r#"{"order_id":"O-<number>-<product>","affiliation":"web","total":<price>,"revenue":<price>,"shipping":4.9,"tax":7.98,"#,
    r#""discount":0,"coupon":null,"currency":"EUR","products":[{"product_id":"<product>","name":"Espresso cup","#,
    r#""price":<price>,"quantity":2},{"product_id":"SKU-00017","name":"Saucer","price":6.5,"quantity":2}]}"#
);
const HOME: &str = concat!(
    r#"{"path":"/","url":"https://shop.example/?utm_source=newsletter&utm_campaign=autumn","title":"Home","#,
    r#""search":"?utm_source=newsletter&utm_campaign=autumn","referrer":"https://mail.example/","#,
    r#""teaser":"<product>","slot":<number>,"experiment":"teaser-order","variant":"b"}"#
);
const VIEW: &str = concat!(
    r#"{"path":"/kitchen/<product>","url":"https://shop.example/kitchen/<product>","title":"Espresso cup, 80 ml","#,
    r#""search":"","referrer":"https://shop.example/kitchen","category":"kitchen","in_stock":true,"price":<price>,"#,
    r#""scrolled_percent":<number>}"#
);
const DESKTOP: &str = concat!(
    r#"{"page":{"path":"/kitchen/<product>","referrer":"https://shop.example/kitchen","search":"","#,
    r#""title":"Espresso cup, 80 ml","url":"https://shop.example/kitchen/<product>"},"#,
    r#""userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36","#,
    r#""locale":"de-DE","timezone":"Europe/Berlin","library":{"name":"analytics.js","version":"npm:next-1.84.3"}}"#
);
const PHONE: &str = concat!(
    r#"{"page":{"path":"/","referrer":"https://mail.example/","search":"?utm_source=newsletter","title":"Home","#,
    r#""url":"https://shop.example/?utm_source=newsletter"},"campaign":{"source":"newsletter","name":"autumn"},"#,
    r#""userAgent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1","#,
    r#""locale":"de-DE","timezone":"Europe/Berlin","library":{"name":"analytics.js","version":"npm:next-1.84.3"}}"#
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::{BTreeMap, BTreeSet};

    const TIME: &str = "2026-11-20T10:00:00.250Z";

    fn json(events: &Events, event: &Event) -> (usize, Value) {
        let mut bytes = Vec::new();
        events.write(event, TIME, &mut bytes);
        (bytes.len(), serde_json::from_slice(&bytes).expect("JSON"))
    }

    #[test]
    fn events_are_of_the_size_and_mix_that_is_promised() {
        let mut events = Events::new(Population::new(1, 1_000), 1, 9, 0);
        let (mut bytes, mut kinds, mut anonymous) = (0, BTreeMap::<String, u32>::new(), 0);
        for _ in 0..4_000 {
            let event = events.choose();
            let (size, value) = json(&events, &event);
            bytes += size;
            anonymous += u32::from(value["userId"].is_null());
            *kinds.entry(value["type"].as_str().expect("a type").to_owned()).or_default() += 1;
        }
        let mean = bytes / 4_000;
        assert!((900..=1_100).contains(&mean), "{mean}");
        assert!((300..500).contains(&kinds["identify"]), "{kinds:?}");
        assert!((1_650..2_030).contains(&kinds["track"]), "{kinds:?}");
        assert!((1_570..1_950).contains(&kinds["page"]), "{kinds:?}");
        assert!((750..1_050).contains(&anonymous), "{anonymous}");
    }

    #[test]
    fn an_identify_call_ties_all_three_identifiers() {
        let population = Population::new(1, 1_000);
        let mut events = Events::new(population, 1, 9, 3);
        let event = events.identify(17);
        let (_, value) = json(&events, &event);
        assert_eq!(value["userId"], population.user_id(17));
        assert_eq!(value["messageId"], "ajs-next-00000009-0003-4000-8000-000000000001");
        assert!(value["traits"]["email"].as_str().expect("an address").contains("customer.17."));
        assert_eq!(value["anonymousId"].as_str().expect("an id").len(), 36);
        assert_eq!(value["timestamp"], TIME);
    }

    #[test]
    fn seed_and_worker_decide_and_no_message_id_comes_twice() {
        let take = |seed, worker| {
            let mut events = Events::new(Population::new(1, 1_000), seed, 9, worker);
            (0..50).map(|_| events.choose()).collect::<Vec<_>>()
        };
        assert_eq!(take(1, 0), take(1, 0));
        assert_ne!(take(1, 0), take(1, 1));
        assert_ne!(take(1, 0), take(2, 0));
        let mut ids = BTreeSet::new();
        for worker in 0..3 {
            let mut events = Events::new(Population::new(1, 1_000), 1, 9, worker);
            for _ in 0..50 {
                let event = events.choose();
                ids.insert(events.parts(&event, TIME).message_id);
            }
        }
        assert_eq!(ids.len(), 150);
    }

    #[test]
    fn parts_say_what_the_object_says() {
        let mut events = Events::new(Population::new(1, 1_000), 1, 9, 0);
        for _ in 0..200 {
            let event = events.choose();
            let (_, value) = json(&events, &event);
            let parts = events.parts(&event, TIME);
            let object: Value = serde_json::from_slice(&parts.object).expect("JSON");
            let context: Value = serde_json::from_slice(&parts.context).expect("JSON");
            assert_eq!(value[parts.kind.member()], object);
            assert_eq!(value["context"], context);
            assert_eq!(value["userId"].as_str().unwrap_or_default(), parts.user_id);
            assert_eq!(value["anonymousId"], parts.anonymous_id);
            assert_eq!(value["messageId"], parts.message_id);
            let named = parts.kind.name_member().map_or("", |member| value[member].as_str().expect("a name"));
            assert_eq!(named, parts.name);
        }
    }
}
