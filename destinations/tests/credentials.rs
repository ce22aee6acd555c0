//! Refresh tokens of OAuth 2.0 that are given anew each time, and refused when they are used twice.

use crate::harness::{Bench, SECOND, webhook};
use crate::receiver::{Receiver, Reply};
use std::sync::{Arc, Mutex};
use tributary_destinations::DestinationConfig;

/// A token endpoint that takes each refresh token once: `first`, then whatever it gave last. Answers also with what was
/// shown to it, in order.
fn endpoint() -> (Receiver, Arc<Mutex<Vec<String>>>) {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let (all, mut valid, mut number) = (Arc::clone(&shown), "first".to_owned(), 0);
    let receiver = Receiver::start(move |seen| {
        let form: Vec<&str> = seen.text().split('&').collect();
        let token = form.iter().find_map(|pair| pair.strip_prefix("refresh_token="));
        let token = token.unwrap_or("none").to_owned();
        all.lock().expect("no panics").push(token.clone());
        if token != valid {
            let body = r#"{"error":"invalid_grant"}"#.to_owned();
            return Reply { body, ..Reply::status(400) };
        }
        number += 1;
        valid = format!("new-{number}");
        let body = format!(
            r#"{{"access_token":"access-{number}","token_type":"Bearer","expires_in":3600,"refresh_token":"{valid}"}}"#
        );
        Reply { body, headers: vec![("content-type", "application/json".to_owned())], ..Reply::status(200) }
    });
    (receiver, shown)
}

fn config(receiver: &Receiver, endpoint: &Receiver, refresh_token: &str) -> DestinationConfig {
    let mut config = webhook(1, &receiver.url);
    let settings = [
        ("oauth_token_url", endpoint.url.as_str()),
        ("oauth_client_id", "ada"),
        ("oauth_client_secret", "a-long-secret"),
        ("oauth_refresh_token", refresh_token),
    ];
    config.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.into())));
    config
}

#[test]
fn a_new_refresh_token_outlives_the_process_and_serves_tests_too() {
    let (receiver, (endpoint, shown)) = (Receiver::taking(), endpoint());
    let shown = || shown.lock().expect("no panics").clone();
    let config = |refresh_token| config(&receiver, &endpoint, refresh_token);
    let mut bench = Bench::new();
    bench.engine().apply(vec![config("first")]);
    bench.append_numbers(0..1);
    bench.wait_delivered(1, 1);

    // A test has the worker's token: it asks for none.
    let report = bench.ask(bench.engine().test(config("first"))).expect("good settings").expect("it has one");
    assert_eq!(report.failure, None);
    assert_eq!(shown(), ["first"]);

    // The process is gone at once: what was given is kept.
    bench.crash();
    bench.start();
    bench.engine().apply(vec![config("first")]);
    bench.append_numbers(1..2);
    bench.wait_delivered(1, 2);
    assert_eq!(shown(), ["first", "new-1"]);

    // Another scope asks for a token of its own, by the newest refresh token.
    let mut scoped = config("first");
    scoped.settings.insert("oauth_scope".to_owned(), "write".into());
    bench.engine().apply(vec![scoped]);
    bench.append_numbers(2..3);
    bench.wait_delivered(1, 3);
    assert_eq!(shown(), ["first", "new-1", "new-2"]);

    // So does a test with settings that are not saved; the worker goes on with what that got.
    let mut unsaved = config("first");
    unsaved.settings.insert("oauth_scope".to_owned(), "read".into());
    bench.ask(bench.engine().test(unsaved)).expect("good settings").expect("it has one");
    bench.clock.advance_micros(2 * 3_600 * SECOND);
    bench.append_numbers(3..4);
    bench.wait_delivered(1, 4);
    assert_eq!(shown(), ["first", "new-1", "new-2", "new-3", "new-4"]);

    // What somebody sets anew is used, not what was kept of the former.
    bench.engine().apply(vec![config("set-anew")]);
    bench.append_numbers(4..5);
    bench.wait_status(1, "a pause", |status| status.paused.is_some());
    assert_eq!(shown(), ["first", "new-1", "new-2", "new-3", "new-4", "set-anew"]);
    let authorizations: Vec<String> =
        receiver.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(authorizations[0], "Bearer access-1");
    assert_eq!(authorizations.last().map(String::as_str), Some("Bearer access-5"));
}
