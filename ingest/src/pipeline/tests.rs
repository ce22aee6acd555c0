use super::*;
use crate::testing::{Bench, WRITE_KEY, now};
use proptest::prelude::*;
use tributary_model::EventKind;

fn prepare(bench: &Bench, endpoint: Endpoint, body: &[u8]) -> Result<Prepared, IngestError> {
    let source = bench.collector.write_keys().authenticate(WRITE_KEY).expect("the key is there");
    bench.collector.prepare(endpoint, Some(source), now(), body)
}

fn batch(bench: &Bench, body: &str) -> (Vec<Record>, Vec<Reject>) {
    let prepared = prepare(bench, Endpoint::Batch, body.as_bytes()).expect("a batch");
    assert_eq!(prepared.tally.accepted, prepared.records.len() as u64);
    assert_eq!(prepared.tally.rejected.len(), prepared.rejects.len());
    let records = prepared.records.iter().map(|bytes| Record::decode(bytes).expect("a record"));
    let rejects = prepared.rejects.iter().map(|bytes| Reject::decode(bytes).expect("a reject"));
    (records.collect(), rejects.collect())
}

#[test]
fn one_bad_event_never_sinks_its_batch() {
    let body = r#"{"batch":[
        {"type":"page","userId":"u","messageId":"good"},
        7, null, [], "x",
        {"type":"page","userId":7,"messageId":"bad"},
        {"type":"track","userId":"u","event":"e"}]}"#;
    let (records, rejects) = batch(&Bench::new(), body);
    assert_eq!(records.len(), 2);
    let got: Vec<_> = rejects
        .iter()
        .map(|reject| (reject.reason.name(), &reject.original[..], reject.message_id.as_deref()))
        .collect();
    let want: [(_, &[u8], _); 5] = [
        ("not_an_object", b"7", None),
        ("not_an_object", b"null", None),
        ("not_an_object", b"[]", None),
        ("not_an_object", br#""x""#, None),
        ("wrong_type", br#"{"type":"page","userId":7,"messageId":"bad"}"#, Some("bad")),
    ];
    assert_eq!(got, want);
    assert_eq!(rejects[4].pointer, "/userId");
    assert!(rejects[4].text.contains("`userId`"));
    assert_eq!(rejects[4].received_at, now());
}

#[test]
fn how_each_event_ended_is_told_where_it_is_asked_for() {
    let bench = Bench::new();
    let source = bench.collector.write_keys().authenticate(WRITE_KEY).expect("the key is there");
    let arrival = bench.collector.arrival(&source, PathKind::Open, now(), Defaults::default());
    let mut prepared = Prepared::with_ends(4);
    prepared.take_alone(r#"{"type":"page","userId":"u","messageId":"given"}"#, &arrival);
    prepared.take_alone(r#"{"type":"page","userId":"u","x":"\ud83d"}"#, &arrival);
    prepared.take_alone(r#"{"type":"page","messageId":"bad"}"#, &arrival);
    prepared.take_alone("{}", &arrival);
    prepared.reject(b"\xff", Some(""), Problem::new(RejectReason::Unreadable, "/traits", "no"), &arrival);
    let ends = prepared.take_ends();
    let got: Vec<_> = ends
        .iter()
        .map(|end| (end.message_id.as_deref().map(str::len), end.problem.as_ref().map(|why| why.reason)))
        .collect();
    let want = [
        (Some(5), None),
        (Some(36), None),
        (Some(3), Some(RejectReason::NoIdentifier)),
        (None, Some(RejectReason::TypeMissing)),
        (None, Some(RejectReason::Unreadable)),
    ];
    assert_eq!(got, want);
    let records: Vec<_> =
        prepared.records.iter().map(|bytes| Record::decode(bytes).expect("a record")).collect();
    assert_eq!(ends[1].message_id.as_deref(), records[1].envelope.message_id.as_ref().map(|id| id.as_str()));
    assert_eq!(records[1].envelope.marks, Marks::REPLACED_SURROGATE);
    assert!(prepare(&bench, Endpoint::Batch, br#"{"batch":[{}]}"#).expect("a batch").take_ends().is_empty());
}

#[test]
fn lone_surrogates_are_stored_as_replacement_and_rejected_as_sent() {
    let body = r#"{"batch":[
        {"type":"page","userId":"u","messageId":"a","x":"\ud83d"},
        {"type":"page","userId":"u","messageId":"b","x":"\ud83d\ude00"},
        {"type":"page","messageId":"c\udead","x":"\ud83d"}]}"#;
    let (records, rejects) = batch(&Bench::new(), body);
    let stored = std::str::from_utf8(&records[0].payload).expect("UTF-8");
    assert!(stored.contains(r#""x":"\ufffd""#));
    assert_eq!(records[0].envelope.marks, Marks::REPLACED_SURROGATE);
    assert_eq!(records[1].envelope.marks, Marks::default());
    assert_eq!(&rejects[0].original[..], br#"{"type":"page","messageId":"c\udead","x":"\ud83d"}"#);
    assert_eq!(rejects[0].message_id.as_deref(), Some("c\u{fffd}"));
}

#[test]
fn values_are_kept_digit_for_digit() {
    let keys: Vec<String> = (0..600).map(|i| format!("\"k.{i}$\":{{\"n\":null}}")).collect();
    let event = format!(
        r#"{{"type":"track","event":"e","messageId":"m","userId":"u","timestamp":"2026-11-20T09:00:00Z","properties":{{"big":9007199254740993,"long":0.1000000000000000055511151231257827,"nul":"\u0000","é":"\u00e9","e":1E+2,{}}}}}"#,
        keys.join(",")
    );
    let (records, _) = batch(&Bench::new(), &format!("{{\"batch\":[{event}]}}"));
    let stored = std::str::from_utf8(&records[0].payload).expect("UTF-8");
    assert!(stored.starts_with(&event[..event.len() - 1]));
}

#[test]
fn defaults_cannot_blow_up_a_batch() {
    let context = format!(r#"{{"x":"{}"}}"#, "x".repeat(100_000));
    let event = r#"{"type":"page","userId":"u"}"#;
    let body =
        |events: usize| format!(r#"{{"context":{context},"batch":[{}]}}"#, vec![event; events].join(","));
    let bench = Bench::new();
    assert!(prepare(&bench, Endpoint::Batch, body(80).as_bytes()).is_ok());
    let refused = prepare(&bench, Endpoint::Batch, body(90).as_bytes()).err();
    assert!(matches!(refused, Some(IngestError::DefaultsTooLarge { .. })));
}

#[test]
fn counts_of_events_are_limited() {
    let bench = Bench::new();
    let body = |events: usize| format!(r#"{{"batch":[{}]}}"#, vec!["0"; events].join(","));
    assert!(prepare(&bench, Endpoint::Batch, body(2500).as_bytes()).is_ok());
    let refused = prepare(&bench, Endpoint::Batch, body(2501).as_bytes()).err();
    assert!(matches!(refused, Some(IngestError::BatchTooLarge { len: 2501, limit: 2500 })));
}

#[test]
fn a_hundred_thousand_brackets_are_only_too_deep() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let (records, rejects) = batch(
        &Bench::new(),
        &format!(r#"{{"batch":[{{"type":"page","userId":"u","messageId":"m","x":{deep}}},{deep}]}}"#),
    );
    assert!(records.is_empty());
    assert_eq!(rejects[0].reason, RejectReason::TooDeep);
    assert_eq!(rejects[0].message_id.as_deref(), Some("m"));
    assert_eq!(rejects[1].reason, RejectReason::NotAnObject);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let bench = Bench::new();
        for endpoint in Endpoint::ALL {
            let _ = prepare(&bench, endpoint, &body);
        }
    }

    /// Text that is nearly JSON gets further in than random bytes.
    #[test]
    fn no_text_panics(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud83d", "null", "1e9", "-", " ", "é", "\"type\":\"track\",",
            "\"event\":\"e\",", "\"userId\":\"u\"", "\"batch\":[", "\"context\":{", "\"traits\":", "\"timestamp\":\"", "\"a\":1",
        ]), 0..25),
        wrap in any::<bool>(),
    ) {
        let bench = Bench::new();
        let text = parts.concat();
        let body = if wrap { format!("{{\"context\":{{\"a\":1}},\"batch\":[{{{text}}}]}}") } else { text };
        for endpoint in [Endpoint::Batch, Endpoint::Single(EventKind::Track)] {
            if let Ok(prepared) = prepare(&bench, endpoint, body.as_bytes()) {
                for record in &prepared.records {
                    let record = Record::decode(record).expect("a record");
                    prop_assert!(tributary_model::EventView::parse(&record.payload).is_ok());
                }
            }
        }
    }
}
