//! A given event as the activation that it would cause.

use super::PreviewProfile;
use crate::config::DestinationConfig;
use bytes::Bytes;
use tributary_model::activation::{ActivationHeader, ActivationKind};
use tributary_model::json::{Members, depth};
use tributary_model::workspace::DestinationNeeds;
use tributary_model::{
    Activation, EventView, Identifier, MessageId, Namespace, Position, SourceId, Timestamp,
};

/// How deeply an event, or a trait, may be nested: as deeply as the collector lets events be. What reads them further on
/// goes down with them, and has only so much room for that.
const DEPTH_MAX: usize = 64;

/// The activation that a given event would cause.
///
/// # Errors
/// Why it is no event.
pub(super) fn given(
    config: &DestinationConfig,
    needs: DestinationNeeds,
    (event, profile): (Bytes, PreviewProfile),
    now: Timestamp,
) -> Result<Activation, String> {
    let text = std::str::from_utf8(&event).map_err(|_| "the event is not UTF-8".to_owned())?;
    check_depth(text, "the event")?;
    for (name, value) in &profile.carried.traits {
        check_depth(value.as_deref().unwrap_or_default(), &format!("the trait `{name}`"))?;
    }
    let members = Members::parse(text).map_err(|why| format!("the event is no JSON object: {why}"))?;
    let view = EventView::parse(&event).map_err(|why| format!("the event can't be read: {why}"))?;
    let message_id = members.text("messageId").unwrap_or("preview".into());
    let message_id = MessageId::parse(&message_id).map_err(|why| format!("`messageId`: {why}"))?;
    let mut identifiers = profile.identifiers;
    for (namespace, id) in
        [(Namespace::USER_ID, &view.user_id), (Namespace::ANONYMOUS_ID, &view.anonymous_id)]
    {
        let known = identifiers.iter().any(|identifier| *identifier.namespace() == namespace);
        if let Some(id) = id.as_deref().filter(|_| !known) {
            identifiers.extend(Identifier::parse(namespace, id).ok());
        }
    }
    // What is not given of a profile is missing, not unknown.
    let mut carried = profile.carried;
    for name in needs.traits {
        carried.traits.entry(name.into()).or_default();
    }
    for key in needs.audiences {
        carried.audiences.entry(key.into()).or_default();
    }
    let time = |name: &str| members.text(name).and_then(|at| Timestamp::parse(&at)).unwrap_or(now);
    let header = ActivationHeader {
        workspace: config.workspace,
        position: Position::at(u64::MAX),
        ordinal: 0,
        profile: profile.id,
        identifiers,
        event_kind: view.kind,
        source: SourceId(0),
        message_id,
        received_at: time("receivedAt"),
        event_time: time("timestamp"),
        kind: ActivationKind::Event,
        carried,
    };
    Ok(Activation { header, event })
}

fn check_depth(json: &str, what: &str) -> Result<(), String> {
    if depth(json.as_bytes()) > DEPTH_MAX {
        return Err(format!("{what} is nested deeper than {DEPTH_MAX} levels; flatten it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::{DestinationId, WorkspaceId};

    fn tried(event: String, traits: &[(&str, String)]) -> Result<Activation, String> {
        let config = DestinationConfig::new(WorkspaceId(1), DestinationId(1), "webhook", Position::at(0));
        let mut profile = PreviewProfile::default();
        let boxed = |text: &str| Box::<str>::from(text);
        let values = traits.iter().map(|(name, value)| (boxed(name), Some(boxed(value))));
        profile.carried.traits = values.collect();
        given(&config, DestinationNeeds::default(), (event.into(), profile), Timestamp::from_millis(5))
    }

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    fn event(value: &str) -> String {
        format!(r#"{{"type":"track","event":"x","userId":"u","properties":{{"a":{value}}}}}"#)
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let cases = [
            ("an event of 64 levels", event(&nested(62)), nested(64), None),
            ("brackets in a text", event(&format!(r#""\"{}""#, "[".repeat(100))), String::new(), None),
            ("an event of 65 levels", event(&nested(63)), "1".to_owned(), Some("the event is nested")),
            ("a bottomless event", event(&nested(1_000_000)), "1".to_owned(), Some("the event is nested")),
            ("a trait of 65 levels", event("1"), nested(65), Some("the trait `plan` is nested")),
        ];
        for (name, event, plan, want) in cases {
            let refused = tried(event, &[("plan", plan)]).err();
            let is_so = match (&refused, want) {
                (Some(why), Some(part)) => why.contains(part),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            assert!(is_so, "{name}: {refused:?}");
        }
    }

    #[test]
    fn times_are_those_of_the_event_or_else_now() {
        let at = |text: &str| Timestamp::parse(text).expect("a time");
        let now = Timestamp::from_millis(5);
        let (early, late) = ("2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z");
        let cases = [
            (String::new(), now, now),
            (format!(r#","timestamp":"{early}""#), at(early), now),
            (format!(r#","timestamp":"{early}","receivedAt":"{late}""#), at(early), at(late)),
        ];
        for (more, event_time, received_at) in cases {
            let event = format!(r#"{{"type":"page","userId":"u"{more}}}"#);
            let header = tried(event.clone(), &[]).expect("an event").header;
            assert_eq!((header.event_time, header.received_at), (event_time, received_at), "{event}");
        }
    }
}
