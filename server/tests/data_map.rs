//! `docs/data-map.md` against a real data directory: a store without a row fails.
//!
//! What is looked at is what the product makes on disk, whatever any list in the code says. What a row says about
//! its store is for people to keep right.

use crate::harness::{Server, data_dir};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use tributary_profiles::key::Tag;

const PAGE: &str = include_str!("../../docs/data-map.md");

/// Nothing listens there, so deliveries wait to be tried again.
const NOBODY: &str = "http://127.0.0.1:9/hook";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_is_a_row() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let destination = json!({"definition": "webhook", "name": "nobody", "settings": {"url": NOBODY}});
    let (status, body) =
        server.call(reqwest::Method::POST, "/admin/v1/destinations", Some(destination)).await;
    assert_eq!(status, 201, "{body}");
    let good = json!({"type": "identify", "userId": "u", "traits": {"email": "u@example.com"}});
    let bad = json!({"type": "sing", "userId": "u"});
    server.batch(&[good, bad]).await;
    server
        .until("the event is projected", async || server.profile("user_id:u", "traits").await.0 == 200)
        .await;
    let (status, body) = server.call(reqwest::Method::POST, "/admin/v1/snapshots", None).await;
    assert_eq!(status, 201, "{body}");
    assert!(server.stop().success());
    check_stores(&path);
}

/// Whether every store of a stopped server's data directory has a row.
pub(crate) fn check_stores(data: &Path) {
    let rows = rows(PAGE);
    let found = stores(data);
    assert!(found.len() > 20, "the run left {found:?}");
    let without: Vec<_> = found.iter().filter(|store| !rows.iter().any(|row| fits(row, store))).collect();
    assert!(without.is_empty(), "docs/data-map.md has no row for {without:?}");
}

/// What is kept below a data directory, in the words of the page's first column.
fn stores(data: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    list(data, "", &mut found);
    list(&data.join("state"), "state/", &mut found);
    let generations: Vec<_> = found.iter().filter(|name| name.starts_with("state/gen-")).cloned().collect();
    for generation in generations {
        list(&data.join(&generation), &generation, &mut found);
    }
    let index =
        fjall::Database::builder(data.join("index")).open().expect("the database of a stopped server");
    found.extend(index.list_keyspace_names().iter().map(|name| format!("index:{name}")));
    found.extend(Tag::ALL.iter().map(|tag| format!("state:{}", char::from(tag.byte()))));
    found
}

fn list(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in folder.read_dir().expect("a folder of the data directory") {
        let entry = entry.expect("an entry");
        let end = if entry.path().is_dir() { "/" } else { "" };
        found.insert(format!("{prefix}{}{end}", entry.file_name().to_string_lossy()));
    }
}

/// The first column of the page's table.
fn rows(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

/// Whether a row is about a store; `<…>` in a row stands for a number.
fn fits(row: &str, store: &str) -> bool {
    let Some((before, rest)) = row.split_once('<') else { return row == store };
    let Some((_, after)) = rest.split_once('>') else { return false };
    let number = store.strip_prefix(before).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    number.is_some_and(|rest| rest.len() + before.len() < store.len() && fits(after, rest))
}

#[test]
fn numbers_in_names_fit_their_row() {
    let cases = [
        ("events/", "events/", true),
        ("events/", "events", false),
        ("index:idx_msg_<day>", "index:idx_msg_20777", true),
        ("index:idx_msg_<day>", "index:idx_msg_", false),
        ("index:idx_msg_<day>", "index:idx_evt_20777", false),
        ("state/gen-<n>/sled/", "state/gen-000001/sled/", true),
        ("state/gen-<n>/sled/", "state/gen-000001/redo/", false),
    ];
    for (row, store, want) in cases {
        assert_eq!(fits(row, store), want, "{row} and {store}");
    }
}
