//! Activations: what the projector tells destinations.
//!
//! Each event brings one with the event as stored. A merge brings another beside it, and a parted profile one for each
//! part, so that destinations can correct what they hold. Their bodies are ours, in the shape of a track call:
//!
//! ```json
//! {"type":"track","event":"Profile Merged","messageId":"tributary-7-1","userId":"ada","timestamp":"…",
//!  "properties":{"profile_id":"…","merged_profile_ids":["…"],"identifiers":["user_id:ada"]}}
//! ```
//!
//! `Profile Split` has `split_from` (the profile that was parted) and `other_profile_ids` (the other parts) in place of
//! `merged_profile_ids`. `userId` and `anonymousId` are the profile's first ones, and missing if it has none. The
//! message id is made of the record's sequence and the activation's ordinal: the same each time the log is read.
//!
//! What is told of audiences is in `audience`.

mod audience;

pub(crate) use audience::{AudienceTold, Change};

use bytes::Bytes;
use serde::Serialize;
use tributary_identity::{Evidence, LiveProfile, Resolution, Unmerged};
use tributary_model::activation::{ActivationHeader, ActivationKind};
use tributary_model::{
    Activation, Envelope, EventKind, Identifier, MessageId, Namespace, Position, ProfileId, SourceId,
    Timestamp, WorkspaceId,
};

/// A track call of ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: &'a str,
    event: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    timestamp: String,
    properties: Properties,
}

#[derive(Serialize)]
struct Properties {
    profile_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_profile_ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_profile_ids: Option<Vec<String>>,
    identifiers: Vec<String>,
}

/// The activation of an event; without a resolution, of one that has no identifier.
pub(crate) fn of_event(
    envelope: &Envelope,
    event_kind: EventKind,
    evidence: Evidence,
    resolution: Option<&Resolution>,
    event: Bytes,
) -> Activation {
    let header = ActivationHeader {
        workspace: envelope.workspace,
        position: evidence.position,
        ordinal: 0,
        profile: resolution.map(|resolution| resolution.profile),
        identifiers: resolution.map(|resolution| identifiers(&resolution.live)).unwrap_or_default(),
        event_kind,
        source: evidence.source,
        message_id: evidence.message_id,
        received_at: evidence.received_at,
        event_time: evidence.event_time,
        kind: ActivationKind::Event,
        carried: tributary_model::activation::Carried::default(),
    };
    Activation { header, event }
}

/// The activation that tells of the merge that an event brought.
pub(crate) fn of_merge(envelope: &Envelope, sequence: u64, resolution: &Resolution) -> Activation {
    let told = Told {
        workspace: envelope.workspace,
        position: Position::at(sequence),
        ordinal: 1,
        at: envelope.received_at,
        source: envelope.source,
        profile: resolution.profile,
    };
    told.merged(&resolution.live, &resolution.merged)
}

/// The activations that tell of the parts that a command made of a profile, the oldest part first; then of profiles that
/// became one because decisions were taken again.
pub(crate) fn of_unmerge(envelope: &Envelope, sequence: u64, unmerged: &Unmerged) -> Vec<Activation> {
    let ids: Vec<ProfileId> = unmerged.profiles.iter().map(|(id, _)| *id).collect();
    let told = |profile: ProfileId, ordinal: usize| Told {
        workspace: envelope.workspace,
        position: Position::at(sequence),
        ordinal: u32::try_from(ordinal).expect("a profile has fewer parts than members"),
        at: envelope.received_at,
        source: SourceId(0),
        profile,
    };
    let mut made = Vec::with_capacity(ids.len());
    for (id, live) in &unmerged.profiles {
        let others: Vec<ProfileId> = ids.iter().filter(|other| *other != id).copied().collect();
        made.push(told(*id, made.len()).split(live, unmerged.before, &others));
    }
    for joined in &unmerged.joined {
        made.push(told(joined.profile, made.len()).merged(&joined.live, &joined.merged));
    }
    made
}

/// What something is told about, and where it stands.
pub(crate) struct Told {
    /// Whose it is.
    pub(crate) workspace: WorkspaceId,
    /// The record that did it.
    pub(crate) position: Position,
    /// Which of the activations of that record.
    pub(crate) ordinal: u32,
    /// When the record arrived.
    pub(crate) at: Timestamp,
    /// The source of the event that did it; 0 if a command did.
    pub(crate) source: SourceId,
    /// The profile.
    pub(crate) profile: ProfileId,
}

impl Told {
    /// The activation that says that these profiles became part of it.
    pub(crate) fn merged(self, live: &LiveProfile, merged: &[ProfileId]) -> Activation {
        let properties = Properties {
            profile_id: self.profile.to_string(),
            merged_profile_ids: Some(texts(merged)),
            split_from: None,
            other_profile_ids: None,
            identifiers: Vec::new(),
        };
        self.activation(ActivationKind::ProfileMerged, "Profile Merged", live, properties)
    }

    /// The activation that says that it came of that profile, beside others.
    pub(crate) fn split(self, live: &LiveProfile, from: ProfileId, others: &[ProfileId]) -> Activation {
        let properties = Properties {
            profile_id: self.profile.to_string(),
            merged_profile_ids: None,
            split_from: Some(from.to_string()),
            other_profile_ids: Some(texts(others)),
            identifiers: Vec::new(),
        };
        self.activation(ActivationKind::ProfileSplit, "Profile Split", live, properties)
    }

    fn activation(
        self,
        kind: ActivationKind,
        event: &str,
        live: &LiveProfile,
        mut properties: Properties,
    ) -> Activation {
        let identifiers = identifiers(live);
        let first = |namespace: Namespace| {
            identifiers.iter().find(|identifier| *identifier.namespace() == namespace).map(Identifier::value)
        };
        let message_id = format!("tributary-{}-{}", self.position.sequence, self.ordinal);
        properties.identifiers = identifiers.iter().map(Identifier::to_text).collect();
        let body = Body {
            r#type: EventKind::Track.name(),
            event,
            message_id: &message_id,
            user_id: first(Namespace::USER_ID),
            anonymous_id: first(Namespace::ANONYMOUS_ID),
            timestamp: self.at.to_string(),
            properties,
        };
        let event = serde_json::to_vec(&body).expect("plain values can be written").into();
        let header = ActivationHeader {
            workspace: self.workspace,
            position: self.position,
            ordinal: self.ordinal,
            profile: Some(self.profile),
            event_kind: EventKind::Track,
            source: self.source,
            message_id: MessageId::parse(&message_id).expect("a short text is a message id"),
            received_at: self.at,
            event_time: self.at,
            kind,
            identifiers,
            carried: tributary_model::activation::Carried::default(),
        };
        Activation { header, event }
    }
}

/// A profile's identifiers of today, sorted.
pub(crate) fn identifiers(live: &LiveProfile) -> Vec<Identifier> {
    live.identifiers().map(|node| node.identifier.clone()).collect()
}

fn texts(ids: &[ProfileId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
