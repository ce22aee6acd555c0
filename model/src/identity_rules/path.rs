//! Where in an event an identifier stands.
//!
//! A path is `userId`, `anonymousId`, or a member of `traits`, `properties` or `context`:
//! `context.integrations['Google Analytics'].clientId`. A name with other characters than letters, digits, `_`, `-`
//! and `$` is quoted, in either kind of quotes. Arrays are not looked into; `context.externalIds` alone is one.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::fmt;

/// The limit on the length of a path, in bytes.
const PATH_BYTES_MAX: usize = 256;
/// The limit on the names in a path, after the first.
const KEYS_MAX: usize = 8;

/// A place in an event that identifiers are read from, and what else has to stand in the event for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePath {
    pub(super) path: Path,
    /// By path, so that the same conditions are equal.
    pub(super) when: Vec<(Path, Scalar)>,
}

/// A place in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    /// `userId`.
    UserId,
    /// `anonymousId`.
    AnonymousId,
    /// A member of one of the objects, or of an object in it, and so on.
    Member(Root, Vec<Box<str>>),
}

/// The objects of an event that paths lead into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// Those of an identify call; others are not a person's.
    Traits,
    Properties,
    Context,
}

/// A value that a condition compares with: texts without regard to ASCII case, the others as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Flag(bool),
    Number(i64),
    Text(String),
}

impl Root {
    const ALL: [Self; 3] = [Self::Traits, Self::Properties, Self::Context];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Traits => "traits",
            Self::Properties => "properties",
            Self::Context => "context",
        }
    }
}

impl SourcePath {
    /// A path with its conditions, in any order.
    pub(super) fn new(path: Path, mut when: Vec<(Path, Scalar)>) -> Self {
        when.sort_by_cached_key(|(path, _)| path.to_string());
        Self { path, when }
    }

    /// `context.externalIds`: the entries of its collection `users` whose type is the namespace's name.
    pub(super) fn external_ids() -> Self {
        Self::new(Path::Member(Root::Context, vec!["externalIds".into()]), Vec::new())
    }
}

impl Path {
    /// Reads a path as it is written.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("has {} bytes; the limit is {PATH_BYTES_MAX}", text.len()));
        }
        let (first, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
        let keys = keys(rest)?;
        if keys.len() > KEYS_MAX {
            return Err(format!("is {} names deep; the limit is {KEYS_MAX}", keys.len()));
        }
        let root = Root::ALL.into_iter().find(|root| root.name() == first);
        match (first, root) {
            ("userId", _) if keys.is_empty() => Ok(Self::UserId),
            ("anonymousId", _) if keys.is_empty() => Ok(Self::AnonymousId),
            (_, Some(root)) if !keys.is_empty() => Ok(Self::Member(root, keys)),
            (_, Some(_)) => Err(format!("names no member; write `{first}.email` for instance")),
            _ => Err("is none of `userId`, `anonymousId`, `traits.…`, `properties.…`, `context.…`; \
                      identifiers are read from nowhere else"
                .to_owned()),
        }
    }

    /// Whether it leads to `context.externalIds`.
    pub(super) fn is_external_ids(&self) -> bool {
        match self {
            Self::Member(Root::Context, keys) => matches!(&keys[..], [key] if &**key == "externalIds"),
            Self::Member(Root::Traits | Root::Properties, _) | Self::UserId | Self::AnonymousId => false,
        }
    }
}

/// The names after the first: `.name` or `['name']` each.
fn keys(mut rest: &str) -> Result<Vec<Box<str>>, String> {
    let mut keys = Vec::new();
    while !rest.is_empty() {
        let key;
        (key, rest) = match rest.strip_prefix('.') {
            Some(after) => plain(after)?,
            None => quoted(rest)?,
        };
        if key.is_empty() {
            return Err("has an empty name; write `traits.email` for instance".to_owned());
        }
        keys.push(key.into());
    }
    Ok(keys)
}

/// A name up to the next dot or bracket, and what follows.
fn plain(text: &str) -> Result<(&str, &str), String> {
    let (key, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
    match key.chars().all(is_plain) {
        true => Ok((key, rest)),
        false => Err("has a name with unusual characters; put it in brackets and quotes: \
                      `context.integrations['Google Analytics'].clientId` for instance"
            .to_owned()),
    }
}

/// A name in brackets and quotes, and what follows.
fn quoted(text: &str) -> Result<(&str, &str), String> {
    for (opening, closing) in [("['", "']"), ("[\"", "\"]")] {
        if let Some((key, rest)) = text.strip_prefix(opening).and_then(|text| text.split_once(closing)) {
            return Ok((key, rest));
        }
    }
    Err("has a `[` or `]` in the wrong place; a name in brackets is quoted, as in \
         `context.integrations['Google Analytics'].clientId`, and arrays are not looked into (but for \
         `context.externalIds`)"
        .to_owned())
}

fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '$')
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserId => out.write_str("userId"),
            Self::AnonymousId => out.write_str("anonymousId"),
            Self::Member(root, keys) => {
                out.write_str(root.name())?;
                keys.iter().try_for_each(|key| match key.chars().all(is_plain) {
                    true => write!(out, ".{key}"),
                    false if key.contains('\'') => write!(out, "[\"{key}\"]"),
                    false => write!(out, "['{key}']"),
                })
            }
        }
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The path as a text; with conditions, `{"path":"…","when":{"…":"…"}}`.
impl Serialize for SourcePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct When<'a>(&'a [(Path, Scalar)]);

        impl Serialize for When<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(path, value)| (path, value)))
            }
        }

        if self.when.is_empty() {
            return self.path.serialize(serializer);
        }
        let mut conditional = serializer.serialize_struct("SourcePath", 2)?;
        conditional.serialize_field("path", &self.path)?;
        conditional.serialize_field("when", &When(&self.when))?;
        conditional.end()
    }
}

/// Where the default table reads a namespace from, `context.externalIds` apart. Nowhere, if it doesn't know it.
pub(super) fn standard(namespace: &str) -> Vec<SourcePath> {
    let device = |member: &str, system: &str, tracking: bool| {
        let condition = |member: &str, value| (known(&format!("context.device.{member}")), value);
        let mut when = vec![condition("type", Scalar::Text(system.to_owned()))];
        if tracking {
            when.push(condition("adTrackingEnabled", Scalar::Flag(true)));
        }
        vec![SourcePath::new(known(&format!("context.device.{member}")), when)]
    };
    match namespace {
        "user_id" => plain_paths(&["userId"]),
        "email" => plain_paths(&["traits.email", "context.traits.email"]),
        "anonymous_id" => plain_paths(&["anonymousId"]),
        "ga_client_id" => plain_paths(&["context.integrations['Google Analytics'].clientId"]),
        "android.id" => device("id", "android", false),
        "android.idfa" => device("advertisingId", "android", true),
        "android.push_token" => device("token", "android", false),
        "ios.id" => device("id", "ios", false),
        "ios.idfa" => device("advertisingId", "ios", true),
        "ios.push_token" => device("token", "ios", false),
        _ => Vec::new(),
    }
}

fn plain_paths(texts: &[&str]) -> Vec<SourcePath> {
    texts.iter().map(|text| SourcePath::new(known(text), Vec::new())).collect()
}

fn known(text: &str) -> Path {
    Path::parse(text).expect("the paths of the default table are paths")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (written, shown again; `Err` with a part of what is said)
    #[test]
    fn paths_are_read_and_shown() {
        let deep = format!("traits{}", ".a".repeat(9));
        let long = format!("traits.{}", "a".repeat(250));
        let cases = [
            ("userId", Ok("userId")),
            ("anonymousId", Ok("anonymousId")),
            ("traits.email", Ok("traits.email")),
            ("properties.$phone-2", Ok("properties.$phone-2")),
            ("traits.größe", Ok("traits.größe")),
            ("context['device'][\"id\"]", Ok("context.device.id")),
            ("context.a['b.c'].d", Ok("context.a['b.c'].d")),
            ("traits[\"it's\"]", Ok("traits[\"it's\"]")),
            ("traits", Err("names no member; write `traits.email`")),
            ("userId.x", Err("is none of `userId`")),
            ("groupId", Err("is none of `userId`")),
            ("traits.", Err("an empty name")),
            ("traits..a", Err("an empty name")),
            ("traits['']", Err("an empty name")),
            ("traits.two words", Err("unusual characters")),
            ("context.list[0]", Err("arrays are not looked into")),
            ("traits['open", Err("in the wrong place")),
            ("traits['a']b", Err("in the wrong place")),
            ("", Err("is none of `userId`")),
            (&deep, Err("is 9 names deep; the limit is 8")),
            (&long, Err("has 257 bytes; the limit is 256")),
        ];
        for (text, want) in cases {
            match (Path::parse(text), want) {
                (Ok(path), Ok(want)) => {
                    assert_eq!(path.to_string(), want, "{text}");
                    assert_eq!(Path::parse(want), Ok(path), "{text}");
                }
                (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn a_path_with_conditions_shows_them() {
        let paths = standard("ios.idfa");
        assert_eq!(
            serde_json::to_string(&paths).expect("JSON"),
            concat!(
                r#"[{"path":"context.device.advertisingId","when":"#,
                r#"{"context.device.adTrackingEnabled":true,"context.device.type":"ios"}}]"#
            ),
        );
        assert!(standard("loyalty_id").is_empty());
        assert!(SourcePath::external_ids().path.is_external_ids());
    }
}
