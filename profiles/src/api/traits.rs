//! The traits of a person: those that were sent, those that are computed, and the audiences that they are in.

use super::body::{Body, member, raw};
use super::error::ApiError;
use super::query::{Class, Query, cursor_behind};
use crate::standing::Membership;
use crate::state::View;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::catalog::Computed;
use tributary_model::fragment::TraitValue;
use tributary_model::{AudienceId, Timestamp};

/// One trait.
enum Row<'a> {
    /// A value, where it came from, and whether its policy has yet to see older ones.
    Custom(Cow<'a, str>, Cow<'a, TraitValue>, bool),
    Computed(String, Computed),
    Audience(&'a Membership),
}

/// `{"traits":{…},"cursor":{…}}`, all classes in one order, by name. What is defined under a name stands for what was
/// sent under it: a trait that somebody sent must not pass for a membership. What rests on one of the keepers
/// `unfilled` is approximate.
pub(super) fn traits(
    view: &View,
    memberships: &[(AudienceId, Membership)],
    now: Timestamp,
    unfilled: &BTreeSet<u32>,
    query: &Query,
) -> Result<Body, ApiError> {
    let rows = rows(view, memberships, now, unfilled, query);
    let mut shown: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
    let mut more = None;
    for (name, row) in &rows {
        if shown.len() == query.limit {
            more = shown.last_key_value().map(|(name, _)| cursor_behind(name));
            break;
        }
        shown.insert(name, if query.verbose { row.told()? } else { row.value()? });
    }
    Ok(Body::from([("traits", member(&shown)), ("cursor", query.cursor(more))]))
}

/// The traits that are asked for, from where the page begins.
fn rows<'a>(
    view: &'a View,
    memberships: &'a [(AudienceId, Membership)],
    now: Timestamp,
    unfilled: &BTreeSet<u32>,
    query: &Query,
) -> BTreeMap<&'a str, Row<'a>> {
    let after = query.after_name();
    let wants = |name: &str| query.wants(name) && after.is_none_or(|after| name > after);
    let mut rows = BTreeMap::new();
    if query.wants_class(Class::Custom) {
        let custom = view.traits().filter(|(name, ..)| wants(name));
        rows.extend(custom.map(|(name, json, origin)| {
            let policy = view.catalog().policy(name);
            let is_approximate = policy.is_some_and(|(_, keeper)| unfilled.contains(&keeper));
            (name, Row::Custom(json, origin, is_approximate))
        }));
    }
    if query.wants_class(Class::ComputedTrait) {
        // None but those that are asked for: each goes over what is kept of many events.
        for plan in view.catalog().computed().iter().filter(|plan| wants(&plan.key)) {
            rows.remove(plan.key.as_str());
            let mut computed = plan.value(view, now);
            computed.is_approximate |= unfilled.contains(&plan.keeper);
            if let Some(json) = computed.json.take() {
                rows.insert(plan.key.as_str(), Row::Computed(json, computed));
            }
        }
    }
    if query.wants_class(Class::Audience) {
        for plan in view.catalog().audiences().iter().filter(|plan| wants(&plan.key)) {
            rows.remove(plan.key.as_str());
            if let Some((_, membership)) = memberships.iter().find(|(id, _)| *id == plan.id) {
                rows.insert(plan.key.as_str(), Row::Audience(membership));
            }
        }
    }
    rows
}

impl Row<'_> {
    /// The value alone.
    fn value(&self) -> Result<Box<RawValue>, ApiError> {
        match self {
            Self::Custom(json, ..) => raw(json),
            Self::Computed(json, _) => raw(json),
            Self::Audience(_) => Ok(member(&true)),
        }
    }

    /// The value with where it came from.
    fn told(&self) -> Result<Box<RawValue>, ApiError> {
        let mut told = BTreeMap::from([("value", self.value()?)]);
        match self {
            Self::Custom(_, origin, is_approximate) => {
                told.insert("class", member(&Class::Custom.name()));
                told.insert("source_id", member(&origin.source.to_string()));
                told.insert("updated_at", member(&origin.at.to_string()));
                told.insert("message_id", member(&origin.message_id.as_str()));
                if *is_approximate {
                    told.insert("approximate", member(&true));
                }
            }
            Self::Computed(_, computed) => {
                told.insert("class", member(&Class::ComputedTrait.name()));
                told.insert("approximate", member(&computed.is_approximate));
            }
            Self::Audience(membership) => {
                told.insert("class", member(&Class::Audience.name()));
                told.insert("updated_at", member(&membership.since.to_string()));
                if membership.is_approximate {
                    told.insert("approximate", member(&true));
                }
            }
        }
        Ok(member(&told))
    }
}

#[cfg(test)]
mod tests;
