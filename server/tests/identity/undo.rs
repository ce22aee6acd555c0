//! Undo: by merge, identifier, edge and sides, tried and done, and what events and a restart make of it.

use super::*;
use crate::harness::data_dir;

/// Two profiles of one event each, a merge, an event of each side after it.
fn two_that_merge() -> [Value; 5] {
    [
        track("m1", json!({"anonymousId": "x1"})),
        identify("m2", json!({"userId": "ada", "traits": {"email": "ada@b.c", "plan": "pro"}})),
        track("m3", json!({"userId": "ada", "anonymousId": "x1"})),
        track("m4", json!({"anonymousId": "x1"})),
        track("m5", json!({"userId": "ada"})),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_is_undone_for_good() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let events = two_that_merge();
    server.seen(&events[..2]).await;
    let (older, newer) =
        (standing(&server, "anonymous_id:x1").await.0, standing(&server, "user_id:ada").await.0);
    server.seen(&events[2..]).await;
    let joint = (older.clone(), 5);
    assert_eq!(standing(&server, "user_id:ada").await, joint);

    let rows = history(&server, "user_id:ada", 200).await;
    let merged = of_type(&rows, "merged");
    assert_eq!((merged.len(), &merged[0]["profile_id"]), (1, &json!(older)), "{rows:?}");
    assert_eq!(merged[0]["merged_profile_ids"], json!([newer]));
    assert_eq!(merged[0]["links"], json!([{"anchor": "user_id:ada", "identifier": "anonymous_id:x1"}]));
    let merge = merged[0]["merge"].clone();

    let tried = json!({"merge": merge, "dry_run": true});
    let tried = changed(&server, "user_id:ada", "unmerge", tried).await;
    let made = json!({"merge": merge, "reason": "a borrowed phone"});
    assert_eq!((&tried["dry_run"], &tried["partition"]), (&json!(true), &Value::Null));
    assert_eq!(standing(&server, "user_id:ada").await, joint, "a dry run changes nothing");
    let made = changed(&server, "user_id:ada", "unmerge", made).await;
    assert_eq!((&made["profiles"], &made["sides"]), (&tried["profiles"], &tried["sides"]), "as it was tried");
    assert_eq!((&made["dry_run"], &made["from_profile_id"]), (&json!(false), &json!(older)));
    let want = json!([
        {"profile_id": older, "identifiers": ["anonymous_id:x1"], "traits": {}, "event_count": 2},
        {"profile_id": newer, "identifiers": ["email:ada@b.c", "user_id:ada"],
         "traits": {"email": "ada@b.c", "plan": "pro"}, "event_count": 3},
    ]);
    assert_eq!(made["profiles"], want);
    assert_eq!(standing(&server, "anonymous_id:x1").await, (older.clone(), 2), "the next read shows it");
    assert_eq!(standing(&server, "user_id:ada").await, (newer.clone(), 3));

    let partition = made["partition"].as_str().expect("an id");
    let rows = history(&server, "user_id:ada", 200).await;
    let parted = of_type(&rows, "parted");
    assert_eq!(
        (&parted[0]["partition"], &parted[0]["reason"]),
        (&json!(partition), &json!("a borrowed phone"))
    );
    assert!(parted[0]["by"].as_str().expect("who").starts_with("tok_"), "{parted:?}");
    server.seen(&[track("m6", json!({"userId": "ada", "anonymousId": "x1"}))]).await;
    check_parted(&server, (&older, 2), (&newer, 4), partition).await;

    assert!(server.stop().success());
    let server = Server::start(&path, &[]);
    server.ready().await;
    check_parted(&server, (&older, 2), (&newer, 4), partition).await;
    let again = json!({"userId": "ada", "anonymousId": "x1", "context": {"traits": {"email": "ada@b.c"}}});
    server.seen(&[track("m7", again), track("m8", json!({"anonymousId": "x1"}))]).await;
    check_parted(&server, (&older, 3), (&newer, 5), partition).await;
    for who in ["user_id:ada", "anonymous_id:x1"] {
        let (status, body) = change(&server, who, "unmerge", json!({"merge": merge})).await;
        assert_eq!((status, &body["error"]["code"]), (409, &json!("conflict")), "undone already: {body}");
    }
}

/// Whether the two are apart, each with so many events, and a person's partition is told as the reason.
async fn check_parted(server: &Server, x1: (&str, u64), ada: (&str, u64), partition: &str) {
    let owned = |(id, count): (&str, u64)| (id.to_owned(), count);
    assert_eq!(standing(server, "anonymous_id:x1").await, owned(x1));
    assert_eq!(standing(server, "user_id:ada").await, owned(ada));
    let why = explained(server, "user_id:ada", "anonymous_id:x1").await;
    let reasons = why["kept_apart"].as_array().expect("rows");
    let wanted = json!({"partition": partition});
    assert!(reasons.iter().any(|row| row["reason"] == "partition" && row["detail"] == wanted), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identifier_and_an_edge_are_parted() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let traits = json!({"email": "Family@b.c", "plan": "pro"});
    server
        .seen(&[
            identify("m1", json!({"userId": "ada", "anonymousId": "x1", "traits": traits})),
            track("m2", json!({"userId": "ada", "anonymousId": "x2"})),
            track("m3", json!({"anonymousId": "x2"})),
        ])
        .await;
    let (id, _) = standing(&server, "user_id:ada").await;
    let body = json!({"identifier": "email:family@B.C"});
    let made = changed(&server, "anonymous_id:x2", "unmerge", body).await;
    assert_eq!(made["profiles"].as_array().map(Vec::len), Some(2), "{made}");
    assert_eq!(standing(&server, "user_id:ada").await, (id.clone(), 3), "the older side keeps the id");
    let rest = ["anonymous_id:x1", "anonymous_id:x2", "user_id:ada"];
    assert_eq!(identifiers(&server, "user_id:ada").await, rest);
    assert_eq!(identifiers(&server, "email:family@b.c").await, ["email:family@b.c"]);
    let (_, traits) = server.profile("user_id:ada", "traits").await;
    assert_eq!(traits["traits"], json!({"plan": "pro"}), "the parted identifier is no trait of theirs");

    let body = json!({"edge": ["user_id:ada", "anonymous_id:x2"]});
    changed(&server, "user_id:ada", "unmerge", body.clone()).await;
    assert_eq!(identifiers(&server, "user_id:ada").await, ["anonymous_id:x1", "user_id:ada"]);
    assert_eq!(identifiers(&server, "anonymous_id:x2").await, ["anonymous_id:x2"]);
    assert_eq!(
        (standing(&server, "user_id:ada").await.1, standing(&server, "anonymous_id:x2").await.1),
        (2, 1)
    );

    for (who, body) in [
        ("user_id:ada", body),
        ("user_id:ada", json!({"edge": ["anonymous_id:x1", "email:family@b.c"]})),
        ("user_id:ada", json!({"identifier": "anonymous_id:x2"})),
        ("user_id:ada", json!({"identifier": "user_id:nobody"})),
        ("anonymous_id:x2", json!({"identifier": "anonymous_id:x2"})),
        ("user_id:ada", json!({"merge": "mrg_0"})),
        ("user_id:nobody", json!({"identifier": "user_id:nobody"})),
    ] {
        let (status, answer) = change(&server, who, "unmerge", body.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")), "{who} {body}: {answer}");
    }
    assert_eq!(standing(&server, "user_id:ada").await, (id, 2), "what is refused changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_path_connects_takes_sides() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let email = json!({"traits": {"email": "ada@b.c"}});
    server
        .seen(&[
            track("m1", json!({"userId": "ada", "context": email})),
            track("m2", json!({"anonymousId": "x1", "context": email})),
            track("m3", json!({"userId": "ada", "anonymousId": "x1"})),
        ])
        .await;
    let edge = json!({"edge": ["user_id:ada", "anonymous_id:x1"]});
    let (status, answer) = change(&server, "user_id:ada", "unmerge", edge).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{answer}");
    let paths = answer["paths"].as_array().expect("paths");
    let ids: Vec<_> =
        paths[0].as_array().expect("steps").iter().map(|step| &step["event"]["message_id"]).collect();
    assert!(ids.len() == 2 && ids.contains(&&json!("m1")) && ids.contains(&&json!("m2")), "{answer}");
    assert_eq!(standing(&server, "anonymous_id:x1").await, standing(&server, "user_id:ada").await);

    let sides = json!({"sides": [["anonymous_id:x1"], ["user_id:ada", "email:ada@b.c"]]});
    changed(&server, "user_id:ada", "unmerge", sides).await;
    assert_eq!(identifiers(&server, "user_id:ada").await, ["email:ada@b.c", "user_id:ada"]);
    assert_eq!(identifiers(&server, "anonymous_id:x1").await, ["anonymous_id:x1"]);
    server.seen(&[track("m4", json!({"anonymousId": "x1", "context": email}))]).await;
    assert_eq!(
        identifiers(&server, "anonymous_id:x1").await,
        ["anonymous_id:x1"],
        "no path joins them again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_lists_what_the_joint_profile_decided() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.seen(&two_that_merge()).await;
    server.seen(&[track("m6", json!({"userId": "bob", "anonymousId": "x1"}))]).await;
    let rows = history(&server, "user_id:ada", 200).await;
    let merge = of_type(&rows, "merged")[0]["merge"].clone();
    let body = json!({"merge": merge, "dry_run": true, "retake": true});
    let tried = changed(&server, "user_id:ada", "unmerge", body).await;
    let decisions = tried["decisions"].as_array().expect("rows");
    assert_eq!(decisions.len(), 1, "{tried}");
    let decision = &decisions[0];
    assert_eq!(
        (&decision["anchor"], &decision["identifier"]),
        (&json!("user_id:bob"), &json!("anonymous_id:x1"))
    );
    assert_eq!((&decision["reason"], &decision["event"]["message_id"]), (&json!("limit"), &json!("m6")));

    let body = json!({"merge": merge, "retake": true});
    let made = changed(&server, "user_id:ada", "unmerge", body).await;
    assert_eq!(made["decisions"], tried["decisions"]);
    let now = explained(&server, "user_id:bob", "anonymous_id:x1").await;
    assert_eq!(now["same_profile"], true, "without ada the link is taken: {now}");
}
