//! Destinations that are reached by requests over HTTP, as their definitions describe them.
//!
//! What is shown of a request is made by the code that makes the request, so the two are never apart: [`Http::request`].
//! Secrets are hidden in it, and so is everything in its headers that shows who the sender is. A token of OAuth 2.0 is got
//! only when something is sent; where a request is shown, a mask stands in its place.

mod authentication;
mod judge;
mod oauth;
mod request;

use super::{Called, Person, Transport, TransportParts};
use crate::connect::{InboundResponse, MASK, Masker, Outbound, OutboundRequest, Whole};
use crate::definition::{HttpSpec, RawSettings, RequestSpec, SettingsError, Spec};
use crate::exchange::{Exchange, Payload, RequestRecord, ResponseRecord, Verdict};
use crate::failure::{Failure, Reason};
use crate::settings::with_defaults;
use authentication::Authentication;
use futures_util::future::BoxFuture;
use judge::Judge;
pub(crate) use oauth::Grant;
use oauth::{Oauth, Token};
use request::{Form, Subject, root};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tributary_model::Timestamp;

/// Bytes of an answer that are remembered.
const ANSWER_BYTES_SHOWN: usize = 2048;

/// Bytes of the body of a test call, or of a deletion, that are shown.
const CALL_BYTES_SHOWN: usize = 16 << 10;

/// What an answer may have for each delivery of a request, where it says of each what became of it.
const ANSWER_BYTES_PER_DELIVERY: usize = 512;

/// What an answer may have at most on that account.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Bytes of the hash in the id of a request that carries several deliveries.
const BATCH_HASH_BYTES: usize = 16;

/// A configured destination that is reached over HTTP.
pub(crate) struct Http {
    alone: Form,
    together: Option<Form>,
    /// One payload, too, goes in the form for several.
    always_together: bool,
    /// By the index of the action; `None` for those whose requests are like all others.
    of_actions: Vec<Option<Form>>,
    test: Option<Form>,
    delete: Option<Form>,
    /// The settings as JSON, defaults filled in.
    settings: String,
    authentication: Authentication,
    masker: Arc<Masker>,
    outbound: Arc<Outbound>,
    timeout: Duration,
    response_bytes: usize,
}

impl Http {
    /// A destination with these settings, which have been checked against what the definition declares.
    ///
    /// # Errors
    /// The first setting that can't be used.
    pub(crate) fn new(
        spec: &'static Spec,
        http: &'static HttpSpec,
        settings: &RawSettings,
        parts: &TransportParts,
    ) -> Result<Self, SettingsError> {
        let settings = with_defaults(spec, settings);
        let timeout = spec.limits.timeout_ms.map_or(parts.timeout, Duration::from_millis);
        let authentication = Authentication::new(&http.authentication, &settings, parts, timeout)?;
        let masker = Masker::of_settings(spec, &settings);
        let form = |place: &str, request: &'static RequestSpec| Form::compile(place, request, &http.response);
        let optional = |place: &str, request: &'static Option<RequestSpec>| {
            request.as_ref().map(|request| form(place, request)).transpose()
        };
        let of_actions = spec.actions.iter().map(|action| optional(&action.name, &action.request));
        let setting = spec.batch.events_setting.as_ref();
        Ok(Self {
            alone: form("request", &http.request)?,
            together: optional("batch_request", &http.batch_request)?,
            always_together: setting.is_some_and(|name| settings.contains_key(name)),
            of_actions: of_actions.collect::<Result<_, _>>()?,
            test: optional("test", &http.test)?,
            delete: optional("delete", &http.delete)?,
            settings: serde_json::to_string(&settings).expect("settings are JSON"),
            masker: Arc::new(masker.with(authentication.secrets.iter().map(String::as_str))),
            authentication,
            outbound: Arc::clone(&parts.outbound),
            timeout,
            response_bytes: parts.response_bytes,
        })
    }

    /// The request for these payloads, secrets in the clear, without a token of OAuth 2.0.
    ///
    /// # Errors
    /// Why it can't be made.
    pub(crate) fn request(&self, payloads: &[Payload], at: Timestamp) -> Result<OutboundRequest, Failure> {
        let first = payloads.first().map(|payload| payload.id.as_str()).unwrap_or_default();
        let is_alone = payloads.len() == 1 && !self.always_together;
        let id = if is_alone { Cow::Borrowed(first) } else { Cow::Owned(batch_id(payloads)) };
        self.made(self.form(payloads), Subject::Payloads(payloads), &id, at)
    }

    /// A request that carries no payloads.
    fn call_request(
        &self,
        form: &Form,
        subject: Subject<'_>,
        at: Timestamp,
    ) -> Result<OutboundRequest, Failure> {
        self.made(form, subject, &format!("call_{}", at.as_micros()), at)
    }

    fn made(
        &self,
        form: &Form,
        subject: Subject<'_>,
        id: &str,
        at: Timestamp,
    ) -> Result<OutboundRequest, Failure> {
        let mut request = form.request(&root(&self.settings, subject, id, at)?)?;
        self.authentication.apply(&mut request, id, at)?;
        Ok(request)
    }

    /// The form of the request for these payloads, which are all of one action.
    fn form(&self, payloads: &[Payload]) -> &Form {
        let own = payloads.first().and_then(|payload| self.of_actions.get(payload.action)?.as_ref());
        let together = self.together.as_ref().filter(|_| self.always_together || payloads.len() > 1);
        own.or(together).unwrap_or(&self.alone)
    }

    /// How much of an answer to so many deliveries is read.
    fn answer_bytes(&self, judge: &Judge, deliveries: usize) -> usize {
        let wanted = if judge.has_items() { deliveries.saturating_mul(ANSWER_BYTES_PER_DELIVERY) } else { 0 };
        self.response_bytes.max(wanted.min(ANSWER_BYTES_MAX))
    }

    /// What is shown of a request: all that is sent but for what HTTP adds, the host and the length of the body.
    fn record(&self, request: &OutboundRequest, body_bytes: usize) -> RequestRecord {
        let shown = |(name, value): (&str, &str)| {
            let is_secret = self.authentication.is_secret(name);
            let value = if is_secret { hidden(value) } else { self.masker.whole(value) };
            (name.to_owned(), value)
        };
        let mut headers: Vec<(String, String)> = request.headers_sent().map(shown).collect();
        if self.authentication.oauth.is_some() {
            headers.retain(|(name, _)| name != "authorization");
            headers.push(("authorization".to_owned(), hidden("Bearer token")));
        }
        RequestRecord {
            method: request.method.clone(),
            target: self.masker.url(&request.url),
            headers,
            body: self.masker.beginning(&request.body, Whole::Given, body_bytes),
            body_bytes: request.body.len() as u64,
        }
    }

    /// Sends a request, with a token if it needs one, and reads so much of the answer. A token that is refused is fetched
    /// anew, once.
    ///
    /// # Errors
    /// What it means that there is no answer.
    async fn answer(
        &self,
        request: OutboundRequest,
        answer_bytes: usize,
        at: Timestamp,
    ) -> Result<Answered, Verdict> {
        let Some(oauth) = &self.authentication.oauth else {
            let response = self.exchange(request, answer_bytes, at).await?;
            return Ok(Answered { response, masker: Arc::clone(&self.masker) });
        };
        let (response, token) = self.exchange_with_token(oauth, request.clone(), answer_bytes, at).await?;
        if response.status != 401 {
            return Ok(Answered { response, masker: oauth.masker(&token, &self.masker) });
        }
        oauth.throw_away(&token).await;
        let (response, token) = self.exchange_with_token(oauth, request, answer_bytes, at).await?;
        Ok(Answered { response, masker: oauth.masker(&token, &self.masker) })
    }

    async fn exchange_with_token(
        &self,
        oauth: &Oauth,
        mut request: OutboundRequest,
        answer_bytes: usize,
        at: Timestamp,
    ) -> Result<(InboundResponse, Token), Verdict> {
        let token = oauth.token(at).await?;
        request.set_header("authorization", token.header.clone());
        Ok((self.exchange(request, answer_bytes, at).await?, token))
    }

    async fn exchange(
        &self,
        request: OutboundRequest,
        answer_bytes: usize,
        at: Timestamp,
    ) -> Result<InboundResponse, Verdict> {
        let sent = self.outbound.send(request, self.timeout, answer_bytes, at).await;
        sent.map_err(|failure| {
            if failure.reason == Reason::InvalidRequest {
                Verdict::Rejected(failure)
            } else {
                Verdict::Retry { failure, after: None }
            }
        })
    }

    async fn send_all(&self, payloads: &[Payload], at: Timestamp) -> Exchange {
        let request = match self.request(payloads, at) {
            Ok(request) => request,
            Err(failure) => return Exchange::unanswered(&Verdict::Rejected(failure), payloads.len()),
        };
        let judge = &self.form(payloads).judge;
        match self.answer(request, self.answer_bytes(judge, payloads.len()), at).await {
            Ok(answered) => {
                let ids: Vec<&str> = payloads.iter().map(|payload| payload.id.as_str()).collect();
                let (verdicts, by_item) = judge.verdicts(&answered.response, &ids, &answered.masker);
                Exchange { response: Some(answered.record(judge)), verdicts, by_item }
            }
            Err(verdict) => Exchange::unanswered(&verdict, payloads.len()),
        }
    }

    async fn call(&self, form: &Form, subject: Subject<'_>, at: Timestamp) -> Called {
        let request = match self.call_request(form, subject, at) {
            Ok(request) => request,
            Err(failure) => {
                let request = RequestRecord::default();
                return Called { request, response: None, verdict: Verdict::Rejected(failure) };
            }
        };
        let shown = self.record(&request, CALL_BYTES_SHOWN);
        match self.answer(request, self.response_bytes, at).await {
            Ok(answered) => {
                let verdict = form.judge.verdict(&answered.response);
                Called { request: shown, response: Some(answered.record(&form.judge)), verdict }
            }
            Err(verdict) => Called { request: shown, response: None, verdict },
        }
    }
}

impl Transport for Http {
    fn part(&self, _: &Payload) -> u64 {
        0
    }

    fn describe(
        &self,
        payloads: &[Payload],
        at: Timestamp,
        body_bytes: usize,
    ) -> Result<RequestRecord, Failure> {
        Ok(self.record(&self.request(payloads, at)?, body_bytes))
    }

    fn send<'a>(&'a self, payloads: &'a [Payload], at: Timestamp) -> BoxFuture<'a, Exchange> {
        Box::pin(self.send_all(payloads, at))
    }

    fn test(&self, at: Timestamp) -> Option<BoxFuture<'_, Called>> {
        let form = self.test.as_ref()?;
        Some(Box::pin(self.call(form, Subject::Settings, at)))
    }

    fn delete<'a>(&'a self, person: &'a Person, at: Timestamp) -> Option<BoxFuture<'a, Called>> {
        let form = self.delete.as_ref()?;
        Some(Box::pin(self.call(form, Subject::Person(person), at)))
    }
}

/// An answer, and what hides the secrets that it may repeat.
struct Answered {
    response: InboundResponse,
    masker: Arc<Masker>,
}

impl Answered {
    /// What is remembered: the beginning of the body. Where that is not all of it, a mark at its end says so, and the vendor's
    /// own words of what was wrong stand before it, in a line of their own. Of a body that can't be read, how long it was.
    fn record(&self, judge: &Judge) -> ResponseRecord {
        let response = &self.response;
        if response.is_encoded {
            let more = if response.is_whole { "" } else { " or more" };
            let body =
                format!("({} bytes{more} with a content-encoding, which are not read)", response.body.len());
            return ResponseRecord { status: Some(response.status), body };
        }
        let is_cut = response.body.len() > ANSWER_BYTES_SHOWN;
        let message = if is_cut { judge.message(response, &self.masker) } else { None };
        let mut body = message.map_or_else(String::new, |message| message + "\n");
        let whole = if response.is_whole { Whole::Given } else { Whole::Unread };
        let room = ANSWER_BYTES_SHOWN.saturating_sub(body.len());
        body += &self.masker.beginning(&response.body, whole, room);
        ResponseRecord { status: Some(response.status), body }
    }
}

/// What a request with these payloads is called: the same name on every attempt with the same ones, and with others another.
fn batch_id(payloads: &[Payload]) -> String {
    let mut hash = blake3::Hasher::new();
    for payload in payloads {
        hash.update(payload.id.as_bytes());
        hash.update(b"\n");
    }
    format!("batch_{}", hex::encode(&hash.finalize().as_bytes()[..BATCH_HASH_BYTES]))
}

/// A mask in the place of what shows who the sender is; in which way it does is no secret.
fn hidden(value: &str) -> String {
    match value.split_once(' ') {
        Some((scheme @ ("Basic" | "Bearer"), _)) => format!("{scheme} {MASK}"),
        Some(_) | None => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests;
