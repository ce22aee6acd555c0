//! What a preview found, in the form in which it is shown.

use serde::Serialize;
use std::fmt;

/// What changed rules would make of the log, beside what the rules in force make of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreviewReport {
    /// How many events were resolved, repeats left out.
    pub events: u64,
    /// Which events that were.
    pub window: PreviewWindow,
    /// How many profiles there are.
    pub profiles: BeforeAfter,
    /// How many identifiers are on them.
    pub identifiers: BeforeAfter,
    /// How many profiles hold identifiers that are on several profiles before.
    pub merges: u64,
    /// How many profiles of before have their identifiers on several profiles.
    pub splits: u64,
    /// How many events have no identifier.
    pub unidentified: BeforeAfter,
    /// The profiles with the most identifiers under the changed rules, [`SHOWN_MAX`] at most.
    pub biggest_clusters: Vec<Cluster>,
    /// The identifiers that were seen with the most others of a higher priority under the changed rules, taken or
    /// refused; [`SHOWN_MAX`] at most.
    pub busiest_identifiers: Vec<BusyIdentifier>,
    /// Some of what changes, [`SHOWN_MAX`] at most.
    pub samples: Vec<Sample>,
}

/// How many entries a list of the report has at most.
pub const SHOWN_MAX: usize = 10;

/// How many identifiers of a profile are shown.
pub const IDENTIFIERS_SHOWN_MAX: usize = 20;

/// Which events a preview took, by when they arrived; RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PreviewWindow {
    /// Those that arrived then or later; all, if it is not there.
    pub from: Option<String>,
    /// Those that arrived before that; all, if it is not there.
    pub until: Option<String>,
}

/// A number under the rules in force and under the changed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BeforeAfter {
    /// Under the rules in force.
    pub before: u64,
    /// Under the changed rules.
    pub after: u64,
}

/// A profile with many identifiers.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// The id that it would have.
    pub profile_id: String,
    /// How many identifiers it has.
    pub size: u64,
    /// Some of them, as `namespace:value`.
    pub identifiers: Vec<String>,
}

/// An identifier that was seen with many others.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct BusyIdentifier {
    /// As `namespace:value`.
    pub identifier: String,
    /// With how many anchors it was seen.
    pub profiles: u64,
}

/// Identifiers that are grouped differently.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// `merged` or `split`.
    pub change: &'static str,
    /// The profiles under the rules in force, each with some of its identifiers.
    pub before: Vec<Vec<String>>,
    /// The profiles under the changed rules.
    pub after: Vec<Vec<String>>,
}

/// Identifiers are personal: none of the `Debug` forms shows one.
impl fmt::Debug for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cluster({}, {} identifiers)", self.profile_id, self.size)
    }
}

impl fmt::Debug for BusyIdentifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "BusyIdentifier({} profiles)", self.profiles)
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sample({}, {} before, {} after)", self.change, self.before.len(), self.after.len())
    }
}
