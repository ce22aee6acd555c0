//! What of the activations log a watch is about: pure, one activation after the other.
//!
//! A profile is followed by its id. When it is merged away, the watch goes on with the profile that it became part
//! of; the event that did it stands in the log just before, under that other profile's id, and is told as well.
//! Activations that are in the log for the second time, behind ones of later records, are passed over.

use super::token::{Token, TokenSubject, key_hash};
use std::str;
use std::sync::Arc;
use tributary_model::json::Members;
use tributary_model::{Activation, ActivationKind, Position, ProfileId, WorkspaceId};
use tributary_proto::convert::{identifier_of, time_of};
use tributary_proto::grpc::v1::{Change, ChangeKind};

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A profile, by its id at this moment.
    Profile(ProfileId),
    /// Who is in an audience, by its key.
    Audience(String),
}

impl Subject {
    fn of_token(&self) -> TokenSubject {
        match self {
            Self::Profile(id) => TokenSubject::Profile(*id),
            Self::Audience(key) => TokenSubject::Audience(key_hash(key)),
        }
    }
}

/// A watch's way through the log.
pub(super) struct Follow {
    workspace: WorkspaceId,
    subject: Subject,
    /// Activations of this record and ordinal, or later ones, are told; set when the watch begins.
    from: (Position, u32),
    /// The place of the last activation that was looked at.
    newest: Option<(Position, u32)>,
    /// Where the activations of its record begin in the log, and which of them are behind the watch.
    sequence: u64,
    position: Position,
    ordinal: u32,
    /// An event of that record that was not about the subject.
    passed: Option<Arc<Activation>>,
}

impl Follow {
    /// From this sequence of the log on.
    pub(super) fn from_now(workspace: WorkspaceId, subject: Subject, sequence: u64) -> Self {
        Self::starting(workspace, subject, sequence, Position::at(0), 0)
    }

    /// From where a token says.
    pub(super) fn resumed(subject: Subject, token: &Token) -> Self {
        Self::starting(token.workspace, subject, token.sequence, token.position, token.ordinal)
    }

    fn starting(
        workspace: WorkspaceId,
        subject: Subject,
        sequence: u64,
        position: Position,
        ordinal: u32,
    ) -> Self {
        let from = (position, ordinal);
        Self { workspace, subject, from, newest: None, sequence, position, ordinal, passed: None }
    }

    /// What goes on behind everything that was looked at.
    pub(super) fn token(&self) -> Token {
        Token {
            workspace: self.workspace,
            subject: self.subject.of_token(),
            sequence: self.sequence,
            position: self.position,
            ordinal: self.ordinal,
        }
    }

    /// Looks at the next activation of the log. Answers with what is to be told: nothing mostly, rarely two changes.
    pub(super) fn look(&mut self, sequence: u64, activation: &Arc<Activation>) -> Vec<Change> {
        let place = activation.place();
        let is_behind = place.0 < self.from.0 || self.newest.is_some_and(|newest| place <= newest);
        if is_behind {
            return Vec::new();
        }
        self.newest = Some(place);
        if place.0 != self.position {
            self.passed = None;
            (self.sequence, self.position, self.ordinal) = (sequence, place.0, 0);
        }
        if activation.header.workspace != self.workspace {
            return Vec::new();
        }
        match self.subject {
            Subject::Profile(id) => self.of_profile(id, activation),
            Subject::Audience(ref key) => match of_audience(key, activation) {
                Some(kind) => self.tell(kind, activation).into_iter().collect(),
                None => Vec::new(),
            },
        }
    }

    fn of_profile(&mut self, id: ProfileId, activation: &Arc<Activation>) -> Vec<Change> {
        let header = &activation.header;
        let is_its_own = header.profile == Some(id);
        let kind = match header.kind {
            ActivationKind::Event => {
                if !is_its_own {
                    self.passed = Some(Arc::clone(activation));
                }
                ChangeKind::Event
            }
            ActivationKind::ProfileMerged => {
                if let Some(survivor) =
                    header.profile.filter(|_| !is_its_own && names(activation, MERGED, id))
                {
                    return self.merged_away(survivor, activation);
                }
                ChangeKind::Merged
            }
            ActivationKind::ProfileSplit => {
                if !is_its_own && names(activation, PARTED, id) {
                    return self.tell(ChangeKind::Split, activation).into_iter().collect();
                }
                ChangeKind::Split
            }
            ActivationKind::AudienceEntered => ChangeKind::AudienceEntered,
            ActivationKind::AudienceExited => ChangeKind::AudienceExited,
            // It says what the track form beside it says.
            ActivationKind::AudienceTrait => return Vec::new(),
        };
        if !is_its_own {
            return Vec::new();
        }
        self.tell(kind, activation).into_iter().collect()
    }

    /// The profile became part of another one; the event that did it was its own.
    fn merged_away(&mut self, survivor: ProfileId, activation: &Activation) -> Vec<Change> {
        self.subject = Subject::Profile(survivor);
        let event = self.passed.take().and_then(|event| self.tell(ChangeKind::Event, &event));
        event.into_iter().chain(self.tell(ChangeKind::Merged, activation)).collect()
    }

    /// The change, unless it was told before the watch was resumed.
    fn tell(&mut self, kind: ChangeKind, activation: &Activation) -> Option<Change> {
        let header = &activation.header;
        if activation.place() < self.from {
            return None;
        }
        self.ordinal = header.ordinal + 1;
        Some(Change {
            kind: kind.into(),
            profile_id: header.profile.map(|id| id.to_string()).unwrap_or_default(),
            identifiers: header.identifiers.iter().map(identifier_of).collect(),
            time: Some(time_of(header.event_time)),
            position: header.position.to_string(),
            event: activation.event.to_vec(),
            resume_token: self.token().to_text(),
        })
    }
}

/// Where the bodies of our own events name profiles; see `announce`.
const MERGED: &str = "merged_profile_ids";
const PARTED: &str = "split_from";

/// Whether a property of an event of ours, a text or a list of texts, names a profile.
fn names(activation: &Activation, property: &str, id: ProfileId) -> bool {
    let Ok(text) = str::from_utf8(&activation.event) else { return false };
    let found = Members::parse(text).ok().and_then(|event| event.object("properties")?.get(property));
    // An id is hexadecimal: no text holds it that does not name it.
    found.is_some_and(|value| value.get().contains(&format!("\"{id}\"")))
}

/// Whether an activation is about this audience, and how.
fn of_audience(key: &str, activation: &Activation) -> Option<ChangeKind> {
    let kind = match activation.header.kind {
        ActivationKind::AudienceEntered => ChangeKind::AudienceEntered,
        ActivationKind::AudienceExited => ChangeKind::AudienceExited,
        ActivationKind::Event
        | ActivationKind::ProfileMerged
        | ActivationKind::ProfileSplit
        | ActivationKind::AudienceTrait => return None,
    };
    let event = Members::parse(str::from_utf8(&activation.event).ok()?).ok()?;
    (event.object("properties")?.text("audience_key")? == key).then_some(kind)
}

#[cfg(test)]
pub(super) mod tests;
