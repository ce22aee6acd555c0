//! What is told of deliveries that failed, in records, dead letters and overviews.

use super::{ID, recorded};
use crate::harness::{Bench, SECOND, WORKSPACE, number_event, webhook};
use crate::receiver::{Receiver, Reply, Seen};
use serde_json::json;
use std::collections::BTreeMap;
use tributary_destinations::DestinationConfig;
use tributary_destinations::failure::Reason;
use tributary_destinations::overview::{Flow, Step};
use tributary_model::clock::Clock;
use tributary_model::condition::{Scope, parse_condition};
use tributary_model::outcome::Outcome;
use tributary_model::workspace::{DestinationFilter, FilterAction, Mapping};

/// Longer than any backoff.
const BEYOND_CAP: i64 = 600 * SECOND;

/// Everything that was counted until now.
fn counted(bench: &Bench) -> Flow {
    let now = bench.clock.now();
    let time = (now.plus_micros(-3_600 * SECOND), now.plus_micros(60 * SECOND));
    bench.engine().overview(WORKSPACE, ID, time, Step::Hour).expect("the store works").totals
}

fn mapping(id: u32, event: Option<&str>) -> Mapping {
    Mapping {
        id,
        name: format!("mapping {id}"),
        action: "send".to_owned(),
        enabled: true,
        trigger: None,
        fields: event.map(|path| ("event".to_owned(), json!({ "@path": path }))).into_iter().collect(),
    }
}

/// A webhook with these mappings, whose numbers are their places from 1: each by where it finds what it sends, `None` for
/// the event as it is.
fn mapped(url: &str, mappings: &[Option<&str>]) -> DestinationConfig {
    let numbered = (1..).zip(mappings).map(|(id, event)| mapping(id, *event));
    DestinationConfig { mappings: Some(numbered.collect()), ..webhook(1, url) }
}

fn is_second(seen: &Seen) -> bool {
    seen.id().ends_with(".2")
}

#[test]
fn refused_attempts_are_counted() {
    let receiver = Receiver::start(|_| Reply::status(400));
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..4);
    bench.wait_status(1, "dead letters", |status| status.totals.ended_in_all() == 4);
    let refused = BTreeMap::from([(Reason::BadRequest, 4)]);
    let flow = counted(&bench);
    assert_eq!((&flow.failed, &flow.dead_letters), (&refused, &refused));

    receiver.behave(|_| Reply::status(401));
    bench.append_numbers(4..8);
    bench.wait_status(1, "a pause", |status| status.paused.is_some() && status.under_way == 0);
    let asked = receiver.seen().len() as u64 - 4;
    assert_eq!(counted(&bench).failed.get(&Reason::Unauthorized), Some(&asked));
}

#[test]
fn what_is_left_out_while_it_waits_was_not_mapped() {
    let receiver = Receiver::start(|_| Reply::status(500));
    let mut bench = Bench::new();
    let config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    let event = |number: u8| {
        let name = if number.is_multiple_of(2) { "Good" } else { "Bad" };
        format!(r#"{{"type":"track","event":"{name}","n":{number}}}"#)
    };
    for number in 0..10 {
        bench.append(WORKSPACE, Some(1), &event(number));
    }
    bench.wait_status(1, "all to wait", |status| status.waiting == 10 && status.under_way == 0);
    let flow = counted(&bench);
    assert_eq!((flow.received, flow.mapped, flow.filtered()), (10, 10, 0));

    receiver.behave(|_| Reply::status(200));
    let condition = parse_condition("event = \"Bad\"", Scope::Event).expect("a condition");
    let drop_bad =
        DestinationFilter { name: "no bad ones".to_owned(), condition, action: FilterAction::Drop };
    bench.engine().apply(vec![DestinationConfig { filters: vec![drop_bad], ..config }]);
    // What is read with the new filter shows that it is in force.
    bench.append(WORKSPACE, Some(2), &event(11));
    bench.wait_status(1, "the filter", |status| status.totals.ended(Outcome::FilteredByFilter) == 1);
    bench.clock.advance_micros(BEYOND_CAP);
    bench.wait_status(1, "all to end", |status| status.totals.ended_in_all() == 11);
    let flow = counted(&bench);
    assert_eq!((flow.received, flow.mapped, flow.filtered(), flow.delivered()), (11, 5, 6, 5));
}

/// What was received was left out, lost or mapped; what was mapped was taken, was given up, or waits.
fn check_sums(flow: &Flow, waiting: u64) {
    let lost =
        [Outcome::Skipped, Outcome::Expired].map(|outcome| flow.ended.get(&outcome).copied().unwrap_or(0));
    let dead: u64 = flow.dead_letters.values().sum();
    assert_eq!(flow.received, flow.filtered() + lost.iter().sum::<u64>() + flow.mapped, "{flow:?}");
    assert_eq!(flow.mapped, flow.delivered() + dead + waiting, "{flow:?}");
}

#[test]
fn what_is_passed_over_or_expires_was_not_mapped_however_far_it_had_come() {
    let receiver = Receiver::start(|_| Reply::status(500));
    let mut bench = Bench::new();
    let config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    let append = |bench: &mut Bench, profile: u8, count: u32| {
        for number in 0..count {
            bench.append(WORKSPACE, Some(profile), &number_event(number));
        }
    };
    let turn_off = |bench: &Bench| {
        bench.engine().apply(vec![DestinationConfig { enabled: false, ..config.clone() }]);
        bench.wait_status(1, "it to be off", |status| !status.enabled);
    };
    append(&mut bench, 1, 10);
    bench.wait_status(1, "ten to wait", |status| status.waiting == 10 && status.under_way == 0);
    check_sums(&counted(&bench), 10);
    turn_off(&bench);
    append(&mut bench, 2, 10);
    receiver.behave(|_| Reply::status(200));
    let skip_through = Some(bench.last_position());
    bench.engine().apply(vec![DestinationConfig { skip_through, ..config.clone() }]);
    append(&mut bench, 3, 20);
    bench.wait_status(1, "all to end", |status| status.totals.ended_in_all() == 40);
    let flow = counted(&bench);
    check_sums(&flow, 0);
    assert_eq!((flow.received, flow.mapped, flow.ended[&Outcome::Skipped]), (40, 20, 20));

    receiver.behave(|_| Reply::status(500));
    append(&mut bench, 4, 5);
    bench.wait_status(1, "five to wait", |status| status.waiting == 5 && status.under_way == 0);
    turn_off(&bench);
    append(&mut bench, 5, 5);
    bench.log.expire_before(48);
    receiver.behave(|_| Reply::status(200));
    bench.clock.advance_micros(BEYOND_CAP);
    bench.engine().apply(vec![DestinationConfig { skip_through, ..config.clone() }]);
    bench.wait_status(1, "the rest to end", |status| status.totals.ended_in_all() == 50);
    let flow = counted(&bench);
    check_sums(&flow, 0);
    assert_eq!((flow.received, flow.mapped, flow.ended[&Outcome::Expired]), (50, 22, 8));

    // What no mapping can make is given up at once.
    let absent = mapped(&receiver.url, &[Some("$.absent")]);
    bench.engine().apply(vec![DestinationConfig { skip_through, ..absent }]);
    append(&mut bench, 6, 2);
    bench.wait_status(1, "dead letters", |status| status.totals.ended_in_all() == 52);
    let flow = counted(&bench);
    check_sums(&flow, 0);
    assert_eq!(flow.mapped + flow.ended[&Outcome::Skipped] + flow.ended[&Outcome::Expired], 52);
}

#[test]
fn a_failure_that_made_no_request_is_shown_with_none() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![mapped(&receiver.url, &[Some("$.absent"), None, Some("$.missing")])]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    bench.wait_status(1, "the dead letter", |status| status.totals.ended(Outcome::DeadLetter) == 1);
    assert_eq!(receiver.seen().len(), 1, "what can be sent is");
    let letters = bench.dead_letters(1);
    assert_eq!((letters[0].reason_code, letters[0].status), (Reason::MissingField, None));
    let reason = &letters[0].reason;
    assert!(reason.contains("mapping 1: ") && reason.contains("mapping 3: "), "{reason}");
    assert_eq!((&letters[0].request, &letters[0].response), (&None, &None));
    let deliveries = recorded(&bench, Reason::MissingField);
    assert_eq!((deliveries.len(), &deliveries[0].attempts[0].exchange), (1, &None));
}

#[test]
fn a_failure_is_shown_with_its_own_request_among_several() {
    for fails_second in [false, true] {
        let receiver = Receiver::start(move |seen| {
            let status = if is_second(seen) == fails_second { 400 } else { 200 };
            Reply { body: format!("said {status}"), ..Reply::status(status) }
        });
        let mut bench = Bench::new();
        bench.engine().apply(vec![mapped(&receiver.url, &[None, None])]);
        bench.append(WORKSPACE, Some(1), &number_event(1));
        bench.wait_status(1, "the dead letter", |status| status.totals.ended(Outcome::DeadLetter) == 1);
        assert_eq!(receiver.seen().len(), 2);
        let letters = bench.dead_letters(1);
        assert_eq!((letters[0].reason.as_str(), letters[0].status), ("answered 400", Some(400)));
        let response = letters[0].response.as_ref().expect("it was answered");
        assert_eq!((response.status, response.body.as_str()), (Some(400), "said 400"), "{fails_second}");
        let headers = &letters[0].request.as_ref().expect("it was sent").headers;
        let is_second = headers.iter().any(|(name, id)| name == "webhook-id" && id.ends_with(".2"));
        assert_eq!(is_second, fails_second);
    }
}
