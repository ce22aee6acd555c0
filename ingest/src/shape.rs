//! The shape of an event: which members it must have, and of which types.
//!
//! This is the typed twin of the JSON Schemas in `schemas`: both accept the same events, and a property test
//! holds them together. A member that is null counts as missing. Limits are not part of the shape.

use crate::reason::{Problem, RejectReason};
use serde_json::value::RawValue;
use std::borrow::Cow;
use tributary_model::EventKind;
use tributary_model::json::{Members, as_text, is_null};

/// What a call's path says about the kind of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathKind {
    /// The path is of one kind, so `type` may be missing.
    Implied(EventKind),
    /// The path takes all kinds, so each event names its own.
    Open,
}

/// The members that mean something to the collector, as the event has them; nulls included.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) kind: Option<&'a RawValue>,
    pub(crate) message_id: Option<&'a RawValue>,
    pub(crate) user_id: Option<&'a RawValue>,
    pub(crate) anonymous_id: Option<&'a RawValue>,
    pub(crate) previous_id: Option<&'a RawValue>,
    pub(crate) group_id: Option<&'a RawValue>,
    pub(crate) event: Option<&'a RawValue>,
    pub(crate) name: Option<&'a RawValue>,
    pub(crate) category: Option<&'a RawValue>,
    pub(crate) timestamp: Option<&'a RawValue>,
    pub(crate) original_timestamp: Option<&'a RawValue>,
    pub(crate) sent_at: Option<&'a RawValue>,
    pub(crate) received_at: Option<&'a RawValue>,
    pub(crate) properties: Option<&'a RawValue>,
    pub(crate) traits: Option<&'a RawValue>,
    pub(crate) context: Option<&'a RawValue>,
    pub(crate) integrations: Option<&'a RawValue>,
}

impl<'a> Found<'a> {
    /// Looks the members up; of a repeated name the last counts.
    pub(crate) fn of(members: &Members<'a>) -> Self {
        let mut found = Self::default();
        for (name, value) in members.iter() {
            let place = match name {
                "type" => &mut found.kind,
                "messageId" => &mut found.message_id,
                "userId" => &mut found.user_id,
                "anonymousId" => &mut found.anonymous_id,
                "previousId" => &mut found.previous_id,
                "groupId" => &mut found.group_id,
                "event" => &mut found.event,
                "name" => &mut found.name,
                "category" => &mut found.category,
                "timestamp" => &mut found.timestamp,
                "originalTimestamp" => &mut found.original_timestamp,
                "sentAt" => &mut found.sent_at,
                "receivedAt" => &mut found.received_at,
                "properties" => &mut found.properties,
                "traits" => &mut found.traits,
                "context" => &mut found.context,
                "integrations" => &mut found.integrations,
                _ => continue,
            };
            *place = Some(value);
        }
        found
    }
}

/// An event whose shape is right. Text that is missing, null or empty is `None`.
#[derive(Debug)]
pub(crate) struct Shape<'a> {
    pub(crate) found: Found<'a>,
    pub(crate) kind: EventKind,
    pub(crate) message_id: Option<Cow<'a, str>>,
    pub(crate) user_id: Option<Cow<'a, str>>,
    pub(crate) anonymous_id: Option<Cow<'a, str>>,
    pub(crate) previous_id: Option<Cow<'a, str>>,
    pub(crate) group_id: Option<Cow<'a, str>>,
    pub(crate) timestamp: Option<Cow<'a, str>>,
    pub(crate) original_timestamp: Option<Cow<'a, str>>,
    pub(crate) sent_at: Option<Cow<'a, str>>,
    /// `context.traits`, if it is there.
    pub(crate) context_traits: Option<&'a RawValue>,
}

impl<'a> Shape<'a> {
    /// Reads an event's members. `batch_sent_at` is the default for `sentAt`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn parse(
        members: &Members<'a>,
        path: PathKind,
        batch_sent_at: Option<&'a RawValue>,
    ) -> Result<Self, Problem> {
        let found = Found::of(members);
        let kind = kind(found.kind, path)?;
        let sent_at = found.sent_at.filter(|own| !is_null(own)).or(batch_sent_at);
        let shape = Self {
            kind,
            message_id: text(found.message_id, "/messageId")?,
            user_id: text(found.user_id, "/userId")?,
            anonymous_id: text(found.anonymous_id, "/anonymousId")?,
            previous_id: text(found.previous_id, "/previousId")?,
            group_id: text(found.group_id, "/groupId")?,
            timestamp: text(found.timestamp, "/timestamp")?,
            original_timestamp: text(found.original_timestamp, "/originalTimestamp")?,
            sent_at: text(sent_at, "/sentAt")?,
            context_traits: context_traits(found.context)?,
            found,
        };
        object(shape.found.properties, "/properties")?;
        object(shape.found.traits, "/traits")?;
        object(shape.found.integrations, "/integrations")?;
        shape.check_kind()?;
        if shape.user_id.is_none() && shape.anonymous_id.is_none() {
            let say =
                "the event has neither `userId` nor `anonymousId`; send at least one of them, not empty";
            return Err(Problem::new(RejectReason::NoIdentifier, "", say));
        }
        Ok(shape)
    }

    /// What one kind of call needs beyond the rest.
    fn check_kind(&self) -> Result<(), Problem> {
        let (missing, reason, pointer, say) = match self.kind {
            EventKind::Track => (
                text(self.found.event, "/event")?.is_none(),
                RejectReason::EventNameMissing,
                "/event",
                "a track call needs the name of its event: send it as `event`, not empty",
            ),
            EventKind::Group => (
                self.group_id.is_none(),
                RejectReason::GroupIdMissing,
                "/groupId",
                "a group call needs the account's id: send it as `groupId`, not empty",
            ),
            EventKind::Alias => (
                self.previous_id.is_none(),
                RejectReason::PreviousIdMissing,
                "/previousId",
                "an alias call needs the id that is to be joined: send it as `previousId`, not empty",
            ),
            EventKind::Page | EventKind::Screen => {
                text(self.found.name, "/name")?;
                text(self.found.category, "/category")?;
                return Ok(());
            }
            EventKind::Identify => return Ok(()),
        };
        if missing { Err(Problem::new(reason, pointer, say)) } else { Ok(()) }
    }
}

const KINDS: &str = "identify, track, page, screen, group, alias";

fn kind(found: Option<&RawValue>, path: PathKind) -> Result<EventKind, Problem> {
    let Some(name) = text(found, "/type")? else {
        return match path {
            PathKind::Implied(kind) => Ok(kind),
            PathKind::Open => {
                let say = format!("the event has no `type`; send one of {KINDS}");
                Err(Problem::new(RejectReason::TypeMissing, "/type", say))
            }
        };
    };
    let kind = EventKind::parse(&name).ok_or_else(|| {
        let say = format!("`type` is none of the known calls; send one of {KINDS}, in lower case");
        Problem::new(RejectReason::TypeUnknown, "/type", say)
    })?;
    match path {
        PathKind::Implied(implied) if implied != kind => {
            let say = format!(
                "`type` says {kind}, but the event was sent to /v1/{implied}; send it to /v1/{kind} or /v1/batch"
            );
            Err(Problem::new(RejectReason::TypeMismatch, "/type", say))
        }
        PathKind::Implied(_) | PathKind::Open => Ok(kind),
    }
}

/// The text of a member that has to be text if it is there; `None` if it is missing, null or empty.
fn text<'a>(value: Option<&'a RawValue>, pointer: &'static str) -> Result<Option<Cow<'a, str>>, Problem> {
    match value {
        None => Ok(None),
        Some(value) => match as_text(value) {
            Some(text) => Ok((!text.is_empty()).then_some(text)),
            None if is_null(value) => Ok(None),
            None => Err(wrong_type(value, pointer, "text (a JSON string)")),
        },
    }
}

/// The object of a member that has to be one if it is there; `None` if it is missing or null.
fn object<'a>(value: Option<&'a RawValue>, pointer: &'static str) -> Result<Option<&'a RawValue>, Problem> {
    match value {
        Some(value) if value.get().starts_with('{') => Ok(Some(value)),
        Some(value) if !is_null(value) => Err(wrong_type(value, pointer, "an object")),
        _ => Ok(None),
    }
}

fn context_traits(context: Option<&RawValue>) -> Result<Option<&RawValue>, Problem> {
    let Some(context) = object(context, "/context")? else { return Ok(None) };
    // A look at the bytes spares reading most contexts. (A backslash could hide the name.)
    if !context.get().contains("\"traits\"") && !context.get().contains('\\') {
        return Ok(None);
    }
    let traits = Members::parse(context.get()).ok().and_then(|members| members.get("traits"));
    object(traits, "/context/traits")
}

fn wrong_type(value: &RawValue, pointer: &'static str, wanted: &str) -> Problem {
    let is = match value.get().bytes().next() {
        Some(b'"') => "text",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    };
    let member = pointer.trim_start_matches('/').replace('/', ".");
    let say = format!("`{member}` is {is}; it has to be {wanted}, or be left out");
    Problem::new(RejectReason::WrongType, pointer, say)
}

#[cfg(test)]
mod tests;
