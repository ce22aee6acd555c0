//! Tries: previews, sent or not, with what is saved and what is not; test calls; deletions of people.

use super::*;
use crate::harness::data_dir;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_shows_the_exact_request_and_sends_it_only_if_asked_to() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let settings =
        json!({"url": receiver.url(), "secret": SECRET, "headers": {"x-api-key": "a-very-secret-key"}});
    let hook = webhook(&server, &receiver, json!({"settings": settings, "enabled": false})).await;
    server.seen(&[track("m1", "ada", json!({"total": 9_007_199_254_740_993_u64}))]).await;
    // Previews look for activations: the event's, and its marker's behind it.
    server.activated(2).await;

    let preview = format!("{hook}/preview");
    let real = post(&server, &preview, json!({"message_id": "m1"}), 200).await;
    assert_eq!(
        (&real["message_id"], &real["sent"], &real["left_out"]),
        (&json!("m1"), &json!(false), &json!(null))
    );
    let request = &real["requests"][0]["request"];
    assert_eq!((&request["method"], &request["target"]), (&json!("POST"), &json!(receiver.url())));
    assert!(request["body"].as_str().is_some_and(|body| body.contains("9007199254740993")), "{request}");
    assert_eq!(real["payloads"][0]["body"]["event"]["messageId"], "m1");
    for secret in ["a-very-secret-key", "MfKQ9r8GKY"] {
        assert!(!real.to_string().contains(secret), "secrets are masked: {real}");
    }
    let latest = post(&server, &preview, json!({"latest": true}), 200).await;
    assert!(latest["message_id"].as_str().is_some_and(|id| id.starts_with("after-")), "{latest}");
    assert!(receiver.calls().is_empty(), "nothing is sent");

    let bare = json!({"event": {"type": "track", "event": "Seen", "userId": "ada"}});
    let told = post(&server, &preview, bare, 200).await;
    let event = &told["payloads"][0]["body"]["event"];
    assert_eq!((&told["message_id"], &event["messageId"]), (&json!("preview"), &json!("preview")), "{told}");
    assert!(event["timestamp"].is_string() && event["timestamp"] == event["receivedAt"], "{told}");

    let given = json!({"event": track("made-up", "ada", json!({"n": 1})), "send": true,
        "mappings": [{"name": "short", "action": "send", "fields": {"event": {"@path": "$.properties"}}}]});
    let sent = post(&server, &preview, given, 200).await;
    assert_eq!((&sent["sent"], &sent["requests"][0]["response"]["status"]), (&json!(true), &json!(200)));
    assert_eq!(sent["requests"][0]["verdicts"][0]["verdict"], "delivered");
    assert_eq!(receiver.calls()[0].body, json!({"n": 1}));
    assert_eq!(read(&server, &hook).await["mappings"], json!(null), "nothing is saved");

    let missing = json!({"latest": true, "mappings": [{"name": "none", "action": "send", "fields": {"event": {"@path": "$.nothing"}}}]});
    let refused = post(&server, &preview, missing, 200).await;
    assert_eq!(refused["refused"][0]["failure"]["code"], "missing_field", "{refused}");
    assert_eq!(refused["requests"], json!([]), "no request without what is required");
    post(&server, &preview, json!({"message_id": "nobody"}), 404).await;
    let sung = post(&server, &preview, json!({"event": {"type": "sing"}}), 400).await;
    assert_eq!(sung["error"]["place"], "event", "{sung}");
    let elsewhere = json!({"latest": true, "send": true, "settings": {"url": "https://example.org/"}});
    let refused = post(&server, &preview, elsewhere, 400).await;
    assert_eq!(refused["error"]["place"], "settings.headers", "{refused}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_an_event_is_makes_the_difference_that_filters_make() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let settings = json!({"url": receiver.url()});
    let whole = json!({"definition": "webhook", "settings": settings, "event": track("m", "ada", json!({})),
        "filters": [{"name": "payers only", "condition": "not profile.traits.plan = \"pro\"", "action": {"drop": {}}}],
        "consent": {"categories": ["ads"]}});
    let with = |profile: Value| {
        let mut body = whole.clone();
        body["profile"] = profile;
        body
    };
    let cases = [
        (json!({"traits": {"plan": "pro"}, "consent": {"ads": true}}), json!(null)),
        (json!({"traits": {"plan": "free"}, "consent": {"ads": true}}), json!("filtered_by_filter")),
        (json!({"consent": {"ads": true}}), json!("filtered_by_filter")),
        (json!({"traits": {"plan": "pro"}, "consent": {"ads": false}}), json!("filtered_by_consent")),
        (json!({"traits": {"plan": "pro"}}), json!("filtered_by_consent")),
    ];
    for (profile, want) in cases {
        let told = post(&server, &format!("{DESTINATIONS}/preview"), with(profile.clone()), 200).await;
        assert_eq!(told["left_out"]["outcome"], want, "{profile}: {told}");
    }
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_tested_and_people_deleted_at_the_receiver() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    let told = post(&server, &format!("{hook}/test"), json!({}), 200).await;
    assert_eq!((&told["succeeded"], &told["response"]["status"]), (&json!(true), &json!(200)), "{told}");
    receiver.answer(401);
    let unsaved = json!({"definition": "webhook", "name": "w", "settings": {"url": receiver.url()}});
    let told = post(&server, &format!("{DESTINATIONS}/test"), unsaved, 200).await;
    assert_eq!(
        (&told["succeeded"], &told["failure"]["code"]),
        (&json!(false), &json!("unauthorized")),
        "{told}"
    );
    receiver.answer(200);
    let person = json!({"identifiers": {"user_id": ["ada"]}});
    let told = post(&server, &format!("{hook}/delete_person"), person, 200).await;
    assert_eq!(told["succeeded"], true, "{told}");
    let last = receiver.calls().pop().expect("a call").body;
    assert_eq!((&last["type"], &last["ids"]), (&json!("delete"), &json!({"user_id": ["ada"]})));
    assert_eq!(read(&server, &hook).await["state"], "on", "a try pauses nothing");
    assert!(server.stop().success());
}
