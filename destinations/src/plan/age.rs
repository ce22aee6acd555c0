//! How old what is sent may be: a vendor's limit, judged by the time that a payload gives for its event.

use super::mapped::member;
use crate::definition::{EventAgeSpec, Spec};
use crate::failure::{Failure, Reason};
use serde_json::Value;
use tributary_model::Timestamp;

const HOUR_MICROS: i64 = 3_600_000_000;

/// The greatest age that the vendor takes.
pub(super) struct AgeLimit {
    spec: &'static EventAgeSpec,
    /// The vendor's product, for people.
    title: &'static str,
}

impl AgeLimit {
    /// That of a definition; `None` where events may be of any age.
    pub(super) fn of(spec: &'static Spec) -> Option<Self> {
        spec.limits.event_age.as_ref().map(|age| Self { spec: age, title: &spec.title })
    }

    /// That a payload may be sent at that time. One that gives no time for its event is of now.
    ///
    /// # Errors
    /// If its event is older than the vendor takes events: how old, and what to do.
    pub(super) fn check(&self, body: &[u8], at: Timestamp) -> Result<(), Failure> {
        let EventAgeSpec { hours, field } = self.spec;
        let Some(happened) = std::str::from_utf8(body).ok().and_then(|body| moment(member(body, field)?))
        else {
            return Ok(());
        };
        let age = at.micros_since(happened);
        if age <= i64::from(*hours) * HOUR_MICROS {
            return Ok(());
        }
        let text = format!(
            "the field {field} says that the event is more than {} hours old, and {} takes what is up to {hours} hours old: \
             send events sooner, or map the field to the time at which they shall count, such as $.delivery.received_at",
            (age - 1) / HOUR_MICROS,
            self.title
        );
        Err(Failure::new(Reason::TooOld, text))
    }
}

/// The moment that a field of the kind `datetime` or `unix_micros` has, as it is sent.
fn moment(json: &str) -> Option<Timestamp> {
    match serde_json::from_str::<Value>(json).ok()? {
        Value::String(text) => Timestamp::parse(&text),
        Value::Number(micros) => micros.as_i64().map(Timestamp::from_micros),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
