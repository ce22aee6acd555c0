//! Watches of profiles and audiences over logs of all kinds, unbroken and broken off.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tributary_model::activation::ActivationHeader;
use tributary_model::{EventKind, Identifier, MessageId, Namespace, SourceId, Timestamp};

const WORKSPACE: WorkspaceId = WorkspaceId(1);

fn id(number: u8) -> ProfileId {
    ProfileId([number; 16])
}

/// An activation of the profile of that number, without a body.
pub(in crate::grpc) fn activation(
    position: u64,
    ordinal: u32,
    kind: ActivationKind,
    profile: u8,
) -> Activation {
    let header = ActivationHeader {
        workspace: WORKSPACE,
        position: Position::at(position),
        ordinal,
        profile: Some(id(profile)),
        identifiers: vec![Identifier::parse(Namespace::USER_ID, "u1").expect("an identifier")],
        event_kind: EventKind::Track,
        source: SourceId(1),
        message_id: MessageId::parse("m").expect("an id"),
        received_at: Timestamp::from_millis(1000),
        event_time: Timestamp::from_millis(500),
        kind,
        carried: tributary_model::activation::Carried::default(),
    };
    Activation { header, event: Bytes::new() }
}

fn with(activation: Activation, properties: &serde_json::Value) -> Arc<Activation> {
    let event = json!({"type": "track", "properties": properties}).to_string().into_bytes().into();
    Arc::new(Activation { event, ..activation })
}

fn event(position: u64, profile: u8) -> Arc<Activation> {
    Arc::new(activation(position, 0, ActivationKind::Event, profile))
}

fn merged(position: u64, survivor: u8, gone: u8) -> Arc<Activation> {
    let properties = json!({"merged_profile_ids": [id(200).to_string(), id(gone).to_string()]});
    with(activation(position, 1, ActivationKind::ProfileMerged, survivor), &properties)
}

fn split(position: u64, ordinal: u32, part: u8, from: u8) -> Arc<Activation> {
    let properties = json!({"split_from": id(from).to_string(), "other_profile_ids": [id(part).to_string()]});
    with(activation(position, ordinal, ActivationKind::ProfileSplit, part), &properties)
}

fn audience(position: u64, kind: ActivationKind, profile: u8, key: &str) -> Arc<Activation> {
    with(activation(position, 2, kind, profile), &json!({"audience_key": key, key: true}))
}

/// What is told of a log that begins at sequence 10: kind, profile, position and resume token.
type Told = (ChangeKind, String, String, String);

fn followed(follow: &mut Follow, log: &[Arc<Activation>], from: u64) -> Vec<Told> {
    let numbered = (10u64..).zip(log).filter(|(sequence, _)| *sequence >= from);
    let changes = numbered.flat_map(|(sequence, activation)| follow.look(sequence, activation));
    changes
        .map(|change| {
            (change.kind(), change.profile_id.clone(), change.position.clone(), change.resume_token)
        })
        .collect()
}

fn in_short(told: &[Told]) -> Vec<(ChangeKind, &str, &str)> {
    told.iter().map(|(kind, id, position, _)| (*kind, &id[..2], position.as_str())).collect()
}

#[test]
fn a_profile_is_followed_through_merges_and_splits() {
    let log = [
        event(1, 1),
        event(2, 2),
        // The event that merges it away is its own, and stands under the survivor's id.
        event(3, 2),
        merged(3, 2, 1),
        audience(3, ActivationKind::AudienceEntered, 2, "vip"),
        audience(3, ActivationKind::AudienceTrait, 2, "vip"),
        event(4, 1),
        event(5, 2),
        split(6, 0, 2, 2),
        split(6, 1, 1, 2),
        event(7, 1),
        event(8, 2),
        event(9, 3),
        merged(9, 3, 4),
        event(10, 2),
        merged(10, 2, 5),
    ];
    let mut follow = Follow::from_now(WORKSPACE, Subject::Profile(id(1)), 10);
    let told = followed(&mut follow, &log, 10);
    let want = [
        (ChangeKind::Event, "01", "0.1"),
        (ChangeKind::Event, "02", "0.3"),
        (ChangeKind::Merged, "02", "0.3"),
        (ChangeKind::AudienceEntered, "02", "0.3"),
        (ChangeKind::Event, "02", "0.5"),
        (ChangeKind::Split, "02", "0.6"),
        (ChangeKind::Split, "01", "0.6"),
        (ChangeKind::Event, "02", "0.8"),
        (ChangeKind::Event, "02", "0.10"),
        (ChangeKind::Merged, "02", "0.10"),
    ];
    assert_eq!(in_short(&told), want);
}

#[test]
fn an_audience_is_followed_by_its_key() {
    let entered = ActivationKind::AudienceEntered;
    let log = [
        audience(1, entered, 1, "vip"),
        audience(2, entered, 1, "other"),
        event(3, 1),
        audience(4, ActivationKind::AudienceTrait, 1, "vip"),
        audience(5, ActivationKind::AudienceExited, 1, "vip"),
    ];
    let mut follow = Follow::from_now(WORKSPACE, Subject::Audience("vip".to_owned()), 10);
    let told = followed(&mut follow, &log, 10);
    let want = [(ChangeKind::AudienceEntered, "01", "0.1"), (ChangeKind::AudienceExited, "01", "0.5")];
    assert_eq!(in_short(&told), want);
}

#[test]
fn other_workspaces_and_second_copies_are_passed_over() {
    let foreign = |position| {
        let mut other = activation(position, 0, ActivationKind::Event, 1);
        other.header.workspace = WorkspaceId(2);
        Arc::new(other)
    };
    // A killed process had sent 2 and 3, which arrived behind what the next one wrote.
    let log = [event(1, 1), foreign(2), event(3, 1), event(4, 1), event(3, 1), event(4, 1), event(5, 1)];
    let mut follow = Follow::from_now(WORKSPACE, Subject::Profile(id(1)), 10);
    let told = followed(&mut follow, &log, 10);
    let positions: Vec<&str> = told.iter().map(|(_, _, position, _)| position.as_str()).collect();
    assert_eq!(positions, ["0.1", "0.3", "0.4", "0.5"]);
    // Resumed in the middle, the copies are known by the token.
    let token = Token::parse(&told[2].3).expect("a token");
    let mut again = Follow::resumed(Subject::Profile(id(1)), &token);
    assert_eq!(followed(&mut again, &log, token.sequence), told[3..]);
}

#[test]
fn the_token_moves_on_with_the_log_though_nothing_is_told() {
    let mut follow = Follow::from_now(WORKSPACE, Subject::Profile(id(1)), 10);
    let begin = follow.token();
    assert_eq!(begin.sequence, 10);
    let log = [event(1, 2), event(2, 2), merged(2, 2, 3)];
    assert!(followed(&mut follow, &log, 10).is_empty());
    let token = follow.token();
    assert_eq!((token.sequence, token.position, token.ordinal), (11, Position::at(2), 0));
}

/// What happens at a position: an event with a merge or without, or a split, or audience changes.
fn step() -> impl Strategy<Value = (u8, u8, u8)> {
    (0u8..6, 1u8..5, 1u8..5)
}

/// A log of these steps, parts of it there twice.
fn log(steps: &[(u8, u8, u8)], again: &[usize]) -> Vec<Arc<Activation>> {
    let mut log: Vec<Arc<Activation>> = Vec::new();
    for (position, (what, one, other)) in (1u64..).zip(steps) {
        let place = log.len();
        match what {
            0 | 1 => log.push(event(position, *one)),
            2 if one != other => {
                log.extend([event(position, *one), merged(position, *one, *other)]);
                log.push(audience(position, ActivationKind::AudienceEntered, *one, "vip"));
            }
            3 if one != other => {
                log.extend([split(position, 0, *one, *one), split(position, 1, *other, *one)]);
            }
            4 => log.push(audience(position, ActivationKind::AudienceEntered, *one, "vip")),
            _ => log.push(audience(position, ActivationKind::AudienceExited, *one, "other")),
        }
        if again.contains(&(position as usize)) && place > 0 {
            let copy = log[place - 1..].to_vec();
            log.extend(copy);
        }
    }
    log
}

proptest! {
    /// Wherever a watch breaks, and however often: what is told behind the last token is what would have been.
    #[test]
    fn a_watch_that_is_resumed_tells_what_an_unbroken_one_does(
        steps in prop::collection::vec(step(), 1..40),
        again in prop::collection::vec(1usize..40, 0..4),
        breaks in prop::collection::vec((0usize..60, any::<bool>()), 0..6),
        is_of_audience in any::<bool>(),
    ) {
        let log = log(&steps, &again);
        let subject = || {
            if is_of_audience { Subject::Audience("vip".to_owned()) } else { Subject::Profile(id(1)) }
        };
        let whole = followed(&mut Follow::from_now(WORKSPACE, subject(), 10), &log, 10);

        let mut follow = Follow::from_now(WORKSPACE, subject(), 10);
        let mut from = 10;
        let mut told: Vec<Told> = Vec::new();
        for (after, is_by_progress) in breaks {
            // Looks at some more, and is broken off: by the token of the last change, or one of progress.
            let until = (from as usize - 10 + after).min(log.len());
            let part = followed(&mut follow, &log[..until], from);
            let token = match part.last() {
                Some((_, _, _, text)) if !is_by_progress => Token::parse(text).expect("a token"),
                _ => follow.token(),
            };
            told.extend(part);
            let subject = match token.subject {
                TokenSubject::Profile(id) => Subject::Profile(id),
                TokenSubject::Audience(_) => subject(),
            };
            follow = Follow::resumed(subject, &token);
            from = token.sequence;
        }
        told.extend(followed(&mut follow, &log, from));
        prop_assert_eq!(in_short(&told), in_short(&whole));
    }
}
