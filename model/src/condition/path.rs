//! Where in a JSON object a value stands.

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
}
