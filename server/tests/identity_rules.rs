//! Identity rules through the whole server: in force at once, tried without a trace, applied to what was linked before,
//! watched by alarms.

use crate::harness::{Server, TOKEN, data_dir};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const RULES: &str = "/admin/v1/identity-rules";

fn identify(id: &str, user: &str, traits: Value) -> Value {
    json!({"type": "identify", "messageId": id, "userId": user, "traits": traits})
}

async fn put_rules(server: &Server, rules: Value) -> Value {
    let (status, body) = server.call(Method::PUT, RULES, Some(rules)).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn profile_id(server: &Server, who: &str) -> String {
    let (status, body) = server.profile(who, "metadata").await;
    assert_eq!(status, 200, "{who}: {body}");
    body["profile_id"].as_str().expect("an id").to_owned()
}

/// The rules in force, with another count of `user_id` a profile may have.
async fn with_user_ids(server: &Server, count: u32) -> Value {
    let (_, mut rules) = server.get(RULES).await;
    let rows = rules["namespaces"].as_array_mut().expect("a list");
    let rule = rows.iter_mut().find(|rule| rule["name"] == "user_id").expect("a rule");
    rule["limit"]["count"] = count.into();
    rules
}

/// `tributary identity …` against a running server.
fn identity(server: &Server, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .arg("identity")
        .args(arguments)
        .args(["--api", &server.api.to_string(), "--token", TOKEN])
        .output();
    output.expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_rules_hold_for_what_comes_after_them() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    server.seen(&[identify("m1", "ada", json!({"crm": "C-7", "mobile": "0171 2345678"}))]).await;
    assert_eq!(server.profile("crm:C-7", "traits").await.0, 404, "an undeclared namespace is ignored");
    let rules = json!({"namespaces": [
        {"name": "user_id", "blocked": ["robot"]},
        {"name": "crm", "from": ["traits.crm"]},
        {"name": "phone", "from": ["traits.mobile"], "normalize": {"phone": {"region": "DE"}}},
    ]});
    put_rules(&server, rules).await;
    server
        .seen(&[
            identify("m2", "robot", json!({"crm": "C-8"})),
            identify("m3", "ada", json!({"crm": "C-7", "mobile": "0171 2345678"})),
        ])
        .await;
    let ada = profile_id(&server, "user_id:ada").await;
    assert_eq!(profile_id(&server, "crm:C-7").await, ada);
    assert_eq!(profile_id(&server, "phone:%2B491712345678").await, ada);
    assert_ne!(profile_id(&server, "crm:C-8").await, ada);
    assert_eq!(server.profile("user_id:robot", "traits").await.0, 404, "a blocked value is no identifier");
    assert!(server.stop().success());
}

/// Two people who gave one address: apart by default, one where a profile may have two user ids.
fn couple() -> [Value; 2] {
    ["ada", "bob"].map(|user| identify(&format!("m-{user}"), user, json!({"email": "home@example.com"})))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_leaves_no_trace_and_a_rebuild_reaches_back() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    server.seen(&couple()).await;
    let (ada, bob) = (profile_id(&server, "user_id:ada").await, profile_id(&server, "user_id:bob").await);
    assert_ne!(ada, bob);

    let rules = with_user_ids(&server, 2).await;
    let (status, report) =
        server.call(Method::POST, &format!("{RULES}/preview"), Some(json!({"rules": rules}))).await;
    assert_eq!((status, &report["state"]), (200, &json!("done")), "{report}");
    assert_eq!((&report["merges"], &report["splits"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(report["profiles"], json!({"before": 3, "after": 2}), "{report}");
    check_cli(&server, &path, &rules, &report);
    assert!(!path.join("preview").exists(), "the directory goes away with the preview");
    assert_eq!(profile_id(&server, "user_id:bob").await, bob, "nothing was touched");
    assert_eq!(server.get("/admin/v1/workspace").await.1["version"], 1);

    put_rules(&server, rules).await;
    assert_eq!(profile_id(&server, "user_id:bob").await, bob, "what is linked stays");
    let (status, rebuilt) = server.call(Method::POST, &format!("{RULES}/rebuild"), None).await;
    let made = json!({"profiles_before": 3, "profiles_after": 2, "merges": 1, "splits": 0});
    assert_eq!((status, rebuilt), (200, made));
    assert_eq!(profile_id(&server, "user_id:bob").await, ada);
    assert!(server.stop().success());

    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(profile_id(&server, "user_id:bob").await, ada, "still so after a restart");
    let rebuilt = identity(&server, &["rebuild"]);
    assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
    let told = text(&rebuilt.stdout);
    assert!(told.starts_with("Rebuilt: 2 profiles before, 2 now"), "{told}");
    assert!(server.stop().success());
}

/// The command says the same, from a file, in both forms.
fn check_cli(server: &Server, path: &Path, rules: &Value, report: &Value) {
    let file = path.join("rules.json");
    std::fs::write(&file, rules.to_string()).expect("written");
    let file = file.to_str().expect("text");
    let output = identity(server, &["preview", file, "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    shown["id"] = report["id"].clone();
    assert_eq!(shown, *report);
    let output = identity(server, &["preview", file]);
    assert!(text(&output.stdout).contains("1 profiles hold what is on several now (merged)"), "{output:?}");
    std::fs::write(file, r#"{"namespaces":[{"name":"email","limit":0}]}"#).expect("written");
    let output = identity(server, &["preview", file]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("`rules.namespaces[0].limit"), "{output:?}");
    std::fs::remove_file(file).expect("it was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identifier_that_joins_many_raises_an_alarm() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let (_, mut rules) = server.get(RULES).await;
    rules["alarms"]["joins_per_day"] = json!(3);
    put_rules(&server, rules).await;
    let users = ["a", "b", "c", "d"];
    server.seen(&users.map(|user| identify(user, user, json!({"email": "shop@example.com"})))).await;
    let (status, alarms) = server.get("/admin/v1/identity/alarms").await;
    assert_eq!(status, 200, "{alarms}");
    let alarm = &alarms["data"][0];
    assert_eq!(alarm["kind"], "identifier_joins_many", "{alarms}");
    assert_eq!((&alarm["identifier"], &alarm["threshold"]), (&json!("email:shop@example.com"), &json!(3)));
    assert_eq!(alarms["cursor"], json!({"has_more": false, "limit": 20}));
    assert!(server.metric("tributary_identity_alarms_total{kind=\"identifier_joins_many\"}").await >= 1.0);
    assert!(server.stop().success());
}
