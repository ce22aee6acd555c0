//! Which events of an import the collector set aside: it answers a request for all its events together, so this is
//! asked of the admin API afterwards.

use super::identity::place_in;
use crate::bulk::read::Problem;
use crate::cli::running::RunningServer;
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use tributary_model::Timestamp;

/// How many rejects are read at most, in pages.
const PAGES_MAX: usize = 500;
const PAGE: usize = 200;
/// The first answer came after the events that it was about had arrived; within so long.
const MARGIN_MICROS: i64 = 10 * 60 * 1_000_000;

/// The rows whose events were set aside, from the time of the collector's first answer on.
///
/// # Errors
/// If that can't be read, or there are too many rejects since.
pub(super) async fn find(
    server: &RunningServer,
    import: &str,
    first_answer: Option<Timestamp>,
) -> anyhow::Result<Vec<Problem>> {
    let Some(first_answer) = first_answer else { return Ok(Vec::new()) };
    let since = first_answer.plus_micros(-MARGIN_MICROS);
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let (_, page) = server.call(Method::GET, &format!("/rejects?limit={PAGE}{cursor}"), None).await?;
        let rows = page["data"].as_array().context("the server's answer is of another form")?;
        let has_older = take(&mut found, import, rows, since);
        match page["cursor"]["next"].as_str() {
            Some(next) if !has_older => cursor = format!("&cursor={next}"),
            _ => return Ok(found.into_iter().map(|(place, reason)| Problem { place, reason }).collect()),
        }
    }
    bail!("there are more than {} rejected events since", PAGES_MAX * PAGE)
}

/// Takes in a page, newest first, and tells whether it reaches back before `since`.
fn take(found: &mut BTreeMap<u64, String>, import: &str, rows: &[Value], since: Timestamp) -> bool {
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        if Timestamp::parse(text("received_at")).is_some_and(|at| at < since) {
            return true;
        }
        if let Some(place) = place_in(import, text("message_id")) {
            let reason = format!("set aside by the collector ({}): {}", text("reason"), text("message"));
            found.insert(place, reason);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_of_this_import_are_taken_as_far_back_as_it_began() {
        let row = |id: &str, at: &str| json!({"message_id": id, "received_at": at, "reason": "too_deep", "message": "too deep"});
        let since = Timestamp::parse("2026-11-20T10:00:00Z").expect("a time");
        let (now, before) = ("2026-11-20T10:00:01.000Z", "2026-11-20T09:59:59.000Z");
        let mut found = BTreeMap::new();
        let page = [row("imp-abc-9", now), row("m1", now), row("imp-x-8", now), json!({"message_id": null})];
        assert!(!take(&mut found, "abc", &page, since));
        assert!(take(&mut found, "abc", &[row("imp-abc-3", now), row("imp-abc-2", before)], since));
        let want = "set aside by the collector (too_deep): too deep".to_owned();
        assert_eq!(found, BTreeMap::from([(3, want.clone()), (9, want)]));
    }
}
