//! Identifiers handed over by hand, and changes that are refused before anything happens.

use super::*;
use crate::harness::data_dir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identifiers_are_handed_over_by_hand() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server
        .seen(&[
            track("m1", json!({"anonymousId": "x1"})),
            track("m2", json!({"userId": "ada", "anonymousId": "x1"})),
            track("m3", json!({"userId": "bob"})),
        ])
        .await;
    let (ada, bob) = (standing(&server, "user_id:ada").await.0, standing(&server, "user_id:bob").await.0);
    let body = json!({"identifier": "anonymous_id:x1", "to": "user_id:bob", "reason": "sold"});
    let made = changed(&server, "user_id:ada", "identifiers/move", body.clone()).await;
    assert_eq!((&made["identifier"], &made["epoch"]), (&json!("anonymous_id:x1"), &json!(1)), "{made}");
    assert_eq!((&made["from_profile_id"], &made["to_profile_id"]), (&json!(ada), &json!(bob)));
    assert_eq!(identifiers(&server, "user_id:ada").await, ["user_id:ada"]);
    assert_eq!(identifiers(&server, "user_id:bob").await, ["anonymous_id:x1", "user_id:bob"]);
    server.seen(&[track("m4", json!({"anonymousId": "x1"}))]).await;
    assert_eq!(standing(&server, "user_id:ada").await, (ada.clone(), 2), "earlier events stay");
    assert_eq!(
        standing(&server, "anonymous_id:x1").await,
        (bob.clone(), 2),
        "later ones go to the new owner"
    );
    for (who, kind, member, id) in
        [("user_id:ada", "lost", "to_profile_id", &bob), ("user_id:bob", "took", "from_profile_id", &ada)]
    {
        let rows = history(&server, who, 200).await;
        let row = of_type(&rows, kind)[0];
        assert_eq!((&row["identifier"], &row[member]), (&json!("anonymous_id:x1"), &json!(id)), "{row}");
        assert_eq!((&row["rule"], &row["reason"]), (&json!("by_hand"), &json!("sold")), "{row}");
        assert!(row["by"].as_str().expect("who").starts_with("tok_"), "{row}");
    }
    let (status, answer) = change(&server, "user_id:ada", "identifiers/move", body).await;
    assert_eq!(status, 404, "it is not ada's any more: {answer}");

    let body = json!({"identifier": "anonymous_id:x1"});
    let made = changed(&server, "user_id:bob", "identifiers/remove", body.clone()).await;
    assert_eq!((&made["from_profile_id"], &made["to_profile_id"]), (&json!(bob), &Value::Null), "{made}");
    assert_eq!(server.profile("anonymous_id:x1", "metadata").await.0, 404, "it is nobody's");
    server.seen(&[track("m5", json!({"anonymousId": "x1"}))]).await;
    let (fresh, count) = standing(&server, "anonymous_id:x1").await;
    assert!(fresh != ada && fresh != bob && count == 1, "{fresh} {count}");

    changed(&server, "user_id:ada", "identifiers/link", body).await;
    assert_eq!(identifiers(&server, "user_id:ada").await, ["anonymous_id:x1", "user_id:ada"]);
    let (status, answer) =
        change(&server, "user_id:ada", "identifiers/link", json!({"identifier": "user_id:bob"})).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "one user_id: {answer}");

    assert!(server.stop().success());
    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(identifiers(&server, "user_id:ada").await, ["anonymous_id:x1", "user_id:ada"]);
    server.seen(&[track("m6", json!({"anonymousId": "x1"}))]).await;
    assert_eq!(standing(&server, "anonymous_id:x1").await, (ada, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_not_understood_is_refused() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.seen(&[track("m1", json!({"userId": "ada", "anonymousId": "x1"}))]).await;
    let reads = json!({"name": "reads", "scopes": ["profiles:read"]});
    let (status, reads) = server.call(Method::POST, "/admin/v1/tokens", Some(reads)).await;
    assert_eq!(status, 201, "{reads}");
    let token = reads["token"].as_str().expect("a token");
    let at = format!("{PROFILES}/user_id:ada/unmerge");
    let body = json!({"identifier": "anonymous_id:x1", "dry_run": true});
    for (token, status) in [(token, 403), ("wrong", 401)] {
        assert_eq!(server.call_as(token, Method::POST, &at, Some(body.clone())).await.0, status, "{token}");
    }
    for (what, body) in [
        ("unmerge", json!({})),
        ("unmerge", json!({"identifier": "anonymous_id:x1", "merge": "mrg_7"})),
        ("unmerge", json!({"identifier": "anonymous_id:x1", "colour": "red"})),
        ("unmerge", json!({"identifier": "x1"})),
        ("unmerge", json!({"merge": "7"})),
        ("unmerge", json!({"sides": [["user_id:ada"]]})),
        ("unmerge?dry_run=true", json!({"identifier": "anonymous_id:x1"})),
        ("identifiers/link", json!({"identifier": "email:x1"})),
        ("identifiers/remove", json!({"identifier": "anonymous_id:x1", "reason": "x".repeat(1_001)})),
        ("identifiers/move", json!({"identifier": "anonymous_id:x1"})),
    ] {
        let (status, answer) = change(&server, "user_id:ada", what, body.clone()).await;
        assert_eq!(status, 400, "{what} {body}: {answer}");
        assert_eq!(answer["error"]["code"], "invalid_request_error", "{what} {body}");
    }
    let large = json!({"identifier": "anonymous_id:x1", "reason": "x".repeat(1 << 20)});
    assert_eq!(change(&server, "user_id:ada", "unmerge", large).await.0, 413);
    for (method, what, allow) in [
        (Method::GET, "unmerge", "POST"),
        (Method::POST, "history", "GET"),
        (Method::DELETE, "traits", "GET"),
    ] {
        let url = format!("http://{}{PROFILES}/user_id:ada/{what}", server.api);
        let answer = server.client.request(method, url).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().ok()), (405, Some(allow)));
    }
    assert_eq!(change(&server, "user_id:ada", "nothing", json!({})).await.0, 404);
    assert_eq!(identifiers(&server, "user_id:ada").await, ["anonymous_id:x1", "user_id:ada"]);
}
