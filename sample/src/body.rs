//! Calls as the SDKs of each channel write them.

mod json;

use crate::call::{CallKind, Channel};
use crate::catalog::{CITIES, COMPANIES, PHONES, PRODUCTS, Product, USER_AGENTS};
use crate::person::{Device, uuid};
use json::Json;
use rand::Rng;
use serde_json::{Map, Value};

/// Who a call says it is from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) user_id: Option<&'a str>,
    pub(crate) anonymous_id: Option<&'a str>,
    /// `context.traits.email`.
    pub(crate) context_email: Option<&'a str>,
}

/// What a call tells.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Landing,
    ProductSeen(&'static Product),
    Viewed(&'static Product),
    Added(&'static Product, u32),
    Searched(&'static str),
    AppOpened,
    Ordered { number: String, lines: Vec<(&'static Product, u32)> },
    Reviewed(&'static Product, u32),
    Identified(Map<String, Value>),
    Joined(usize),
    Aliased { previous_id: String },
}

impl Content {
    /// Which call tells it on a channel. Looking at something is a page on the web, and a screen elsewhere.
    pub(crate) fn kind(&self, channel: Channel) -> CallKind {
        match self {
            Self::Landing | Self::ProductSeen(_) if channel == Channel::Web => CallKind::Page,
            Self::Landing | Self::ProductSeen(_) => CallKind::Screen,
            Self::Viewed(_)
            | Self::Added(..)
            | Self::Searched(_)
            | Self::AppOpened
            | Self::Ordered { .. }
            | Self::Reviewed(..) => CallKind::Track,
            Self::Identified(_) => CallKind::Identify,
            Self::Joined(_) => CallKind::Group,
            Self::Aliased { .. } => CallKind::Alias,
        }
    }
}

/// The JSON object of one call. `at` is when it happened, in milliseconds since 1970.
pub(crate) fn render(
    random: &mut impl Rng,
    device: &Device,
    claim: Claim<'_>,
    at: jiff::Timestamp,
    content: &Content,
) -> String {
    let channel = device.channel;
    let kind = content.kind(channel);
    let mut json = Json::new(channel == Channel::PointOfSale);
    json.text("type", kind.name());
    match channel {
        Channel::Web => {
            json.text("messageId", &format!("ajs-next-{}-{}", at.as_millisecond(), uuid(random)));
            json.text("timestamp", &format!("{at:.3}"));
        }
        Channel::Ios => {
            json.text("messageId", &uuid(random).to_uppercase());
            json.text("timestamp", &format!("{at:.3}"));
        }
        Channel::PointOfSale => {
            json.text("messageId", &uuid(random));
            json.text("timestamp", &format!("{at:.3}").replace('Z', "+00:00"));
        }
    }
    for (name, id) in [("userId", claim.user_id), ("anonymousId", claim.anonymous_id)] {
        match id {
            Some(id) => json.text(name, id),
            // Server SDKs write both and leave one null, the others leave it out.
            None if channel == Channel::PointOfSale => json.raw(name, "null"),
            None => {}
        }
    }
    write_content(&mut json, content, channel);
    write_context(&mut json, device, claim.context_email, content);
    json.open("integrations");
    json.close();
    if channel == Channel::Web {
        json.open("_metadata");
        json.raw("bundled", r#"["Segment.io"]"#);
        json.raw("unbundled", "[]");
        json.close();
    }
    json.finish()
}

fn write_content(json: &mut Json, content: &Content, channel: Channel) {
    match content {
        Content::Landing | Content::ProductSeen(_) => write_view(json, content, channel),
        Content::Viewed(product) => track(json, "Product Viewed", |json| write_product(json, product, None)),
        Content::Added(product, quantity) => {
            track(json, "Product Added", |json| write_product(json, product, Some(*quantity)));
        }
        Content::Searched(query) => track(json, "Products Searched", |json| json.text("query", query)),
        Content::AppOpened => track(json, "Application Opened", |json| {
            json.raw("from_background", "false");
            json.text("version", "4.2.1");
            json.raw("referring_application", "null");
        }),
        Content::Ordered { number, lines } => {
            track(json, "Order Completed", |json| write_order(json, number, lines))
        }
        Content::Reviewed(product, rating) => track(json, "Product Reviewed", |json| {
            json.text("product_id", product.sku);
            json.raw("rating", &rating.to_string());
            json.text("review_body", "Sehr gut 👍\nGerne wieder.");
        }),
        Content::Identified(traits) => {
            json.raw("traits", &serde_json::to_string(traits).expect("a JSON value can be written"));
        }
        Content::Joined(company) => {
            let (group_id, name, email) = COMPANIES[*company];
            json.text("groupId", group_id);
            json.open("traits");
            json.text("name", name);
            json.text("email", email);
            json.raw("employees", "140");
            json.close();
        }
        Content::Aliased { previous_id } => json.text("previousId", previous_id),
    }
}

fn write_view(json: &mut Json, content: &Content, channel: Channel) {
    let (path, title) = view(content);
    if channel == Channel::Web {
        json.text("name", title);
        json.open("properties");
        json.text("path", &path);
        json.text("url", &format!("https://shop.example{path}"));
        json.text("title", title);
        json.text("search", "");
        json.text("referrer", "https://search.example/");
        json.close();
    } else {
        json.text("name", title);
        json.open("properties");
        if let Content::ProductSeen(product) = content {
            write_product(json, product, None);
        }
        json.close();
    }
}

/// Path and title of what is looked at.
fn view(content: &Content) -> (String, &'static str) {
    if let Content::ProductSeen(product) = content {
        (format!("/{}/{}", product.category, product.sku), product.name)
    } else {
        ("/".to_owned(), "Home")
    }
}

fn track(json: &mut Json, event: &str, properties: impl FnOnce(&mut Json)) {
    json.text("event", event);
    json.open("properties");
    properties(json);
    json.close();
}

fn write_product(json: &mut Json, product: &Product, quantity: Option<u32>) {
    json.text("product_id", product.sku);
    json.text("name", product.name);
    json.text("category", product.category);
    json.raw("price", &euros(product.price_cents));
    json.text("currency", "EUR");
    if let Some(quantity) = quantity {
        json.raw("quantity", &quantity.to_string());
    }
}

fn write_order(json: &mut Json, number: &str, lines: &[(&'static Product, u32)]) {
    let total: u32 = lines.iter().map(|(product, quantity)| product.price_cents * quantity).sum();
    json.text("order_id", number);
    json.text("currency", "EUR");
    json.raw("total", &euros(total));
    json.raw("revenue", &euros(total));
    json.raw("discount", "0");
    json.raw("coupon", "null");
    json.open_list("products");
    for (product, quantity) in lines {
        json.open_item();
        write_product(json, product, Some(*quantity));
        json.close();
    }
    json.close_list();
}

/// An amount with two decimals, as JSON number.
fn euros(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn write_context(json: &mut Json, device: &Device, email: Option<&str>, content: &Content) {
    let (locale, timezone) = device.locale;
    json.open("context");
    match device.channel {
        Channel::Web => {
            let (path, title) = view(content);
            json.open("page");
            json.text("path", &path);
            json.text("referrer", "https://search.example/");
            json.text("search", "");
            json.text("title", title);
            json.text("url", &format!("https://shop.example{path}"));
            json.close();
            json.text("userAgent", USER_AGENTS[device.model]);
            json.text("locale", locale);
            json.text("timezone", timezone);
            write_library(json, "analytics.js", "npm:next-1.84.3");
        }
        Channel::Ios => {
            json.open("app");
            json.text("name", "Shop");
            json.text("version", "4.2.1");
            json.text("namespace", "example.shop.app");
            json.close();
            json.open("device");
            if let Some(id) = &device.hardware_id {
                json.text("id", id);
            }
            json.text("manufacturer", "Apple");
            json.text("model", PHONES[device.model]);
            json.text("type", "ios");
            json.close();
            json.open("os");
            json.text("name", "iOS");
            json.text("version", "18.1");
            json.close();
            json.open("network");
            json.raw("wifi", "true");
            json.raw("cellular", "false");
            json.close();
            json.text("locale", locale);
            json.text("timezone", timezone);
            write_library(json, "analytics-swift", "1.6.2");
        }
        Channel::PointOfSale => {
            json.open("store");
            json.text("city", CITIES[device.model].0);
            json.close();
            write_library(json, "analytics-python", "2.4.0");
        }
    }
    if let Some(email) = email {
        json.open("traits");
        json.text("email", email);
        json.close();
    }
    json.close();
}

fn write_library(json: &mut Json, name: &str, version: &str) {
    json.open("library");
    json.text("name", name);
    json.text("version", version);
    json.close();
}

/// Something to look at or to buy, chosen by a number.
pub(crate) fn product_at(number: usize) -> &'static Product {
    &PRODUCTS[number % PRODUCTS.len()]
}
