//! What a person belongs to and agreed to: accounts, audiences, consent.

use super::accounts::external_id;
use super::address::{Collection, GROUP_ID};
use super::body::{Body, member};
use super::query::{Query, cursor_behind};
use crate::standing::Membership;
use crate::state::View;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tributary_model::AudienceId;
use tributary_model::fragment::Sighting;
use tributary_model::workspace::Audience;

/// `{"data":[…],"cursor":{…}}`: the person's accounts, by group id, each with the first event that says so. `accounts`
/// are in that order.
pub(super) fn links(accounts: &[(String, Sighting)], query: &Query) -> Body {
    let rows = accounts.iter().map(|(group, first)| {
        let brought = (first.source, &first.message_id, first.at);
        let row = json!({
            "to_collection": Collection::Accounts.name(),
            "external_ids": [external_id(Collection::Accounts, GROUP_ID, group, Some(brought))],
        });
        (group.as_str(), row)
    });
    page(rows, query)
}

/// `{"data":[…],"cursor":{…}}`: the audiences that the person is in, by key, with the time since when; with `approximate` if
/// that rests on values beyond a limit.
pub(super) fn audiences(
    defined: &[Audience],
    memberships: &[(AudienceId, Membership)],
    query: &Query,
) -> Body {
    let known: BTreeMap<AudienceId, &Membership> =
        memberships.iter().map(|(id, membership)| (*id, membership)).collect();
    let mut rows: Vec<(&str, Value)> = Vec::new();
    // One that is deleted is not among them any more: its members are on their way out.
    for audience in defined {
        if let Some(membership) = known.get(&audience.id) {
            let mut row = json!({
                "key": audience.key,
                "name": audience.name,
                "since": membership.since.to_string(),
                "id": audience.id.to_string(),
            });
            if membership.is_approximate {
                row["approximate"] = true.into();
            }
            rows.push((&audience.key, row));
        }
    }
    rows.sort_by_key(|(key, _)| *key);
    page(rows.into_iter(), query)
}

/// `{"data":[…],"cursor":{…}}`: the categories that the person granted or refused, by name.
pub(super) fn consent(view: &View, query: &Query) -> Body {
    let rows = view.merged.consent.current().map(|(category, value)| {
        let row = json!({
            "category": category,
            "granted": value.granted,
            "updated_at": value.at.to_string(),
            "source_id": value.source.to_string(),
            "message_id": value.message_id.as_str(),
        });
        (category, row)
    });
    page(rows, query)
}

/// The page of rows that is asked for. `rows` are in the order of their names.
fn page<'a>(rows: impl Iterator<Item = (&'a str, Value)>, query: &Query) -> Body {
    let after = query.after_name();
    let wanted = rows.filter(|(name, _)| query.wants(name) && after.is_none_or(|after| *name > after));
    let mut data: Vec<Value> = Vec::new();
    let mut last = None;
    let mut more = None;
    for (name, row) in wanted {
        if data.len() == query.limit {
            more = last.map(cursor_behind);
            break;
        }
        last = Some(name);
        data.push(row);
    }
    Body::from([("data", member(&data)), ("cursor", query.cursor(more))])
}

#[cfg(test)]
mod tests;
