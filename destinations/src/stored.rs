//! What a destination's books look like where they are stored: its state, and the deliveries in its retry queue.
//!
//! Values are a version byte and postcard; former versions are read for ever.

use crate::failure::{Failure, Reason};
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tributary_model::activation::ActivationHeader;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, MessageId, Position, ProfileId, Timestamp};

/// A destination's deliveries since it was created, counted durably: `taken` is the sum of those that ended and
/// those that wait to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Deliveries whose first attempt, or whose place in the retry queue, is on record.
    pub taken: u64,
    ended: BTreeMap<Outcome, u64>,
}

impl Totals {
    /// How many deliveries ended so.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.ended.get(&outcome).copied().unwrap_or(0)
    }

    /// How many deliveries ended, in whatever way.
    pub fn ended_in_all(&self) -> u64 {
        self.ended.values().sum()
    }

    pub(crate) fn end(&mut self, outcome: Outcome, count: u64) {
        if count > 0 {
            *self.ended.entry(outcome).or_default() += count;
        }
    }
}

/// Up to where the activations log was read, and the largest place until there: what is not behind that place is
/// there for the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) sequence: u64,
    pub(crate) position: Position,
    pub(crate) ordinal: u32,
}

impl Mark {
    pub(crate) fn new(sequence: u64, (position, ordinal): (Position, u32)) -> Self {
        Self { sequence, position, ordinal }
    }

    /// The place of the activation.
    pub(crate) fn place(&self) -> (Position, u32) {
        (self.position, self.ordinal)
    }
}

/// The durable part of a ledger but for its retry queue and its dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredState {
    /// The low-water cursor.
    pub(crate) cursor: u64,
    /// Settled sequences above it: first sequence and length of each run.
    pub(crate) settled: Vec<(u64, u64)>,
    pub(crate) totals: Totals,
    /// The number that the next dead letter gets.
    pub(crate) next_letter: u64,
    /// The position in the events log behind which the destination's events begin.
    pub(crate) starts_after: Position,
    /// The destination was deleted, and every delivery of it has ended: those behind the cursor that were not settled, too.
    /// Its mark is where the log ended then.
    pub(crate) ended: bool,
    /// Where a start begins to read: at the cursor or a little before it.
    pub(crate) mark: Option<Mark>,
    /// Deliveries that were sent again by replays, counted apart from the others.
    pub(crate) replayed: Totals,
    /// Why nothing is sent at present, if nothing is.
    pub(crate) paused: Option<StoredPause>,
}

/// Why nothing is sent, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPause {
    pub(crate) reason: PauseReason,
    pub(crate) since: Timestamp,
    pub(crate) failure: Failure,
    /// A fingerprint of the settings under which it paused: others end a pause that they caused.
    pub(crate) settings: u64,
}

/// Why a destination is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// The receiver refuses our credentials, or the destination as a whole. It goes on when its settings are changed or
    /// somebody resumes it.
    Credentials,
    /// The receiver is out. It is tried now and then, and goes on by itself.
    Outage,
}

impl PauseReason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Credentials, Self::Outage];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Outage => "outage",
        }
    }
}

/// The first two forms of [`StoredState`]; the first had no mark.
#[derive(Deserialize)]
struct StoredState1 {
    cursor: u64,
    settled: Vec<(u64, u64)>,
    totals: Totals,
    next_letter: u64,
    starts_after: Position,
    ended: bool,
}

impl StoredState1 {
    fn with_mark(self, mark: Option<Mark>) -> StoredState {
        let Self { cursor, settled, totals, next_letter, starts_after, ended } = self;
        let new = StoredState::new(cursor, starts_after);
        StoredState { settled, totals, next_letter, ended, mark, ..new }
    }
}

/// The first form of a failure: without a code.
#[derive(Deserialize)]
struct Failure1 {
    text: String,
    status: Option<u16>,
    outage: bool,
}

impl From<Failure1> for Failure {
    fn from(old: Failure1) -> Self {
        let Failure1 { text, status, outage } = old;
        let reason = status.map_or(Reason::Unknown, Reason::of_status);
        Self { status, outage, ..Self::new(reason, text) }
    }
}

/// A delivery in the retry queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The first sequence of the frame that holds the activation.
    pub(crate) frame: u64,
    pub(crate) position: Position,
    pub(crate) ordinal: u32,
    pub(crate) message_id: MessageId,
    pub(crate) profile: Option<ProfileId>,
    /// Failed attempts so far; 0 if it only waits behind another of its profile.
    pub(crate) attempts: u32,
    pub(crate) first_attempt: Option<Timestamp>,
    pub(crate) last_attempt: Option<Timestamp>,
    pub(crate) due: Timestamp,
    pub(crate) failure: Option<Failure>,
    /// When its event arrived.
    pub(crate) received_at: Timestamp,
    /// For how long the destination was paused since it was first tried, in microseconds.
    pub(crate) paused_micros: i64,
    /// Rows of attempts that are remembered of it.
    pub(crate) told: u32,
    /// Bytes of its event.
    pub(crate) bytes: u32,
    /// Numbers of the mappings whose payloads have been taken, or refused for good.
    pub(crate) done: Vec<u32>,
    /// Why a payload of it was refused for good, while another one may still be taken.
    pub(crate) refused: Option<Failure>,
    /// It goes in a request of its own: one that it shared was refused as a whole.
    pub(crate) alone: bool,
    /// The replay by which it is sent again.
    pub(crate) replay: Option<u64>,
}

/// The first form of [`Waiting`].
#[derive(Deserialize)]
struct Waiting1 {
    frame: u64,
    position: Position,
    ordinal: u32,
    message_id: MessageId,
    profile: Option<ProfileId>,
    attempts: u32,
    first_attempt: Option<Timestamp>,
    last_attempt: Option<Timestamp>,
    due: Timestamp,
    failure: Option<Failure1>,
}

impl From<Waiting1> for Waiting {
    fn from(old: Waiting1) -> Self {
        let Waiting1 { frame, position, ordinal, message_id, profile, .. } = old;
        Self {
            frame,
            position,
            ordinal,
            message_id,
            profile,
            attempts: old.attempts,
            first_attempt: old.first_attempt,
            last_attempt: old.last_attempt,
            due: old.due,
            failure: old.failure.map(Failure::from),
            received_at: old.first_attempt.unwrap_or_default(),
            paused_micros: 0,
            told: 0,
            bytes: 0,
            done: Vec::new(),
            refused: None,
            alone: false,
            replay: None,
        }
    }
}

const STATE: &str = "destination's state";
const WAITING: &str = "waiting delivery";

fn encode(version: u8, value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("plain values can be written")
}

fn decode<T: for<'de> Deserialize<'de>>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged(what))
}

impl StoredState {
    /// The state of a destination that has read nothing yet.
    pub(crate) fn new(cursor: u64, starts_after: Position) -> Self {
        Self {
            cursor,
            settled: Vec::new(),
            totals: Totals::default(),
            next_letter: 0,
            starts_after,
            ended: false,
            mark: None,
            replayed: Totals::default(),
            paused: None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(3, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((1, rest)) => decode::<StoredState1>(STATE, rest).map(|old| old.with_mark(None)),
            Some((2, rest)) => {
                decode::<(StoredState1, Option<Mark>)>(STATE, rest).map(|(old, mark)| old.with_mark(mark))
            }
            Some((3, rest)) => decode(STATE, rest),
            Some((&version, _)) => Err(StoreError::Version { what: STATE, version }),
            None => Err(StoreError::Damaged(STATE)),
        }
    }

    /// Where a start begins to read.
    pub(crate) fn reads_from(&self) -> u64 {
        self.mark.map_or(self.cursor, |mark| mark.sequence.min(self.cursor))
    }

    /// Whether the activation of that sequence is settled.
    pub(crate) fn is_settled(&self, sequence: u64) -> bool {
        sequence < self.cursor
            || self.settled.iter().any(|(first, length)| (*first..first + length).contains(&sequence))
    }
}

impl Waiting {
    /// A delivery that has not been tried, due at once.
    pub(crate) fn untried(frame: u64, activation: &Activation) -> Self {
        let bytes = u32::try_from(activation.event.len()).unwrap_or(u32::MAX);
        Self::of_header(frame, &activation.header, bytes)
    }

    /// The same, of an activation whose event has so many bytes.
    pub(crate) fn of_header(frame: u64, header: &ActivationHeader, bytes: u32) -> Self {
        Self {
            frame,
            position: header.position,
            ordinal: header.ordinal,
            message_id: header.message_id.clone(),
            profile: header.profile,
            attempts: 0,
            first_attempt: None,
            last_attempt: None,
            due: Timestamp::MIN,
            failure: None,
            received_at: header.received_at,
            paused_micros: 0,
            told: 0,
            bytes,
            done: Vec::new(),
            refused: None,
            alone: false,
            replay: None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(2, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((1, rest)) => decode::<Waiting1>(WAITING, rest).map(Self::from),
            Some((2, rest)) => decode(WAITING, rest),
            Some((&version, _)) => Err(StoreError::Version { what: WAITING, version }),
            None => Err(StoreError::Damaged(WAITING)),
        }
    }
}
