//! What files are called, and which payloads may share one.
//!
//! ```text
//! <prefix>/year=2026/month=11/day=21/hour=23/<id of the first payload>-<payloads>-<hash of all ids>.ndjson
//! ```
//!
//! The time is that at which the events arrived, in UTC; a file holds events of one folder only. The same payloads get
//! the same name on every attempt, so an attempt whose answer was lost is written over and not beside. Other payloads
//! get another name, whatever they have in common, so nothing that was written is ever lost. After a crash, or by a
//! replay, payloads may come in other company than before: then they are in two files, each time with the same
//! `delivery_id`, by which readers take each once.

use crate::exchange::Payload;
use jiff::tz::TimeZone;
use object_store::path::Path;
use std::fmt::Write;
use tributary_model::Timestamp;

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// Bytes of the hash in a file's name.
const HASH_BYTES: usize = 8;

/// What span of time a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partition {
    Hour,
    Day,
}

impl Partition {
    /// The number of the span that a moment is in, counted from 1970.
    pub(super) fn number(self, at: Timestamp) -> i64 {
        match self {
            Self::Hour => at.as_micros().div_euclid(HOUR_MICROS),
            Self::Day => at.as_micros().div_euclid(DAY_MICROS),
        }
    }

    /// The folder of a moment.
    fn folder(self, at: Timestamp) -> String {
        let range = jiff::Timestamp::MIN.as_microsecond()..=jiff::Timestamp::MAX.as_microsecond();
        let micros = at.as_micros().clamp(*range.start(), *range.end());
        let at = jiff::Timestamp::from_microsecond(micros).expect("the moment was brought into the range");
        let at = at.to_zoned(TimeZone::UTC);
        let day = format!("year={:04}/month={:02}/day={:02}", at.year(), at.month(), at.day());
        match self {
            Self::Hour => format!("{day}/hour={:02}", at.hour()),
            Self::Day => day,
        }
    }
}

/// Where files are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder below which all others are, without slashes around it; empty for none.
    pub(super) prefix: String,
    pub(super) partition: Partition,
    /// What names end with.
    pub(super) ending: &'static str,
}

impl Place {
    /// The file that these payloads belong into, of which there is at least one.
    ///
    /// # Errors
    /// If the prefix has a name in it that storage can't hold: `.` or `..`, for instance.
    pub(super) fn path(&self, payloads: &[Payload]) -> Result<Path, object_store::path::Error> {
        let first = payloads.first().expect("a request has payloads");
        let mut hash = blake3::Hasher::new();
        for payload in payloads {
            hash.update(payload.id.as_bytes());
            hash.update(b"\n");
        }
        let mut path = self.folder_prefix().unwrap_or_default();
        let hash = hex::encode(&hash.finalize().as_bytes()[..HASH_BYTES]);
        let folder = self.partition.folder(first.received_at);
        write!(path, "{folder}/{}-{}-{hash}.{}", first.id, payloads.len(), self.ending)
            .expect("a text takes all that is written");
        Path::parse(path)
    }

    /// What all names begin with, if they have something in common.
    pub(super) fn folder_prefix(&self) -> Option<String> {
        (!self.prefix.is_empty()).then(|| format!("{}/", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::payload;
    use super::*;

    fn place(prefix: &str, partition: Partition) -> Place {
        Place { prefix: prefix.into(), partition, ending: "ndjson" }
    }

    #[test]
    fn folders_are_made_of_the_time_of_arrival() {
        let cases = [
            ("", Partition::Hour, "2026-11-21T23:59:59.999Z", "year=2026/month=11/day=21/hour=23/"),
            ("", Partition::Hour, "2026-11-22T00:00:00Z", "year=2026/month=11/day=22/hour=00/"),
            ("in/all", Partition::Day, "2026-03-04T05:06:07Z", "in/all/year=2026/month=03/day=04/"),
            ("", Partition::Hour, "2026-11-22T01:00:00+02:00", "year=2026/month=11/day=21/hour=23/"),
        ];
        for (prefix, partition, at, want) in cases {
            let at = Timestamp::parse(at).expect("a moment");
            let path = place(prefix, partition).path(&[payload("msg_1", at, "{}")]).expect("a path");
            let (folder, _) = path.as_ref().split_at(path.as_ref().rfind('/').expect("a folder") + 1);
            assert_eq!(folder, want);
        }
    }

    #[test]
    fn the_same_payloads_have_the_same_name_and_others_another() {
        let at = Timestamp::parse("2026-11-21T23:10:00Z").expect("a moment");
        let name = |ids: &[&str]| {
            let payloads: Vec<Payload> = ids.iter().map(|id| payload(id, at, "{}")).collect();
            place("", Partition::Hour).path(&payloads).expect("a path").to_string()
        };
        let one = name(&["msg_1", "msg_2", "msg_3"]);
        assert_eq!(one, name(&["msg_1", "msg_2", "msg_3"]));
        assert!(one.starts_with("year=2026/month=11/day=21/hour=23/msg_1-3-"), "{one}");
        for other in
            [&["msg_1", "msg_2", "msg_4"], &["msg_1", "msg_3", "msg_2"], &["msg_1", "msg_2", "msg_2"]]
        {
            assert_ne!(one, name(other), "{other:?}");
        }
    }

    #[test]
    fn a_span_ends_where_the_next_begins() {
        let at = |text| Timestamp::parse(text).expect("a moment");
        let cases = [
            (Partition::Hour, "2026-11-21T22:59:59.999999Z", "2026-11-21T23:00:00Z", false),
            (Partition::Hour, "2026-11-21T23:00:00Z", "2026-11-21T23:59:59Z", true),
            (Partition::Day, "2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z", false),
            (Partition::Day, "2026-11-21T00:00:00Z", "2026-11-21T23:59:59Z", true),
        ];
        for (partition, one, other, together) in cases {
            let equal = partition.number(at(one)) == partition.number(at(other));
            assert_eq!(equal, together, "{partition:?} {one} {other}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for prefix in ["..", "in/../out", "."] {
            let refused = place(prefix, Partition::Day).path(&[payload("msg_1", Timestamp::default(), "{}")]);
            assert!(refused.is_err(), "{prefix}");
        }
    }
}
