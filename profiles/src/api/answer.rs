//! What is read of a profile's events and of the identifiers that they brought.

use super::accounts::external_id;
use super::address::Collection;
use super::body::{Body, member, raw};
use super::error::ApiError;
use super::query::Query;
use crate::reader::{Found, ProfileReader, cursor_of, parse_cursor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tributary_eventlog::index::{EventQuery, IndexedEvent};
use tributary_model::json::Members;
use tributary_model::{EventKind, NodeKey, WorkspaceId};

/// How many events are read at a time while rows are picked by name, and how many at most for one page.
const SCAN_PAGE: usize = 500;
const SCAN_MAX: usize = 20_000;

/// `{"data":[…],"cursor":{…}}`: the identifiers that are the profile's now, by namespace and value.
pub(super) fn external_ids(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    found: &Found,
    query: &Query,
) -> Result<Body, ApiError> {
    let mut rows: Vec<Value> = Vec::new();
    let mut last = None;
    let mut more = None;
    let unknown = || ApiError::invalid("next is not what an earlier answer gave");
    let after = query.next.as_deref().map(|text| text.split_once(':').ok_or_else(unknown)).transpose()?;
    for node in found.view.profile.identifiers() {
        let (namespace, id) = (node.identifier.namespace().as_str(), node.identifier.value());
        if !query.wants(namespace) || after.is_some_and(|after| (namespace, id) <= after) {
            continue;
        }
        if rows.len() == query.limit {
            more = last.map(|node: &NodeKey| node.identifier.to_text());
            break;
        }
        last = Some(node);
        let first = reader.node(workspace, node)?.map(|node| node.first.clone());
        let first = first.as_ref().map(|first| (first.source, &first.message_id, first.received_at));
        rows.push(external_id(Collection::Users, namespace, id, first));
    }
    Ok(Body::from([("data", member(&rows)), ("cursor", query.cursor(more))]))
}

/// `{"data":[…],"cursor":{…}}`: whole events as stored, by event time.
pub(super) fn events(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    found: &Found,
    query: &Query,
) -> Result<Body, ApiError> {
    let mut after = match &query.next {
        Some(text) => {
            let cursor = parse_cursor(text);
            Some(cursor.ok_or_else(|| ApiError::invalid("next is not what an earlier answer gave"))?)
        }
        None => None,
    };
    let page = if query.picks() { SCAN_PAGE } else { query.limit + 1 };
    let mut rows: Vec<Box<RawValue>> = Vec::new();
    let mut last: Option<IndexedEvent> = None;
    let mut scanned = 0;
    let mut more = false;
    'pages: loop {
        let wanted = EventQuery {
            start: query.start,
            end: query.end,
            order: query.order,
            after,
            limit: page,
            first_sequence: 0,
        };
        let entries = reader.events(workspace, &found.view.profile, wanted)?;
        for entry in &entries {
            if rows.len() == query.limit || scanned == SCAN_MAX {
                more = true;
                break 'pages;
            }
            scanned += 1;
            let bytes = reader.event(entry)?;
            last = Some(*entry);
            let Some(text) = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
                continue;
            };
            if !query.picks() || name_of(text).is_some_and(|name| query.wants(&name)) {
                rows.push(raw(text)?);
            }
        }
        match entries.last() {
            Some(entry) if entries.len() == page => after = Some((entry.event_time, entry.sequence)),
            _ => break,
        }
    }
    let more = last.filter(|_| more).map(|entry| cursor_of(&entry));
    Ok(Body::from([("data", member(&rows)), ("cursor", query.cursor(more))]))
}

/// The profile's id, first and last event, flat.
pub(super) fn metadata(found: &Found) -> Body {
    let merged = &found.view.merged;
    let created = &found.view.profile.created;
    let (first, last) = (merged.first.as_ref(), merged.last.as_ref());
    let counts: Map<String, Value> = EventKind::ALL
        .into_iter()
        .map(|kind| (kind.name().to_owned(), merged.events_of(kind).into()))
        .collect();
    Body::from([
        ("profile_id", member(&found.id.to_string())),
        ("created_at", member(&created.received_at.to_string())),
        ("updated_at", member(&last.map(|last| last.at.to_string()))),
        ("expires_at", member(&Value::Null)),
        ("first_seen", member(&first.map(|first| first.at.to_string()))),
        ("last_seen", member(&last.map(|last| last.at.to_string()))),
        ("first_message_id", member(&first.map(|first| first.message_id.as_str()))),
        ("first_source_id", member(&first.map(|first| first.source.to_string()))),
        ("last_message_id", member(&last.map(|last| last.message_id.as_str()))),
        ("last_source_id", member(&last.map(|last| last.source.to_string()))),
        ("event_count", member(&merged.events())),
        ("event_counts", member(&counts)),
    ])
}

/// What an event is picked by: the name of a track, page or screen call, else its type.
fn name_of(event: &str) -> Option<String> {
    let members = Members::parse(event).ok()?;
    let name = members.text("event").or_else(|| members.text("name")).or_else(|| members.text("type"));
    name.map(std::borrow::Cow::into_owned)
}
