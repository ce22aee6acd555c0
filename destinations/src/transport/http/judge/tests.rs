use super::*;
use bytes::Bytes;
use serde_json::{Value as Json, json};

const AFTER: Option<Duration> = Some(Duration::from_secs(3));

fn judge(spec: Json) -> Judge {
    let spec: ResponseSpec = serde_json::from_value(spec).expect("a specification");
    Judge::compile("response", Box::leak(Box::new(spec))).expect("it can be used")
}

fn response(status: u16, after: Option<Duration>, body: &str) -> InboundResponse {
    let body = Bytes::from(body.to_owned());
    InboundResponse { status, retry_after: after, body, is_whole: true, is_encoded: false }
}

fn masker() -> Masker {
    Masker::new(["key-4711"].into_iter())
}

fn verdicts(judge: &Judge, response: &InboundResponse, ids: &[&str]) -> Vec<Verdict> {
    judge.verdicts(response, ids, &masker()).0
}

fn message(judge: &Judge, response: &InboundResponse) -> Option<String> {
    judge.message(response, &masker())
}

/// A verdict in short: its kind, its reason, and whether it looks like an outage.
fn short(verdict: &Verdict) -> String {
    let of = |kind: &str, failure: &Failure| {
        let outage = if failure.outage { " outage" } else { "" };
        format!("{kind} {}{outage}", failure.reason.name())
    };
    match verdict {
        Verdict::Delivered => "delivered".to_owned(),
        Verdict::Retry { failure, after } => {
            let after = after.map_or_else(String::new, |after| format!(" after {}", after.as_secs()));
            of("retry", failure) + &after
        }
        Verdict::Rejected(failure) => of("rejected", failure),
        Verdict::Credentials(failure) => of("credentials", failure),
    }
}

fn text(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Delivered => "",
        Verdict::Retry { failure, .. } | Verdict::Rejected(failure) | Verdict::Credentials(failure) => {
            &failure.text
        }
    }
}

#[test]
fn statuses_are_judged_as_documented() {
    let judge = judge(json!({}));
    for status in 100..600 {
        let reason = Reason::of_status(status).name();
        let want = match status {
            200..=299 => "delivered".to_owned(),
            401 => "credentials unauthorized".to_owned(),
            500 | 502.. => format!("retry {reason} outage after 3"),
            408 | 425 | 429 => format!("retry {reason} after 3"),
            _ => format!("rejected {reason}"),
        };
        assert_eq!(short(&judge.verdict(&response(status, AFTER, ""))), want, "{status}");
        let verdicts = verdicts(&judge, &response(status, AFTER, ""), &["a", "b"]);
        assert_eq!(verdicts.iter().map(short).collect::<Vec<_>>(), [&*want, &*want], "{status}");
    }
    let cases =
        [(500, "retry server_error outage"), (503, "retry server_error outage"), (429, "retry rate_limited")];
    for (status, want) in cases {
        assert_eq!(short(&judge.verdict(&response(status, None, ""))), want, "{status}");
    }
    assert_eq!(text(&judge.verdict(&response(302, None, ""))), "answered 302; redirects are not followed");
}

#[test]
fn the_first_rule_that_fits_counts() {
    let judge = judge(json!({"rules": [
        {"status": 404, "body": {"text": "no_service"}, "verdict": "credentials", "text": "the webhook was removed"},
        {"status": [400, "5xx"], "body": {"path": "$.fatal"}, "verdict": "reject", "text": "it said so"},
        {"status": "2xx", "body": {"path": "$.ok", "equals": false}, "verdict": "reject"},
        {"status": "2xx", "body": {"path": "$.error.code", "equals": 9}, "verdict": "retry"},
        {"status": 200, "body": {"path": "$.errors[0]"}, "verdict": "credentials"},
        {"status": 404, "verdict": "delivered"},
        {"status": 501, "verdict": "retry"},
    ]}));
    let cases = [
        (404, "no_service", "credentials not_found"),
        (404, "nobody", "delivered"),
        (400, r#"{"fatal": true}"#, "rejected bad_request"),
        (400, r#"{"fatal": "yes"}"#, "rejected bad_request"),
        (503, r#"{"fatal": [0]}"#, "rejected server_error"),
        (503, r#"{"fatal": false}"#, "retry server_error outage"),
        (503, r#"{"fatal": null}"#, "retry server_error outage"),
        (503, r#"{"fatal": ""}"#, "retry server_error outage"),
        (503, r#"{"fatal": []}"#, "retry server_error outage"),
        (503, r#"{"fatal": {}}"#, "retry server_error outage"),
        (503, r#"{"fatal": true"#, "retry server_error outage"),
        (503, "", "retry server_error outage"),
        (200, r#"{"ok": false}"#, "rejected refused_in_body"),
        (202, r#"{"ok": "false"}"#, "delivered"),
        (200, r#"{"ok": true, "error": {"code": 9}}"#, "retry refused_in_body"),
        (200, r#"{"ok": true, "error": {"code": 90}}"#, "delivered"),
        (200, r#"{"errors": ["x"]}"#, "credentials unauthorized"),
        (200, r#"{"errors": []}"#, "delivered"),
        (200, "\u{fffd}no JSON", "delivered"),
        (501, "", "retry server_error outage"),
    ];
    for (status, body, want) in cases {
        assert_eq!(short(&judge.verdict(&response(status, None, body))), want, "{status} {body}");
    }
    let removed = judge.verdict(&response(404, None, "no_service"));
    assert_eq!(text(&removed), "answered 404: the webhook was removed");
}

#[test]
fn results_of_single_deliveries_are_read_by_id_or_in_order() {
    let by_id = json!({"path": "$.results", "id": "$.id", "status": "$.status", "missing": "retry"});
    let in_order = json!({"path": "$", "status": "$.ok", "missing": "reject"});
    let of = |items: &Json| judge(json!({"rules": [{"status": "2xx", "verdict": "items"}], "items": items}));
    let cases = [
        (
            &by_id,
            json!({"results": [{"id": "c", "status": 429}, {"id": "a", "status": 200}, {"id": "b", "status": "400"}]}),
            ["delivered", "rejected bad_request", "retry rate_limited after 3"],
        ),
        (
            &by_id,
            json!({"results": [{"id": "c", "status": 503}, {"id": "x", "status": 400}, {"id": "a"}]}),
            [
                "retry unreadable_answer after 3",
                "retry refused_in_body after 3",
                "retry server_error after 3",
            ],
        ),
        (
            &by_id,
            json!({"results": [{"id": "a", "status": "soon"}, {"id": "b", "status": 99}, {"id": "c", "status": [200]}]}),
            ["retry unreadable_answer after 3"; 3],
        ),
        (
            &by_id,
            json!({"results": [{"id": "a", "status": 200.0}, {"id": "b", "status": "400.0"}, {"id": "c", "status": 2e2}]}),
            ["delivered", "rejected bad_request", "delivered"],
        ),
        (
            &by_id,
            json!({"results": [{"id": "a", "status": 200.5}, {"id": "b", "status": 600}, {"id": "c", "status": 0}]}),
            ["retry unreadable_answer after 3"; 3],
        ),
        // What pauses a destination where it is said of a whole answer is about one delivery here, but for 401.
        (
            &by_id,
            json!({"results": [{"id": "a", "status": 403}, {"id": "b", "status": 410}, {"id": "c", "status": 301}]}),
            ["rejected forbidden", "rejected not_found", "rejected redirected"],
        ),
        (
            &by_id,
            json!({"results": [{"id": "a", "status": true}, {"id": "b", "status": false}, {"id": "c", "status": null}]}),
            ["delivered", "rejected refused_in_body", "retry unreadable_answer after 3"],
        ),
        (
            &by_id,
            json!({"results": [{"id": "a", "status": 401}, {"id": "a", "status": 200}]}),
            ["credentials unauthorized", "retry refused_in_body after 3", "retry refused_in_body after 3"],
        ),
        (&by_id, json!({"result": []}), ["retry unreadable_answer after 3"; 3]),
        (&by_id, json!({"results": 7}), ["retry unreadable_answer after 3"; 3]),
        (
            &in_order,
            json!([{"ok": true}, {"ok": false}, {"ok": true}]),
            ["delivered", "rejected refused_in_body", "delivered"],
        ),
        (
            &in_order,
            json!([{"ok": true}, {"ok": "?"}]),
            ["delivered", "retry unreadable_answer after 3", "rejected refused_in_body"],
        ),
        (
            &in_order,
            json!([7, {"ok": false}, {"ok": true}]),
            ["retry unreadable_answer after 3", "rejected refused_in_body", "delivered"],
        ),
    ];
    for (items, body, want) in cases {
        let verdicts = verdicts(&of(items), &response(207, AFTER, &body.to_string()), &["a", "b", "c"]);
        assert_eq!(verdicts.iter().map(short).collect::<Vec<_>>(), want, "{body}");
    }
    // A number that no double holds is in nobody's way.
    let huge = response(200, None, r#"[{"n": 1e999, "ok": false}, {"ok": true}]"#);
    let huge = verdicts(&of(&in_order), &huge, &["a", "b"]);
    assert_eq!(huge.iter().map(short).collect::<Vec<_>>(), ["rejected refused_in_body", "delivered"]);
    let cut = verdicts(&of(&by_id), &response(200, None, r#"{"results": [{"id": "a", "sta"#), &["a"]);
    assert_eq!(short(&cut[0]), "retry unreadable_answer");
    let other = verdicts(&of(&by_id), &response(500, None, ""), &["a", "b"]);
    assert_eq!(other.iter().map(short).collect::<Vec<_>>(), ["retry server_error outage"; 2]);
    assert_eq!(
        short(&of(&by_id).verdict(&response(200, None, "{}"))),
        "delivered",
        "no deliveries, no results"
    );
}

/// JSON in so many levels, innermost `inner`.
fn nested(levels: usize, inner: &str) -> String {
    format!("{}{inner}{}", "{\"a\":[".repeat(levels / 2), "]}".repeat(levels / 2))
}

#[test]
fn a_success_that_can_not_be_read_is_none_where_its_body_decides() {
    let with = |rules: Json| {
        judge(json!({
            "rules": rules,
            "items": {"path": "$.results", "id": "$.id", "status": "$.status", "missing": "delivered"},
        }))
    };
    let by_items = json!([{"status": "2xx", "body": {"path": "$.results[*].id"}, "verdict": "items"}]);
    let by_path = json!([{"status": 200, "body": {"path": "$.a"}, "verdict": "reject"}]);
    let by_text = json!([{"body": {"text": "no"}, "verdict": "reject"}]);
    let of_others = json!([{"status": "4xx", "body": {"text": "no"}, "verdict": "reject"}]);
    let by_status =
        json!([{"status": 200, "verdict": "delivered"}, {"body": {"path": "$.a"}, "verdict": "reject"}]);
    let unread = "retry unreadable_answer after 3";
    let (edge, deep, bottomless) = (nested(64, "1"), nested(66, "1"), nested(200_000, "1"));
    let brackets = "{".repeat(1000);
    let cases = [
        (&by_items, 200, r#"{"results": [{"id": "a", "sta"#, false, unread),
        (&by_path, 200, "{}", false, unread),
        (&by_path, 200, "{}", true, "delivered"),
        (&by_path, 202, "{}", false, "delivered"),
        (&by_text, 200, "yes, n", false, unread),
        (&by_text, 500, "yes, n", false, "retry server_error outage after 3"),
        (&of_others, 200, "yes", false, "delivered"),
        (&by_status, 200, "", false, "delivered"),
        (&by_path, 200, &*deep, true, unread),
        (&by_path, 200, &*bottomless, true, unread),
        (&by_items, 200, &*bottomless, true, unread),
        (&by_path, 200, &*edge, true, "rejected refused_in_body"),
        (&by_path, 400, &*bottomless, true, "rejected bad_request"),
        (&of_others, 200, &*bottomless, true, "delivered"),
        // It is no JSON, however many brackets it has.
        (&by_path, 200, &*brackets, true, "delivered"),
    ];
    for (rules, status, body, is_whole, want) in cases {
        let response = InboundResponse { is_whole, ..response(status, AFTER, body) };
        let shown = &body[..body.len().min(40)];
        let judge = with(rules.clone());
        assert_eq!(short(&judge.verdict(&response)), want, "{rules} {status} {shown}");
        let told = verdicts(&judge, &response, &["a", "b"]);
        assert_eq!(told.iter().map(short).collect::<Vec<_>>(), [want, want], "{rules} {status} {shown}");
        assert_eq!(message(&judge, &response), None);
    }
    // Packed, and so none of what it seems to be.
    let cases = [
        (&by_items, 200, unread),
        (&by_text, 200, unread),
        (&of_others, 200, "delivered"),
        (&by_path, 400, "rejected bad_request"),
    ];
    for (rules, status, want) in cases {
        let body = r#"{"a": 1, "results": [{"id": "a", "status": 400}]}"#;
        let response = InboundResponse { is_encoded: true, ..response(status, AFTER, body) };
        let told = verdicts(&with(rules.clone()), &response, &["a", "b"]);
        assert_eq!(told.iter().map(short).collect::<Vec<_>>(), [want, want], "{rules} {status}");
    }
}

#[test]
fn what_is_said_of_one_delivery_stands_in_its_failure() {
    let judge = judge(json!({
        "rules": [{"status": 200, "verdict": "items"}],
        "items": {"path": "$.results", "id": "$.id", "status": "$.status", "message": "$.error", "missing": "delivered"},
    }));
    let result = |id: &str, status: Json, error: &str| json!({"id": id, "status": status, "error": error});
    let results = json!({"results": [
        result("a", 400.into(), "no such plan; key-4711"),
        result("b", 429.into(), &format!("{}key-4711", "é".repeat(MESSAGE_CHARACTERS_MAX - 4))),
        result("c", false.into(), ""),
        result("d", 401.into(), "ada@example.com may not"),
        result("e", 200.into(), "fine"),
        result("f", "?".into(), "no status"),
    ]});
    let (told, by_item) = judge.verdicts(
        &response(200, None, &results.to_string()),
        &["a", "b", "c", "d", "e", "f"],
        &masker(),
    );
    let cut =
        format!("answered 200, with 429 for this delivery: {}****", "é".repeat(MESSAGE_CHARACTERS_MAX - 4));
    let want = [
        "answered 200, with 400 for this delivery: no such plan; ********",
        cut.as_str(),
        "answered 200, but took this delivery not",
        "answered 200, with 401 for this delivery",
        "",
        "answered 200, with a result for this delivery that can't be read: no status",
    ];
    assert_eq!((told.iter().map(text).collect::<Vec<_>>(), by_item), (want.to_vec(), true));
    let (_, by_item) = judge.verdicts(&response(400, None, &results.to_string()), &["a", "b"], &masker());
    assert!(!by_item, "one status for all");
}

#[test]
fn the_vendors_words_about_all_are_found_but_stay_out_of_failures() {
    let judge = judge(json!({
        "rules": [{"status": 200, "verdict": "items"}],
        "message": ["$.error.message", "$.message"],
        "items": {"path": "$.results", "status": "$.ok", "message": "$.why", "missing": "reject"},
    }));
    let cases = [
        (400, json!({"message": "ada@example.com is unknown"}), Some("ada@example.com is unknown")),
        (400, json!({"message": "second", "error": {"message": "first"}}), Some("first")),
        (400, json!({"message": ["no text"]}), None),
        (
            200,
            json!({"results": [{"ok": true}, {"ok": true, "why": "ada@example.com"}]}),
            Some("ada@example.com"),
        ),
        (400, json!({"message": "who is key-4711?"}), Some("who is ********?")),
    ];
    for (status, body, want) in cases {
        let response = response(status, None, &body.to_string());
        assert_eq!(message(&judge, &response).as_deref(), want, "{body}");
        for verdict in verdicts(&judge, &response, &["a", "b"]) {
            assert!(!text(&verdict).contains("ada@"), "{body}: {verdict:?}");
        }
    }
    let long = response(400, None, &json!({"message": "é".repeat(1000)}).to_string());
    assert_eq!(message(&judge, &long).map(|text| text.chars().count()), Some(MESSAGE_CHARACTERS_MAX));
    // A secret that the end falls upon is hidden before it is cut.
    let cut = json!({"message": format!("{}key-4711", "é".repeat(MESSAGE_CHARACTERS_MAX - 3))});
    let shown = message(&judge, &response(400, None, &cut.to_string())).expect("words");
    assert!(shown.ends_with("é***"), "{shown}");
    assert_eq!(message(&judge, &response(400, None, "no JSON")), None);
}

#[test]
fn a_specification_that_makes_no_sense_is_refused() {
    let items = json!({"path": "$.r", "status": "$.s", "missing": "retry"});
    let cases = [
        (json!({"rules": [{"status": "2x", "verdict": "retry"}]}), "rules[0]"),
        (json!({"rules": [{"status": [], "verdict": "retry"}]}), "rules[0]"),
        (json!({"rules": [{"verdict": "retry"}, {"status": 99, "verdict": "retry"}]}), "rules[1]"),
        (json!({"rules": [{"verdict": "items"}]}), "rules[0]"),
        (json!({"rules": [{"body": {}, "verdict": "retry"}]}), "rules[0]"),
        (json!({"rules": [{"body": {"path": "$.a", "text": "b"}, "verdict": "retry"}]}), "rules[0]"),
        (json!({"rules": [{"body": {"path": "$["}, "verdict": "retry"}]}), "rules[0].body.path"),
        (json!({"message": ["$["]}), "message"),
        (json!({"items": {"path": "$[", "status": "$.s", "missing": "retry"}}), "items.path"),
        (json!({"items": {"path": "$.r", "status": "$.s", "missing": "items"}}), "items.missing"),
    ];
    for (spec, place) in cases {
        let shown = spec.to_string();
        let spec: ResponseSpec = serde_json::from_value(spec).expect("a specification");
        let refused = Judge::compile("response", Box::leak(Box::new(spec)))
            .err()
            .unwrap_or_else(|| panic!("{shown} is taken"));
        assert_eq!(refused.field, format!("response.{place}"), "{shown}: {refused}");
    }
    judge(json!({"rules": [{"verdict": "items"}], "items": items}));
}
