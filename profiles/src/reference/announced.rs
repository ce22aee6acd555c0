//! The activations that are expected, put together by hand.

use super::rebuilt::News;
use tributary_identity::{
    Evidence, GraphRead, LiveProfile, MemoryGraph, ProfileRecord, Resolution, Unmerged,
};
use tributary_model::activation::{ActivationHeader, ActivationKind};
use tributary_model::{Activation, EventKind, Identifier, MessageId, Position, ProfileId, Record, SourceId};

/// The activation of an event.
pub(super) fn of_event(
    event_kind: EventKind,
    record: &Record,
    evidence: Evidence,
    resolution: Option<&Resolution>,
) -> Activation {
    Activation {
        header: ActivationHeader {
            workspace: record.envelope.workspace,
            position: evidence.position,
            ordinal: 0,
            identifiers: resolution.map(|resolution| current(&resolution.live)).unwrap_or_default(),
            profile: resolution.map(|resolution| resolution.profile),
            event_kind,
            source: evidence.source,
            message_id: evidence.message_id,
            received_at: evidence.received_at,
            event_time: evidence.event_time,
            kind: ActivationKind::Event,
            carried: tributary_model::activation::Carried::default(),
        },
        event: record.payload.clone(),
    }
}

/// The activation that tells of the merge that an event brought.
pub(super) fn merged(sequence: u64, record: &Record, resolution: &Resolution) -> Activation {
    let own = format!(r#""merged_profile_ids":{}"#, list(resolution.merged.iter()));
    let name = ("Profile Merged", ActivationKind::ProfileMerged);
    let place = (sequence, 1);
    told(name, place, record, record.envelope.source, (resolution.profile, &resolution.live), &own)
}

/// The activations that tell of what a profile was parted into.
pub(super) fn split(sequence: u64, record: &Record, unmerged: &Unmerged) -> Vec<Activation> {
    let mut made = Vec::new();
    for (id, live) in &unmerged.profiles {
        let others = unmerged.profiles.iter().map(|(other, _)| other).filter(|other| *other != id);
        let own = format!(r#""split_from":"{}","other_profile_ids":{}"#, unmerged.before, list(others));
        let name = ("Profile Split", ActivationKind::ProfileSplit);
        let place = (sequence, made.len() as u32);
        made.push(told(name, place, record, SourceId(0), (*id, live), &own));
    }
    for joined in &unmerged.joined {
        let own = format!(r#""merged_profile_ids":{}"#, list(joined.merged.iter()));
        let name = ("Profile Merged", ActivationKind::ProfileMerged);
        let place = (sequence, made.len() as u32);
        made.push(told(name, place, record, SourceId(0), (joined.profile, &joined.live), &own));
    }
    made
}

/// The activations that tell of what a rebuild did to profiles.
pub(super) fn of_rebuild(
    sequence: u64,
    record: &Record,
    graph: &mut MemoryGraph,
    news: Vec<News>,
) -> Vec<Activation> {
    let mut made = Vec::new();
    for news in news {
        let (name, kind, id, own) = match news {
            News::Merged { profile, gone } => {
                let own = format!(r#""merged_profile_ids":{}"#, list(gone.iter()));
                ("Profile Merged", ActivationKind::ProfileMerged, profile, own)
            }
            News::Split { profile, from, others } => {
                let own = format!(r#""split_from":"{from}","other_profile_ids":{}"#, list(others.iter()));
                ("Profile Split", ActivationKind::ProfileSplit, profile, own)
            }
        };
        let live = match graph.profile(record.envelope.workspace, id) {
            Ok(Some(ProfileRecord::Live(live))) => live,
            other => panic!("{id} is no live profile: {other:?}"),
        };
        let place = (sequence, made.len() as u32);
        made.push(told((name, kind), place, record, SourceId(0), (id, &live), &own));
    }
    made
}

fn told(
    (name, kind): (&str, ActivationKind),
    (sequence, ordinal): (u64, u32),
    record: &Record,
    source: SourceId,
    (id, live): (ProfileId, &LiveProfile),
    own: &str,
) -> Activation {
    let at = record.envelope.received_at;
    let message_id = format!("tributary-{sequence}-{ordinal}");
    let identifiers = current(live);
    let mut ids = String::new();
    for (member, namespace) in [("userId", "user_id"), ("anonymousId", "anonymous_id")] {
        let first = identifiers.iter().find(|identifier| identifier.namespace().as_str() == namespace);
        if let Some(first) = first {
            ids += &format!(r#""{member}":{},"#, json(first.value()));
        }
    }
    let texts: Vec<String> = identifiers.iter().map(|identifier| json(&identifier.to_text())).collect();
    let texts = texts.join(",");
    let event = format!(
        r#"{{"type":"track","event":"{name}","messageId":"{message_id}",{ids}"timestamp":"{at}","properties":{{"profile_id":"{id}",{own},"identifiers":[{texts}]}}}}"#
    );
    Activation {
        header: ActivationHeader {
            workspace: record.envelope.workspace,
            position: Position::at(sequence),
            ordinal,
            profile: Some(id),
            identifiers,
            event_kind: EventKind::Track,
            source,
            message_id: MessageId::parse(&message_id).expect("a short text"),
            received_at: at,
            event_time: at,
            kind,
            carried: tributary_model::activation::Carried::default(),
        },
        event: event.into(),
    }
}

fn current(live: &LiveProfile) -> Vec<Identifier> {
    let today = live.members.iter().filter(|node| !live.former.contains(node));
    today.map(|node| node.identifier.clone()).collect()
}

fn list<'a>(ids: impl Iterator<Item = &'a ProfileId>) -> String {
    let texts: Vec<String> = ids.map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", texts.join(","))
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written")
}
