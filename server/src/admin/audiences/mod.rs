//! Audiences, computed traits and the rules of traits: their bodies, how definitions are read, and what may refer to
//! what.
//!
//! A definition that can't work is refused when it is saved. One that was right and whose references went away (a
//! deletion that was forced) stays as it is, and is shown as broken.

pub mod bodies;
mod edits;
mod references;
mod shown;
mod trait_rules;
mod whole;

pub(super) use edits::{
    InUse, create_audience, create_computed_trait, delete_audience, delete_computed_trait, read_definition,
    refused as refused_condition, replace_audience, replace_computed_trait,
};
pub(super) use references::unusable;
pub(super) use shown::{hour_start, hours, size_points};
pub(super) use trait_rules::{checked as checked_trait_rules, shown as shown_trait_rules};
pub(super) use whole::{Parts, replace_all};

/// The most audiences in a workspace.
pub(super) const AUDIENCES_MAX: u64 = 1_000;
/// The most computed traits in a workspace.
pub(super) const COMPUTED_TRAITS_MAX: u64 = 200;
/// The most hours in one answer about sizes: 366 days.
pub(super) const SIZE_HOURS_MAX: i64 = 366 * 24;
/// The most traits with a merge policy of their own.
const POLICIES_MAX: usize = 1_000;
/// The most sources in the ranking of a trait.
const RANKING_MAX: usize = 100;
/// The most traits by which people are searched for.
const SEARCHED_MAX: usize = 100;
/// The longest name of a trait in the rules, in bytes.
const TRAIT_NAME_BYTES_MAX: usize = 512;
