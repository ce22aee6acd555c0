//! What is read of an account: its traits, its id, its first and last group call, and its people.

use super::address::{Collection, GROUP_ID, Part, split};
use super::body::{Body, member, raw};
use super::error::ApiError;
use super::query::{Class, Query, cursor_behind};
use crate::account::Account;
use crate::reader::{AccountMember, ProfileReader};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tributary_model::identity_rules::Normalization;
use tributary_model::{
    EventKind, Identifier, MessageId, Namespace, NodeKey, SourceId, Timestamp, WorkspaceId,
};

/// How many identifiers of a person a link shows.
const LINK_IDS_MAX: usize = 100;

/// The answer to a read of a part of the account that has this id.
pub(super) fn answer(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    group: &str,
    part: Part,
    query: &Query,
) -> Result<Body, ApiError> {
    let account = reader
        .account(workspace, group)?
        .ok_or_else(|| ApiError::not_found("no account has this id: no group call named it"))?;
    match part {
        Part::Traits => traits(&account, query),
        Part::ExternalIds => Ok(external_ids(&account, group, query)),
        Part::Metadata => Ok(metadata(&account, group)),
        Part::Links => links(reader, workspace, group, query),
        Part::Events => Err(ApiError::invalid("events of accounts are read through its people: see `links`")),
        Part::Audiences | Part::Consent | Part::Explain | Part::History => {
            Err(ApiError::not_found("an account has traits, external_ids, metadata and links"))
        }
    }
}

/// `{"traits":{…},"cursor":{…}}`, by name.
fn traits(account: &Account, query: &Query) -> Result<Body, ApiError> {
    let mut rows: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
    let mut more = None;
    let after = query.after_name();
    let wanted = account
        .fragment
        .current_traits()
        .filter(|(name, ..)| query.wants(name) && after.is_none_or(|after| *name > after));
    for (name, json, origin) in wanted.filter(|_| query.wants_class(Class::Custom)) {
        if rows.len() == query.limit {
            more = rows.last_key_value().map(|(name, _)| cursor_behind(name));
            break;
        }
        let value = raw(json)?;
        let row = if query.verbose {
            member(&BTreeMap::from([
                ("value", value),
                ("class", member(&Class::Custom.name())),
                ("source_id", member(&origin.source.to_string())),
                ("message_id", member(&origin.message_id.as_str())),
                ("updated_at", member(&origin.at.to_string())),
            ]))
        } else {
            value
        };
        rows.insert(name, row);
    }
    Ok(Body::from([("traits", member(&rows)), ("cursor", query.cursor(more))]))
}

/// `{"data":[…],"cursor":{…}}`: its id, and the group call that named it first.
fn external_ids(account: &Account, group: &str, query: &Query) -> Body {
    let first = account.fragment.first.as_ref();
    let first = first.map(|first| (first.source, &first.message_id, first.at));
    let row = external_id(Collection::Accounts, GROUP_ID, group, first);
    let rows: Vec<Value> =
        [row].into_iter().filter(|_| query.wants(GROUP_ID) && query.next.is_none()).collect();
    Body::from([("data", member(&rows)), ("cursor", query.cursor(None))])
}

/// A row of external ids; `first` is the event that brought the id: its source, its message id and its time.
pub(super) fn external_id(
    collection: Collection,
    namespace: &str,
    id: &str,
    first: Option<(SourceId, &MessageId, Timestamp)>,
) -> Value {
    json!({
        "source_id": first.map(|(source, ..)| source.to_string()),
        "collection": collection.name(),
        "id": id,
        "type": namespace,
        "created_at": first.map(|(.., at)| at.to_string()),
        "encoding": "none",
        "first_message_id": first.map(|(_, message_id, _)| message_id.as_str()),
    })
}

/// Its id, first and last group call, and how many there were, flat.
fn metadata(account: &Account, group: &str) -> Body {
    let fragment = &account.fragment;
    let (first, last) = (fragment.first.as_ref(), fragment.last.as_ref());
    let counts: Map<String, Value> = EventKind::ALL
        .into_iter()
        .map(|kind| (kind.name().to_owned(), fragment.events_of(kind).into()))
        .collect();
    Body::from([
        ("group_id", member(&group)),
        ("created_at", member(&first.map(|first| first.at.to_string()))),
        ("updated_at", member(&last.map(|last| last.at.to_string()))),
        ("expires_at", member(&Value::Null)),
        ("first_seen", member(&first.map(|first| first.at.to_string()))),
        ("last_seen", member(&last.map(|last| last.at.to_string()))),
        ("first_message_id", member(&first.map(|first| first.message_id.as_str()))),
        ("first_source_id", member(&first.map(|first| first.source.to_string()))),
        ("last_message_id", member(&last.map(|last| last.message_id.as_str()))),
        ("last_source_id", member(&last.map(|last| last.source.to_string()))),
        ("event_count", member(&fragment.events())),
        ("event_counts", member(&counts)),
    ])
}

/// `{"data":[…],"cursor":{…}}`: its people, each once.
fn links(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    group: &str,
    query: &Query,
) -> Result<Body, ApiError> {
    let after = query.next.as_deref().map(parse_cursor).transpose()?;
    let found = reader.members_of(workspace, group, after.as_ref(), query.limit)?;
    let mut rows = Vec::with_capacity(found.people.len());
    for person in &found.people {
        rows.push(link(reader, workspace, person)?);
    }
    let more = found.people.last().filter(|_| found.has_more).map(|last| cursor_of(&last.anchor));
    Ok(Body::from([("data", member(&rows)), ("cursor", query.cursor(more))]))
}

/// A person of an account: the profile, and its identifiers, user ids first.
fn link(reader: &ProfileReader, workspace: WorkspaceId, person: &AccountMember) -> Result<Value, ApiError> {
    let profile = &person.view.profile;
    let is_user = |node: &&NodeKey| *node.identifier.namespace() == Namespace::USER_ID;
    let users = profile.identifiers().filter(is_user);
    let others = profile.identifiers().filter(|node| !is_user(node));
    let mut ids = Vec::new();
    for node in users.chain(others).take(LINK_IDS_MAX) {
        let first = reader.node(workspace, node)?.map(|node| node.first.clone());
        let first = first.as_ref().map(|first| (first.source, &first.message_id, first.received_at));
        let (namespace, id) = (node.identifier.namespace().as_str(), node.identifier.value());
        ids.push(external_id(Collection::Users, namespace, id, first));
    }
    Ok(json!({
        "to_collection": Collection::Users.name(),
        "profile_id": person.id.to_string(),
        "external_ids": ids,
    }))
}

/// The anchor behind which people are read on, as a text that a client hands back.
fn cursor_of(anchor: &NodeKey) -> String {
    format!("{}.{}", anchor.epoch, anchor.identifier.to_text())
}

/// Reads what [`cursor_of`] wrote.
fn parse_cursor(text: &str) -> Result<NodeKey, ApiError> {
    let unknown = || ApiError::invalid("next is not what an earlier answer gave");
    let (epoch, identifier) = text.split_once('.').ok_or_else(unknown)?;
    let (namespace, value) = split("next", identifier).map_err(|_| unknown())?;
    // Its form is the one that it has in the store, whatever the rules say today.
    let identifier = Identifier::normalized(Namespace::new(namespace), value, &Normalization::Exact);
    Ok(NodeKey {
        identifier: identifier.map_err(|_| unknown())?,
        epoch: epoch.parse().map_err(|_| unknown())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_or_refused() {
        for (namespace, value, epoch) in
            [("user_id", "u1", 0), ("email", "a.b+c@x.y", 12), ("loyalty", ".:%2F é", u32::MAX)]
        {
            let identifier = Identifier::normalized(Namespace::new(namespace), value, &Normalization::Exact)
                .expect("an id");
            let anchor = NodeKey { identifier, epoch };
            assert_eq!(parse_cursor(&cursor_of(&anchor)).ok(), Some(anchor));
        }
        let too_long = format!("0.user_id:{}", "x".repeat(Identifier::BYTES_MAX + 1));
        let long_namespace = format!("0.{}:u1", "x".repeat(100_000));
        for text in
            ["", "0", "0.", "0.u1", "0.user_id:", "0.:u1", "-1.user_id:u1", "x.user_id:u1", "user_id:u.1"]
                .into_iter()
                .chain([too_long.as_str(), &long_namespace])
        {
            assert!(parse_cursor(text).is_err(), "{} bytes", text.len());
        }
    }
}
