//! Events in order of progress.
//!
//! The collector turns a client's bytes into an [`AcceptedEvent`] (shaped as the shared schema demands, within
//! every limit, identified, dated, completed); only that becomes an event record of the events log. Behind
//! the log, [`EventView`] reads the stored bytes again.

use crate::id::{MessageId, SourceId, WorkspaceId};
use crate::json::{Members, as_text, is_null};
use crate::record::Marks;
use crate::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The six calls of the Segment spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// Who somebody is: traits.
    Identify,
    /// What somebody did: a named event with properties.
    Track,
    /// A web page was seen.
    Page,
    /// A screen of an app was seen.
    Screen,
    /// Somebody belongs to an account.
    Group,
    /// Two ids are the same person's.
    Alias,
}

impl EventKind {
    /// Every kind, in the order of the counters of a fragment.
    pub const ALL: [Self; 6] =
        [Self::Identify, Self::Track, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    /// The kind of that name, exactly as written on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// An event ready to become a record: every id and time is there, and the payload is the client's object
/// with what was missing filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    /// Whose workspace.
    pub workspace: WorkspaceId,
    /// The workspace version under which it was checked.
    pub workspace_version: u64,
    /// Where it came from.
    pub source: SourceId,
    /// Which call it is.
    pub kind: EventKind,
    /// The client's idempotency key, or one made on arrival.
    pub message_id: MessageId,
    /// When it arrived, to the millisecond.
    pub received_at: Timestamp,
    /// When it happened, corrected for the client's clock.
    pub event_time: Timestamp,
    /// What was noticed on the way.
    pub marks: Marks,
    /// Keyed hash of its highest-priority identifier, if it has one.
    pub anchor_hash: Option<[u8; 16]>,
    /// The stored JSON object.
    pub payload: Bytes,
}

impl fmt::Debug for AcceptedEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "AcceptedEvent({} {} {})", self.workspace, self.kind, self.message_id)
    }
}

/// The stored bytes are not an event. They were checked before they were stored, so this is our own fault.
#[derive(Debug, thiserror::Error)]
#[error("the stored payload is not an event")]
pub struct NotAnEvent(#[source] Option<serde_json::Error>);

/// What the stages behind the log read from an event's stored bytes. Everything else stays unparsed.
pub struct EventView<'a> {
    /// Which call it is.
    pub kind: EventKind,
    /// `userId`, unless missing, null or empty.
    pub user_id: Option<Cow<'a, str>>,
    /// `anonymousId`, unless missing, null or empty.
    pub anonymous_id: Option<Cow<'a, str>>,
    members: Members<'a>,
}

impl<'a> EventView<'a> {
    /// Reads a stored payload.
    ///
    /// # Errors
    /// If the bytes are no JSON object with a known `type`.
    pub fn parse(payload: &'a [u8]) -> Result<Self, NotAnEvent> {
        let members: Members<'a> = serde_json::from_slice(payload).map_err(|why| NotAnEvent(Some(why)))?;
        let kind = members.text("type").and_then(|name| EventKind::parse(&name)).ok_or(NotAnEvent(None))?;
        Ok(Self::from_members(kind, members))
    }

    /// Takes members that have been read already, of an event whose kind is known.
    pub fn from_members(kind: EventKind, members: Members<'a>) -> Self {
        let present = |name| members.text(name).filter(|text| !text.is_empty());
        Self { kind, user_id: present("userId"), anonymous_id: present("anonymousId"), members }
    }

    /// All members of the stored object.
    pub fn members(&self) -> &Members<'a> {
        &self.members
    }

    /// The name of a track call.
    pub fn event_name(&self) -> Option<Cow<'a, str>> {
        self.members.text("event")
    }

    /// The account that a `group` call names: a text, or a number as it is written, of 512 bytes at most. `None` for
    /// every other call.
    pub fn group_id(&self) -> Option<Cow<'a, str>> {
        if self.kind != EventKind::Group {
            return None;
        }
        let value = self.members.get("groupId")?;
        let text = match as_text(value) {
            Some(text) => text,
            None => {
                let number = value.get();
                let is_number = number.starts_with(|first: char| first == '-' || first.is_ascii_digit());
                is_number.then_some(Cow::Borrowed(number))?
            }
        };
        (!text.is_empty() && text.len() <= Self::GROUP_ID_BYTES_MAX).then_some(text)
    }

    /// The longest id of an account, in bytes.
    pub const GROUP_ID_BYTES_MAX: usize = 512;

    /// The person's traits that this event sets: those of an identify call, in `traits`, else in
    /// `context.traits`. `None` for every other call; the `traits` of a `group` call are the account's.
    pub fn person_traits(&self) -> Option<Members<'a>> {
        if self.kind != EventKind::Identify {
            return None;
        }
        match self.members.get("traits") {
            Some(traits) if !is_null(traits) => Members::parse(traits.get()).ok(),
            _ => self.context_traits(),
        }
    }

    fn context_traits(&self) -> Option<Members<'a>> {
        self.members.object("context")?.object("traits")
    }
}
