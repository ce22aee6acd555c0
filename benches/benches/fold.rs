//! What it costs to fold one event into a fragment that has its traits already.

use criterion::Criterion;
use std::hint::black_box;
use tributary_bench::events::Events;
use tributary_bench::population::Population;
use tributary_model::fragment::Sighting;
use tributary_model::{EventView, Fragment, MessageId, SourceId, Timestamp};

const TIME: &str = "2026-11-20T10:00:00.250Z";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut events = Events::new(Population::new(1, 1_000), 1, 1, 0);
    let mut payload = Vec::new();
    let identify = events.identify(7);
    events.write(&identify, TIME, &mut payload);
    let view = EventView::parse(&payload).expect("an event");
    let sighting = |micros| Sighting {
        at: Timestamp::from_micros(micros),
        message_id: MessageId::parse("ajs-next-00000001-0000-4000-8000-000000000001").expect("an id"),
        source: SourceId(1),
    };

    let mut fragment = Fragment::default();
    let mut at = 0;
    criterion.bench_function("fold/identify", |bencher| {
        bencher.iter(|| {
            at += 1;
            fragment.fold(black_box(&view), &sighting(at));
        });
    });
    let mut other = Fragment::default();
    other.fold(&view, &sighting(i64::MAX));
    criterion.bench_function("fold/merge two fragments", |bencher| {
        bencher.iter(|| {
            let mut merged = fragment.clone();
            merged.merge(black_box(&other));
            merged
        });
    });
    criterion.bench_function("fold/parse and fold", |bencher| {
        bencher.iter(|| {
            at += 1;
            let view = EventView::parse(black_box(&payload)).expect("an event");
            fragment.fold(&view, &sighting(at));
        });
    });
    criterion.final_summary();
}
