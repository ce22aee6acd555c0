//! What a rebuild drops and takes up again, values that stand for nobody, and devices that changed hands.

use super::*;
use crate::harness::data_dir;

const RULES: &str = "/admin/v1/identity-rules";

async fn put(server: &Server, rules: Value) {
    let (status, answer) = server.call(Method::PUT, RULES, Some(rules)).await;
    assert_eq!(status, 200, "{answer}");
}

async fn rebuilt(server: &Server) -> Value {
    let (status, answer) = server.call(Method::POST, &format!("{RULES}/rebuild"), None).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_declared_or_blocked_any_more_ties_nothing_until_it_is_again() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let events = [
        identify("m1", json!({"anonymousId": "x1", "traits": {"email": "e1@x.y"}})),
        identify("m2", json!({"anonymousId": "x1", "traits": {"email": "e2@x.y"}})),
    ];
    server.seen(&events).await;
    let ids = async |who: &str| standing(&server, who).await.0;
    assert_eq!(ids("email:e1@x.y").await, ids("email:e2@x.y").await);

    let declared = [json!({"name": "user_id"}), json!({"name": "email"}), json!({"name": "anonymous_id"})];
    let blocked = json!({"name": "anonymous_id", "blocked": ["x1"]});
    let [user_id, email, anonymous_id] = declared;
    for without in [json!([user_id, email]), json!([user_id, email, blocked])] {
        put(&server, json!({"namespaces": without})).await;
        // The events' markers are profiles of their own.
        assert_eq!(rebuilt(&server).await["splits"], 1);
        assert_ne!(ids("email:e1@x.y").await, ids("email:e2@x.y").await);
        put(&server, json!({"namespaces": [user_id, email, anonymous_id]})).await;
        assert_eq!(rebuilt(&server).await["splits"], 0);
        assert_eq!(ids("email:e1@x.y").await, ids("email:e2@x.y").await, "the links are taken up again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_value_is_not_linked_and_a_number_is_left_out_like_a_text() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    put(&server, json!({"namespaces": [{"name": "user_id"}, {"name": "crm", "from": ["traits.crm"]}]})).await;
    server.seen(&[identify("m1", json!({"userId": "ada", "traits": {"crm": 12345, "plan": "pro"}}))]).await;
    for value in ["crm:null", "user_id:undefined"] {
        let (status, answer) =
            change(&server, "user_id:ada", "identifiers/link", json!({"identifier": value})).await;
        assert_eq!(status, 409, "{answer}");
    }
    let answer = changed(&server, "user_id:ada", "unmerge", json!({"identifier": "crm:12345"})).await;
    assert_eq!(answer["decisions_total"], 0);
    let (_, traits) = server.profile("user_id:ada", "traits").await;
    assert_eq!(traits["traits"], json!({"plan": "pro"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_changed_hands_is_explained_and_stays_parted() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let device = json!({"name": "anonymous_id", "shared_device": "last_sign_in"});
    put(&server, json!({"namespaces": [{"name": "user_id"}, device]})).await;
    let signs_in = |id: &str, user: &str| identify(id, json!({"userId": user, "anonymousId": "tab"}));
    server.seen(&[signs_in("m1", "ada")]).await;
    changed(&server, "user_id:ada", "unmerge", json!({"identifier": "anonymous_id:tab"})).await;
    server.seen(&[signs_in("m2", "ben"), signs_in("m3", "carl"), signs_in("m4", "ada")]).await;
    assert_eq!(
        identifiers(&server, "user_id:ada").await,
        ["user_id:ada"],
        "a person said that it is not hers"
    );
    assert_eq!(identifiers(&server, "user_id:carl").await, ["anonymous_id:tab", "user_id:carl"]);
    let answer = explained(&server, "user_id:ben", "user_id:carl").await;
    let reasons: Vec<_> = answer["kept_apart"].as_array().expect("rows").iter().collect();
    assert!(reasons.iter().any(|row| row["reason"] == "handed_over"), "{answer}");
    changed(&server, "user_id:carl", "identifiers/remove", json!({"identifier": "anonymous_id:tab"})).await;
    let answer = explained(&server, "user_id:carl", "anonymous_id:tab").await;
    assert_eq!(answer["with_profile_id"], Value::Null, "{answer}");
}
