//! Accounts, as group calls make them: read over HTTP from both sides, through merges, an undo and a restart.

use crate::harness::{Server, data_dir};
use reqwest::Method;
use serde_json::{Value, json};

const ADA: &str = "user_id:ada";
const BOB: &str = "user_id:bob";
const TAB: &str = "anonymous_id:tab";

/// A group call: who sent it, about which account, with which traits.
fn group(id: &str, who: Value, account: &str, traits: Value) -> Value {
    let mut call = json!({"type": "group", "messageId": id, "groupId": account, "traits": traits});
    call.as_object_mut().expect("an object").extend(who.as_object().expect("an object").clone());
    call
}

fn user(id: &str) -> Value {
    json!({"userId": id})
}

/// A part of an account in the default workspace.
async fn account(server: &Server, id: &str, part: &str) -> (u16, Value) {
    server.get(&format!("/v1/spaces/default/collections/accounts/profiles/group_id:{id}/{part}")).await
}

async fn traits(server: &Server, id: &str) -> Value {
    let (status, body) = account(server, id, "traits").await;
    assert_eq!(status, 200, "{id}: {body}");
    body["traits"].clone()
}

/// The identifiers of each person of an account, read in pages of this size.
async fn people(server: &Server, id: &str, limit: usize) -> Vec<Vec<String>> {
    let (mut people, mut next) = (Vec::new(), String::new());
    loop {
        let (status, page) = account(server, id, &format!("links?limit={limit}&next={next}")).await;
        assert_eq!(status, 200, "{id}: {page}");
        let rows = page["data"].as_array().expect("rows");
        assert!(rows.len() <= limit, "{page}");
        for row in rows {
            assert_eq!(row["to_collection"], "users", "{row}");
            people.push(identifiers(row));
        }
        if page["cursor"]["has_more"] != true {
            return people;
        }
        let cursor = page["cursor"]["next"].as_str().expect("a cursor");
        next = cursor.replace('%', "%25").replace('+', "%2B").replace('&', "%26");
    }
}

/// The accounts of a person.
async fn accounts_of(server: &Server, who: &str) -> Vec<Vec<String>> {
    let (status, page) = server.profile(who, "links").await;
    assert_eq!(status, 200, "{who}: {page}");
    let rows = page["data"].as_array().expect("rows").iter();
    let row = |row: &Value| {
        assert_eq!(row["to_collection"], "accounts", "{row}");
        identifiers(row)
    };
    rows.map(row).collect()
}

fn identifiers(row: &Value) -> Vec<String> {
    let ids = row["external_ids"].as_array().expect("identifiers").iter();
    let text = |id: &Value| {
        format!("{}:{}", id["type"].as_str().expect("a type"), id["id"].as_str().expect("an id"))
    };
    ids.map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_calls_make_accounts_that_are_read_in_parts() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let mut older = group(
        "m3",
        user("bob"),
        "acme",
        json!({"name": "Old", "seats": 9007199254740993_u64, "city": "Bonn"}),
    );
    older["timestamp"] = "2020-01-01T00:00:00.000Z".into();
    server
        .seen(&[
            group("m1", user("ada"), "acme", json!({"name": "Acme", "plan": "pro"})),
            group("m2", user("bob"), "acme", json!({"plan": null})),
            older,
            group("m4", user("ada"), "a/b c:1", json!({})),
        ])
        .await;
    let want = json!({"city": "Bonn", "name": "Acme", "seats": 9007199254740993_u64});
    assert_eq!(traits(&server, "acme").await, want, "the newest event counts, and null removes");
    assert_eq!(traits(&server, "a%2Fb%20c:1").await, json!({}));

    for (query, want) in [
        ("include=name,plan", json!({"name": "Acme"})),
        ("exclude=name", json!({"city": "Bonn", "seats": 9007199254740993_u64})),
        ("limit=1", json!({"city": "Bonn"})),
        ("limit=1&next=city", json!({"name": "Acme"})),
    ] {
        let (status, body) = account(&server, "acme", &format!("traits?{query}")).await;
        assert_eq!((status, &body["traits"]), (200, &want), "{query}: {body}");
    }
    let (_, page) = account(&server, "acme", "traits?limit=1").await;
    assert_eq!((&page["cursor"]["has_more"], &page["cursor"]["next"]), (&json!(true), &json!("city")));
    let (_, verbose) = account(&server, "acme", "traits?verbose=true&include=city").await;
    let city = &verbose["traits"]["city"];
    assert_eq!((&city["value"], &city["updated_at"]), (&json!("Bonn"), &json!("2020-01-01T00:00:00.000Z")));
    assert!(city["source_id"].is_string(), "{city}");

    let (_, ids) = account(&server, "acme", "external_ids").await;
    let row = &ids["data"][0];
    assert_eq!(ids["data"].as_array().expect("rows").len(), 1, "{ids}");
    assert_eq!((&row["type"], &row["id"]), (&json!("group_id"), &json!("acme")), "{row}");
    assert_eq!((&row["collection"], &row["first_message_id"]), (&json!("accounts"), &json!("m3")), "{row}");
    let (_, metadata) = account(&server, "acme", "metadata").await;
    assert_eq!((&metadata["group_id"], &metadata["event_count"]), (&json!("acme"), &json!(3)), "{metadata}");
    assert_eq!(metadata["created_at"], "2020-01-01T00:00:00.000Z", "{metadata}");
    assert_eq!(metadata["first_message_id"], "m3", "{metadata}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_account_is_said_so() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.seen(&[group("m1", user("ada"), "acme", json!({"name": "Acme"}))]).await;
    for (id, part, want) in [
        ("acme", "traits", 200),
        ("Acme", "traits", 404),
        ("%20acme", "traits", 404),
        ("nobody", "traits", 404),
        ("nobody", "external_ids", 404),
        ("nobody", "metadata", 404),
        ("nobody", "links", 404),
        ("acme", "traits?colour=red", 400),
        ("acme", "links?next=nonsense", 400),
        ("acme", "nothing", 404),
    ] {
        let (status, body) = account(&server, id, part).await;
        assert_eq!(status, want, "{id} {part}: {body}");
    }
    let (status, body) = account(&server, &"x".repeat(2_000), "links").await;
    assert_eq!(status, 404, "{body}");
    let collection = "/v1/spaces/default/collections/accounts/profiles";
    let (status, body) = server.get(&format!("{collection}/user_id:ada/traits")).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid_request_error")), "{body}");
    let (status, _) = server.call(Method::POST, &format!("{collection}/group_id:acme/traits"), None).await;
    assert_eq!(status, 405);
    let (status, _) =
        server.call_as("wrong", Method::GET, &format!("{collection}/group_id:acme/traits"), None).await;
    assert_eq!(status, 401);
    // An account's id is nobody's identifier.
    assert_eq!(server.profile("group_id:acme", "traits").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_follow_the_people_through_a_merge_an_undo_and_a_restart() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server
        .seen(&[
            group("m1", user("ada"), "acme", json!({})),
            group("m2", json!({"anonymousId": "tab"}), "acme", json!({})),
            group("m3", json!({"anonymousId": "tab"}), "globex", json!({})),
            group("m4", user("bob"), "acme", json!({})),
        ])
        .await;
    let is_parted = async |server: &Server| {
        assert_eq!(people(server, "acme", 1).await, [[ADA], [BOB], [TAB]]);
        assert_eq!(people(server, "globex", 20).await, [[TAB]]);
        assert_eq!(accounts_of(server, ADA).await, [["group_id:acme"]]);
        assert_eq!(accounts_of(server, TAB).await, [["group_id:acme"], ["group_id:globex"]]);
    };
    is_parted(&server).await;
    for limit in [2, 3, 200] {
        assert_eq!(people(&server, "acme", limit).await, [[ADA], [BOB], [TAB]], "in pages of {limit}");
    }

    let signs_in = json!({"type": "identify", "messageId": "m5", "userId": "ada", "anonymousId": "tab"});
    server.seen(&[signs_in]).await;
    for limit in [1, 2, 200] {
        let each_once = [vec![ADA, TAB], vec![BOB]];
        assert_eq!(people(&server, "acme", limit).await, each_once, "in pages of {limit}");
    }
    assert_eq!(people(&server, "globex", 20).await, [[ADA, TAB]]);
    assert_eq!(accounts_of(&server, ADA).await, [["group_id:acme"], ["group_id:globex"]]);

    let unmerge = format!("/v1/spaces/default/collections/users/profiles/{ADA}/unmerge");
    let (status, body) = server.call(Method::POST, &unmerge, Some(json!({"identifier": TAB}))).await;
    assert_eq!(status, 200, "{body}");
    is_parted(&server).await;
    assert!(server.stop().success());
    let server = Server::start(&path, &[]);
    server.ready().await;
    is_parted(&server).await;
}
