//! Reading requests: bodies within their limit, queries, `If-Match`.

use actix_web::http::header::IF_MATCH;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use tributary_model::{ErrorCode, Timestamp};

use super::edit::invalid_at;
use super::error::ApiError;

/// What is said where serde_json misses a name and does not say of which there are.
const NO_NAME: &str = "expected one of its names, or an object with one of them as its only member";
/// What is said where a name stands alone that goes with something.
const NAME_ALONE: &str = "expected an object with one member, named as what it is";

/// Reads a JSON body.
///
/// # Errors
/// If it is larger than the limit, can't be received, or is not what is wanted; the message says where.
pub(super) async fn json<T: DeserializeOwned>(
    mut payload: web::Payload,
    bytes_max: u64,
) -> Result<T, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::invalid(format!("the body can't be read: {error}")))?;
        if (body.len() + chunk.len()) as u64 > bytes_max {
            let message = format!("the body is larger than {bytes_max} bytes");
            return Err(ApiError::new(ErrorCode::TooLarge, message));
        }
        body.extend_from_slice(&chunk);
    }
    read(&body)
}

/// Reads a body: first whether it is JSON at all, so that whatever else is wrong is so at a place of it.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice::<IgnoredAny>(body)
        .map_err(|error| ApiError::invalid(format!("the body: {error}")))?;
    parsed(body).map_err(|error| {
        if body.trim_ascii_start().first() != Some(&b'{') {
            return ApiError::invalid("the body: expected a JSON object");
        }
        let message = said(&error.inner().to_string());
        let names = (message == NO_NAME).then(|| names::<T>(body, error.path())).flatten();
        refused("the body", &error.path().to_string(), &names.unwrap_or(message))
    })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body))
}

/// The names that are expected at a place where none stands. They are told of a text that is none of them: the body is read
/// once more with one there.
fn names<T: DeserializeOwned>(body: &[u8], path: &Path) -> Option<String> {
    let with = |name: &str| {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        *part_of(&mut body, path)? = Value::from(name);
        parsed::<T>(&serde_json::to_vec(&body).ok()?).err()
    };
    let error = with("").filter(|error| error.path().to_string() == path.to_string())?;
    let message = said(&error.inner().to_string());
    let names = message.strip_prefix("unknown variant ``, expected ")?;
    let one = names.split('`').nth(1)?;
    let is_alone = with(one).is_none_or(|error| said(&error.inner().to_string()) != NAME_ALONE);
    let before = if is_alone { "expected" } else { "expected an object with one member, named" };
    Some(format!("{before} {names}"))
}

/// What stands at a place of a body.
fn part_of<'a>(body: &'a mut Value, path: &Path) -> Option<&'a mut Value> {
    path.iter().try_fold(body, |part, segment| match segment {
        Segment::Seq { index } => part.get_mut(*index),
        Segment::Map { key } => part.get_mut(key.as_str()),
        Segment::Enum { variant } => part.get_mut(variant.as_str()),
        Segment::Unknown => None,
    })
}

/// The refusal of a part of what was sent, and what is said of it.
fn refused(whole: &str, place: &str, message: &str) -> ApiError {
    match place {
        "." => ApiError::invalid(format!("{whole}: {message}")),
        place => invalid_at(place, &format!(": {message}")).into(),
    }
}

/// What serde says, without its words for types, where in the bytes that is, and the value that stands there.
fn said(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let begins = |with: &[&str]| with.iter().any(|text| message.starts_with(text));
    if begins(&["invalid digit found", "cannot parse integer", "number too "]) {
        return "expected a whole number that is not too large".to_owned();
    }
    if begins(&["provided string was not"]) {
        return "expected true or false".to_owned();
    }
    if message == "expected value" {
        return NO_NAME.to_owned();
    }
    let is_of_form = begins(&["invalid type", "invalid value", "invalid length"]);
    let Some((_, expected)) = message.rsplit_once(", expected ").filter(|_| is_of_form) else {
        return message.to_owned();
    };
    let expected = match expected {
        "a map" | "string or map" => "an object",
        "newtype variant" | "map with a single key" => return NAME_ALONE.to_owned(),
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i64" => "a whole number",
        "f64" => "a number",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("expected {expected}")
}

/// Reads the query of a request.
///
/// # Errors
/// If it holds an unknown name or a value that can't be read.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let Tracked(read) = web::Query::<Tracked<T>>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|error| ApiError::invalid(format!("the query: {error}")))?;
    read.map_err(|(place, message)| refused("the query", &place, &said(&message)))
}

/// What was read, or where it can't be and why.
struct Tracked<T>(Result<T, (String, String)>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Tracked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = serde_path_to_error::deserialize(deserializer);
        Ok(Self(read.map_err(|error| (error.path().to_string(), error.inner().to_string()))))
    }
}

/// The version that the caller knows, from `If-Match`; `None` if it names none or `*`.
///
/// # Errors
/// If the header is there and names no version.
pub(super) fn if_match(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(header) = request.headers().get(IF_MATCH) else { return Ok(None) };
    let text = header.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let text = text.strip_prefix("W/").unwrap_or(text);
    let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let advice = "`If-Match`: give the version from `ETag`, such as \"7\"";
    number.parse().map(Some).map_err(|_| ApiError::invalid(advice))
}

/// The id in the path. One that can't be read names nothing.
pub(super) fn id<T: std::str::FromStr>(request: &HttpRequest, what: &str) -> Result<T, ApiError> {
    let text = request.match_info().get("id").unwrap_or_default();
    text.parse().map_err(|_| no_such(what, text))
}

/// There is nothing of that id.
pub(super) fn no_such(what: &str, id: impl std::fmt::Display) -> ApiError {
    ApiError::not_found(format!("there is no {what} {id}"))
}

/// Reads a time that is given as a text.
///
/// # Errors
/// If it is none.
pub(super) fn time(name: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let advice = || ApiError::invalid(format!("`{name}`: give a time such as 2026-11-20T10:00:00Z"));
    Timestamp::parse(&text).map(Some).ok_or_else(advice)
}

/// Reads the ends of a time in which something is looked for.
///
/// # Errors
/// If one is no time, or the time is empty.
pub(super) fn span(
    from: Option<String>,
    until: Option<String>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    let (from, until) = (time("from", from)?, time("until", until)?);
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return Err(ApiError::invalid("`until` has to be later than `from`"));
    }
    Ok((from, until))
}

/// Which part of a long list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    limit: Option<usize>,
    pub(super) cursor: Option<String>,
    /// Only where a list can be narrowed to one message.
    pub(super) message_id: Option<String>,
}

const LIMIT: usize = 20;
const LIMIT_MAX: usize = 200;

/// How many rows, if so many are asked for.
///
/// # Errors
/// If that is not from 1 to 200.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, ApiError> {
    match asked.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(ApiError::invalid(format!("`limit` is {other}; give 1 to {LIMIT_MAX}"))),
    }
}

impl Paging {
    /// How many rows.
    ///
    /// # Errors
    /// If it is not from 1 to 200.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        limit(self.limit)
    }

    /// Refuses what does not narrow this list.
    ///
    /// # Errors
    /// If `message_id` is given.
    pub(super) fn without_message_id(self) -> Result<Self, ApiError> {
        match self.message_id {
            Some(_) => Err(ApiError::invalid("the query: `message_id` is not known here")),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::admin::destinations::bodies::{DestinationNew, DestinationPatch};

    #[test]
    fn what_is_wrong_in_a_body_has_its_place() {
        let action = "expected an object with one member, named one of `drop`, `sample`, `drop_properties`, \
                      `allow_properties`";
        let action = format!("`filters[0].action`: {action}");
        let missing = "`consent.missing`: expected `closed` or `open`";
        let with = |part: &str| format!(r#" {{"definition":"webhook","name":"x","settings":{{}},{part}}} "#);
        let filter =
            |action: &str| with(&format!(r#""filters":[{{"name":"f","condition":"x","action":{action}}}]"#));
        let cases = [
            ("[]".to_owned(), "the body: expected a JSON object"),
            ("7".to_owned(), "the body: expected a JSON object"),
            (r#"{"name":"#.to_owned(), "the body: EOF while parsing a value at line 1 column 8"),
            (r#"{"definition":"webhook"}"#.to_owned(), "the body: missing field `name`"),
            (r#"{"settings":null}"#.to_owned(), "`settings`: expected an object"),
            (r#"{"settings":"whsec_a"}"#.to_owned(), "`settings`: expected an object"),
            (with(r#""consent":[]"#), "`consent`: expected an object"),
            (with(r#""consent":{"categories":"ads"}"#), "`consent.categories`: expected a list"),
            (
                with(r#""consent":{"categories":[],"missing":"maybe"}"#),
                "`consent.missing`: unknown variant `maybe`, expected `closed` or `open`",
            ),
            (with(r#""consent":{"categories":[],"missing":null}"#), missing),
            (with(r#""consent":{"missing":5,"categories":[]}"#), missing),
            (with(r#""filters":[7],"consent":{"missing":{}}"#), "`filters[0]`: expected an object"),
            (filter("{}"), action.as_str()),
            (filter("null"), action.as_str()),
            (filter(r#"{"drop":{},"sample":{}}"#), action.as_str()),
            (
                filter(r#"{"sample":{"percent":"5","path":"a"}}"#),
                "`filters[0].action.sample.percent`: expected a number",
            ),
            (with(r#""mappings":[{"id":-1}]"#), "`mappings[0].id`: expected a whole number, 0 or more"),
        ];
        for (body, want) in cases {
            let message = read::<DestinationNew>(body.as_bytes()).expect_err(&body).to_string();
            let message = message.strip_prefix("invalid_request: ").unwrap_or(&message);
            assert_eq!(message, want, "{body}");
        }
        let resume = read::<DestinationPatch>(br#"{"resume":5}"#).expect_err("is no name").to_string();
        assert!(resume.ends_with("`resume`: expected `parked` or `now`"), "{resume}");
        let nulls = [
            (r#"{"consent":{"missing":null}}"#, "`consent.missing`: expected `closed` or `open`"),
            (r#"{"consent":null}"#, "`consent`: "),
            (r#"{"filters":null}"#, "`filters`: "),
            (r#"{"name":null}"#, "`name`: "),
            (r#"{"settings":null}"#, "`settings`: "),
        ];
        for (body, want) in nulls {
            let message = read::<DestinationPatch>(body.as_bytes()).expect_err(body).to_string();
            assert!(message.contains(want), "{body}: {message}");
        }
        assert!(read::<DestinationPatch>(br#"{"mappings":null,"settings":{"secret":null}}"#).is_ok());
        let unknown = read::<DestinationNew>(with(r#""color":"red""#).as_bytes()).expect_err("is unknown");
        assert!(unknown.to_string().contains("`color`: unknown field `color`, expected"), "{unknown}");
        assert!(read::<DestinationNew>(filter(r#"{"drop":{}}"#).as_bytes()).is_ok());
    }

    #[test]
    fn what_is_wrong_in_a_query_names_the_parameter() {
        let cases = [
            ("limit=x", "`limit`: expected a whole number that is not too large"),
            ("limit=-1", "`limit`: expected a whole number that is not too large"),
            (
                "cursor=a&limt=1",
                "`limt`: unknown field `limt`, expected one of `limit`, `cursor`, `message_id`",
            ),
            ("cursor=a&cursor=b", "the query: duplicate field `cursor`"),
        ];
        for (query, want) in cases {
            let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
            let message = super::query::<Paging>(&request).expect_err(query).to_string();
            assert_eq!(message.strip_prefix("invalid_request: ").unwrap_or(&message), want, "{query}");
        }
        let request = TestRequest::with_uri("/?limit=7&cursor=a").to_http_request();
        let paging = query::<Paging>(&request).expect("it can be read");
        assert_eq!((paging.limit, paging.cursor.as_deref()), (Some(7), Some("a")));
    }

    #[test]
    fn if_match_takes_every_form_of_a_version() {
        let cases = [
            ("none", None, Ok(None)),
            ("any", Some("*"), Ok(None)),
            ("quoted", Some("\"7\""), Ok(Some(7))),
            ("weak", Some("W/\"7\""), Ok(Some(7))),
            ("bare", Some("7"), Ok(Some(7))),
            ("text", Some("\"seven\""), Err(ErrorCode::InvalidRequest)),
            ("half quoted", Some("\"7"), Err(ErrorCode::InvalidRequest)),
        ];
        for (name, header, want) in cases {
            let mut request = TestRequest::default();
            if let Some(header) = header {
                request = request.insert_header((IF_MATCH, header));
            }
            let got = if_match(&request.to_http_request());
            assert_eq!(got.map_err(|error| error.code()), want, "{name}");
        }
    }
}
