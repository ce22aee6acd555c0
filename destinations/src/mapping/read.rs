//! JSON text read one level deep, without being made into anything.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use tributary_model::json::depth;

/// How deep a value may be that is taken apart as a whole: JSON in a text, an answer, what is flattened or searched.
pub(crate) const DEPTH_MAX: usize = 64;

/// Of what type a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    Bool(bool),
    Number,
    Text,
    List,
    Object,
}

/// The type of a JSON text.
pub(super) fn shape(json: &str) -> Shape {
    match json.trim_ascii_start().as_bytes().first() {
        Some(b'"') => Shape::Text,
        Some(b'{') => Shape::Object,
        Some(b'[') => Shape::List,
        Some(b't') => Shape::Bool(true),
        Some(b'f') => Shape::Bool(false),
        Some(b'n') | None => Shape::Null,
        Some(_) => Shape::Number,
    }
}

/// A JSON text's member of that name, the last one if there are several; `None` if there is none, or it is no object.
pub(super) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    if shape(json) != Shape::Object {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    Member { name }.deserialize(&mut reader).ok()?
}

/// The members of a JSON text that is an object, each name once: of several the last counts.
pub(super) fn members(json: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let raw: RawMembers<'_> = serde_json::from_str(json).ok()?;
    Some(unique(raw.0, Wins::Last))
}

/// The members of a JSON text that is a list.
pub(super) fn items(json: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// The text of a JSON text that is one. What can't be decoded (half of a surrogate pair) stays as it was written.
pub(super) fn text(json: &str) -> Cow<'_, str> {
    let json = json.trim_ascii();
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str::<String>(json).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// JSON text with U+FFFD for every half of a surrogate pair that stands alone, which no text can hold.
pub(super) fn paired(json: &str) -> Cow<'_, str> {
    let mut paired = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json.as_bytes().get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let start = at + found;
        at = match unit(json, start) {
            // Another escape: it takes two bytes, of which the second may be a backslash.
            None => start + 2,
            Some(0xD800..=0xDBFF) if matches!(unit(json, start + 6), Some(0xDC00..=0xDFFF)) => start + 12,
            Some(0xD800..=0xDFFF) => {
                paired.push_str(&json[copied..start]);
                paired.push('\u{fffd}');
                copied = start + 6;
                copied
            }
            Some(_) => start + 6,
        };
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    paired.push_str(&json[copied..]);
    Cow::Owned(paired)
}

/// The unit of UTF-16 that the escape there, `\ud83d`, stands for; `None` if there is none.
fn unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

/// Whether a text is JSON, and no deeper than JSON in a text may be.
pub(super) fn is_json(text: &str) -> bool {
    json_depth(text).is_some_and(|depth| depth <= DEPTH_MAX)
}

/// How deep lists and objects lie within each other; `None` if the text is no JSON. It takes no stack, however deep that is.
pub(crate) fn json_depth(text: &str) -> Option<usize> {
    serde_json::from_str::<&RawValue>(text).is_ok().then(|| depth(text.as_bytes()))
}

/// Which of several values under one name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wins {
    First,
    Last,
}

/// Members with each name once, at the place where it stood first.
pub(super) fn unique<V>(mut members: Vec<(Cow<'_, str>, V)>, wins: Wins) -> Vec<(Cow<'_, str>, V)> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    // Stable: places of one name stay in their order.
    order.sort_by(|left, right| members[*left].0.cmp(&members[*right].0));
    let mut is_dropped = vec![false; members.len()];
    let mut has_dropped = false;
    let mut kept = 0;
    for (at, place) in order.iter().copied().enumerate().skip(1) {
        if members[order[kept]].0 != members[place].0 {
            kept = at;
            continue;
        }
        has_dropped = true;
        is_dropped[place] = true;
        if wins == Wins::Last {
            // Their names are equal: what changes places is the values.
            members.swap(order[kept], place);
        }
    }
    if !has_dropped {
        return members;
    }
    members.into_iter().zip(is_dropped).filter(|(_, dropped)| !dropped).map(|(member, _)| member).collect()
}

struct Member<'n> {
    name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(self.name))? {
            if is_it {
                found = Some(map.next_value::<&'de RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a member's name is this one.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a member name")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(text == self.0)
    }
}

/// The members of an object in their order, repeated names included.
struct RawMembers<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = RawMembers<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(name) = map.next_key_seed(AnyName)? {
                    members.push((name, map.next_value::<&'de RawValue>()?.get()));
                }
                Ok(RawMembers(members))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A member's name, borrowed where it has no escapes.
struct AnyName;

impl<'de> DeserializeSeed<'de> for AnyName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for AnyName {
    type Value = Cow<'de, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
