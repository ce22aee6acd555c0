//! Where the activations of a record are found.

use super::*;
use bytes::Bytes;
use tributary_eventlog::MemoryLog;
use tributary_model::activation::{ActivationHeader, ActivationKind, Carried};
use tributary_model::{EventKind, MessageId, SourceId};

fn append(log: &MemoryLog, workspace: u32, position: u64, ordinal: u32) {
    let header = ActivationHeader {
        workspace: WorkspaceId(workspace),
        position: Position::at(position),
        ordinal,
        profile: None,
        identifiers: Vec::new(),
        event_kind: EventKind::Page,
        source: SourceId(1),
        message_id: MessageId::parse("m").expect("an id"),
        received_at: Timestamp::default(),
        event_time: Timestamp::default(),
        kind: ActivationKind::Event,
        carried: Carried::default(),
    };
    // A log in memory has appended once the call returns.
    drop(log.append(vec![Activation { header, event: Bytes::new() }.encode()]));
}

#[test]
fn the_activations_of_a_record_are_found_where_they_are_for_the_first_time() {
    let log = MemoryLog::new();
    // A killed process had sent the second of record 3 and record 5.
    let places = [(1, 0), (1, 3), (1, 3), (1, 5), (2, 7), (1, 3), (1, 5), (1, 8), (1, 9)];
    let ordinals = [0, 0, 1, 0, 0, 1, 0, 0, 0];
    for ((workspace, position), ordinal) in places.into_iter().zip(ordinals) {
        append(&log, workspace, position, ordinal);
    }
    let found = |workspace, position| {
        let found = activations_of(&log, WorkspaceId(workspace), Position::at(position));
        let found = found.expect("readable").into_iter();
        found.map(|(ordinal, (sequence, _))| (ordinal, sequence)).collect::<Vec<_>>()
    };
    type Case = (u32, u64, &'static [(u32, u64)]);
    let cases: [Case; 8] = [
        (1, 0, &[(0, 0)]),
        (1, 1, &[]),
        (1, 3, &[(0, 1), (1, 2)]),
        (1, 5, &[(0, 3)]),
        (1, 7, &[]),
        (2, 7, &[(0, 4)]),
        (1, 9, &[(0, 8)]),
        (1, 10, &[]),
    ];
    for (workspace, position, want) in cases {
        assert_eq!(found(workspace, position), want, "record {position} of workspace {workspace}");
    }
    log.expire_before(2);
    assert_eq!(found(1, 3), [(1, 2)], "what is left");
    assert!(found(1, 0).is_empty());
}
