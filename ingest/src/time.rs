//! When an event happened: a pure rule over three clocks' words.
//!
//! The client's time is `timestamp`, else `originalTimestamp`, else the arrival. If `sentAt` is further from
//! the arrival than the tolerance, the client's clock is off and the time is moved by the same distance. No
//! event happens after its arrival: a later time becomes the arrival, or one spoofed date would own a trait
//! for ever.

use std::time::Duration;
use tributary_model::{Marks, Timestamp};

/// What the client says about its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientTime {
    /// Nothing.
    Missing,
    /// A text that names no moment.
    Unreadable,
    /// A moment by the client's clock.
    At(Timestamp),
}

/// The event time, and what was noticed on the way to it.
pub(crate) fn event_time(
    client: ClientTime,
    sent_at: Option<Timestamp>,
    received_at: Timestamp,
    tolerance: Duration,
) -> (Timestamp, Marks) {
    let mut marks = Marks::default();
    let stated = match client {
        ClientTime::At(stated) => stated,
        ClientTime::Missing => return (received_at, marks),
        ClientTime::Unreadable => {
            marks.add(Marks::UNREADABLE_TIME);
            return (received_at, marks);
        }
    };
    let skew = sent_at.map_or(0, |sent_at| received_at.micros_since(sent_at));
    let mut time = stated;
    if u128::from(skew.unsigned_abs()) > tolerance.as_micros() {
        time = stated.plus_micros(skew);
        marks.add(Marks::CORRECTED_TIME);
    }
    if time > received_at {
        time = received_at;
        marks.add(Marks::FUTURE_TIME);
    }
    (time, marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOLERANCE: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_rule_by_example() {
        let none = Marks::default().0;
        let (future, unreadable, corrected) =
            (Marks::FUTURE_TIME.0, Marks::UNREADABLE_TIME.0, Marks::CORRECTED_TIME.0);
        let cases = [
            ("no time", ClientTime::Missing, Some(0), 1000, none),
            ("unreadable", ClientTime::Unreadable, Some(0), 1000, unreadable),
            ("clock right, sent late", ClientTime::At(at(10)), Some(1000), 10, none),
            ("no sentAt", ClientTime::At(at(10)), None, 10, none),
            ("10 s are the network's", ClientTime::At(at(980)), Some(990), 980, none),
            ("11 s behind", ClientTime::At(at(980)), Some(989), 991, corrected),
            ("10 s ahead", ClientTime::At(at(980)), Some(1010), 980, none),
            ("an hour ahead", ClientTime::At(at(4580)), Some(4600), 980, corrected),
            ("a future time", ClientTime::At(at(1001)), Some(1000), 1000, future),
            ("still future after correction", ClientTime::At(at(700)), Some(500), 1000, corrected | future),
            ("now is not the future", ClientTime::At(at(1000)), None, 1000, none),
        ];
        for (name, client, sent_at, want, marks) in cases {
            let got = event_time(client, sent_at.map(at), at(1000), TOLERANCE);
            assert_eq!((got.0, got.1.0), (at(want), marks), "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_after_arrival_and_never_a_panic(stated: i64, sent: Option<i64>, received: i64) {
            let received = Timestamp::from_micros(received);
            let client = ClientTime::At(Timestamp::from_micros(stated));
            let (time, marks) = event_time(client, sent.map(Timestamp::from_micros), received, TOLERANCE);
            prop_assert!(time <= received);
            if marks == Marks::default() {
                prop_assert_eq!(time.as_micros(), stated);
            }
        }

        /// A clock that is off by any amount beyond the tolerance changes nothing about the result.
        #[test]
        fn a_wrong_clock_is_undone(ago in 0i64..1_000_000, off in -1_000_000_000i64..1_000_000_000) {
            let received = at(2_000_000_000);
            let (happened, sent) = (received.plus_micros(-ago), received);
            let (time, _) = event_time(
                ClientTime::At(happened.plus_micros(off * 1000)),
                Some(sent.plus_micros(off * 1000)),
                received,
                TOLERANCE,
            );
            let want = if off.abs() * 1000 > 10_000_000 { happened } else { happened.plus_micros(off * 1000).min(received) };
            prop_assert_eq!(time, want);
        }
    }
}
