//! `Send`: events in one message, with one result for each.

use crate::auth::SourceRef;
use crate::body::BLOCKING_FROM_BYTES;
use crate::error::IngestError;
use crate::grpc::admission::Call;
use crate::grpc::event;
use crate::limits::IngestLimits;
use crate::normalize::{Defaults, quoted};
use crate::pipeline::{Collector, Prepared};
use crate::shape::PathKind;
use prost::Message;
use serde_json::value::RawValue;
use std::sync::Arc;
use tributary_model::Timestamp;
use tributary_proto::convert::{Flaw, json_text, time_to_text};
use tributary_proto::grpc::v1::{SendRequest, SendResponse};
use tributary_proto::surrogate::Text;

/// Takes the events of a request. The answer comes once all are durable.
///
/// # Errors
/// Why the request is refused whole.
pub(super) async fn take(
    collector: &Arc<Collector>,
    call: Call,
    request: SendRequest,
) -> Result<SendResponse, IngestError> {
    let mut reservation = call.meter.take();
    let (wire_bytes, decoded_bytes) = (reservation.bytes(), request.encoded_len());
    let work = {
        let collector = Arc::clone(collector);
        move || {
            collector.metrics().body_read(wire_bytes, decoded_bytes);
            check_ratio(wire_bytes, decoded_bytes, collector.limits())?;
            // What inflating added, and the records, which hold about what the message holds.
            reservation.grow(decoded_bytes.saturating_sub(wire_bytes) + decoded_bytes)?;
            let prepared = prepare(&collector, &call.source, call.received_at, &request)?;
            Ok::<_, IngestError>((prepared, reservation))
        }
    };
    let work = if decoded_bytes >= BLOCKING_FROM_BYTES {
        tokio::task::spawn_blocking(work).await.map_err(|_| IngestError::Abandoned)?
    } else {
        work()
    };
    let (mut prepared, reservation) = work?;
    let ends = prepared.take_ends();

    // A task of its own: a client that goes away now leaves events that are stored and counted all the same.
    let storing = {
        let collector = Arc::clone(collector);
        tokio::spawn(async move { collector.store(prepared, reservation).await })
    };
    let last = storing.await.map_err(|_| IngestError::Abandoned)??;
    let results = ends.into_iter().map(event::result_of).collect();
    Ok(SendResponse { results, position: event::position_text(last) })
}

/// Whether the message grew by more than it may when it was inflated.
fn check_ratio(wire_bytes: usize, decoded_bytes: usize, limits: &IngestLimits) -> Result<(), IngestError> {
    let ratio = limits.inflate_ratio_max;
    if decoded_bytes > wire_bytes.saturating_mul(ratio).max(limits.ratio_free_bytes) {
        return Err(IngestError::RatioTooHigh { ratio });
    }
    Ok(())
}

fn prepare(
    collector: &Collector,
    source: &SourceRef,
    received_at: Timestamp,
    request: &SendRequest,
) -> Result<Prepared, IngestError> {
    let (len, limit) = (request.events.len(), collector.limits().batch_events_max);
    if len > limit {
        return Err(IngestError::BatchTooLarge { len, limit });
    }
    let sent_at = match &request.sent_at {
        Some(time) => Some(time_to_text(time).map_err(|flaw| unreadable("sent_at", flaw))?),
        None => None,
    };
    let sent_at = sent_at.map(|text| quoted(&text));
    let context = default_text("context", &request.context)?;
    let integrations = default_text("integrations", &request.integrations)?;
    let defaults = Defaults::new(
        sent_at.as_deref().map(raw),
        default_object("context", context.as_ref())?,
        default_object("integrations", integrations.as_ref())?,
    );
    collector.check_defaults(&defaults, len)?;
    let arrival = collector.arrival(source, PathKind::Open, received_at, defaults);
    let mut prepared = Prepared::with_ends(len);
    for event in &request.events {
        event::take(&mut prepared, event, &event.message_id, &arrival);
    }
    Ok(prepared)
}

/// What is said for all events; `None` if nothing is.
fn default_text<'a>(member: &'static str, bytes: &'a [u8]) -> Result<Option<Text<'a>>, IngestError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    json_text(bytes).map(|text| Some(Text::from(text))).map_err(|flaw| unreadable(member, flaw))
}

fn default_object<'a>(
    member: &'static str,
    text: Option<&'a Text<'_>>,
) -> Result<Option<&'a RawValue>, IngestError> {
    let Some(text) = text else { return Ok(None) };
    let value = raw(text.as_str());
    if value.get().starts_with('{') {
        Ok(Some(value))
    } else {
        Err(IngestError::Default { member, flaw: "not a JSON object", wanted: "one as UTF-8 text" })
    }
}

fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).expect("it was read as JSON before")
}

fn unreadable(member: &'static str, flaw: Flaw) -> IngestError {
    let (flaw, wanted) = match flaw {
        Flaw::NotUtf8 => ("not valid UTF-8", "a JSON object as UTF-8 text"),
        Flaw::NotJson => ("not JSON", "a JSON object as UTF-8 text"),
        Flaw::NotATime => ("not a time from year 1 to year 9999", "the time of the client's clock"),
    };
    IngestError::Default { member, flaw, wanted }
}
