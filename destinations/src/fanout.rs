//! From activations to deliveries: which are whose, and the id of each delivery. Pure.

use crate::config::{DestinationConfig, Key};
use tributary_model::activation::ActivationHeader;
use tributary_model::{MessageId, Position};

/// What an activation is to a destination, as far as its place tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Of another workspace, or from before the destination began: there is no delivery.
    NotIts,
    /// A delivery that is passed over, because the destination was resumed from now.
    PassedOver,
    /// A delivery, if the destination's gates, filters and triggers let it pass.
    Its,
}

/// Decides what an activation is to a destination.
pub(crate) fn admit(config: &DestinationConfig, header: &ActivationHeader) -> Admission {
    if header.workspace != config.workspace || header.position <= config.starts_after {
        Admission::NotIts
    } else if is_passed_over(config, header.position) {
        Admission::PassedOver
    } else {
        Admission::Its
    }
}

/// Whether a delivery of the event at that position is passed over if it has not ended yet.
pub(crate) fn is_passed_over(config: &DestinationConfig, position: Position) -> bool {
    config.skip_through.is_some_and(|through| position <= through)
}

/// The id of a delivery: `msg_` and 32 hexadecimal digits. It depends on nothing but workspace, destination,
/// and the activation's place and message id; so every attempt and every replay has the same, while two
/// installations that send to one receiver don't share any, as their events have message ids of their own.
pub(crate) fn delivery_id(key: Key, position: Position, ordinal: u32, message_id: &MessageId) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("tributary 2026 delivery ids v1");
    hasher.update(&key.prefix());
    hasher.update(&position.partition.to_be_bytes());
    hasher.update(&position.sequence.to_be_bytes());
    hasher.update(&ordinal.to_be_bytes());
    hasher.update(message_id.as_str().as_bytes());
    let hash = hasher.finalize().to_hex();
    format!("msg_{}", &hash.as_str()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tributary_model::activation::{ActivationKind, Carried};
    use tributary_model::{DestinationId, EventKind, SourceId, Timestamp, WorkspaceId};

    #[test]
    fn an_activation_is_its_by_workspace_and_position() {
        let config = |skip_through: Option<u64>| DestinationConfig {
            skip_through: skip_through.map(Position::at),
            ..DestinationConfig::new(WorkspaceId(1), DestinationId(2), "webhook", Position::at(10))
        };
        let cases = [
            (1, 10, None, Admission::NotIts),
            (1, 11, None, Admission::Its),
            (2, 11, None, Admission::NotIts),
            (1, 20, Some(20), Admission::PassedOver),
            (1, 21, Some(20), Admission::Its),
            (1, 9, Some(20), Admission::NotIts),
        ];
        for (number, (workspace, position, skip_through, want)) in (1..).zip(cases) {
            let header = ActivationHeader {
                workspace: WorkspaceId(workspace),
                position: Position::at(position),
                ordinal: 0,
                profile: None,
                identifiers: Vec::new(),
                event_kind: EventKind::Track,
                source: SourceId(1),
                message_id: MessageId::parse("m").expect("an id"),
                received_at: Timestamp::default(),
                event_time: Timestamp::default(),
                kind: ActivationKind::Event,
                carried: Carried::default(),
            };
            assert_eq!(admit(&config(skip_through), &header), want, "case {number}");
        }
    }

    #[test]
    fn every_part_tells_delivery_ids_apart() {
        let key = |workspace, destination| Key {
            workspace: WorkspaceId(workspace),
            destination: DestinationId(destination),
        };
        let id = |key, position, ordinal, message: &str| {
            delivery_id(key, Position::at(position), ordinal, &MessageId::parse(message).expect("an id"))
        };
        let ids = BTreeSet::from([
            id(key(1, 2), 3, 0, "m"),
            id(key(2, 2), 3, 0, "m"),
            id(key(1, 3), 3, 0, "m"),
            id(key(1, 2), 4, 0, "m"),
            id(key(1, 2), 3, 1, "m"),
            id(key(1, 2), 3, 0, "n"),
        ]);
        assert_eq!(ids.len(), 6);
        assert_eq!(id(key(1, 2), 3, 0, "m"), id(key(1, 2), 3, 0, "m"), "the same delivery has the same id");
        assert!(ids.iter().all(|id| id.len() == 36 && id.starts_with("msg_")));
    }
}
