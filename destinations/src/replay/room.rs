//! How much of the retry queue a replay may use. Pure.
//!
//! A replay has half of the queue for what it put there itself, whatever else waits there, as long as the queue as a whole
//! keeps its limits: an eighth of them is left to new deliveries.

/// Deliveries, and bytes of their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
}

impl Amount {
    /// What may be put into a queue that holds `self` at most, while `own` of the replay is in it, and `all` counts against
    /// its limits.
    pub(crate) fn room(self, own: Self, all: Self) -> Self {
        let count = self.count - self.count / 8;
        let bytes = self.bytes - self.bytes / 8;
        Self {
            count: self.half().count.saturating_sub(own.count).min(count.saturating_sub(all.count)),
            bytes: self.half().bytes.saturating_sub(own.bytes).min(bytes.saturating_sub(all.bytes)),
        }
    }

    /// Half of it.
    pub(crate) fn half(self) -> Self {
        Self { count: self.count / 2, bytes: self.bytes / 2 }
    }

    pub(crate) fn is_none(self) -> bool {
        self.count == 0 || self.bytes == 0
    }

    /// Whether it holds that much of both.
    pub(crate) fn holds(self, other: Self) -> bool {
        self.count >= other.count && self.bytes >= other.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_has_half_for_itself_as_long_as_the_whole_holds() {
        let amount = |count, bytes| Amount { count, bytes };
        let total = amount(80, 800);
        let cases = [
            ("an empty queue", amount(0, 0), amount(0, 0), amount(40, 400)),
            ("what it put there counts", amount(10, 100), amount(10, 100), amount(30, 300)),
            ("half of it is full of others", amount(0, 0), amount(40, 400), amount(30, 300)),
            ("others and its own", amount(10, 100), amount(50, 500), amount(20, 200)),
            ("only the reserve is left", amount(0, 0), amount(70, 0), amount(0, 400)),
            ("over its limits", amount(50, 500), amount(90, 900), amount(0, 0)),
        ];
        for (name, own, all, want) in cases {
            assert_eq!(total.room(own, all), want, "{name}");
        }
        assert_eq!(amount(2, 2).room(Amount::default(), Amount::default()), amount(1, 1));
    }
}
