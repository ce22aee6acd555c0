//! What a webhook is told: both forms of every change, once, and nothing else.

use super::receiver::{Receiver, change, same};
use super::*;
use crate::harness::data_dir;
use tributary_model::Timestamp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_of_every_change_in_both_forms() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let receiver = Receiver::start(&server).await;
    server.seen(&[identify("m1", "ada", json!({"plan": "pro"}))]).await;
    filled(&server, "pro", r#"traits.plan = "pro""#).await;
    let mut want: Vec<Value> = change("ada", "pro", true).into();
    assert!(same(receiver.after(2).await, want.clone()), "filling it tells, too: {:#?}", receiver.told());

    server
        .seen(&[
            identify("m2", "bob", json!({"plan": "pro"})),
            identify("m3", "bob", json!({"plan": "pro", "city": "Bonn"})),
            identify("m4", "bob", json!({"plan": "free"})),
        ])
        .await;
    want.extend(change("bob", "pro", true));
    want.extend(change("bob", "pro", false));
    assert!(same(receiver.after(6).await, want.clone()), "{:#?}", receiver.told());

    // An exit has the identifiers of its entry, whatever came since.
    server.seen(&[json!({"type": "track", "event": "Seen", "messageId": "m5", "userId": "ada", "anonymousId": "x1"})]).await;
    let (status, _) = server.call(Method::DELETE, &format!("{AUDIENCES}/pro"), None).await;
    assert_eq!(status, 204);
    want.extend(change("ada", "pro", false));
    assert!(same(receiver.after(8).await, want), "its members leave with it: {:#?}", receiver.told());
    assert_eq!(server.get(&format!("{AUDIENCES}/pro")).await.0, 404);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_ends_by_itself() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let receiver = Receiver::start(&server).await;
    filled(&server, "active", r#"event("Looked") within 2s"#).await;
    server.batch(&[json!({"type": "track", "event": "Looked", "messageId": "m1", "userId": "ada"})]).await;
    let mut want: Vec<Value> = change("ada", "active", true).into();
    want.extend(change("ada", "active", false));
    // No further event comes.
    assert!(same(receiver.after(4).await, want), "{:#?}", receiver.told());
    let at = |event: &str| {
        let all = receiver.all();
        let call = all.iter().find(|call| call["event"] == event).expect("it came");
        Timestamp::parse(call["timestamp"].as_str().expect("a time")).expect("a time")
    };
    let micros = at("Audience Exited").micros_since(at("Audience Entered"));
    // Event times are cut to milliseconds.
    assert!(micros >= 1_999_000, "not before the window ended: {micros} µs");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_brings_what_follows_from_it_and_no_more() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let receiver = Receiver::start(&server).await;
    filled(&server, "pro", r#"traits.plan = "pro""#).await;
    filled(&server, "once", r#"count(event("Seen")) = 1"#).await;
    let seen = |id: &str, who: Value| {
        let mut call = json!({"type": "track", "event": "Seen", "messageId": id});
        call.as_object_mut().expect("an object").extend(who.as_object().expect("an object").clone());
        call
    };
    server
        .seen(&[
            identify("m1", "ada", json!({"plan": "pro"})),
            seen("m2", json!({"userId": "ada"})),
            json!({"type": "identify", "messageId": "m3", "anonymousId": "x1", "traits": {"city": "Bonn"}}),
            seen("m4", json!({"anonymousId": "x1"})),
        ])
        .await;
    let mut want: Vec<Value> = change("ada", "pro", true).into();
    want.extend(change("ada", "once", true));
    assert!(
        same(receiver.after(4).await, want.clone()),
        "who is anonymous is in neither: {:#?}",
        receiver.told()
    );
    let joins = json!({"type": "identify", "messageId": "m5", "userId": "ada", "anonymousId": "x1"});
    server.seen(&[joins]).await;
    want.extend(change("ada", "once", false));
    assert!(same(receiver.after(6).await, want), "she stays in pro untold: {:#?}", receiver.told());
    assert_eq!(members(&server, "pro", 20).await, users(["ada"]));
    assert!(server.stop().success());
}
