//! Members taken out of a JSON text, every other byte of which stays as it was.

use serde_json::value::RawValue;
use std::collections::BTreeMap;
use tributary_model::condition::FieldPath;
use tributary_model::json::Members;

/// Members, one within the other.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// It is named itself, not only something within it.
    is_end: bool,
    members: BTreeMap<Box<str>, Named>,
}

impl Named {
    /// Those at these paths.
    pub(super) fn of(paths: &[FieldPath]) -> Self {
        let mut root = Self::default();
        for path in paths {
            let mut node = &mut root;
            for name in path.names() {
                node = node.members.entry(name.into()).or_default();
            }
            node.is_end = true;
        }
        root
    }

    /// Whether it names members of the object itself, not only something further within.
    fn has_ends(&self) -> bool {
        self.members.values().any(|member| member.is_end)
    }
}

/// What is done to an event. A list on the way to a member stands for each of its elements.
pub(super) enum Edit {
    /// The named members go.
    Drop(Named),
    /// In objects of which members are named, all others go, but those in which something is named. So does what
    /// stands where such an object should, and is none.
    Allow(Named),
}

/// What becomes of a value.
enum Fate {
    Stays,
    Goes,
    Becomes(String),
}

impl Edit {
    /// The text afterwards; `None` if nothing changes.
    pub(super) fn edited(&self, json: &str) -> Option<String> {
        let fate = match self {
            Self::Drop(named) => dropped(json, named),
            Self::Allow(named) => allowed(json, named),
        };
        match fate {
            Fate::Stays => None,
            Fate::Goes => Some("{}".to_owned()),
            Fate::Becomes(text) => Some(text),
        }
    }
}

fn dropped(json: &str, named: &Named) -> Fate {
    taken_apart(json, Fate::Stays, |name, value| match name {
        None => dropped(value, named),
        Some(name) => match named.members.get(name) {
            None => Fate::Stays,
            Some(member) if member.is_end => Fate::Goes,
            Some(member) => dropped(value, member),
        },
    })
}

fn allowed(json: &str, named: &Named) -> Fate {
    let is_closed = named.has_ends();
    taken_apart(json, Fate::Goes, |name, value| match name {
        None => allowed(value, named),
        Some(name) => match named.members.get(name) {
            None if is_closed => Fate::Goes,
            None => Fate::Stays,
            Some(member) if member.members.is_empty() => Fate::Stays,
            Some(member) => allowed(value, member),
        },
    })
}

/// Decides on each member of an object by its name, and on each element of a list without one. Anything else has the
/// fate `other`; what can't be read goes.
fn taken_apart(json: &str, other: Fate, decide: impl Fn(Option<&str>, &str) -> Fate) -> Fate {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => {
            let Ok(members) = Members::parse(json) else { return Fate::Goes };
            let fates =
                members.iter().map(|(name, value)| (value, decide(Some(name), value.get()))).collect();
            rebuilt(json, fates)
        }
        Some(b'[') => {
            let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else { return Fate::Goes };
            let fates = elements.into_iter().map(|value| (value, decide(None, value.get()))).collect();
            rebuilt(json, fates)
        }
        Some(_) | None => other,
    }
}

/// An object or a list of which these are the values, in order: where one goes, so does what stands between it and the one
/// before, its name and a comma.
fn rebuilt(json: &str, values: Vec<(&RawValue, Fate)>) -> Fate {
    if values.iter().all(|(_, fate)| matches!(fate, Fate::Stays)) {
        return Fate::Stays;
    }
    let mut out = String::with_capacity(json.len());
    let mut end = json.find(['{', '[']).map_or(0, |open| open + 1);
    out.push_str(&json[..end]);
    let mut is_first = true;
    for (number, (value, fate)) in values.into_iter().enumerate() {
        let text = value.get();
        // Values are slices of the text.
        let start = text.as_ptr() as usize - json.as_ptr() as usize;
        let lead = &json[end..start];
        end = start + text.len();
        let text: &str = match &fate {
            Fate::Goes => continue,
            Fate::Stays => text,
            Fate::Becomes(text) => text,
        };
        // Before every value but the first there is a comma, with nothing but blanks before it.
        let lead = match lead.split_once(',') {
            Some((_, behind)) if is_first && number > 0 => behind,
            Some(_) | None => lead,
        };
        is_first = false;
        out.push_str(lead);
        out.push_str(text);
    }
    out.push_str(&json[end..]);
    Fate::Becomes(out)
}
