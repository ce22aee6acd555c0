//! Reads that ask the broker.

use super::*;
use crate::log::ReadError;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::thread;

#[test]
fn few_consumers_serve_many_readers_at_many_places() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let few = KafkaOptions { tail_bytes: 0, readers_max: 2, lookups_max: 1, ..options(&mock) };
    let log = Arc::new(open(few, directory.path()));
    for start in (0..200).step_by(20) {
        append(&log, start..start + 20);
    }
    let readers: Vec<_> = (0..4_u64)
        .map(|reader| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for step in 0..10 {
                    let from = (reader * 67 + step * 31) % 200;
                    let read = log.read(from, 90).expect("it is there");
                    assert!(!read.is_empty());
                    for (sequence, found) in (from..).zip(read) {
                        assert_eq!((found.sequence, found.bytes), (sequence, entry(sequence)));
                    }
                    assert_eq!(log.read_one(from, 0).expect("it is there"), Some(entry(from)));
                }
            })
        })
        .collect();
    for reader in readers {
        reader.join().expect("the reader's checks hold");
    }
    assert_eq!(read_all(&log, 100), (0..200).map(entry).collect::<Vec<_>>());
}

#[test]
fn what_the_broker_no_longer_keeps_has_expired() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(KafkaOptions { tail_bytes: 0, ..options(&mock) }, directory.path());
    // 8 MB that do not compress; the mock keeps 5.
    let noise = |seed: u64| -> Bytes {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..12_500).flat_map(|_| next()).collect()
    };
    for number in 0..80 {
        suite::wait(log.append(vec![noise(number)])).expect("a healthy log takes appends");
    }
    match log.read(0, 1) {
        Err(ReadError::Expired { first }) => {
            assert!(first > 0 && first < 80);
            assert_eq!(log.bounds().first, first);
            assert_eq!(log.read(first, 1).expect("it is there")[0].bytes, noise(first));
            assert!(matches!(log.read_one(0, 0), Err(ReadError::Expired { .. })));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_broker_reads_say_so_and_go_on_later() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(KafkaOptions { tail_bytes: 0, ..options(&mock) }, directory.path());
    append(&log, 0..10);
    mock.broker_down(-1).expect("it goes down");
    until("the log notices", || !log.status().accepting);
    let failed = log.read(3, 100).expect_err("nobody has the entries");
    assert!(matches!(failed, ReadError::Unavailable(_)), "{failed}");
    assert!(log.read(10, 100).expect("the end is known").is_empty());
    mock.broker_up(-1).expect("it comes up");
    until("the entries can be read", || log.read(3, 1).is_ok_and(|read| read[0].bytes == entry(3)));
}

#[test]
fn the_tail_spares_the_broker() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(options(&mock), directory.path());
    append(&log, 0..10);
    mock.broker_down(-1).expect("it goes down");
    assert_eq!(read_all(&log, 30), (0..10).map(entry).collect::<Vec<_>>());
    assert_eq!(log.read_one(4, 0).expect("it is held"), Some(entry(4)));
}

#[test]
fn entries_of_somebody_else_are_entries_too() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(options(&mock), directory.path());
    append(&log, 0..3);
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap_servers())
        .create()
        .expect("another producer");
    let late: BaseRecord<'_, (), [u8]> = BaseRecord::to(TOPIC).partition(0).payload(&b"late"[..]);
    other.send(late).map_err(|(error, _)| error).expect("it is taken");
    other.flush(PATIENCE).expect("it is stored");
    until("it comes into sight without traffic", || log.bounds().end == 4);
    assert_eq!(append(&log, 4..6), 4..6);
    let mut want: Vec<Bytes> = (0..6).map(entry).collect();
    want[3] = Bytes::from_static(b"late");
    assert_eq!(read_all(&log, 1000), want);
}
