//! One event of gRPC: into the pipeline, and its result back out.

use crate::normalize::Arrival;
use crate::pipeline::{Ended, Prepared};
use crate::reason::{Problem, RejectReason};
use tributary_model::{Position, SourceId};
use tributary_proto::convert::{Flaw, Unconvertible, event_to_json};
use tributary_proto::grpc::v1::{Event, EventResult, EventStatus};

/// Takes one event, as a record or as a reject. `message_id` stands for its own.
pub(super) fn take(prepared: &mut Prepared, event: &Event, message_id: &str, arrival: &Arrival<'_>) {
    match event_to_json(event, message_id) {
        Ok(json) => prepared.take_alone(&json, arrival),
        Err(why) => {
            let problem = problem_of(&why);
            prepared.reject(why.original, Some(message_id), problem, arrival);
        }
    }
}

fn problem_of(why: &Unconvertible) -> Problem {
    let advice = match why.flaw {
        Flaw::NotUtf8 | Flaw::NotJson => "send a JSON object as UTF-8 text, or leave it out",
        Flaw::NotATime => "send the time of the client's clock, or leave it out",
    };
    Problem::new(RejectReason::Unreadable, why.pointer, format!("{why}; {advice}"))
}

/// How an event ended, as the client is told.
pub(super) fn result_of(end: Ended) -> EventResult {
    let message_id = end.message_id.unwrap_or_default();
    match end.problem {
        None => EventResult { status: EventStatus::Accepted.into(), message_id, ..EventResult::default() },
        Some(problem) => EventResult {
            status: EventStatus::Rejected.into(),
            message_id,
            reason: problem.reason.name().to_owned(),
            message: problem.text,
            pointer: problem.pointer.to_owned(),
        },
    }
}

/// A position as the client is told it; empty for none.
pub(super) fn position_text(position: Option<Position>) -> String {
    position.map(|position| position.to_string()).unwrap_or_default()
}

/// What the hash below is for, so that it equals no other.
const MADE_ID_CONTEXT: &str = "tributary.v1 message id of source, sequence number and stream id";

/// The message id of an event of a stream that came without one: the same for every time that it is sent.
/// 32 hexadecimal digits: BLAKE3 of source and sequence number, big-endian, and stream id.
pub(super) fn made_message_id(source: SourceId, stream_id: &str, sequence: u64) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(MADE_ID_CONTEXT);
    hasher.update(&source.0.to_be_bytes());
    hasher.update(&sequence.to_be_bytes());
    hasher.update(stream_id.as_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn made_ids_follow_from_source_stream_and_sequence_alone() {
        let all = [(1, "a", 1), (1, "a", 2), (1, "b", 1), (2, "a", 1), (1, "a", 256), (1, "", 0x61)];
        let made = |(source, stream, sequence)| made_message_id(SourceId(source), stream, sequence);
        let ids: BTreeSet<_> = all.into_iter().map(made).collect();
        assert_eq!(ids.len(), all.len());
        assert!(ids.iter().all(|id| id.len() == 32));
        assert_eq!(made(all[0]), made(all[0]));
    }
}
