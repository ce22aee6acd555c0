//! Why two identifiers are one profile or not, and what happened to a profile.

use super::body::{Body, member, text};
use super::error::ApiError;
use super::query::Query;
use serde_json::{Map, Value, json};
use tributary_identity::{
    Apart, Decision, EdgeKey, Evidence, Explanation, HistoryRow, RefusalReason, Row, Step,
};
use tributary_model::{ProfileId, Timestamp};

/// Microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// `{"same_profile":true,"profile_id","path":[…]}`, or with `kept_apart` what stands between the two.
pub(super) fn explanation(explanation: &Explanation) -> Result<Body, ApiError> {
    match explanation {
        Explanation::UnknownWho => Err(ApiError::no_profile()),
        Explanation::UnknownWith => {
            Err(ApiError::not_found("`with` was never an identifier in this workspace"))
        }
        Explanation::Same { profile, path: steps } => Ok(Body::from([
            ("same_profile", member(&true)),
            ("profile_id", member(&profile.to_string())),
            ("path", member(&path(steps))),
        ])),
        Explanation::Apart { who, with, kept_apart, handed_over } => {
            let mut rows: Vec<Value> = kept_apart.iter().map(apart).collect();
            rows.extend(handed_over.iter().map(handed));
            Ok(Body::from([
                ("same_profile", member(&false)),
                ("profile_id", member(&who.to_string())),
                ("with_profile_id", member(&with.map(|id| id.to_string()))),
                ("kept_apart", member(&rows)),
            ]))
        }
    }
}

/// The steps of a path of evidence.
pub(super) fn path(steps: &[Step]) -> Value {
    steps
        .iter()
        .map(|step| {
            json!({
                "from": text(&step.from),
                "to": text(&step.to),
                "rule": step.rule.name(),
                "event": event(&step.evidence),
                "first_seen": step.evidence.received_at.to_string(),
                "last_seen": day(step.last_day),
            })
        })
        .collect()
}

/// An identifier that one of the two had, and lost.
fn handed(row: &HistoryRow) -> Value {
    let Row::Lost { node, to, rule } = &row.what else { return Value::Null };
    json!({
        "reason": "handed_over",
        "anchor": null,
        "identifier": text(node),
        "detail": {"rule": rule.name(), "to_profile_id": to.map(|to| to.to_string()), "by": row.by},
        "event": row.evidence.as_ref().map(event),
        "last_seen": row.at.to_string(),
    })
}

fn apart(apart: &Apart) -> Value {
    json!({
        "reason": apart.reason.name(),
        "anchor": text(&apart.anchor),
        "identifier": text(&apart.other),
        "detail": detail(&apart.reason),
        "event": event(&apart.evidence),
        "last_seen": day(apart.last_day),
    })
}

/// How many decisions an answer shows: a much refused identifier may have any number.
const DECISIONS_MAX: usize = 1000;

/// The decisions that a profile took before it was parted, the oldest first.
pub(super) fn decisions(decisions: &[Decision]) -> Value {
    decisions
        .iter()
        .take(DECISIONS_MAX)
        .map(|decision| {
            json!({
                "anchor": text(&decision.anchor),
                "identifier": text(&decision.other),
                "reason": decision.reason.name(),
                "detail": detail(&decision.reason),
                "event": event(&decision.evidence),
            })
        })
        .collect()
}

/// What belongs to a reason beside its name.
fn detail(reason: &RefusalReason) -> Value {
    match reason {
        RefusalReason::Limit { namespace, limit, count } => {
            json!({"namespace": namespace.as_str(), "limit": limit, "count": count})
        }
        RefusalReason::Demotion { fault, reason } => {
            let mut detail = detail(reason);
            detail["at_fault"] = fault.identifier.to_text().into();
            detail
        }
        RefusalReason::Cap { cap, limit, count } => {
            json!({"cap": cap.name(), "limit": limit, "count": count})
        }
        RefusalReason::Blocked => json!({}),
        RefusalReason::Partition { partition } => json!({"partition": partition_id(*partition)}),
    }
}

/// The event (or the command) that shows something.
fn event(evidence: &Evidence) -> Value {
    json!({
        "message_id": evidence.message_id.as_str(),
        "source_id": evidence.source.to_string(),
        "timestamp": evidence.event_time.to_string(),
        "received_at": evidence.received_at.to_string(),
        "position": evidence.position.sequence,
    })
}

/// A day as it is written.
fn day(days: i64) -> String {
    let midnight = Timestamp::from_micros(days.saturating_mul(DAY_MICROS)).to_string();
    midnight.split('T').next().unwrap_or_default().to_owned()
}

/// The id of a merge: the sequence of the event that brought it.
pub(super) fn merge_id(merge: u64) -> String {
    format!("mrg_{merge}")
}

/// The id of a partition: the sequence of its command.
pub(super) fn partition_id(partition: u64) -> String {
    format!("prt_{partition}")
}

/// `{"data":[…],"cursor":{…}}`: what happened to a profile, oldest first.
pub(super) fn history(rows: &[HistoryRow], query: &Query) -> Result<Body, ApiError> {
    let after = match &query.next {
        Some(text) => {
            let place = Place::parse(text);
            Some(place.ok_or_else(|| ApiError::invalid("next is not what an earlier answer gave"))?)
        }
        None => None,
    };
    let mut place = Place { sequence: 0, index: 0 };
    let mut last = place;
    let mut data: Vec<Value> = Vec::new();
    let mut more = None;
    for (at, row) in rows.iter().enumerate() {
        let sequence = row.position.sequence;
        let goes_on = at > 0 && place.sequence == sequence;
        place = Place { sequence, index: if goes_on { place.index + 1 } else { 0 } };
        if after.is_some_and(|after| place <= after) {
            continue;
        }
        if data.len() == query.limit {
            more = Some(last.to_text());
            break;
        }
        last = place;
        data.push(happened(row));
    }
    Ok(Body::from([("data", member(&data)), ("cursor", query.cursor(more))]))
}

/// Where in a history: rows of one record are counted. Rows that come later have larger places, so a cursor holds
/// while a profile goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    sequence: u64,
    index: usize,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (sequence, index) = text.split_once('.')?;
        Some(Self { sequence: sequence.parse().ok()?, index: index.parse().ok()? })
    }

    fn to_text(self) -> String {
        format!("{}.{}", self.sequence, self.index)
    }
}

fn happened(row: &HistoryRow) -> Value {
    let (name, own) = named(&row.what);
    let mut members = Map::new();
    members.insert("type".to_owned(), name.into());
    members.insert("at".to_owned(), row.at.to_string().into());
    members.insert("position".to_owned(), row.position.sequence.into());
    if let Some(evidence) = &row.evidence {
        members.insert("event".to_owned(), event(evidence));
    }
    if let Some(by) = &row.by {
        members.insert("by".to_owned(), by.as_str().into());
    }
    if let Some(reason) = &row.reason {
        members.insert("reason".to_owned(), reason.as_str().into());
    }
    // A demotion's own reason has the last word: no person asked for one.
    if let Value::Object(own) = own {
        members.extend(own);
    }
    Value::Object(members)
}

/// The type of a row, and the members that only it has.
fn named(row: &Row) -> (&'static str, Value) {
    match row {
        Row::Created => ("created", json!({})),
        Row::Gained { node } => ("gained", json!({"identifier": text(node)})),
        Row::Merged { merge, survivor, merged, links } => (
            "merged",
            json!({
                "merge": merge_id(*merge),
                "profile_id": survivor.to_string(),
                "merged_profile_ids": ids(merged),
                "links": links.iter().map(link).collect::<Vec<_>>(),
            }),
        ),
        Row::Demoted { anchor, other, reason } => (
            "demoted",
            json!({
                "anchor": text(anchor),
                "identifier": text(other),
                "reason": reason.name(),
                "detail": detail(reason),
            }),
        ),
        Row::Parted { partition, from, into } => (
            "parted",
            json!({
                "partition": partition_id(*partition),
                "from_profile_id": from.to_string(),
                "profile_ids": ids(into),
            }),
        ),
        Row::Took { node, from, rule } => {
            let from = from.map(|id| id.to_string());
            ("took", json!({"identifier": text(node), "from_profile_id": from, "rule": rule.name()}))
        }
        Row::Lost { node, to, rule } => {
            let to = to.map(|id| id.to_string());
            ("lost", json!({"identifier": text(node), "to_profile_id": to, "rule": rule.name()}))
        }
    }
}

fn ids(profiles: &[ProfileId]) -> Vec<String> {
    profiles.iter().map(ToString::to_string).collect()
}

fn link(key: &EdgeKey) -> Value {
    json!({"anchor": text(&key.anchor), "identifier": text(&key.other)})
}

#[cfg(test)]
mod tests;
