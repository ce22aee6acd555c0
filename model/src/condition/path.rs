//! Where in a JSON object a value stands.

use super::text::words;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Names of members, one within the other. Written with dots, `address.city`; a dot or a backslash within a name has a
/// backslash before it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<Box<str>>);

/// The text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPath {
    /// A name is empty.
    #[error("a name in a path is empty; write names with one dot between two")]
    Empty,
    /// More names than the limit, or a very long text.
    #[error("a path has at most 16 names and 1000 bytes")]
    TooLong,
    /// A backslash before something else.
    #[error("a backslash stands before a dot or a backslash only")]
    Escape,
}

/// The path can lead nowhere in any event; reads on from where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOfEvents {
    /// Events have no member of its first name.
    #[error("begins with `{head}`, which is no member of an event; write {instead}")]
    Head {
        /// The first name.
        head: String,
        /// What is likely to be meant.
        instead: String,
    },
    /// A name begins or ends with a blank.
    #[error("has a blank around a name; write {0}")]
    Blank(String),
    /// A name is to stand for any.
    #[error(
        "holds `*`, which stands for nothing here; write {0} for all that is in it, or each name by itself"
    )]
    Wildcard(String),
    /// A name has an index behind it.
    #[error("holds an index, but a list on the way stands for each of its elements; write {0}")]
    Index(String),
}

/// Members of events that conditions take in quotes only: traits, which look like those of the profile there, and what
/// SDKs send of themselves.
const QUOTED_HEADS: [&str; 3] = ["traits", "_metadata", "writeKey"];

const NAMES_MAX: usize = 16;
const BYTES_MAX: usize = 1000;

impl FieldPath {
    /// Of these names.
    ///
    /// # Errors
    /// If there is none, one is empty, or they are over the limit.
    pub fn new<S: Into<Box<str>>>(names: impl IntoIterator<Item = S>) -> Result<Self, NotAPath> {
        let names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        if names.is_empty() || names.iter().any(|name| name.is_empty()) {
            return Err(NotAPath::Empty);
        }
        if names.len() > NAMES_MAX || names.iter().map(|name| name.len()).sum::<usize>() > BYTES_MAX {
            return Err(NotAPath::TooLong);
        }
        Ok(Self(names))
    }

    /// The first name.
    pub fn head(&self) -> &str {
        self.0.first().expect("a path has a name")
    }

    /// The names after the first.
    pub fn rest(&self) -> &[Box<str>] {
        self.0.get(1..).unwrap_or_default()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Whether it can lead to something in an event: it begins with a member that events have, and is not written as in
    /// another language of paths.
    ///
    /// # Errors
    /// Why it can lead nowhere, and what to write instead.
    pub fn check_in_events(&self) -> Result<(), NotOfEvents> {
        if self.names().any(|name| name.trim() != name) {
            return Err(NotOfEvents::Blank(self.meant()));
        }
        if self.names().any(|name| name.contains('*')) {
            return Err(NotOfEvents::Wildcard(self.meant()));
        }
        if self.names().any(|name| without_index(name) != name) {
            return Err(NotOfEvents::Index(self.meant()));
        }
        if is_head(self.head()) {
            return Ok(());
        }
        Err(NotOfEvents::Head { head: self.head().to_owned(), instead: self.meant() })
    }

    /// The path in an event that it is likely to stand for.
    fn meant(&self) -> String {
        let names = self.names().map(|name| without_index(name.trim()).trim());
        let names = names.filter(|name| !name.is_empty() && *name != "$" && !name.contains('*'));
        let Ok(path) = Self::new(names) else { return "properties.total".to_owned() };
        let text = path.to_string();
        if is_head(path.head()) {
            return text;
        }
        let near = words::nearest(path.head(), ["traits"].into_iter());
        match (near, text.split_once('.')) {
            (Some(near), Some((_, rest))) => format!("{near}.{rest}"),
            (Some(near), None) => near.to_owned(),
            (None, _) => words::instead_of_field(&text),
        }
    }
}

fn is_head(name: &str) -> bool {
    words::is_event_field(name) || QUOTED_HEADS.contains(&name)
}

/// A name without the indexes, slices and quoted names in brackets behind it. Other brackets are part of the name.
fn without_index(name: &str) -> &str {
    let Some((before, index)) = name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) else {
        return name;
    };
    // `interests[]` is a name that forms give.
    let is_index = !index.is_empty()
        && index.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'*'))
        || index.starts_with(['"', '\'', '?']);
    if is_index { without_index(before) } else { name }
}

impl FromStr for FieldPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let mut names = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let name = names.last_mut().expect("there is one");
            match character {
                '.' => names.push(String::new()),
                '\\' => match characters.next() {
                    Some(escaped @ ('.' | '\\')) => name.push(escaped),
                    _ => return Err(NotAPath::Escape),
                },
                other => name.push(other),
            }
        }
        Self::new(names)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                out.write_str(".")?;
            }
            for character in name.chars() {
                if matches!(character, '.' | '\\') {
                    out.write_str("\\")?;
                }
                write!(out, "{character}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{self}`")
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        let cases: [(&str, Result<&[&str], NotAPath>); 7] = [
            ("a", Ok(&["a"])),
            ("a.b c.é", Ok(&["a", "b c", "é"])),
            (r"a\.b.c\\d", Ok(&["a.b", r"c\d"])),
            ("", Err(NotAPath::Empty)),
            ("a..b", Err(NotAPath::Empty)),
            (r"a\b", Err(NotAPath::Escape)),
            ("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", Err(NotAPath::TooLong)),
        ];
        for (text, want) in cases {
            let got: Result<FieldPath, _> = text.parse();
            match (got, want) {
                (Ok(path), Ok(names)) => {
                    assert_eq!(path.names().collect::<Vec<_>>(), names);
                    assert_eq!(path.to_string(), text);
                }
                (got, want) => assert_eq!(got.err(), want.err(), "{text}"),
            }
        }
    }

    #[test]
    fn paths_that_lead_nowhere_in_events_are_told_with_what_is_meant() {
        let good = [
            "properties",
            "properties.card",
            "userId",
            "traits.email",
            "context.page.url",
            "integrations.All",
            "originalTimestamp",
            "_metadata.bundled",
            "writeKey",
            "properties.$browser",
            "properties.first name",
            "properties.user[email]",
            "properties.price [EUR]",
            "properties.interests[]",
            r"properties.a\.b.c\\d",
        ];
        for text in good {
            let path: FieldPath = text.parse().expect(text);
            assert_eq!(path.check_in_events(), Ok(()), "{text}");
        }
        let bad = [
            ("$.properties.card", "begins with `$`", "write properties.card"),
            ("$", "begins with `$`", "write properties.total"),
            ("propertie.card", "begins with `propertie`", "write properties.card"),
            ("Properties.card", "begins with `Properties`", "write properties.card"),
            ("Traits.email", "begins with `Traits`", "write traits.email"),
            ("trait", "begins with `trait`", "write traits"),
            ("total", "begins with `total`", "write properties.total"),
            (r"a\.b", r"begins with `a.b`", r"write properties.a\.b"),
            (" properties.card", "a blank around", "write properties.card"),
            ("properties. card", "a blank around", "write properties.card"),
            ("properties.*", "`*`", "write properties for all"),
            ("*", "`*`", "write properties.total"),
            ("properties.card*", "`*`", "write properties for all"),
            ("properties.y[0]", "an index", "write properties.y"),
            ("properties.y[2].z[1][-1]", "an index", "write properties.y.z"),
            ("properties['card']", "an index", "write properties"),
        ];
        for (text, part, hint) in bad {
            let path: FieldPath = text.parse().expect(text);
            let error = path.check_in_events().expect_err(text).to_string();
            assert!(error.contains(part) && error.contains(hint), "{text}: {error}");
        }
    }
}
