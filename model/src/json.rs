//! JSON objects read one level deep, with the members' own bytes kept.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members of a JSON object in their order, each value as the bytes that stood there. Numbers are never
/// converted. A name that occurs twice counts with its last value, as in every common parser.
#[derive(Debug, Clone, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// If the text is no JSON object.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The value of a member; the last one if the name occurs more than once.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(have, _)| have == name).map(|(_, value)| *value)
    }

    /// The text of a member that is a JSON string; `None` if it is missing or of another type.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        as_text(self.get(name)?)
    }

    /// The members of a member that is an object; `None` if it is missing or of another type.
    pub fn object(&self, name: &str) -> Option<Members<'a>> {
        Members::parse(self.get(name)?.get()).ok()
    }

    /// Every member in order, repeated names included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// How many members there are, repeated names included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The text of a value that is a JSON string, escapes resolved; `None` for any other value.
pub fn as_text(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.bytes().any(|byte| byte == b'\\') {
        serde_json::from_str::<String>(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Whether the value is the literal `null`.
pub fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// How deeply objects and lists are nested in a JSON text; a flat object is 1 deep. It takes no stack, however deep that is.
pub fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_bytes_and_takes_the_last_of_repeated_names() {
        let text = r#"{"a": 9007199254740993, "b":{"x":[1, 2]},"a":"\u0061\n","c":"plain", "d":null}"#;
        let members = Members::parse(text).expect("an object");
        assert_eq!(members.text("a").as_deref(), Some("a\n"));
        assert_eq!(members.object("b").and_then(|b| b.get("x")).map(RawValue::get), Some("[1, 2]"));
        assert_eq!(members.text("c").as_deref(), Some("plain"));
        assert!(members.get("d").is_some_and(is_null));
        assert_eq!(members.text("d"), None);
        assert_eq!(members.iter().next().map(|(_, value)| value.get()), Some("9007199254740993"));
        assert!(Members::parse("[]").is_err());
        assert!(Members::parse("{} x").is_err());
    }

    #[test]
    fn depth_counts_what_is_nested_and_no_text() {
        let cases = [
            ("7", 0),
            ("{}", 1),
            (r#"{"a":[{"b":1}],"c":{}}"#, 3),
            (r#"{"a":"[[[{","b":"\"[["}"#, 1),
            ("]]]]{", 1),
        ];
        for (text, want) in cases {
            assert_eq!(depth(text.as_bytes()), want, "{text}");
        }
    }
}
