//! Traits in and people out, as files: the real commands against a real server.

use crate::harness::{Server, TOKEN, WRITE_KEY, data_dir};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

/// Runs a command of the binary to its end.
fn tributary(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tributary")).args(arguments).output().expect("the binary runs")
}

/// Imports a file: whether the command is content, and its report.
fn import(server: &Server, file: &Path, more: &[&str]) -> (bool, String) {
    let (url, api) = (format!("http://{}", server.http), format!("http://{}", server.api));
    let file = file.to_str().expect("a path in UTF-8");
    let given = ["traits", "import", file, "--url", &url, "--write-key", WRITE_KEY];
    let asked = ["--api-url", &api, "--token", TOKEN];
    let output = tributary(&[&given[..], &asked, more].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

/// Exports to a file, and reads it.
fn export(server: &Server, out: &Path, more: &[&str]) -> Vec<u8> {
    let url = format!("http://{}", server.api);
    let to = out.to_str().expect("a path in UTF-8");
    let given = ["profiles", "export", "--url", &url, "--token", TOKEN, "--out", to];
    let output = tributary(&[&given[..], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(out).expect("it is there")
}

/// Waits until everything that was sent before is visible.
async fn everything_seen(server: &Server, marker: &str) {
    server.seen(&[json!({"type": "track", "messageId": marker, "userId": marker, "event": "Marked"})]).await;
}

async fn traits(server: &Server, who: &str) -> Value {
    let (status, body) = server.profile(who, "traits?class=custom").await;
    assert_eq!(status, 200, "{who}: {body}");
    body["traits"].clone()
}

async fn live_audience(server: &Server, key: &str, definition: &str) {
    let new = json!({"key": key, "definition": definition});
    let (status, body) = server.call(reqwest::Method::POST, "/admin/v1/audiences", Some(new)).await;
    assert_eq!(status, 201, "{body}");
    let path = format!("/admin/v1/audiences/{key}");
    server
        .until("the audience is live", async || server.get(&path).await.1["status"]["stage"] == "live")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_sets_traits_once_however_often_it_is_imported() {
    let (directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let file = directory.path().join("scores.csv");
    let text = "id,score,plan,big\nada,0.50,pro,9007199254740993\nbob,7,\"say \"\"hi\"\"\",\n";
    std::fs::write(&file, text).expect("written");
    for _ in 0..2 {
        let (is_content, report) = import(&server, &file, &["--id-column", "id", "--batch", "1"]);
        assert!(is_content && report.contains("2 rows read, 2 accepted, 0 rejected"), "{report}");
    }
    everything_seen(&server, "m1").await;
    let ada = traits(&server, "user_id:ada").await;
    assert_eq!(ada, json!({"score": 0.5, "plan": "pro", "big": 9_007_199_254_740_993_u64}));
    assert_eq!(traits(&server, "user_id:bob").await, json!({"score": 7, "plan": "say \"hi\""}));
    let (_, events) = server.profile("user_id:ada", "events").await;
    let events = events["data"].as_array().expect("rows").clone();
    assert_eq!(events.len(), 1, "the repeat is known: {events:?}");
    assert_eq!(events[0]["integrations"], json!({"All": false}), "no destination gets it");
    let metric = r#"tributary_outcomes_total{stage="projector",outcome="duplicate"}"#;
    assert_eq!(server.metric(metric).await, 2.0);

    // A mended file is another one.
    std::fs::write(&file, text.replace("0.50", "0.75")).expect("written");
    let (is_content, report) =
        import(&server, &file, &["--id-column", "id", "--activate", "--resume-from", "2"]);
    assert!(is_content && report.contains("2 rows read"), "{report}");
    everything_seen(&server, "m2").await;
    assert_eq!(traits(&server, "user_id:ada").await["score"], json!(0.75));
    let (_, events) = server.profile("user_id:ada", "events").await;
    assert_eq!(events["data"][0].get("integrations"), None, "newest first, and not held back");

    // The same once more, because somebody wants it.
    for _ in 0..2 {
        let (is_content, report) = import(&server, &file, &["--id-column", "id", "--again", "May"]);
        assert!(is_content, "{report}");
    }
    everything_seen(&server, "m3").await;
    let (_, events) = server.profile("user_id:ada", "events").await;
    assert_eq!(events["data"].as_array().map(Vec::len), Some(3), "one for each of the three imports");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_not_taken_are_told_with_their_lines() {
    let (directory, path) = data_dir();
    let few = [("TRIBUTARY_INGEST_PROPERTIES_MAX", "3")];
    let server = Server::launch(&path, &[], &few).expect("it starts");
    server.ready().await;
    let file = directory.path().join("scores.ndjson");
    let rows = [
        r#"{"user_id":"ada","score":1}"#,
        r#"{"score":2}"#,
        "no JSON",
        r#"{"user_id":"bob","traits":{"a":1,"b":2,"c":3,"d":4}}"#,
        r#"{"user_id":"cleo","score":5}"#,
    ];
    std::fs::write(&file, rows.join("\n")).expect("written");
    let (is_content, report) = import(&server, &file, &[]);
    assert!(!is_content, "{report}");
    for part in [
        "5 rows read, 2 accepted, 3 rejected",
        "line 2: there is neither a user id nor an anonymous id",
        "line 3: the line is no JSON object",
        "line 4: set aside by the collector (too_many_properties)",
    ] {
        assert!(report.contains(part), "{part:?} is not in\n{report}");
    }
    everything_seen(&server, "m1").await;
    assert_eq!(traits(&server, "user_id:ada").await, json!({"score": 1}));
    assert_eq!(traits(&server, "user_id:cleo").await, json!({"score": 5}));
    assert_eq!(server.profile("user_id:bob", "traits").await.0, 404);

    let (url, name) = (format!("http://{}", server.http), file.to_str().expect("a path in UTF-8"));
    let output = tributary(&["traits", "import", name, "--url", &url, "--write-key", "wrong"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("the collector answered 401"), "{said}");
    assert!(said.contains("0 rows read") && said.contains("--resume-from 1"), "{said}");
    let nowhere = ["traits", "import", "missing.csv", "--write-key", "k"];
    let output = tributary(&nowhere);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("missing.csv can't be imported"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_can_be_imported_in_each_format() {
    let (directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    live_audience(&server, "pro", "traits.plan = \"pro\"").await;
    let visits = json!({"key": "visits", "definition": "count(event(\"Seen\"))"});
    let (status, body) = server.call(reqwest::Method::POST, "/admin/v1/computed-traits", Some(visits)).await;
    assert_eq!(status, 201, "{body}");
    let identify = |id: &str, who: &str, traits: Value| json!({"type": "identify", "messageId": id, "userId": who, "anonymousId": format!("a-{who}"), "traits": traits});
    let ada =
        json!({"plan": "pro", "email": "ada@x.example", "n": 9_007_199_254_740_993_u64, "tags": ["x", 1.5]});
    let bob = json!({"plan": "free", "n": 0.1, "note": "5", "line": "a\nb,\"c\""});
    let cleo = json!({"plan": "pro", "n": "many", "new": null});
    server
        .seen(&[
            identify("m1", "ada", ada.clone()),
            identify("m2", "bob", bob.clone()),
            identify("m3", "cleo", cleo),
            json!({"type": "identify", "messageId": "m4", "anonymousId": "x1", "traits": {"theme": "dark", "sum": "=1"}}),
            json!({"type": "track", "messageId": "m5", "userId": "ada", "event": "Seen"}),
        ])
        .await;

    let members =
        export(&server, &directory.path().join("pro.csv"), &["--audience", "pro", "--traits", "plan"]);
    let members = String::from_utf8(members).expect("text");
    let mut lines: Vec<&str> = members.lines().collect();
    let names =
        "profile_id,user_id,email,anonymous_ids,identifiers,audiences,since,traits,computed,traits.plan";
    assert_eq!(lines.remove(0), names);
    assert_eq!(lines.len(), 2, "{members}");
    for who in ["ada", "cleo"] {
        let row = lines.iter().find(|line| line.contains(&format!(",{who},"))).expect("a row");
        assert!(row.contains("\"[\"\"pro\"\"]\"") && row.ends_with(",pro"), "{row}");
    }
    let everybody = export(&server, &directory.path().join("everybody.ndjson"), &[]);
    let everybody: Vec<Value> = String::from_utf8(everybody)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let row = everybody.iter().find(|row| row["user_id"] == "ada").expect("a row");
    assert_eq!((&row["traits"], &row["email"]), (&ada, &json!("ada@x.example")));
    assert_eq!((&row["audiences"], &row["anonymous_ids"]), (&json!(["pro"]), &json!(["a-ada"])));
    assert_eq!((row.get("since"), &row["computed"]), (None, &json!({"visits": 1})));
    let ids: Vec<&str> = everybody.iter().map(|row| row["profile_id"].as_str().expect("an id")).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");

    let csv = |name: &str, more: &[&str]| export(&server, &directory.path().join(name), more);
    let plain = String::from_utf8(csv("plain.csv", &["--traits", "sum,visits"])).expect("text");
    let safe =
        String::from_utf8(csv("safe.csv", &["--traits", "sum,visits", "--spreadsheet"])).expect("text");
    assert!(
        plain.lines().next().is_some_and(|names| names.ends_with(",traits.sum,computed.visits")),
        "{plain}"
    );
    assert!(plain.contains(",=1,") && !plain.contains("'=1"), "{plain}");
    assert!(safe.contains(",'=1,"), "{safe}");

    for format in ["ndjson", "csv", "parquet"] {
        let file = directory.path().join(format!("all.{format}"));
        export(&server, &file, &[]);
        let (_elsewhere, path) = data_dir();
        let other = Server::start(&path, &[]);
        other.ready().await;
        let (is_content, report) = import(&other, &file, &[]);
        assert!(is_content, "{report}");
        everything_seen(&other, "m9").await;
        assert_eq!(traits(&other, "user_id:ada").await, ada, "{format}");
        assert_eq!(traits(&other, "user_id:bob").await, bob, "{format}");
        assert_eq!(traits(&other, "user_id:cleo").await, json!({"plan": "pro", "n": "many"}), "{format}");
        let anonymous = traits(&other, "anonymous_id:x1").await;
        assert_eq!(anonymous, json!({"theme": "dark", "sum": "=1"}), "{format}");
        let (_, ids) = other.profile("user_id:ada", "external_ids").await;
        assert!(
            !ids.to_string().contains("a-ada"),
            "{format}: an import ties no identifiers together: {ids}"
        );
    }
}
