//! The collector's limits: each has a name, a unit, a default and a metric for being hit.

use crate::error::IngestError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tributary_model::{Identifier, MessageId};

/// The limits of the collector. Those of a request refuse it whole (413, or 503 where waiting helps); those of
/// an event reject that event alone.
#[derive(Debug, Clone)]
pub struct IngestLimits {
    /// Bytes of a body as sent.
    pub wire_bytes_max: usize,
    /// Bytes of a body once decoded; checked while inflating.
    pub decoded_bytes_max: usize,
    /// How many times larger than on the wire a body may become; counts only past [`Self::ratio_free_bytes`].
    pub inflate_ratio_max: usize,
    /// Decoded bytes up to which the ratio does not matter.
    pub ratio_free_bytes: usize,
    /// Events in a batch.
    pub batch_events_max: usize,
    /// Bytes that the defaults of a batch (`context`, `integrations`) may add to its events, all together.
    pub defaults_bytes_max: usize,
    /// Bytes of all bodies in work at one time: as sent, decoded, and as records.
    pub in_flight_bytes_max: usize,
    /// How long a client may take to send a body.
    pub body_read_timeout: Duration,
    /// Events of one gRPC stream that were taken in and are not acknowledged; beyond that it is not read.
    pub stream_events_in_flight_max: u32,
    /// Bytes of such events; beyond that the stream is not read.
    pub stream_bytes_in_flight_max: usize,
    /// Bytes of an event as sent.
    pub event_bytes_max: usize,
    /// Bytes of an event beyond which it is marked as large.
    pub event_bytes_mark: usize,
    /// Levels of nesting of an event; a flat object has one.
    pub depth_max: usize,
    /// Members of `properties`, `traits` and `context.traits`, each.
    pub properties_max: usize,
    /// Bytes of a message id.
    pub message_id_bytes_max: usize,
    /// Bytes of `userId`, `anonymousId`, `previousId` and `groupId`, each.
    pub identifier_bytes_max: usize,
    /// How far `sentAt` may be from the arrival before the client's clock is taken to be off; less is the
    /// network's doing.
    pub clock_tolerance: Duration,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            wire_bytes_max: 5 << 20,
            decoded_bytes_max: 8 << 20,
            inflate_ratio_max: 100,
            ratio_free_bytes: 1 << 20,
            batch_events_max: 2500,
            defaults_bytes_max: 8 << 20,
            in_flight_bytes_max: 128 << 20,
            body_read_timeout: Duration::from_secs(30),
            stream_events_in_flight_max: 2000,
            stream_bytes_in_flight_max: 8 << 20,
            event_bytes_max: 1 << 20,
            event_bytes_mark: 32 << 10,
            depth_max: 64,
            properties_max: 1000,
            message_id_bytes_max: MessageId::BYTES_MAX,
            identifier_bytes_max: Identifier::BYTES_MAX,
            clock_tolerance: Duration::from_secs(10),
        }
    }
}

/// Bounds the memory that bodies in work take together. It never waits: what does not fit is refused, and the
/// client is asked to come back.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    held: AtomicUsize,
    bytes_max: usize,
}

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), bytes_max })
    }

    /// A reservation of nothing yet.
    pub(crate) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), held: 0 }
    }
}

/// The part of the budget that one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<BodyBudget>,
    held: usize,
}

impl Reservation {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// If the budget has not that much left.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), IngestError> {
        let max = self.budget.bytes_max;
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= max);
        match self.budget.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => {
                self.held += bytes;
                Ok(())
            }
            Err(_) => Err(IngestError::InFlightFull),
        }
    }

    /// How many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.held
    }

    /// Hands all that it holds to a reservation of its own.
    pub(crate) fn take(&mut self) -> Self {
        Self { budget: Arc::clone(&self.budget), held: std::mem::take(&mut self.held) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// Whether objects and arrays in this JSON text nest deeper than `depth_max`. The text is valid JSON.
pub(crate) fn is_deeper(text: &str, depth_max: usize) -> bool {
    let bytes = text.as_bytes();
    // Brackets in strings count too here, so this may only overestimate; it is quick, and most events end here.
    if bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() <= depth_max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_objects_and_arrays_outside_of_strings() {
        let cases = [
            ("{}", 1, false),
            ("{}", 0, true),
            (r#"{"a":[{"b":1}]}"#, 3, false),
            (r#"{"a":[{"b":1}]}"#, 2, true),
            (r#"{"a":[],"b":[],"c":{}}"#, 2, false),
            (r#"{"a":"[[[[{{{"}"#, 1, false),
            (r#"{"a":"\"[[[\\","b":[[]]}"#, 3, false),
            (r#"{"a":"\"[[[\\","b":[[]]}"#, 2, true),
        ];
        for (text, depth_max, want) in cases {
            assert_eq!(is_deeper(text, depth_max), want, "{text} {depth_max}");
        }
        assert!(is_deeper(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), 64));
    }

    #[test]
    fn the_budget_refuses_what_does_not_fit_and_takes_back_what_is_done() {
        let budget = BodyBudget::new(100);
        let mut first = budget.reserve();
        let mut second = budget.reserve();
        assert!(first.grow(60).is_ok());
        assert!(matches!(second.grow(41), Err(IngestError::InFlightFull)));
        assert!(second.grow(40).is_ok());
        assert!(second.grow(usize::MAX).is_err());
        drop(first);
        assert!(second.grow(60).is_ok());
        let taken = second.take();
        assert_eq!((taken.bytes(), second.bytes()), (100, 0));
        assert!(second.grow(1).is_err());
        drop(taken);
        assert!(second.grow(1).is_ok());
        drop(second);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
