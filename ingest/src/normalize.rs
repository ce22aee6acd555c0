//! One event from the client's text to what the log stores: defaults applied, shape and limits checked, dated,
//! completed.
//!
//! The stored payload is the client's object byte for byte, with what was missing added at its end. A member
//! is rewritten only where it stands empty and has to be filled in, where the event time is not the client's
//! (`timestamp`, its original kept as `originalTimestamp`), and `receivedAt`, which is ours.

use crate::auth::SourceRef;
use crate::limits::{IngestLimits, is_deeper};
use crate::reason::{Problem, RejectReason};
use crate::shape::{PathKind, Shape};
use crate::splice::{Splice, written_members};
use crate::time::{ClientTime, event_time};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tributary_model::event::AcceptedEvent;
use tributary_model::json::{Members, is_null};
use tributary_model::{EventView, HashKey, Marks, MessageId, Timestamp};
use tributary_proto::surrogate::Text;

/// What holds for every event of a request.
pub(crate) struct Arrival<'a> {
    pub(crate) source: &'a SourceRef,
    pub(crate) path: PathKind,
    /// To the millisecond.
    pub(crate) received_at: Timestamp,
    /// The same as a JSON string.
    pub(crate) received_at_json: String,
    pub(crate) defaults: Defaults<'a>,
    pub(crate) limits: &'a IngestLimits,
    pub(crate) hash_key: &'a HashKey,
}

/// What a batch says for all its events.
#[derive(Default)]
pub(crate) struct Defaults<'a> {
    pub(crate) sent_at: Option<&'a RawValue>,
    context: Option<DefaultObject<'a>>,
    integrations: Option<DefaultObject<'a>>,
}

struct DefaultObject<'a> {
    raw: &'a RawValue,
    /// The members with their names; empty if it is no object.
    members: Vec<(String, &'a str)>,
}

impl<'a> Defaults<'a> {
    pub(crate) fn new(
        sent_at: Option<&'a RawValue>,
        context: Option<&'a RawValue>,
        integrations: Option<&'a RawValue>,
    ) -> Self {
        let object = |raw: Option<&'a RawValue>| {
            let raw = raw.filter(|raw| !is_null(raw))?;
            let members = Members::parse(raw.get()).unwrap_or_default();
            Some(DefaultObject { raw, members: written_members(raw.get(), &members) })
        };
        Self {
            sent_at: sent_at.filter(|raw| !is_null(raw)),
            context: object(context),
            integrations: object(integrations),
        }
    }

    /// At most how many bytes the defaults add to one event.
    pub(crate) fn added_bytes_max(&self) -> usize {
        const NAME_BYTES: usize = r#","integrations":"#.len();
        [&self.context, &self.integrations]
            .into_iter()
            .flatten()
            .map(|object| object.raw.get().len() + NAME_BYTES)
            .sum()
    }

    /// The event's text with the defaults put in, if they add anything: whole where the event has no such
    /// member, else those of its members that the event's own object lacks.
    fn apply(&self, text: &str, members: &Members<'_>) -> Option<String> {
        let mut splice = Splice::new(text, members.is_empty());
        let mut changed = false;
        for (name, default) in [("context", &self.context), ("integrations", &self.integrations)] {
            let Some(default) = default else { continue };
            let own = members.get(name);
            match own.filter(|own| !is_null(own)) {
                None => {
                    splice.set(name, own, default.raw.get());
                    changed = true;
                }
                Some(object) => {
                    if let Some(merged) = merge_objects(object, default) {
                        splice.set(name, own, &merged);
                        changed = true;
                    }
                }
            }
        }
        changed.then(|| String::from_utf8(splice.finish()).expect("spliced from text"))
    }
}

/// `own` with those members of the default that it lacks; `None` if there are none, or `own` is no object.
fn merge_objects(own: &RawValue, default: &DefaultObject<'_>) -> Option<String> {
    let members = Members::parse(own.get()).ok()?;
    let mut splice = Splice::new(own.get(), members.is_empty());
    let mut changed = false;
    for (name, written) in &default.members {
        if members.get(name).is_none() {
            splice.add(written);
            changed = true;
        }
    }
    changed.then(|| String::from_utf8(splice.finish()).expect("spliced from text"))
}

/// What would be stored of an event that came by itself at that time: for whoever tries something with an event before it
/// is sent. Where it has no message id, it gets this one.
///
/// # Errors
/// Why it would be rejected, for the customer.
pub fn as_stored(
    event: &str,
    message_id: &MessageId,
    received_at: Timestamp,
    limits: &IngestLimits,
) -> Result<Bytes, String> {
    let repaired = Text::from(event.trim_ascii());
    let text = repaired.as_str();
    check_size(text, limits).map_err(|problem| problem.text)?;
    let members = Members::parse(text).map_err(|_| "the event is no JSON object".to_owned())?;
    let shape = checked(text, &members, PathKind::Open, None, limits).map_err(|problem| problem.text)?;
    let received_at = received_at.floor_to_millis();
    let dated = Dated::of(&shape, received_at, limits);
    let received_at = quoted(&received_at.to_string());
    Ok(fill_in(text, &shape, message_id, &dated, &received_at, None).into())
}

/// Takes one event of a request; `text` is a JSON object, of which `members` are the members.
///
/// # Errors
/// Why it is rejected.
pub(crate) fn normalize(
    text: &str,
    members: Members<'_>,
    marks: Marks,
    arrival: &Arrival<'_>,
) -> Result<AcceptedEvent, Problem> {
    match arrival.defaults.apply(text, &members) {
        None => complete(text, members, marks, arrival),
        Some(merged) => {
            check_size(&merged, arrival.limits)?;
            let members = Members::parse(&merged).expect("an object with members added is one");
            complete(&merged, members, marks, arrival)
        }
    }
}

/// Whether an event's text is within the limit, before anything in it is read.
///
/// # Errors
/// If it is not.
pub(crate) fn check_size(text: &str, limits: &IngestLimits) -> Result<(), Problem> {
    if text.len() <= limits.event_bytes_max {
        return Ok(());
    }
    let say = format!(
        "the event has {} bytes (with the batch's defaults, if any); the limit is {}: send less with each event",
        text.len(),
        limits.event_bytes_max
    );
    Err(Problem::new(RejectReason::EventTooLarge, "", say))
}

fn complete(
    text: &str,
    members: Members<'_>,
    mut marks: Marks,
    arrival: &Arrival<'_>,
) -> Result<AcceptedEvent, Problem> {
    let (limits, sent_at) = (arrival.limits, arrival.defaults.sent_at);
    let shape = checked(text, &members, arrival.path, sent_at, limits)?;
    if text.len() > limits.event_bytes_mark {
        marks.add(Marks::LARGE);
    }
    let dated = Dated::of(&shape, arrival.received_at, limits);
    marks.add(dated.marks);
    let message_id = match &shape.message_id {
        Some(id) => MessageId::parse(id),
        None => MessageId::parse(&uuid::Uuid::new_v4().to_string()),
    };
    // The setting may be above what a message id can hold, but never lets a longer one through.
    let message_id = message_id.map_err(|_| message_id_too_long(MessageId::BYTES_MAX))?;
    let payload = fill_in(text, &shape, &message_id, &dated, &arrival.received_at_json, sent_at);
    let view = EventView::from_members(shape.kind, members);
    let anchor = arrival.source.identifiers.read(&view).identifiers.into_iter().next();
    let workspace = &arrival.source.workspace;
    Ok(AcceptedEvent {
        workspace: workspace.id,
        workspace_version: workspace.version,
        source: arrival.source.source,
        kind: shape.kind,
        message_id,
        received_at: arrival.received_at,
        event_time: dated.time,
        marks,
        anchor_hash: anchor.map(|anchor| arrival.hash_key.identifier_hash(workspace.id, &anchor, 0)),
        payload: payload.into(),
    })
}

/// An event's shape, which is right and within the limits. `sent_at` is what the batch says, if it does.
///
/// # Errors
/// Why the event is rejected.
fn checked<'a>(
    text: &str,
    members: &Members<'a>,
    path: PathKind,
    sent_at: Option<&'a RawValue>,
    limits: &IngestLimits,
) -> Result<Shape<'a>, Problem> {
    if is_deeper(text, limits.depth_max) {
        let say = format!("the event is nested deeper than {} levels; flatten it", limits.depth_max);
        return Err(Problem::new(RejectReason::TooDeep, "", say));
    }
    let shape = Shape::parse(members, path, sent_at)?;
    check_limits(&shape, limits)?;
    Ok(shape)
}

/// When an event happened, and what its stored members say about that.
struct Dated<'a> {
    time: Timestamp,
    marks: Marks,
    /// The client's words for its time, if there are any.
    stated: Option<&'a RawValue>,
    /// Whether the event time is another than those words say.
    differs: bool,
}

impl<'a> Dated<'a> {
    fn of(shape: &Shape<'a>, received_at: Timestamp, limits: &IngestLimits) -> Self {
        let (text, stated) = match (&shape.timestamp, &shape.original_timestamp) {
            (Some(text), _) => (Some(text), shape.found.timestamp),
            (None, Some(text)) => (Some(text), shape.found.original_timestamp),
            (None, None) => (None, None),
        };
        let client = match text.map(|text| Timestamp::parse(text)) {
            None => ClientTime::Missing,
            Some(None) => ClientTime::Unreadable,
            Some(Some(at)) => ClientTime::At(at),
        };
        let sent_at = shape.sent_at.as_deref().and_then(Timestamp::parse);
        let (time, marks) = event_time(client, sent_at, received_at, limits.clock_tolerance);
        let differs = client != ClientTime::Missing && client != ClientTime::At(time);
        Self { time, marks, stated, differs }
    }
}

/// The stored payload. `received_at` is a JSON string; `sent_at` is what the batch says, if it does.
fn fill_in(
    text: &str,
    shape: &Shape<'_>,
    message_id: &MessageId,
    dated: &Dated<'_>,
    received_at: &str,
    sent_at: Option<&RawValue>,
) -> Vec<u8> {
    let found = &shape.found;
    // An event of the right shape has members.
    let mut splice = Splice::new(text, false);
    if shape.message_id.is_none() {
        let quoted = serde_json::to_string(message_id.as_str()).expect("text can be written as JSON");
        splice.set("messageId", found.message_id, &quoted);
    }
    if dated.differs || shape.timestamp.is_none() {
        splice.set("timestamp", found.timestamp, &quoted(&dated.time.to_string()));
    }
    if let Some(stated) = dated.stated.filter(|_| dated.differs && shape.timestamp.is_some()) {
        splice.set("originalTimestamp", found.original_timestamp, stated.get());
    }
    splice.set("receivedAt", found.received_at, received_at);
    if found.sent_at.is_none_or(is_null)
        && let Some(sent_at) = sent_at
    {
        splice.set("sentAt", found.sent_at, sent_at.get());
    }
    if is_missing(found.kind) {
        splice.set("type", found.kind, &quoted(shape.kind.name()));
    }
    splice.finish()
}

fn is_missing(value: Option<&RawValue>) -> bool {
    value.is_none_or(|value| matches!(value.get(), "null" | "\"\""))
}

/// A JSON string of text that needs no escapes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn check_limits(shape: &Shape<'_>, limits: &IngestLimits) -> Result<(), Problem> {
    if shape.message_id.as_ref().is_some_and(|id| id.len() > limits.message_id_bytes_max) {
        return Err(message_id_too_long(limits.message_id_bytes_max));
    }
    let identifiers = [
        (&shape.user_id, "/userId"),
        (&shape.anonymous_id, "/anonymousId"),
        (&shape.previous_id, "/previousId"),
        (&shape.group_id, "/groupId"),
    ];
    for (identifier, pointer) in identifiers {
        let bytes = identifier.as_ref().map_or(0, |text: &Cow<'_, str>| text.len());
        if bytes > limits.identifier_bytes_max {
            let say = format!(
                "`{}` has {bytes} bytes; the limit is {}: send a shorter id",
                &pointer[1..],
                limits.identifier_bytes_max
            );
            return Err(Problem::new(RejectReason::IdentifierTooLong, pointer, say));
        }
    }
    let objects = [
        (shape.found.properties, "/properties"),
        (shape.found.traits, "/traits"),
        (shape.context_traits, "/context/traits"),
    ];
    for (object, pointer) in objects {
        let count = object.map_or(0, |object| members_beyond(object.get(), limits.properties_max));
        if count > 0 {
            let say = format!(
                "`{}` has {count} members; the limit is {}: send fewer, or put some into one",
                pointer[1..].replace('/', "."),
                limits.properties_max
            );
            return Err(Problem::new(RejectReason::TooManyProperties, pointer, say));
        }
    }
    Ok(())
}

fn message_id_too_long(limit: usize) -> Problem {
    let say =
        format!("`messageId` is longer than the limit of {limit} bytes: send a shorter one, such as a UUID");
    Problem::new(RejectReason::MessageIdTooLong, "/messageId", say)
}

/// How many members the object has, if that is more than `max`; else 0.
fn members_beyond(object: &str, max: usize) -> usize {
    // A member takes five bytes (`"":1,`), so most objects are too short to have so many.
    if object.len() / 5 < max {
        return 0;
    }
    let count = Members::parse(object).map_or(0, |members| members.len());
    if count > max { count } else { 0 }
}

#[cfg(test)]
mod tests;
