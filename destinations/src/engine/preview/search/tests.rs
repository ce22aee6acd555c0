//! What is found in a log in memory.

use super::*;
use bytes::Bytes;
use std::cell::Cell;
use tributary_eventlog::MemoryLog;
use tributary_model::activation::{ActivationHeader, ActivationKind, Carried};
use tributary_model::{EventKind, MessageId, Position, SourceId, Timestamp};

/// An activation of a workspace for each message id.
fn log(activations: impl IntoIterator<Item = (u32, String)>) -> MemoryLog {
    let log = MemoryLog::new();
    for (position, (workspace, message)) in (1..).zip(activations) {
        let header = ActivationHeader {
            workspace: WorkspaceId(workspace),
            position: Position::at(position),
            ordinal: 0,
            profile: None,
            identifiers: Vec::new(),
            event_kind: EventKind::Page,
            source: SourceId(1),
            message_id: MessageId::parse(&message).expect("an id"),
            received_at: Timestamp::default(),
            event_time: Timestamp::default(),
            kind: ActivationKind::Event,
            carried: Carried::default(),
        };
        // A log in memory has appended once the call returns.
        drop(log.append(vec![Activation { header, event: Bytes::new() }.encode()]));
    }
    log
}

/// The position of what is found: names that begin with `b` fit best, those with `s` fit.
fn found(log: &MemoryLog) -> Option<u64> {
    let found = newest(log, WorkspaceId(1), |activation| match activation.header.message_id.as_str() {
        name if name.starts_with('b') => Fit::Best,
        name if name.starts_with('s') => Fit::Some,
        _ => Fit::None,
    });
    found.expect("readable").map(|activation| activation.header.position.sequence)
}

#[test]
fn the_newest_that_fits_best_is_found_wherever_it_lies() {
    // As many as several pieces have, and with bounds of pieces among them.
    for count in [1_usize, 2, 63, 64, 65, 192, 193, 1_000, 9_000] {
        for back in [0, 1, 62, 63, 64, 65, 191, 192, 500, 8_999].into_iter().filter(|back| *back < count) {
            let at = count - 1 - back;
            let names = |name: &'static str| {
                let name = move |number: usize| if number <= at { name } else { "n" };
                (0..count).map(move |number| (1, name(number).to_owned()))
            };
            let want = Some(at as u64 + 1);
            assert_eq!(found(&log(names("best"))), want, "{back} behind it");
            assert_eq!(found(&log(names("some"))), want, "{back} behind it, and none fits best");
        }
    }
}

#[test]
fn the_best_is_preferred_and_others_are_passed_over() {
    let of = |names: &[(u32, &str)]| {
        let log = log(names.iter().map(|(workspace, name)| (*workspace, (*name).to_owned())));
        // What can't be understood does not matter.
        drop(log.append(vec![Bytes::from_static(b"?")]));
        found(&log)
    };
    let mut many = vec![(1, "s"); 500];
    many.insert(0, (1, "b"));
    type Case<'a> = (&'a [(u32, &'static str)], Option<u64>);
    let cases: [Case<'_>; 5] = [
        (&[], None),
        (&[(1, "n"), (2, "b")], None),
        (&[(1, "b"), (1, "s"), (2, "b")], Some(1)),
        (&[(1, "s"), (1, "s"), (2, "b"), (1, "n")], Some(2)),
        (&many[..], Some(1)),
    ];
    for (names, want) in cases {
        assert_eq!(of(names), want, "{} activations", names.len());
    }
}

#[test]
fn what_expires_meanwhile_is_passed_over() {
    let names =
        || (0..1_000).map(|number| (1, if number == 20 || number == 700 { "b" } else { "n" }.to_owned()));
    let of = |expired: u64| {
        let log = log(names());
        let is_first = Cell::new(true);
        let found = newest(&log, WorkspaceId(1), |activation| {
            if is_first.replace(false) {
                log.expire_before(expired);
            }
            if activation.header.message_id.as_str() == "b" { Fit::Best } else { Fit::None }
        });
        found.expect("what is left is readable").map(|activation| activation.header.position.sequence)
    };
    assert_eq!([of(0), of(21), of(701), of(990)], [Some(701), Some(701), None, None]);
    let log = log(names());
    log.set_unreadable(true);
    assert!(newest(&log, WorkspaceId(1), |_| Fit::Best).is_err());
}
