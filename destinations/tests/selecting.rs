//! What a destination is sent: events, changes of profiles, or both.

use crate::harness::{Bench, SECOND, WORKSPACE, number_event, webhook, webhook_for};
use crate::receiver::{Receiver, Reply};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tributary_destinations::DestinationConfig;
use tributary_model::activation::ActivationKind::{ProfileMerged, ProfileSplit};
use tributary_model::outcome::Outcome;

/// Longer than any backoff.
const BEYOND_CAP: i64 = 600 * SECOND;

fn change(number: u32) -> String {
    format!(r#"{{"type":"track","event":"Profile Merged","n":{number}}}"#)
}

/// Events of four profiles, each with a change behind it.
fn append_both(bench: &mut Bench, count: u32) {
    for number in 0..count {
        let profile = (number % 4) as u8;
        bench.append(WORKSPACE, Some(profile), &number_event(number));
        let kind = if number % 2 == 0 { ProfileMerged } else { ProfileSplit };
        bench.append_change(profile, kind, &change(number));
    }
}

#[test]
fn the_setting_says_what_is_sent_and_the_rest_is_counted_as_filtered() {
    type Case = (fn(&str) -> DestinationConfig, bool, bool);
    let cases: [Case; 4] = [
        (|url| webhook(1, url), true, true),
        (|url| webhook_for(url, &["events", "profile_changes"]), true, true),
        (|url| webhook_for(url, &["events"]), true, false),
        (|url| webhook_for(url, &["profile_changes"]), false, true),
    ];
    for (config, has_events, has_changes) in cases {
        let receiver = Receiver::taking();
        let mut bench = Bench::new();
        bench.engine().apply(vec![config(&receiver.url)]);
        append_both(&mut bench, 20);
        let case = format!("events {has_events}, changes {has_changes}");
        bench.wait_status(1, &case, |status| status.totals.ended_in_all() == 40 && status.behind == 0);
        bench.crash();
        bench.start();
        bench.engine().apply(vec![config(&receiver.url)]);
        append_both(&mut bench, 1);
        bench.wait_status(1, &case, |status| status.totals.ended_in_all() == 42);
        let wanted = 21 * (u64::from(has_events) + u64::from(has_changes));
        let totals = bench.totals(1);
        assert_eq!(
            (totals.taken, totals.ended(Outcome::Delivered), totals.ended(Outcome::Filtered)),
            (42, wanted, 42 - wanted),
            "{case}"
        );
        let seen = receiver.seen();
        assert_eq!(seen.len() as u64, wanted, "{case}: no request for what is left out");
        let ids: BTreeSet<_> = seen.iter().map(|request| request.id()).collect();
        assert_eq!(ids.len(), seen.len(), "{case}: activations of one record have ids of their own");
        let changes = seen.iter().filter(|request| request.text().contains("Profile Merged")).count();
        assert_eq!(changes, if has_changes { 21 } else { 0 }, "{case}");
    }
}

#[test]
fn what_is_left_out_holds_up_nothing_and_is_held_up_by_nothing() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let receiver =
        Receiver::start(move |_| Reply::status(if is_up.load(Ordering::SeqCst) { 200 } else { 500 }));
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook_for(&receiver.url, &["events"])]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    bench.wait_status(1, "the first to wait", |status| status.waiting == 1);
    bench.append_change(1, ProfileMerged, &change(1));
    bench.append(WORKSPACE, Some(1), &number_event(2));
    bench.append_change(1, ProfileMerged, &change(2));
    bench.wait_status(1, "both changes to end", |status| {
        status.totals.ended(Outcome::Filtered) == 2 && status.waiting == 2
    });
    up.store(true, Ordering::SeqCst);
    bench.clock.advance_micros(BEYOND_CAP);
    bench.wait_delivered(1, 2);
    let taken: Vec<_> = receiver
        .seen()
        .iter()
        .filter(|request| request.answered == 200)
        .map(|request| request.text().to_owned())
        .collect();
    assert_eq!(taken, [1, 2].map(number_event));
}

#[test]
fn what_is_left_out_joins_no_batch() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    append_both(&mut bench, 200);
    let mut config = webhook_for(&receiver.url, &["events"]);
    config.settings.insert("events_per_request".to_owned(), 50.into());
    bench.engine().apply(vec![config]);
    bench.wait_status(1, "all to end", |status| status.totals.ended_in_all() == 400);
    let mut sizes = Vec::new();
    for request in receiver.seen() {
        let body: Value = serde_json::from_slice(&request.body).expect("a batch is JSON");
        let deliveries = body["deliveries"].as_array().expect("a batch has deliveries").clone();
        assert!(deliveries.iter().all(|delivery| delivery["event"].get("event").is_none()), "{body}");
        sizes.push(deliveries.len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 200);
    assert!(sizes.contains(&50), "batches are full of events: {sizes:?}");
    assert_eq!(bench.totals(1).ended(Outcome::Filtered), 200);
}

#[test]
fn a_change_of_the_setting_counts_for_what_waits_too() {
    let receiver = Receiver::start(|_| Reply::status(500));
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append(WORKSPACE, Some(2), &number_event(1));
    bench.append_change(1, ProfileSplit, &change(1));
    bench.wait_status(1, "both to wait", |status| status.waiting == 2 && status.under_way == 0);
    let before = receiver.seen().len();
    receiver.behave(|_| Reply::status(200));
    bench.engine().apply(vec![webhook_for(&receiver.url, &["events"])]);
    // What is read under the new setting shows that it is in force.
    bench.append_change(3, ProfileSplit, &change(2));
    bench.wait_status(1, "the setting", |status| status.totals.ended(Outcome::Filtered) == 1);
    bench.clock.advance_micros(BEYOND_CAP);
    bench.wait_status(1, "all to end", |status| status.totals.ended_in_all() == 3 && status.waiting == 0);
    assert_eq!(bench.totals(1).ended(Outcome::Filtered), 2);
    let later: Vec<_> = receiver.seen()[before..].iter().map(|request| request.text().to_owned()).collect();
    assert_eq!(later, [number_event(1)], "no request for what is left out by now");
}

#[test]
fn a_change_comes_behind_its_event_and_is_told_apart_in_dead_letters() {
    let receiver = Receiver::start(|seen| {
        let is_change = seen.text().contains("Profile Merged");
        Reply::status(if is_change { 422 } else { 200 })
    });
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    append_both(&mut bench, 12);
    bench.wait_status(1, "all to end", |status| status.totals.ended_in_all() == 24);
    for profile in 0..4 {
        let of_profile: Vec<_> = receiver
            .seen()
            .iter()
            .map(|request| request.text().to_owned())
            .filter(|text| (0..3).any(|turn| is_numbered(text, profile + 4 * turn)))
            .collect();
        let want: Vec<_> =
            (0..3).map(|turn| profile + 4 * turn).flat_map(|n| [number_event(n), change(n)]).collect();
        assert_eq!(of_profile, want, "profile {profile}");
    }
    let letters = bench.dead_letters(1);
    assert_eq!(letters.len(), 12);
    for letter in &letters {
        assert_eq!(letter.ordinal, 1);
        assert_eq!(letter.message_id.as_str(), format!("m-{}-1", letter.position.sequence));
        let number = u32::try_from(letter.position.sequence - 1).expect("a small number");
        assert_eq!(letter.event, change(number));
        let with_its_id = receiver.seen().iter().filter(|seen| seen.id() == letter.delivery_id).count();
        assert_eq!(with_its_id, 1);
    }
}

fn is_numbered(text: &str, number: u32) -> bool {
    text.ends_with(&format!(r#""n":{number}}}"#))
}
