//! One broken destination costs the healthy ones nothing.

use crate::harness::{Bench, WORKSPACE, webhook};
use crate::receiver::{Nobody, Receiver};
use std::net::TcpListener;
use tributary_model::outcome::Outcome;

#[test]
fn dead_receivers_do_not_hold_up_a_healthy_one() {
    // Connections are made, and never answered.
    let black_hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let refusing = Nobody::start();
    let healthy = Receiver::taking();
    let mut bench = Bench::new();
    bench.stop();
    bench.limits.request_timeout = std::time::Duration::from_secs(600);
    bench.start();
    let black_hole_url = format!("http://{}/", black_hole.local_addr().expect("an address"));
    bench.engine().apply(vec![
        webhook(1, &black_hole_url),
        webhook(2, &refusing.url),
        webhook(3, &healthy.url),
    ]);
    bench.append_numbers(0..1_000);
    bench.wait_delivered(3, 1_000);
    assert_eq!(bench.totals(1).ended_in_all(), 0, "the first request has not even timed out");
    assert_eq!(bench.delivered(2), 0);
    bench.wait_status(2, "its failures", |status| status.waiting == 1_000);
}

#[test]
fn a_stop_does_not_wait_for_a_black_hole_beyond_its_deadline() {
    let black_hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", black_hole.local_addr().expect("an address"));
    let mut bench = Bench::new();
    bench.stop();
    bench.limits.request_timeout = std::time::Duration::from_secs(600);
    bench.start();
    bench.engine().apply(vec![webhook(1, &url)]);
    bench.append(WORKSPACE, Some(1), "{}");
    black_hole.accept().expect("the request comes");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench.engine().stop(std::time::Duration::from_millis(10)));
    bench.crash();
    let healthy = Receiver::taking();
    bench.start();
    bench.engine().apply(vec![webhook(1, &healthy.url)]);
    // The attempt that was broken off counts as one, so the next waits.
    bench.clock.advance_micros(60_000_000);
    bench.wait_delivered(1, 1);
    assert_eq!(bench.totals(1).ended(Outcome::Delivered), 1);
}
