//! How a request over HTTP is made of settings and payloads. Pure.
//!
//! What payloads hold goes into bodies as it stands. Text of payloads belongs into the query (`query`), whose names and values
//! are percent-encoded; in a URL itself it would stand as it is, so that a slash or a question mark in it would lead
//! elsewhere.

use super::judge::Judge;
use crate::connect::OutboundRequest;
use crate::definition::{RequestSpec, ResponseSpec, SettingsError};
use crate::exchange::Payload;
use crate::failure::{Failure, Reason};
use crate::mapping::{Directive, Root, Value};
use crate::transport::Person;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use tributary_model::Timestamp;
use url::Url;

/// What receivers see as the sender.
pub(super) const USER_AGENT: &str = concat!("tributary/", env!("CARGO_PKG_VERSION"));

/// Methods that requests are made with.
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// Headers that belong to the connection, which the sender makes.
const HEADERS_OF_CONNECTION: [&str; 8] =
    ["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// A request's form, ready to be filled.
pub(super) struct Form {
    method: Directive,
    url: Directive,
    query: Vec<(&'static str, Directive)>,
    headers: Vec<(&'static str, Directive)>,
    body: Option<Directive>,
    /// How its answer is read.
    pub(super) judge: Judge,
}

/// What a request is about.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// It carries these.
    Payloads(&'a [Payload]),
    /// It deletes this person.
    Person(&'a Person),
    /// The settings alone.
    Settings,
}

impl Form {
    /// Of what a definition says. `response` counts where the request says nothing of its answer.
    ///
    /// # Errors
    /// What in it can't be used, `place` being where it stands.
    pub(super) fn compile(
        place: &str,
        spec: &'static RequestSpec,
        response: &'static ResponseSpec,
    ) -> Result<Self, SettingsError> {
        let directive = |at: &str, json: &serde_json::Value| {
            Directive::parse(json).map_err(|why| {
                let dot = if why.place.is_empty() { "" } else { "." };
                SettingsError::new(format!("{place}.{at}{dot}{}", why.place), why.message)
            })
        };
        let mut query = Vec::with_capacity(spec.query.len());
        for (name, json) in &spec.query {
            query.push((name.as_str(), directive(&format!("query.{name}"), json)?));
        }
        let mut headers = Vec::with_capacity(spec.headers.len());
        for (name, json) in &spec.headers {
            let at = format!("headers.{name}");
            if !is_header(name) {
                return Err(SettingsError::new(
                    format!("{place}.{at}"),
                    "is no header in lower case that can be set",
                ));
            }
            headers.push((name.as_str(), directive(&at, json)?));
        }
        Ok(Self {
            method: directive("method", &spec.method)?,
            url: directive("url", &spec.url)?,
            query,
            headers,
            body: spec.body.as_ref().map(|json| directive("body", json)).transpose()?,
            judge: Judge::compile(&format!("{place}.response"), spec.response.as_ref().unwrap_or(response))?,
        })
    }

    /// The request, without what shows who the caller is.
    ///
    /// # Errors
    /// Why it can't be made; the text holds no values.
    pub(super) fn request<'a>(&'a self, root: &Root<'a>) -> Result<OutboundRequest, Failure> {
        let method = text(&self.method, root, "the method")?.unwrap_or_default().to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            return Err(invalid("the method", &format!("is none of {}", METHODS.join(", "))));
        }
        let url = text(&self.url, root, "the URL")?.ok_or_else(|| invalid("the URL", "is missing"))?;
        let mut url = parse_url(&url)?;
        for (name, directive) in &self.query {
            if let Some(value) = text(directive, root, &format!("the query's {name}"))? {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let body = match &self.body {
            Some(directive) => Some(self.body(directive, root)?),
            None => None,
        };
        let mut request = OutboundRequest { method, url, headers: Vec::new(), body: Bytes::new() };
        request.set_header("user-agent", USER_AGENT.to_owned());
        if let Some(body) = body {
            request.set_header("content-type", "application/json".to_owned());
            request.body = body;
        }
        take_user(&mut request);
        for (name, directive) in &self.headers {
            let what = format!("the header {name}");
            if let Some(value) = text(directive, root, &what)? {
                if HeaderValue::from_str(&value).is_err() {
                    return Err(invalid(&what, "can't hold its value: line breaks and letters beyond ASCII"));
                }
                request.set_header(name, value);
            }
        }
        Ok(request)
    }

    fn body<'a>(&self, directive: &'a Directive, root: &Root<'a>) -> Result<Bytes, Failure> {
        let value =
            evaluate(directive, root, "the body")?.ok_or_else(|| invalid("the body", "is missing"))?;
        let mut body = Vec::new();
        value.write(&mut body);
        Ok(body.into())
    }
}

/// What the directives of a request begin at: the object that is described in `definition/http.rs`. `settings` is their
/// JSON text, defaults filled in, and `id` the request's own.
///
/// # Errors
/// A payload is no text.
pub(super) fn root<'a>(
    settings: &'a str,
    subject: Subject<'a>,
    id: &'a str,
    at: Timestamp,
) -> Result<Root<'a>, Failure> {
    let micros = at.as_micros();
    let at = vec![
        ("seconds".into(), number(micros.div_euclid(1_000_000))),
        ("micros".into(), number(micros)),
        ("text".into(), Value::Text(at.to_string().into())),
    ];
    let mut members = vec![
        ("settings".into(), Value::Raw(settings)),
        ("id".into(), Value::Text(id.into())),
        ("at".into(), Value::Object(at)),
    ];
    let (mut bodies, mut ids, mut items) = (Vec::new(), Vec::new(), Vec::new());
    match subject {
        Subject::Payloads(payloads) => {
            for payload in payloads {
                let body = std::str::from_utf8(&payload.body);
                let body =
                    body.map_err(|_| Failure::new(Reason::UnreadableEvent, "the payload is not UTF-8"))?;
                bodies.push(Value::Raw(body));
                ids.push(Value::Text(payload.id.as_str().into()));
                let id = Value::Text(payload.id.as_str().into());
                items.push(Value::Object(vec![("id".into(), id), ("payload".into(), Value::Raw(body))]));
            }
        }
        Subject::Person(person) => {
            let of = |(namespace, values): (&'a String, &'a Vec<String>)| {
                let values = values.iter().map(|value| Value::Text(value.as_str().into())).collect();
                (Cow::Borrowed(namespace.as_str()), Value::List(values))
            };
            let ids = Value::Object(person.iter().map(of).collect());
            members.push(("person".into(), Value::Object(vec![("ids".into(), ids)])));
        }
        Subject::Settings => {}
    }
    members.extend(bodies.first().map(|first| ("first".into(), first.clone())));
    members.push(("payloads".into(), Value::List(bodies)));
    members.push(("ids".into(), Value::List(ids)));
    members.push(("items".into(), Value::List(items)));
    Ok(Root::of(Value::Object(members)))
}

fn number(number: i64) -> Value<'static> {
    Value::Number(number.to_string().into())
}

/// What a directive gives; null counts as missing.
fn evaluate<'a>(directive: &'a Directive, root: &Root<'a>, what: &str) -> Result<Option<Value<'a>>, Failure> {
    let value = directive.evaluate(root).map_err(|why| invalid(what, &why.to_string()))?;
    Ok(value.filter(|value| !value.is_null()))
}

fn text<'a>(directive: &'a Directive, root: &Root<'a>, what: &str) -> Result<Option<String>, Failure> {
    let Some(value) = evaluate(directive, root, what)? else { return Ok(None) };
    let text = value.text().ok_or_else(|| invalid(what, "is neither text nor a number nor a boolean"))?;
    Ok(Some(text.into_owned()))
}

fn parse_url(text: &str) -> Result<Url, Failure> {
    let expected = "is no absolute URL with http or https";
    let url = Url::parse(text).map_err(|_| invalid("the URL", expected))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(invalid("the URL", expected));
    }
    Ok(url)
}

/// Brings a name and a password in the URL where HTTP has them: into the header for authorization.
fn take_user(request: &mut OutboundRequest) {
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let (user, password) = (decoded(request.url.username()), request.url.password().map(decoded));
    if user.is_empty() && password.is_none() {
        return;
    }
    let header = basic(&user, password.as_deref().unwrap_or_default());
    request.set_header("authorization", header);
    request.url.set_username("").expect("a URL with a host takes a name");
    request.url.set_password(None).expect("a URL with a host takes a password");
}

/// The header for authorization by name and password (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Whether a definition may name this header: in lower case, and none that belongs to the connection.
fn is_header(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok_and(|header| header.as_str() == name)
        && !HEADERS_OF_CONNECTION.contains(&name)
}

fn invalid(what: &str, why: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("the request can't be made: {what} {why}"))
}

#[cfg(test)]
mod tests;
