//! Who is in an audience, and how many were. Both are about people, so they need `profiles:read` too.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::value::RawValue;
use tributary_model::workspace::{Audience, Scope};
use tributary_model::{ErrorCode, ProfileId, Timestamp, Workspace};

use super::audiences::{find, key};
use super::{Answer, blocking, caller};
use crate::admin::audiences::bodies::{MemberView, MembersCursor, MembersPage, SizeHistory};
use crate::admin::audiences::{SIZE_HOURS_MAX, hour_start, hours, size_points};
use crate::admin::error::ApiError;
use crate::admin::outside::{AudienceMember, Detail, OutsideError};
use crate::admin::{Admin, request};

const LIMIT: usize = 20;
/// Asking for more gives so many, and the cursor says so.
const LIMIT_MAX: usize = 200;

/// How far back sizes reach where nothing is said.
const SIZES_MICROS: i64 = 7 * 24 * 3_600_000_000;

/// Which members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersQuery {
    limit: Option<usize>,
    next: Option<String>,
    verbose: Option<bool>,
}

/// List the members of an audience
///
/// In the order of their profiles' ids, so that a page is right however many enter and leave meanwhile: who is a member
/// all the time is told once.
#[utoipa::path(get, path = "/admin/v1/audiences/{key}/members", tag = "audience_members",
    params(
        ("key" = String, Path, description = "Its key", example = "lapsed"),
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("next" = Option<String>, Query, description = "`cursor.next` of the rows before"),
        ("verbose" = Option<bool>, Query, description = "Whether rows have the traits of the profile"),
    ),
    responses((status = 200, description = "Some members", body = MembersPage)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = reader(&admin, &http)?;
    let id = find(&workspace, key(&http))?.id;
    let query: MembersQuery = request::query(&http)?;
    let limit = match query.limit.unwrap_or(LIMIT) {
        0 => return Err(ApiError::invalid(format!("`limit` is 0; give 1 to {LIMIT_MAX}"))),
        limit => limit.min(LIMIT_MAX),
    };
    let after: Option<ProfileId> = match query.next.as_deref().filter(|next| !next.is_empty()) {
        Some(next) => Some(
            next.parse()
                .map_err(|_| ApiError::invalid("`next`: give the value of `cursor.next` of an answer"))?,
        ),
        None => None,
    };
    let detail = if query.verbose.unwrap_or(false) { Detail::Traits } else { Detail::Brief };
    let (part, of) = (Arc::clone(&admin.outside.audiences), workspace.id);
    let mut found = blocking(move || part.members(of, id, after, limit + 1, detail)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|member| member.profile.to_string()).unwrap_or_default();
    let cursor = MembersCursor { url: http.path().to_owned(), has_more: more, next, limit };
    let data = found.into_iter().map(member).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(MembersPage { data, cursor }))
}

/// How the size of an audience went
///
/// One point an hour, also for hours in which nothing happened, so that it can be plotted as it is.
#[utoipa::path(get, path = "/admin/v1/audiences/{key}/size", tag = "audience_members",
    params(
        ("key" = String, Path, description = "Its key", example = "lapsed"),
        ("from" = Option<String>, Query, description = "The first moment; seven days before the last"),
        ("to" = Option<String>, Query, description = "The last moment; now"),
    ),
    responses((status = 200, description = "Its size by the hour", body = SizeHistory)))]
pub(in crate::admin) async fn size(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = reader(&admin, &http)?;
    let audience = find(&workspace, key(&http))?;
    let query: SizeQuery = request::query(&http)?;
    let part = Arc::clone(&admin.outside.audiences);
    let (from, to) = query.times(audience, part.now()?)?;
    let (of, id, begin) = (workspace.id, audience.id, hour_start(audience.created_at));
    let (size, changes) = blocking(move || {
        let size = part.standing(of, id)?.map_or(0, |standing| standing.size);
        Ok::<_, OutsideError>((size, part.sizes(of, id, begin, to)?))
    })
    .await?;
    Ok(HttpResponse::Ok().json(SizeHistory { size, data: size_points(&changes, from, to) }))
}

/// Of which time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SizeQuery {
    from: Option<String>,
    to: Option<String>,
}

impl SizeQuery {
    /// The first moment, not before the audience was created, and the one after the last, not after the hour of `now`.
    fn times(self, audience: &Audience, now: Timestamp) -> Result<(Timestamp, Timestamp), ApiError> {
        // The hour of now has begun also if it begins now.
        let latest = now.plus_micros(1);
        let to = request::time("to", self.to)?.unwrap_or(latest);
        let from = request::time("from", self.from)?.unwrap_or_else(|| to.plus_micros(-SIZES_MICROS));
        if from >= to {
            return Err(ApiError::invalid("`to` has to be later than `from`"));
        }
        let (from, to) = (from.max(audience.created_at), to.min(latest));
        if hours(from, to) > SIZE_HOURS_MAX {
            let message =
                format!("`from` and `to` are more than {SIZE_HOURS_MAX} hours apart; ask for parts");
            return Err(ApiError::invalid(message));
        }
        Ok((from, to))
    }
}

fn member(member: AudienceMember) -> Result<MemberView, ApiError> {
    let AudienceMember { profile, since, identifiers, is_approximate, traits } = member;
    let value = |json: String| {
        RawValue::from_string(json)
            .map_err(|_| ApiError::new(ErrorCode::Internal, "a stored value is not JSON"))
    };
    let traits = traits
        .map(|traits| {
            traits.into_iter().map(|(name, json)| Ok((name, value(json)?))).collect::<Result<_, ApiError>>()
        })
        .transpose()?;
    let approximate = is_approximate.then_some(true);
    let (profile_id, since) = (profile.to_string(), since.to_string());
    Ok(MemberView { profile_id, since, identifiers, approximate, traits })
}

/// The workspace of a caller who may read configuration and profiles.
pub(super) fn reader(admin: &Admin, http: &HttpRequest) -> Result<Arc<Workspace>, ApiError> {
    let caller = caller(admin, http, Scope::AdminRead)?;
    caller.require(Scope::ProfilesRead)?;
    Ok(caller.workspace)
}
