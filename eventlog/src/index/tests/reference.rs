//! A projector in small, driven at random, against rules over a plain list.

use super::*;
use proptest::prelude::*;

/// What one record of the log says, and what must come of it.
#[derive(Debug, Clone)]
struct Line {
    workspace: u32,
    source: u32,
    id: u8,
    fragment: u8,
    received_at: Timestamp,
    event_time: Timestamp,
    /// The largest receive time up to here.
    log_time: Timestamp,
    /// The position whose sighting makes it a duplicate.
    duplicate_of: Option<u64>,
}

impl Line {
    fn key(&self) -> MessageKey {
        let id = MessageId::parse(&self.id.to_string()).expect("a valid id");
        MessageKey::new(WorkspaceId(self.workspace), SourceId(self.source), &id)
    }

    fn same_id(&self, other: &Self) -> bool {
        (self.workspace, self.source, self.id) == (other.workspace, other.source, other.id)
    }
}

fn frame_of(sequence: u64) -> u64 {
    sequence - sequence % 3
}

/// How the next record's times relate to those before it, in microseconds.
#[derive(Debug, Clone)]
struct Arrival {
    workspace: u32,
    source: u32,
    id: u8,
    fragment: u8,
    clock_step: i64,
    skew: i64,
    lateness: i64,
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Arrival>),
    Flush,
    /// What was not flushed is lost; the log is read again from the watermark.
    Crash,
    /// Everything was ingested, but the watermark was not stored.
    CrashBeforeWatermark,
    /// The state behind the projector was older than the indexes: the log is read again from further back.
    ReadAgain(f64),
    Expire(f64),
    Query {
        workspace: u32,
        fragments: Vec<u8>,
        start: Option<f64>,
        end: Option<f64>,
        newest: bool,
        after: Option<(f64, bool)>,
        limit: usize,
    },
    Find(Arrival),
}

fn arrival() -> impl Strategy<Value = Arrival> {
    const MINUTE: i64 = 60_000_000;
    let source = prop_oneof![5 => Just(1_u32), 1 => Just(2)];
    let clock_step = prop_oneof![8 => 0..MINUTE, 4 => 0..180 * MINUTE, 1 => DAY / 2..2 * DAY];
    let skew = prop_oneof![10 => Just(0), 4 => -90 * MINUTE..0, 1 => -8 * DAY..8 * DAY];
    let lateness = prop_oneof![4 => Just(0), 4 => 0..30 * MINUTE, 1 => 0..40 * DAY];
    (1..3_u32, source, 0..3_u8, 0..3_u8, clock_step, skew, lateness).prop_map(
        |(workspace, source, id, fragment, clock_step, skew, lateness)| {
            // Times of whole minutes now and then, so that some are equal.
            let lateness = if lateness % 2 == 0 { lateness } else { lateness - lateness % (10 * MINUTE) };
            Arrival { workspace, source, id, fragment, clock_step, skew, lateness }
        },
    )
}

fn query() -> impl Strategy<Value = Step> {
    let bound = || proptest::option::weighted(0.4, 0.0..1.0);
    let after = proptest::option::weighted(0.5, (0.0..1.0, any::<bool>()));
    let fragments = proptest::collection::vec(0..4_u8, 0..4);
    (1..3_u32, fragments, bound(), bound(), any::<bool>(), after, 0..12_usize).prop_map(
        |(workspace, fragments, start, end, newest, after, limit)| Step::Query {
            workspace,
            fragments,
            start,
            end,
            newest,
            after,
            limit,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(arrival(), 1..20).prop_map(Step::Append),
        3 => Just(Step::Flush),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashBeforeWatermark),
        4 => (0.0..1.0).prop_map(Step::ReadAgain),
        1 => (0.0..1.0).prop_map(Step::Expire),
        6 => query(),
        2 => arrival().prop_map(Step::Find),
    ]
}

struct Rig {
    dir: TempDir,
    options: IndexOptions,
    indexes: Option<Indexes>,
    log: Vec<Line>,
    clock: i64,
    /// The oldest position of the log.
    first: usize,
    /// Message days below this one may be gone.
    oldest_day: i64,
}

impl Rig {
    fn new(window: Duration) -> Self {
        let options = IndexOptions { message_window: window, message_days_kept: 1 };
        let dir = TempDir::new().expect("a temporary directory");
        let mut rig = Self {
            dir,
            options,
            indexes: None,
            log: Vec::new(),
            clock: 20_000 * DAY,
            first: 0,
            oldest_day: i64::MIN,
        };
        rig.reopen();
        rig
    }

    fn reopen(&mut self) {
        self.indexes = None;
        let indexes = Indexes::open(database(&self.dir), self.options.clone());
        self.indexes = Some(indexes.expect("indexes open"));
    }

    fn indexes(&self) -> &Indexes {
        self.indexes.as_ref().expect("is open between steps")
    }

    fn window_micros(&self) -> i64 {
        i64::try_from(self.options.message_window.as_micros()).expect("small")
    }

    fn sighting(&self, sequence: u64) -> FirstSeen {
        let received_at = self.log[usize::try_from(sequence).expect("small")].received_at;
        FirstSeen { sequence, frame: frame_of(sequence), received_at }
    }

    /// Adds a record with what the rules make of it: a duplicate if a record that was none, with the same id and
    /// a smaller position, was received within the window.
    fn append(&mut self, arrival: &Arrival) {
        self.clock += arrival.clock_step;
        let received_at = Timestamp::from_micros(self.clock + arrival.skew);
        let log_time = self.log.last().map_or(received_at, |line| line.log_time.max(received_at));
        let mut line = Line {
            workspace: arrival.workspace,
            source: arrival.source,
            id: arrival.id,
            fragment: arrival.fragment,
            received_at,
            event_time: received_at.plus_micros(-arrival.lateness),
            log_time,
            duplicate_of: None,
        };
        let covers = |earlier: &Line| {
            earlier.same_id(&line)
                && earlier.duplicate_of.is_none()
                && log_time.micros_since(earlier.received_at) <= self.window_micros()
        };
        line.duplicate_of = self.log.iter().rposition(covers).map(|sequence| sequence as u64);
        self.log.push(line);
    }

    /// What a projector does, from a position to the end.
    fn project(&self, from: usize) {
        for (sequence, line) in self.log.iter().enumerate().skip(from) {
            let sequence = sequence as u64;
            let found = self.indexes().first_seen(&line.key(), sequence, line.log_time).expect("readable");
            let wanted = line.duplicate_of.map(|sequence| self.sighting(sequence));
            assert_eq!(found, wanted, "position {sequence} of {}: {line:?}", self.log.len());
            if found.is_none() {
                self.indexes().record_message(line.key(), self.sighting(sequence));
                self.indexes().record_event(
                    WorkspaceId(line.workspace),
                    [line.fragment; 16],
                    self.indexed(sequence),
                );
            }
        }
    }

    fn indexed(&self, sequence: u64) -> IndexedEvent {
        let line = &self.log[usize::try_from(sequence).expect("small")];
        let FirstSeen { frame, received_at, .. } = self.sighting(sequence);
        IndexedEvent { event_time: line.event_time, sequence, frame, received_at }
    }

    fn watermark(&self) -> usize {
        usize::try_from(self.indexes().watermark()).expect("small")
    }

    /// The position that lies so far between the oldest one and an end.
    fn position(&self, part: f64, end: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "part is below 1")]
        let offset = ((end - self.first) as f64 * part) as usize;
        self.first + offset
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append(arrivals) => {
                let from = self.log.len();
                arrivals.iter().for_each(|arrival| self.append(arrival));
                self.project(from);
            }
            Step::Flush => {
                self.indexes().flush(self.log.len() as u64).expect("writable");
                assert_eq!((self.watermark(), self.indexes().recorded()), (self.log.len(), 0));
            }
            Step::Crash => {
                self.reopen();
                self.project(self.watermark());
            }
            Step::CrashBeforeWatermark => {
                let watermark = self.watermark();
                self.indexes().write_recorded(self.log.len() as u64).expect("writable");
                self.reopen();
                assert_eq!(self.watermark(), watermark);
                self.project(watermark);
            }
            Step::ReadAgain(part) => self.project(self.position(*part, self.log.len())),
            Step::Expire(part) => self.expire(self.position(*part, self.watermark().max(self.first))),
            Step::Query { .. } => self.query(step),
            Step::Find(arrival) => self.find(arrival),
        }
    }

    fn expire(&mut self, first: usize) {
        let (Some(last), Some(oldest)) = (self.log.last(), self.log.get(first)) else { return };
        let needed = oldest.log_time.plus_micros(-self.window_micros());
        self.indexes().expire(last.log_time, first as u64, needed).expect("writable");
        let kept = self.window_micros().max(DAY);
        self.oldest_day = self.oldest_day.max(last.log_time.plus_micros(-kept).min(needed).day());
        self.first = first;
    }

    fn query(&self, step: &Step) {
        let Step::Query { workspace, fragments, start, end, newest, after, limit } = step else { return };
        if self.log.is_empty() {
            return;
        }
        let line_at = |part: f64| &self.log[self.position(part, self.log.len() - 1).min(self.log.len() - 1)];
        let query = EventQuery {
            start: start.map(|part| line_at(part).event_time),
            end: end.map(|part| line_at(part).event_time),
            order: if *newest { EventOrder::Newest } else { EventOrder::Oldest },
            after: after.map(|(part, extreme)| {
                let sequence = self.position(part, self.log.len() - 1) as u64;
                (line_at(part).event_time, if extreme { sequence % 2 * u64::MAX } else { sequence })
            }),
            limit: *limit,
            first_sequence: self.first as u64,
        };
        let mut wanted: Vec<IndexedEvent> = (self.first..self.log.len())
            .filter(|sequence| {
                let line = &self.log[*sequence];
                line.duplicate_of.is_none()
                    && line.workspace == *workspace
                    && fragments.contains(&line.fragment)
            })
            .map(|sequence| self.indexed(sequence as u64))
            .filter(|event| {
                let position = (event.event_time, event.sequence);
                query.start.is_none_or(|start| event.event_time >= start)
                    && query.end.is_none_or(|end| event.event_time <= end)
                    && query
                        .after
                        .is_none_or(|after| if *newest { position < after } else { position > after })
            })
            .collect();
        wanted.sort_by_key(|event| (event.event_time, event.sequence));
        if *newest {
            wanted.reverse();
        }
        wanted.truncate(*limit);
        let fragments: Vec<[u8; 16]> = fragments.iter().map(|fragment| [*fragment; 16]).collect();
        let page = self.indexes().events(WorkspaceId(*workspace), &fragments, query).expect("readable");
        assert_eq!(page, wanted, "{query:?}");
    }

    fn find(&self, arrival: &Arrival) {
        let Arrival { workspace, source, id, .. } = *arrival;
        let is_sighting = |line: &Line| {
            (line.workspace, line.source, line.id) == (workspace, source, id) && line.duplicate_of.is_none()
        };
        let key = MessageKey::new(
            WorkspaceId(workspace),
            SourceId(source),
            &MessageId::parse(&id.to_string()).expect("a valid id"),
        );
        let found = self.indexes().find_message(&key).expect("readable");
        let newest = self.log.iter().rposition(is_sighting).map(|sequence| self.sighting(sequence as u64));
        match newest {
            // Its day may have been dropped; then an older one on a later day may be the answer.
            Some(newest) if newest.received_at.day() < self.oldest_day => {
                if let Some(found) = found {
                    assert_eq!(found, self.sighting(found.sequence));
                    assert!(is_sighting(&self.log[usize::try_from(found.sequence).expect("small")]));
                }
            }
            _ => assert_eq!(found, newest),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// However recording, flushing, crashes, reading again, expiry and queries interleave, every decision about a
    /// duplicate is the first one again, and every page of events is the reference's.
    #[test]
    fn indexes_agree_with_a_plain_list(
        window_hours in prop_oneof![Just(2_u64), Just(24), Just(72), Just(168)],
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut rig = Rig::new(Duration::from_secs(window_hours * 3600));
        for step in &steps {
            rig.run(step);
        }
    }
}
