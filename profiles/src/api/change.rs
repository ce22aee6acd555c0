//! Changes of who a profile is made of: `unmerge`, and identifiers linked, removed and moved by hand.
//!
//! A change is tried first, on a copy of the graph in memory: what the graph refuses is answered without a record in
//! the log. Only then it is handed in as a command, which the projector decides at its place in the log.

use super::address::{self, Address, Change};
use super::body::{self, Body, member, text};
use super::error::ApiError;
use super::query::Query;
use super::{ProfileApi, blocking, reasons, refused, whose};
use crate::machine::CommandResult;
use crate::reader::{LookupError, ProfileReader};
use crate::state::View;
use actix_web::web;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tributary_identity::{HandedOver, Unmerged};
use tributary_model::command::{Action, Command, UnmergeTarget, Who};
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::{ErrorCode, Identifier, Namespace, ProfileId, Timestamp, WorkspaceId};

/// The largest body, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// The body of an unmerge. Exactly one of the first four says what is parted. It has no `Debug`: it is personal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnmergeBody {
    identifier: Option<String>,
    edge: Option<[String; 2]>,
    merge: Option<String>,
    sides: Option<Vec<Vec<String>>>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    retake: bool,
    reason: Option<String>,
}

/// The body of a link or a removal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandBody {
    identifier: String,
    reason: Option<String>,
}

/// The body of a move.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    identifier: String,
    to: String,
    reason: Option<String>,
}

/// A change as it was asked for, its identifiers normalized.
struct Wanted {
    action: Action,
    reason: Option<String>,
    dry_run: bool,
}

/// What a change comes to before it is handed in.
enum Planned {
    /// It was a dry run: this is the answer.
    Answer(Vec<u8>),
    /// It can be handed in.
    Order(Wanted),
}

/// Who asks for a change, of what.
pub(super) struct Asked {
    pub(super) address: Address,
    pub(super) change: Change,
    pub(super) token: Option<String>,
    pub(super) query: String,
}

/// Answers the request for a change once the change is in force.
pub(super) async fn answer(
    api: Arc<ProfileApi>,
    asked: Asked,
    payload: web::Payload,
) -> Result<Vec<u8>, ApiError> {
    let Asked { address, change, token, query } = asked;
    let (workspace, version, by) = api
        .access
        .change(token.as_deref(), &address.workspace)
        .map_err(|code| refused(code, "this token may not change the profiles of this workspace"))?;
    let reader = api.reader()?.clone();
    let desk = api.desk()?.clone();
    Query::parse(&query, &[])?;
    let body = received(payload).await?;
    desk.settle().await?;
    let at = desk.now();
    let plan = {
        let reader = reader.clone();
        move || plan(&reader, workspace, &address, change, &body, at)
    };
    let Wanted { action, reason, .. } = match blocking(plan).await? {
        Planned::Answer(bytes) => return Ok(bytes),
        Planned::Order(wanted) => wanted,
    };
    let result = desk.order(workspace, version, &Command { by, reason, action }).await?;
    blocking(move || came_of(&reader, workspace, result)).await
}

/// The whole body, within its limit.
async fn received(payload: web::Payload) -> Result<Bytes, ApiError> {
    match payload.to_bytes_limited(BODY_BYTES_MAX).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(ApiError::invalid(format!("the body can't be read: {error}"))),
        Err(_) => {
            let message = format!("the body is larger than {BODY_BYTES_MAX} bytes");
            Err(ApiError::Refused(ErrorCode::TooLarge, message))
        }
    }
}

/// Reads the body and tries the change. Blocking.
fn plan(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    address: &Address,
    change: Change,
    body: &[u8],
    at: Timestamp,
) -> Result<Planned, ApiError> {
    let who = whose(reader, workspace, address)?;
    let rules = reader.rules(workspace)?;
    let wanted = Wanted::parse(change, body, who, &rules)?;
    if let Action::Link { identifier, .. } | Action::Move { identifier, .. } = &wanted.action
        && rules.blocks(identifier)
    {
        let message = "the identity rules block this value: it stands for nobody";
        return Err(ApiError::Refused(ErrorCode::Conflict, message.into()));
    }
    let tried = reader.dry_run(workspace, &wanted.action, at)??;
    if !wanted.dry_run {
        return Ok(Planned::Order(wanted));
    }
    Ok(Planned::Answer(body::bytes(&unmerged(&tried.unmerged, &tried.views, Stored::No)?)))
}

/// The answer to a command that was handed in, with what readers see now. Blocking.
fn came_of(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    result: CommandResult,
) -> Result<Vec<u8>, ApiError> {
    let body = match result {
        CommandResult::Unmerged(parted) => {
            let views = parted.profiles.iter().map(|(_, live)| reader.view_of(workspace, live));
            unmerged(&parted, &views.collect::<Result<Vec<_>, LookupError>>()?, Stored::Yes)?
        }
        CommandResult::HandedOver(handed) => handed_over(reader, workspace, &handed)?,
        CommandResult::Refused(why) => return Err(why.into()),
        CommandResult::Rebuilt(_) => {
            let message = "the result of another command was found in place of this one's";
            return Err(ApiError::Refused(ErrorCode::Internal, message.into()));
        }
    };
    Ok(body::bytes(&body))
}

impl Wanted {
    fn parse(change: Change, body: &[u8], who: Who, rules: &IdentifierReader) -> Result<Self, ApiError> {
        match change {
            Change::Unmerge => {
                let mut body: UnmergeBody = json(body)?;
                let (dry_run, retake) = (body.dry_run, body.retake);
                let reason = reason(body.reason.take())?;
                let target = target(body, rules)?;
                Ok(Self { action: Action::Unmerge { who, target, retake }, reason, dry_run })
            }
            Change::Link => {
                let (identifier, reason) = by_hand(body, rules)?;
                Ok(Self { action: Action::Link { who, identifier }, reason, dry_run: false })
            }
            Change::Remove => {
                let (identifier, reason) = by_hand(body, rules)?;
                Ok(Self { action: Action::Remove { who, identifier }, reason, dry_run: false })
            }
            Change::Move => {
                let body: MoveBody = json(body)?;
                let identifier = address::identifier(rules, "identifier", &body.identifier)?;
                let to = receiver(&body.to, rules)?;
                let reason = reason(body.reason)?;
                Ok(Self { action: Action::Move { who, identifier, to }, reason, dry_run: false })
            }
        }
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::invalid(format!("the body: {error}")))
}

fn by_hand(body: &[u8], rules: &IdentifierReader) -> Result<(Identifier, Option<String>), ApiError> {
    let body: HandBody = json(body)?;
    Ok((address::identifier(rules, "identifier", &body.identifier)?, reason(body.reason)?))
}

/// Who is to have an identifier: another identifier of theirs, or a profile's id.
fn receiver(text: &str, rules: &IdentifierReader) -> Result<Who, ApiError> {
    let (namespace, value) = address::split("to", text)?;
    if namespace != Namespace::PROFILE_ID {
        return Ok(Who::Identifier(address::identifier(rules, "to", text)?));
    }
    let id = value.parse::<ProfileId>().map(Who::Profile);
    id.map_err(|_| ApiError::invalid("`to`: a profile_id has 32 hexadecimal digits"))
}

fn reason(reason: Option<String>) -> Result<Option<String>, ApiError> {
    let reason = reason.filter(|text| !text.trim().is_empty());
    if reason.as_ref().is_some_and(|text| text.chars().count() > REASON_CHARS_MAX) {
        return Err(ApiError::invalid(format!("`reason`: give at most {REASON_CHARS_MAX} characters")));
    }
    Ok(reason)
}

/// What is to be parted: exactly one way of saying it.
fn target(body: UnmergeBody, rules: &IdentifierReader) -> Result<UnmergeTarget, ApiError> {
    match (body.identifier, body.edge, body.merge, body.sides) {
        (Some(text), None, None, None) => {
            Ok(UnmergeTarget::Identifier(address::identifier(rules, "identifier", &text)?))
        }
        (None, Some([one, other]), None, None) => {
            let one = address::identifier(rules, "edge[0]", &one)?;
            Ok(UnmergeTarget::Edge(one, address::identifier(rules, "edge[1]", &other)?))
        }
        (None, None, Some(id), None) => {
            let sequence = numbered(&id, "mrg_").ok_or_else(|| {
                ApiError::invalid("`merge`: give the id that `history` shows, mrg_7 for instance")
            })?;
            Ok(UnmergeTarget::Merge(sequence))
        }
        (None, None, None, Some(sides)) => Ok(UnmergeTarget::Sides(self::sides(&sides, rules)?)),
        _ => Err(ApiError::invalid("the body: give exactly one of identifier, edge, merge and sides")),
    }
}

fn sides(texts: &[Vec<String>], rules: &IdentifierReader) -> Result<Vec<Vec<Identifier>>, ApiError> {
    if texts.len() < 2 {
        return Err(ApiError::invalid("`sides`: give two or more"));
    }
    let mut sides = Vec::with_capacity(texts.len());
    for (at, side) in texts.iter().enumerate() {
        if side.is_empty() {
            return Err(ApiError::invalid(format!("`sides[{at}]`: give one identifier or more")));
        }
        let read = |(index, text): (usize, &String)| {
            address::identifier(rules, &format!("sides[{at}][{index}]"), text)
        };
        sides.push(side.iter().enumerate().map(read).collect::<Result<Vec<_>, ApiError>>()?);
    }
    Ok(sides)
}

/// The number in an id such as `mrg_7`, which has one text form only.
fn numbered(text: &str, prefix: &str) -> Option<u64> {
    let digits = text.strip_prefix(prefix)?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// Whether an unmerge is in the log, or was only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Yes,
    No,
}

/// The profiles that came of an unmerge (or would), and the decisions taken while they were one.
fn unmerged(parted: &Unmerged, views: &[View], stored: Stored) -> Result<Body, ApiError> {
    let ids = parted.profiles.iter().map(|(id, _)| *id);
    let profiles: Result<Vec<Body>, ApiError> =
        ids.zip(views).map(|(id, view)| body::profile(id, view)).collect();
    let sides: Vec<Vec<String>> = parted.sides.iter().map(|side| side.iter().map(text).collect()).collect();
    let partition = (stored == Stored::Yes).then(|| reasons::partition_id(parted.partition));
    Ok(Body::from([
        ("partition", member(&partition)),
        ("dry_run", member(&(stored == Stored::No))),
        ("from_profile_id", member(&parted.before.to_string())),
        ("profiles", member(&profiles?)),
        ("sides", member(&sides)),
        ("decisions", member(&reasons::decisions(&parted.decisions))),
        ("decisions_total", member(&parted.decisions.len())),
    ]))
}

/// Whose an identifier was and is, and both as they are now.
fn handed_over(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    handed: &HandedOver,
) -> Result<Body, ApiError> {
    let mut profiles = Vec::new();
    for id in handed.from.into_iter().chain(handed.to) {
        if let Some(found) = reader.find(workspace, Namespace::PROFILE_ID, &id.to_string())? {
            profiles.push(body::profile(found.id, &found.view)?);
        }
    }
    let id = |id: Option<ProfileId>| member(&id.map(|id| id.to_string()));
    Ok(Body::from([
        ("identifier", member(&text(&handed.node))),
        ("epoch", member(&handed.node.epoch)),
        ("from_profile_id", id(handed.from)),
        ("to_profile_id", id(handed.to)),
        ("profiles", member(&profiles)),
    ]))
}

#[cfg(test)]
mod tests;
