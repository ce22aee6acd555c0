//! What filters, triggers and mappings see of a profile: what its activation carries.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::activation::ActivationHeader;
use tributary_model::condition::FieldPath;
use tributary_model::keeper::EventFields;
use tributary_model::workspace::DestinationNeeds;
use tributary_model::{EventView, Identifier};

/// The name under which a profile stands beside the members of its event.
pub(crate) const PROFILE: &str = "profile";

/// What something names of profiles.
#[derive(Debug, Default)]
pub(crate) struct ProfileNames {
    needs: DestinationNeeds,
    /// It looks at the profile at all, at its id for instance.
    is_named: bool,
}

impl ProfileNames {
    /// Notes what a path of these names means, if that is something of a profile.
    pub(crate) fn note<S: AsRef<str>>(&mut self, path: &[S]) {
        let mut names = path.iter().map(AsRef::as_ref);
        if names.next() != Some(PROFILE) {
            return;
        }
        self.is_named = true;
        match (names.next(), names.next()) {
            (Some("traits"), Some(name)) => self.needs.traits.insert(name.to_owned()),
            (Some("audiences"), Some(key)) => self.needs.audiences.insert(key.to_owned()),
            (Some(_) | None, _) => false,
        };
    }

    /// As [`Self::note`].
    pub(crate) fn note_field(&mut self, path: &FieldPath) {
        self.note(&path.names().collect::<Vec<_>>());
    }

    /// What activations have to carry for it.
    pub(crate) const fn needs(&self) -> &DestinationNeeds {
        &self.needs
    }

    /// What it names that an activation does not carry, in words. Of nobody there is nothing to carry: an event without a
    /// profile has no traits and is in no audience, and that is known.
    pub(crate) fn uncarried(&self, header: &ActivationHeader) -> Option<String> {
        header.profile?;
        let (mut traits, mut audiences) = (self.needs.traits.iter(), self.needs.audiences.iter());
        if let Some(name) = traits.find(|name| !header.carried.traits.contains_key(name.as_str())) {
            return Some(format!("the trait `{name}`"));
        }
        let key = audiences.find(|key| !header.carried.audiences.contains_key(key.as_str()))?;
        Some(format!("the audience `{key}`"))
    }

    /// An audience that it names, and that is none of these.
    pub(crate) fn unknown_audience(&self, known: &BTreeSet<String>) -> Option<&str> {
        self.needs.audiences.iter().find(|key| !known.contains(*key)).map(String::as_str)
    }
}

/// An activation, as conditions look at it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Everything but the event.
    pub(crate) header: &'a ActivationHeader,
    /// The event, as filters before left it.
    pub(crate) event: &'a EventView<'a>,
    /// Whose it is.
    pub(crate) profile: &'a ProfileText<'a>,
}

impl<'a> Subject<'a> {
    /// What something that names this looks at.
    pub(crate) fn fields(&self, names: &ProfileNames) -> EventFields<'a> {
        if names.is_named {
            EventFields::with_profile(self.event, self.profile.get())
        } else {
            EventFields::new(self.event)
        }
    }
}

/// The profile of an activation as a JSON object, made when it is first asked for:
///
/// ```text
/// {"id": "…" or null, "traits": {…}, "audiences": {key: true or false, …}, "identifiers": {namespace: [value, …], …}}
/// ```
///
/// A trait that the profile lacks is missing in it. So is what other destinations named: what one destination sees does not
/// depend on them.
pub(crate) struct ProfileText<'a> {
    header: &'a ActivationHeader,
    needs: &'a DestinationNeeds,
    text: OnceCell<String>,
}

impl<'a> ProfileText<'a> {
    /// That of an activation, as a destination with these needs sees it.
    pub(crate) const fn of(header: &'a ActivationHeader, needs: &'a DestinationNeeds) -> Self {
        Self { header, needs, text: OnceCell::new() }
    }

    /// The JSON text.
    pub(crate) fn get(&self) -> &str {
        self.text.get_or_init(|| written(self.header, self.needs))
    }
}

fn written(header: &ActivationHeader, needs: &DestinationNeeds) -> String {
    let carried = &header.carried;
    let mut out = String::with_capacity(256);
    out.push_str("{\"id\":");
    match header.profile {
        Some(id) => write_text(&mut out, &id.to_string()),
        None => out.push_str("null"),
    }
    out.push_str(",\"traits\":");
    let traits = needs.traits.iter().map(String::as_str);
    let traits = traits.filter_map(|name| Some((name, carried.traits.get(name)?.as_deref()?)));
    write_object(&mut out, traits, |out, json| out.push_str(json));
    out.push_str(",\"audiences\":");
    let audiences = needs.audiences.iter().map(String::as_str);
    let audiences = audiences.filter_map(|key| Some((key, *carried.audiences.get(key)?)));
    write_object(&mut out, audiences, |out, is_member| {
        out.push_str(if is_member { "true" } else { "false" })
    });
    out.push_str(",\"identifiers\":");
    let mut identifiers: BTreeMap<&str, Vec<&Identifier>> = BTreeMap::new();
    for identifier in &header.identifiers {
        identifiers.entry(identifier.namespace().as_str()).or_default().push(identifier);
    }
    write_object(&mut out, identifiers.into_iter(), |out, identifiers| {
        for (at, identifier) in identifiers.into_iter().enumerate() {
            out.push(if at == 0 { '[' } else { ',' });
            write_text(out, identifier.value());
        }
        out.push(']');
    });
    out.push('}');
    out
}

fn write_object<'a, V>(
    out: &mut String,
    members: impl Iterator<Item = (&'a str, V)>,
    write: impl Fn(&mut String, V),
) {
    out.push('{');
    for (at, (name, value)) in members.enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_text(out, name);
        out.push(':');
        write(out, value);
    }
    out.push('}');
}

/// A text in quotes, with the escapes of JSON.
fn write_text(out: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.extend(["\"", text, "\""]);
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}
