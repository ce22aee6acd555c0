//! The message ids that a preview has met: so that it passes over repeats, as the projector does.
//!
//! Memory is bounded: at least the last [`TURN_MAX`] ids are remembered, and at most twice as many. A repeat that comes later than
//! that counts as an event of its own; it brings no identifiers that its first copy did not bring.

use rustc_hash::FxHashMap;
use tributary_eventlog::index::MessageKey;
use tributary_model::Timestamp;

/// How many ids are remembered in each of two turns: what fits a hash table of 35 MB.
const TURN_MAX: usize = 900_000;

/// See the module.
pub(super) struct Seen {
    window_micros: i64,
    /// When a message id was first seen, of those met in this turn and in the one before.
    turns: [FxHashMap<MessageKey, Timestamp>; 2],
    turn_max: usize,
}

impl Seen {
    /// Nothing yet. An id counts as a repeat for so many microseconds after it was first seen.
    pub(super) fn new(window_micros: i64) -> Self {
        Self { window_micros, turns: [FxHashMap::default(), FxHashMap::default()], turn_max: TURN_MAX }
    }

    /// Whether the id was seen within the window; if not, it is remembered as first seen then.
    pub(super) fn is_repeat(&mut self, id: MessageKey, received_at: Timestamp) -> bool {
        let first = self.turns.iter().find_map(|turn| turn.get(&id));
        if first.is_some_and(|first| received_at.micros_since(*first) <= self.window_micros) {
            return true;
        }
        if self.turns[0].len() >= self.turn_max {
            let [newest, before] = &mut self.turns;
            std::mem::swap(newest, before);
            newest.clear();
        }
        self.turns[0].insert(id, received_at);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::{MessageId, SourceId, WorkspaceId};

    #[test]
    fn repeats_are_known_within_the_window_and_forgotten_in_turns() {
        let mut seen = Seen { turn_max: 2, ..Seen::new(100) };
        let id = |text: &str| {
            let id = MessageId::parse(text).expect("an id");
            MessageKey::new(WorkspaceId(1), SourceId(1), &id)
        };
        let cases = [
            ("new", "a", 0, false),
            ("again", "a", 100, true),
            ("a copy that arrived earlier", "a", -50, true),
            ("after the window", "a", 101, false),
            ("another", "b", 102, false),
            ("in the turn before", "c", 103, false),
            ("that is still known", "a", 104, true),
            ("and another", "d", 105, false),
            ("a new turn", "e", 106, false),
            ("what was before is forgotten", "a", 107, false),
        ];
        for (name, text, at, want) in cases {
            assert_eq!(seen.is_repeat(id(text), Timestamp::from_micros(at)), want, "{name}");
        }
    }
}
