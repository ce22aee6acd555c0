use super::*;
use crate::api::address::Part;
use crate::api::query::known;
use crate::testing::{audience, catalog, fragment, view};
use std::sync::Arc;
use tributary_identity::Partitions;
use tributary_model::catalog::Defined;
use tributary_model::{MessageId, SourceId, Timestamp};

fn query(part: Part, text: &str) -> Query {
    Query::parse(text, known(part)).expect("a query")
}

/// The members of these rows under a name, and where the next page begins.
fn shown(body: &Body, name: &str) -> (Vec<Value>, String) {
    let body = serde_json::to_value(body).expect("JSON");
    let rows = body["data"].as_array().expect("rows").iter().map(|row| row[name].clone()).collect();
    (rows, body["cursor"]["next"].as_str().expect("text").to_owned())
}

#[test]
fn accounts_are_linked_by_their_group_ids() {
    let first = Sighting {
        at: Timestamp::from_millis(1_000),
        message_id: MessageId::parse("m1").expect("an id"),
        source: SourceId(2),
    };
    let accounts = ["acme", "b:1", "z"].map(|group| (group.to_owned(), first.clone()));
    let one = serde_json::to_value(links(&accounts, &query(Part::Links, "limit=1"))).expect("JSON");
    let want = json!([{
        "to_collection": "accounts",
        "external_ids": [{
            "source_id": "src_2",
            "collection": "accounts",
            "id": "acme",
            "type": "group_id",
            "created_at": "1970-01-01T00:00:01.000Z",
            "encoding": "none",
            "first_message_id": "m1",
        }],
    }]);
    assert_eq!((&one["data"], &one["cursor"]["next"]), (&want, &json!("acme")));
    let rest = serde_json::to_value(links(&accounts, &query(Part::Links, "next=acme"))).expect("JSON");
    let ids: Vec<&Value> =
        rest["data"].as_array().expect("rows").iter().map(|row| &row["external_ids"][0]["id"]).collect();
    assert_eq!(ids, ["b:1", "z"]);
    assert_eq!(rest["cursor"]["has_more"], false);
    assert_eq!(shown(&links(&[], &query(Part::Links, "")), "to_collection").0, Vec::<Value>::new());
}

#[test]
fn audiences_are_shown_by_key_as_long_as_they_are_there() {
    let defined =
        vec![audience(1, "late", "event()"), audience(2, "early", "page()"), audience(3, "none", "screen()")];
    // The last one was deleted.
    let memberships = [1, 2, 9].map(|id| {
        let since = Timestamp::from_millis(i64::from(id) * 1_000);
        let is_approximate = id == 1;
        (AudienceId(id), Membership { since, sequence: 7, identifiers: Arc::new([]), is_approximate })
    });
    let body =
        serde_json::to_value(audiences(&defined, &memberships, &query(Part::Audiences, ""))).expect("JSON");
    let want = json!([
        {"key": "early", "name": "The early", "since": "1970-01-01T00:00:02.000Z", "id": "aud_2"},
        {"key": "late", "name": "The late", "since": "1970-01-01T00:00:01.000Z", "id": "aud_1", "approximate": true},
    ]);
    assert_eq!(body["data"], want);
    let cases =
        [("limit=1", vec!["early"], "early"), ("next=early", vec!["late"], ""), ("include=x", vec![], "")];
    for (text, keys, next) in cases {
        let got = shown(&audiences(&defined, &memberships, &query(Part::Audiences, text)), "key");
        let keys: Vec<Value> = keys.into_iter().map(Value::from).collect();
        assert_eq!(got, (keys, next.to_owned()), "{text}");
    }
}

#[test]
fn consent_is_shown_by_category_with_where_it_came_from() {
    let catalog = catalog(&Defined::default());
    let granted = r#"{"type":"track","event":"e","userId":"u","context":{"consent":{"categoryPreferences":{"ad":true,"mail":true}}}}"#;
    let refused =
        r#"{"type":"page","anonymousId":"x","context":{"consent":{"categoryPreferences":{"ad":false}}}}"#;
    let merged = fragment(&[(1_000, 1, refused), (2_000, 2, granted)], &catalog);
    let view = view(merged, &catalog, &Partitions::default());
    let body = serde_json::to_value(consent(&view, &query(Part::Consent, ""))).expect("JSON");
    let row = |category, granted, second, source, message| {
        let updated_at = format!("1970-01-01T00:00:0{second}.000Z");
        json!({
            "category": category,
            "granted": granted,
            "updated_at": updated_at,
            "source_id": source,
            "message_id": message,
        })
    };
    let want = [row("ad", false, 1, "src_1", "m1000"), row("mail", true, 2, "src_2", "m2000")];
    assert_eq!(body["data"], json!(want));
    assert_eq!(shown(&consent(&view, &query(Part::Consent, "exclude=ad")), "category").0, ["mail"]);
}
