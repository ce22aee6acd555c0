//! The closed list of ways in which an event or a delivery ends.

use serde::{Deserialize, Serialize};

/// How an event or a delivery ended. Each ends in exactly one; the names are stable: metrics, records and
/// the API use them. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An event was refused by the collector and set aside in the rejects log.
    Rejected,
    /// An event was folded into a profile.
    Projected,
    /// An event had been seen before within the duplicate window.
    Duplicate,
    /// A delivery was taken by the destination.
    Delivered,
    /// A delivery was given up; its dead letter says why.
    DeadLetter,
    /// A delivery was passed over, because the destination was resumed from now.
    Skipped,
    /// A delivery was lost to retention of the activations log before the destination took it.
    Expired,
    /// A delivery ended with its destination: that was deleted while the delivery waited.
    DestinationDeleted,
    /// An event was accepted while its workspace was being deleted, and went with it.
    WorkspaceDeleted,
    /// An event carried no identifier: it goes to destinations, without a profile.
    Unidentified,
    /// A delivery was left out, because the destination's settings say so.
    Filtered,
    /// A delivery was left out, because the person has not consented to what the destination needs.
    FilteredByConsent,
    /// A delivery was left out by the event's `integrations` object.
    FilteredByIntegrations,
    /// A delivery was left out by a filter of the destination.
    FilteredByFilter,
    /// A delivery was left out, because no mapping of the destination takes it.
    FilteredByTrigger,
}

impl Outcome {
    /// Every outcome, in order.
    pub const ALL: [Self; 15] = [
        Self::Rejected,
        Self::Projected,
        Self::Duplicate,
        Self::Delivered,
        Self::DeadLetter,
        Self::Skipped,
        Self::Expired,
        Self::DestinationDeleted,
        Self::WorkspaceDeleted,
        Self::Unidentified,
        Self::Filtered,
        Self::FilteredByConsent,
        Self::FilteredByIntegrations,
        Self::FilteredByFilter,
        Self::FilteredByTrigger,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Projected => "projected",
            Self::Duplicate => "duplicate",
            Self::WorkspaceDeleted => "workspace_deleted",
            Self::Delivered => "delivered",
            Self::DeadLetter => "dead_letter",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::DestinationDeleted => "destination_deleted",
            Self::Unidentified => "unidentified",
            Self::Filtered => "filtered",
            Self::FilteredByConsent => "filtered_by_consent",
            Self::FilteredByIntegrations => "filtered_by_integrations",
            Self::FilteredByFilter => "filtered_by_filter",
            Self::FilteredByTrigger => "filtered_by_trigger",
        }
    }
}
