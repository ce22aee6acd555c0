use super::*;
use crate::api::address::Part;
use crate::api::query::known;
use tributary_identity::{Cap, EdgeRule};
use tributary_model::{Identifier, MessageId, Namespace, NodeKey, Position, SourceId};

fn node(namespace: Namespace, value: &str) -> NodeKey {
    NodeKey::first_epoch(Identifier::parse(namespace, value).expect("an identifier"))
}

fn user(value: &str) -> NodeKey {
    node(Namespace::USER_ID, value)
}

fn phone(value: &str) -> NodeKey {
    node(Namespace::ANONYMOUS_ID, value)
}

fn evidence(sequence: u64) -> Evidence {
    Evidence {
        position: Position::at(sequence),
        message_id: MessageId::parse(&format!("m{sequence}")).expect("an id"),
        source: SourceId(2),
        received_at: Timestamp::parse("2026-11-20T10:00:00Z").expect("a time"),
        event_time: Timestamp::parse("2026-11-20T09:59:00Z").expect("a time"),
    }
}

fn event_of(sequence: u64) -> Value {
    json!({
        "message_id": format!("m{sequence}"),
        "source_id": "src_2",
        "timestamp": "2026-11-20T09:59:00.000Z",
        "received_at": "2026-11-20T10:00:00.000Z",
        "position": sequence,
    })
}

/// The day on which the evidence arrived.
fn seen() -> i64 {
    evidence(0).day()
}

fn shown(body: &Body) -> Value {
    serde_json::to_value(body).expect("JSON")
}

#[test]
fn one_profile_is_explained_by_a_path() {
    let steps = vec![Step {
        from: user("u1"),
        to: phone("x1"),
        rule: EdgeRule::SameEvent,
        evidence: evidence(7),
        last_day: seen() + 1,
    }];
    let same = Explanation::Same { profile: ProfileId([1; 16]), path: steps };
    let want = json!({
        "same_profile": true,
        "profile_id": "01010101010101010101010101010101",
        "path": [{
            "from": "user_id:u1",
            "to": "anonymous_id:x1",
            "rule": "same_event",
            "event": event_of(7),
            "first_seen": "2026-11-20T10:00:00.000Z",
            "last_seen": "2026-11-21",
        }],
    });
    assert_eq!(shown(&explanation(&same).expect("a body")), want);
}

#[test]
fn two_profiles_are_explained_by_what_keeps_them_apart() {
    let namespace = Namespace::USER_ID;
    let cases = [
        (
            RefusalReason::Limit { namespace: namespace.clone(), limit: 1, count: 2 },
            "limit",
            json!({"namespace": "user_id", "limit": 1, "count": 2}),
        ),
        (
            RefusalReason::Demotion {
                fault: node(Namespace::EMAIL, "e@x.y"),
                reason: Box::new(RefusalReason::Limit { namespace, limit: 1, count: 2 }),
            },
            "demotion",
            json!({"namespace": "user_id", "limit": 1, "count": 2, "at_fault": "email:e@x.y"}),
        ),
        (
            RefusalReason::Cap { cap: Cap::Merges, limit: 100, count: 101 },
            "cap",
            json!({"cap": "merges", "limit": 100, "count": 101}),
        ),
        (
            RefusalReason::Cap { cap: Cap::Identifiers, limit: 1000, count: 1001 },
            "cap",
            json!({"cap": "identifiers", "limit": 1000, "count": 1001}),
        ),
        (RefusalReason::Blocked, "blocked", json!({})),
        (RefusalReason::Partition { partition: 9 }, "partition", json!({"partition": "prt_9"})),
    ];
    for (reason, name, detail) in cases {
        let row =
            Apart { anchor: user("u1"), other: phone("x1"), reason, evidence: evidence(7), last_day: seen() };
        let apart = Explanation::Apart {
            who: ProfileId([1; 16]),
            with: None,
            kept_apart: vec![row],
            handed_over: Vec::new(),
        };
        let want = json!({
            "same_profile": false,
            "profile_id": "01010101010101010101010101010101",
            "with_profile_id": null,
            "kept_apart": [{
                "reason": name,
                "anchor": "user_id:u1",
                "identifier": "anonymous_id:x1",
                "detail": detail,
                "event": event_of(7),
                "last_seen": "2026-11-20",
            }],
        });
        assert_eq!(shown(&explanation(&apart).expect("a body")), want, "{name}");
    }
}

#[test]
fn nobody_is_not_found() {
    for unknown in [Explanation::UnknownWho, Explanation::UnknownWith] {
        let Err(error) = explanation(&unknown) else { panic!("there is nobody to tell of") };
        assert_eq!(error.code(), tributary_model::ErrorCode::NotFound);
    }
}

fn row(sequence: u64, what: Row) -> HistoryRow {
    HistoryRow {
        position: Position::at(sequence),
        at: evidence(sequence).received_at,
        what,
        evidence: Some(evidence(sequence)),
        by: None,
        reason: None,
    }
}

#[test]
fn every_row_of_a_history_tells_its_own() {
    let (one, two) = (ProfileId([1; 16]), ProfileId([2; 16]));
    let [first, second] = [one, two].map(|id| id.to_string());
    let key = EdgeKey { anchor: user("u1"), other: phone("x1") };
    let cases = [
        (Row::Created, json!({"type": "created"})),
        (Row::Gained { node: phone("x1") }, json!({"type": "gained", "identifier": "anonymous_id:x1"})),
        (
            Row::Merged { merge: 7, survivor: one, merged: vec![two], links: vec![key] },
            json!({
                "type": "merged",
                "merge": "mrg_7",
                "profile_id": first,
                "merged_profile_ids": [second],
                "links": [{"anchor": "user_id:u1", "identifier": "anonymous_id:x1"}],
            }),
        ),
        (
            Row::Demoted { anchor: user("u1"), other: phone("x1"), reason: RefusalReason::Blocked },
            json!({
                "type": "demoted",
                "anchor": "user_id:u1",
                "identifier": "anonymous_id:x1",
                "reason": "blocked",
                "detail": {},
            }),
        ),
        (
            Row::Parted { partition: 9, from: one, into: vec![one, two] },
            json!({
                "type": "parted",
                "partition": "prt_9",
                "from_profile_id": first,
                "profile_ids": [first, second],
            }),
        ),
        (
            Row::Took { node: phone("x1"), from: None, rule: EdgeRule::ByHand },
            json!({
                "type": "took",
                "identifier": "anonymous_id:x1",
                "from_profile_id": null,
                "rule": "by_hand",
            }),
        ),
        (
            Row::Lost { node: phone("x1"), to: Some(two), rule: EdgeRule::SignIn },
            json!({
                "type": "lost",
                "identifier": "anonymous_id:x1",
                "to_profile_id": second,
                "rule": "last_sign_in",
            }),
        ),
    ];
    for (what, mut want) in cases {
        want["at"] = "2026-11-20T10:00:00.000Z".into();
        want["position"] = 7.into();
        want["event"] = event_of(7);
        assert_eq!(happened(&row(7, what)), want);
    }
}

#[test]
fn a_row_that_a_person_made_says_who_and_why() {
    let ordered = HistoryRow {
        evidence: None,
        by: Some("tok_1 first".to_owned()),
        reason: Some("a kiosk".to_owned()),
        ..row(7, Row::Parted { partition: 7, from: ProfileId([1; 16]), into: Vec::new() })
    };
    let shown = happened(&ordered);
    assert_eq!((&shown["by"], &shown["reason"]), (&json!("tok_1 first"), &json!("a kiosk")));
    assert_eq!(shown.get("event"), None);
}

#[test]
fn pages_of_a_history_show_every_row_once() {
    // One record may bring several rows.
    let sequences = [3, 3, 3, 5, 8, 8];
    let rows: Vec<HistoryRow> = sequences.into_iter().map(|at| row(at, Row::Created)).collect();
    for limit in 1..=rows.len() + 1 {
        let mut seen: Vec<u64> = Vec::new();
        let mut next = String::new();
        loop {
            let query = Query::parse(&format!("limit={limit}&next={next}"), known(Part::History));
            let page = shown(&history(&rows, &query.expect("a query")).expect("a page"));
            let data = page["data"].as_array().expect("rows");
            assert!(data.len() <= limit);
            seen.extend(data.iter().map(|row| row["position"].as_u64().expect("a position")));
            if page["cursor"]["has_more"] != true {
                break;
            }
            next = page["cursor"]["next"].as_str().expect("a cursor").to_owned();
        }
        assert_eq!(seen, sequences, "{limit}");
    }
    let query = Query::parse("next=nonsense", known(Part::History)).expect("a query");
    assert!(history(&rows, &query).is_err());
}

#[test]
fn ids_and_days_have_one_text_form() {
    assert_eq!((merge_id(7), partition_id(9)), ("mrg_7".to_owned(), "prt_9".to_owned()));
    for (days, want) in [(0, "1970-01-01"), (seen(), "2026-11-20"), (-1, "1969-12-31")] {
        assert_eq!(day(days), want);
    }
}
