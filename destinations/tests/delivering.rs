//! What arrives at a receiver.

use crate::harness::{Bench, WORKSPACE, number_event, webhook};
use crate::receiver::{Receiver, Reply};
use std::collections::BTreeSet;
use tributary_model::WorkspaceId;
use tributary_model::outcome::Outcome;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn events_arrive_as_stored_and_signed() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    let mut config = webhook(1, &receiver.url);
    config.settings.insert("secret".to_owned(), SECRET.into());
    bench.engine().apply(vec![config]);
    let events = [
        r#"{"type":"track","properties":{"total": 12.50,"id":9007199254740993},"messageId":"a"}"#,
        r#"{"type":"identify","traits":{"name":"Zo\u00eb 🦆","nul":"\u0000"},"messageId":"b"}"#,
    ];
    for event in events {
        bench.append(WORKSPACE, None, event);
    }
    bench.wait_delivered(1, 2);
    let seen = receiver.seen();
    let verifier = standardwebhooks::Webhook::new(SECRET).expect("a good secret");
    for request in &seen {
        verifier.verify(&request.body, &request.headers).expect("a valid signature");
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("user-agent").starts_with("tributary/"));
    }
    let bodies: BTreeSet<_> = seen.iter().map(|request| request.text().to_owned()).collect();
    assert_eq!(bodies, events.map(str::to_owned).into());
    let ids: BTreeSet<_> = seen.iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 2, "each delivery has an id of its own");
}

#[test]
fn without_a_secret_requests_are_unsigned() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append(WORKSPACE, None, "{}");
    let seen = receiver.wait_for(1);
    assert!(!seen[0].id().is_empty());
    assert!(!seen[0].headers.contains_key("webhook-signature"));
}

#[test]
fn a_destination_gets_the_events_of_its_workspace_after_its_creation() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    let other = WorkspaceId(2);
    bench.append_numbers(0..20);
    let mut config = webhook(1, &receiver.url);
    config.starts_after = bench.last_position();
    let mut other_config = webhook(1, &receiver.url);
    other_config.workspace = other;
    bench.engine().apply(vec![config, other_config]);
    bench.append(WORKSPACE, Some(1), &number_event(100));
    bench.append(other, Some(1), &number_event(200));
    bench.append(WORKSPACE, Some(1), &number_event(101));
    bench.wait_delivered(1, 2);
    let totals = || {
        let id = webhook(1, "").id;
        bench.engine().status(other, id).map(|status| status.totals.ended(Outcome::Delivered))
    };
    crate::harness::wait("the other workspace", || totals() == Some(1), || format!("{:?}", totals()));
    let bodies: BTreeSet<_> = receiver.seen().iter().map(|request| request.text().to_owned()).collect();
    assert_eq!(bodies, [100, 101, 200].map(number_event).into());
}

#[test]
fn a_final_answer_makes_a_dead_letter_at_once() {
    let receiver = Receiver::start(|seen| {
        let number: u16 =
            seen.text().trim_start_matches(|c: char| !c.is_ascii_digit())[..3].parse().expect("a number");
        Reply {
            status: number,
            headers: vec![("location", "http://127.0.0.1:1/elsewhere".to_owned())],
            body: "no ".repeat(2000),
        }
    });
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    let statuses = [307, 400, 404, 405, 422];
    for status in statuses {
        bench.append(WORKSPACE, Some(1), &number_event(status));
    }
    bench.append(WORKSPACE, Some(1), &number_event(201));
    bench.wait_delivered(1, 1);
    let letters = bench.dead_letters(1);
    let newest_first: Vec<_> = letters.iter().filter_map(|letter| letter.status).collect();
    assert_eq!(newest_first, statuses.iter().rev().map(|status| *status as u16).collect::<Vec<_>>());
    for letter in &letters {
        assert_eq!(letter.attempts, 1, "{letter:?}");
        assert_eq!(letter.response.as_ref().map(|response| response.body.len()), Some(2048));
        assert_eq!(letter.event, number_event(u32::from(letter.status.expect("a status"))));
        assert!(letter.reason.contains("answered"), "{letter:?}");
        assert!(receiver.seen().iter().any(|request| request.id() == letter.delivery_id));
        assert_eq!(letter.message_id.as_str(), format!("m-{}", letter.position.sequence));
    }
    assert_eq!(receiver.seen().len(), statuses.len() + 1, "redirects are not followed");

    let id = webhook(1, "").id;
    let page = bench.engine().dead_letters(WORKSPACE, id, 3, None).expect("the store works");
    assert_eq!(page.letters, letters[..3]);
    let page = bench.engine().dead_letters(WORKSPACE, id, 4, page.next).expect("the store works");
    assert_eq!((page.letters.as_slice(), page.next), (&letters[3..], None));
}

#[test]
fn old_dead_letters_make_room_for_new_ones() {
    let receiver = Receiver::start(|_| Reply::status(400));
    let mut bench = Bench::new();
    bench.stop();
    bench.limits.dead_letters = 3;
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    for number in 0..10 {
        bench.append(WORKSPACE, Some(1), &number_event(number));
    }
    let ended = |bench: &Bench| bench.totals(1).ended(Outcome::DeadLetter);
    bench.wait_status(1, "dead letters", |status| status.totals.ended(Outcome::DeadLetter) == 10);
    let events: Vec<_> = bench.dead_letters(1).into_iter().map(|letter| letter.event).collect();
    assert_eq!(events, [9, 8, 7].map(number_event));
    bench.stop();
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append(WORKSPACE, Some(1), &number_event(10));
    bench.wait_status(1, "another one", |status| status.totals.ended(Outcome::DeadLetter) == 11);
    let events: Vec<_> = bench.dead_letters(1).into_iter().map(|letter| letter.event).collect();
    assert_eq!(events, [10, 9, 8].map(number_event));
    assert_eq!(ended(&bench), 11, "the outcome of those that went stays counted");
}
