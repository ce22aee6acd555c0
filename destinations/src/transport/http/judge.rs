//! What an answer over HTTP means for each delivery of the request. Pure.
//!
//! Vendors' words may hold personal data, so they stay in what is remembered of the answer: texts of failures are made of
//! statuses and of the definition's own words. Of an answer about many deliveries only the beginning is remembered, so what it
//! says of one of them stands in that one's failure, unless it pauses the destination: that is logged. Bodies that lie in too
//! many levels are not looked into: whoever answers can make them as deep as they like.

use crate::connect::{InboundResponse, Masker};
use crate::definition::{ItemsSpec, ResponseRule, ResponseSpec, RuleVerdict, SettingsError, Statuses};
use crate::exchange::Verdict;
use crate::failure::{Failure, Reason};
use crate::mapping::{DEPTH_MAX, Path, Root, Value, json_depth};
use memchr::memmem;
use serde_json::value::RawValue;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much of a vendor's words is shown, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 200;

/// How answers are read.
pub(super) struct Judge {
    rules: Vec<Rule>,
    items: Option<Items>,
    message: Vec<Path>,
}

struct Rule {
    spec: &'static ResponseRule,
    path: Option<Path>,
}

struct Items {
    spec: &'static ItemsSpec,
    list: Path,
    id: Option<Path>,
    status: Path,
    message: Option<Path>,
}

impl Judge {
    /// Of what a definition says.
    ///
    /// # Errors
    /// What in it can't be used, `place` being where it stands.
    pub(super) fn compile(place: &str, spec: &'static ResponseSpec) -> Result<Self, SettingsError> {
        let path = |at: &str, text: &str| {
            Path::parse(text).map_err(|why| SettingsError::new(format!("{place}.{at}"), why))
        };
        let mut rules = Vec::with_capacity(spec.rules.len());
        for (at, rule) in spec.rules.iter().enumerate() {
            let refuse = |why: &str| Err(SettingsError::new(format!("{place}.rules[{at}]"), why));
            if rule.status.as_ref().is_some_and(|statuses| !is_well_formed(statuses)) {
                return refuse("names a status that is neither a number nor like 2xx");
            }
            if rule.verdict == RuleVerdict::Items && spec.items.is_none() {
                return refuse("needs items");
            }
            let body = rule.body.as_ref();
            if body.is_some_and(|body| body.path.is_some() == body.text.is_some()) {
                return refuse("tests the body by a path or by a text, one of them");
            }
            let tested = body.and_then(|body| body.path.as_deref());
            let tested = tested.map(|text| path(&format!("rules[{at}].body.path"), text)).transpose()?;
            rules.push(Rule { spec: rule, path: tested });
        }
        let items = spec.items.as_ref().map(|items| Items::compile(place, items)).transpose()?;
        let message = spec.message.iter().map(|text| path("message", text)).collect::<Result<_, _>>()?;
        Ok(Self { rules, items, message })
    }

    /// What the answer means for each of these deliveries, by their ids and in their order; and whether it says of each
    /// what became of it. `masker` hides the secrets that it may repeat.
    pub(super) fn verdicts(
        &self,
        response: &InboundResponse,
        ids: &[&str],
        masker: &Masker,
    ) -> (Vec<Verdict>, bool) {
        let answer = Answer::new(response);
        if self.is_unreadable(&answer) {
            return (vec![unreadable(response); ids.len()], false);
        }
        match (self.rule(&answer), &self.items) {
            (Some(rule), Some(items)) if rule.spec.verdict == RuleVerdict::Items => {
                (items.verdicts(&answer, ids, masker), true)
            }
            (rule, _) => (vec![of_rule(response, rule); ids.len()], false),
        }
    }

    /// What the answer means for a request that carries no deliveries.
    pub(super) fn verdict(&self, response: &InboundResponse) -> Verdict {
        let answer = Answer::new(response);
        if self.is_unreadable(&answer) {
            return unreadable(response);
        }
        of_rule(response, self.rule(&answer))
    }

    /// What the vendor says in words: bounded and without secrets, but with whatever personal data it holds.
    pub(super) fn message(&self, response: &InboundResponse, masker: &Masker) -> Option<String> {
        let answer = Answer::new(response);
        let root = Root::new(answer.json()?);
        let whole = self.message.iter().find_map(|path| words(path, &root, masker));
        whole.or_else(|| self.items.as_ref()?.message(&answer, masker))
    }

    /// Whether answers say of each delivery what became of it.
    pub(super) fn has_items(&self) -> bool {
        self.items.is_some()
    }

    fn rule(&self, answer: &Answer<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(answer))
    }

    /// Whether a success is one only by what stands in its body, and that did not come whole or can't be looked into: what
    /// is missing may say that it was none.
    fn is_unreadable(&self, answer: &Answer<'_>) -> bool {
        let status = answer.response.status;
        let deciding = self.rules.iter().find(|rule| rule.is_about(status));
        is_success(status) && deciding.is_some_and(Rule::looks_at_bodies) && !answer.is_readable()
    }
}

/// An answer; its body is looked into once, and only if a rule asks for it.
struct Answer<'a> {
    response: &'a InboundResponse,
    body: OnceCell<Body<'a>>,
}

/// What a body is.
#[derive(Clone, Copy)]
enum Body<'a> {
    Json(&'a str),
    /// JSON in too many levels.
    TooDeep,
    Other,
}

impl<'a> Answer<'a> {
    fn new(response: &'a InboundResponse) -> Self {
        Self { response, body: OnceCell::new() }
    }

    fn body(&self) -> Body<'a> {
        *self.body.get_or_init(|| {
            if self.response.is_encoded {
                return Body::Other;
            }
            let Ok(text) = std::str::from_utf8(&self.response.body) else { return Body::Other };
            match json_depth(text) {
                Some(depth) if depth > DEPTH_MAX => Body::TooDeep,
                Some(_) => Body::Json(text.trim_ascii()),
                None => Body::Other,
            }
        })
    }

    /// The body, if it is JSON that can be looked into.
    fn json(&self) -> Option<&'a str> {
        match self.body() {
            Body::Json(text) => Some(text),
            Body::TooDeep | Body::Other => None,
        }
    }

    fn is_readable(&self) -> bool {
        self.response.is_whole && !self.response.is_encoded && !matches!(self.body(), Body::TooDeep)
    }
}

impl Rule {
    fn is_about(&self, status: u16) -> bool {
        self.spec.status.as_ref().is_none_or(|statuses| names(statuses, status))
    }

    fn looks_at_bodies(&self) -> bool {
        self.spec.body.is_some() || self.spec.verdict == RuleVerdict::Items
    }

    fn fits(&self, answer: &Answer<'_>) -> bool {
        if !self.is_about(answer.response.status) {
            return false;
        }
        let Some(test) = &self.spec.body else { return true };
        if let Some(text) = &test.text {
            return memmem::find(&answer.response.body, text.as_bytes()).is_some();
        }
        let (Some(path), Some(json)) = (&self.path, answer.json()) else { return false };
        let root = Root::new(json);
        match (path.first(&root), &test.equals) {
            (None, _) => false,
            (Some(found), Some(wanted)) => found.to_serde() == *wanted,
            (Some(found), None) => found.is_something(),
        }
    }
}

impl Items {
    fn compile(place: &str, spec: &'static ItemsSpec) -> Result<Self, SettingsError> {
        let path = |at: &str, text: &str| {
            Path::parse(text).map_err(|why| SettingsError::new(format!("{place}.items.{at}"), why))
        };
        if spec.missing == RuleVerdict::Items {
            return Err(SettingsError::new(format!("{place}.items.missing"), "can't be items again"));
        }
        Ok(Self {
            spec,
            list: path("path", &spec.path)?,
            id: spec.id.as_ref().map(|text| path("id", text)).transpose()?,
            status: path("status", &spec.status)?,
            message: spec.message.as_ref().map(|text| path("message", text)).transpose()?,
        })
    }

    fn verdicts(&self, answer: &Answer<'_>, ids: &[&str], masker: &Masker) -> Vec<Verdict> {
        let response = answer.response;
        let Some(list) = self.list(answer) else {
            let text =
                format!("answered {}, without the list of results that it should have", response.status);
            return vec![unreadable_because(response, text); ids.len()];
        };
        let missing = || self.of_missing(response);
        let Some(id) = &self.id else {
            let of = |result: &String| self.of_result(response, result, masker);
            return (0..ids.len()).map(|at| list.get(at).map_or_else(missing, of)).collect();
        };
        let mut by_id: BTreeMap<String, Verdict> = BTreeMap::new();
        for result in &list {
            if let Some(named) = text_at(id, &Root::new(result)) {
                by_id.entry(named).or_insert_with(|| self.of_result(response, result, masker));
            }
        }
        ids.iter().map(|id| by_id.get(*id).cloned().unwrap_or_else(missing)).collect()
    }

    /// The JSON text of each result; `None` if there is no list.
    fn list(&self, answer: &Answer<'_>) -> Option<Vec<String>> {
        let root = Root::new(answer.json()?);
        let mut list = Vec::new();
        self.list.first(&root)?.write(&mut list);
        let results: Vec<Box<RawValue>> = serde_json::from_slice(&list).ok()?;
        Some(results.into_iter().map(|result| result.get().to_owned()).collect())
    }

    /// What a result says, which is JSON text.
    fn of_result(&self, response: &InboundResponse, result: &str, masker: &Masker) -> Verdict {
        let root = Root::new(result);
        let verdict = self.without_words(response, &root);
        if verdict == Verdict::Delivered {
            return verdict;
        }
        match self.message.as_ref().and_then(|path| words(path, &root, masker)) {
            Some(words) => in_its_words(verdict, &words),
            None => verdict,
        }
    }

    fn without_words(&self, response: &InboundResponse, root: &Root<'_>) -> Verdict {
        let status = self.status.first(root);
        match status.as_ref().and_then(Value::as_bool) {
            Some(true) => return Verdict::Delivered,
            Some(false) => {
                let text = format!("answered {}, but took this delivery not", response.status);
                return Verdict::Rejected(in_body(response.status, text));
            }
            None => {}
        }
        let Some(status) = status.as_ref().and_then(|status| parse_status(&status.text()?)) else {
            let text =
                format!("answered {}, with a result for this delivery that can't be read", response.status);
            return unreadable_because(response, text);
        };
        of_status(status, response.retry_after, |answered| {
            let text = format!("answered {}, with {status} for this delivery", response.status);
            Failure { outage: false, ..answered }.in_words(text)
        })
    }

    fn of_missing(&self, response: &InboundResponse) -> Verdict {
        let text = format!("answered {}, without a result for this delivery", response.status);
        let failure = in_body(response.status, text);
        match self.spec.missing {
            RuleVerdict::Delivered => Verdict::Delivered,
            RuleVerdict::Retry => Verdict::Retry { failure, after: response.retry_after },
            RuleVerdict::Reject | RuleVerdict::Items => Verdict::Rejected(failure),
            RuleVerdict::Credentials => Verdict::Credentials(failure),
        }
    }

    /// The first of the results that says something.
    fn message(&self, answer: &Answer<'_>, masker: &Masker) -> Option<String> {
        let path = self.message.as_ref()?;
        self.list(answer)?.iter().find_map(|result| words(path, &Root::new(result), masker))
    }
}

/// The status that a result names. Some write it as they write any number: `200.0`.
fn parse_status(text: &str) -> Option<u16> {
    let number: f64 = text.parse().ok()?;
    let is_status = number.fract() == 0.0 && (100.0..600.0).contains(&number);
    is_status.then_some(number as u16)
}

/// What a status means where the definition says nothing else.
fn of_status(status: u16, after: Option<Duration>, worded: impl Fn(Failure) -> Failure) -> Verdict {
    let failure = |text: String| worded(Failure::answered(status, text));
    match status {
        200..=299 => Verdict::Delivered,
        401 => Verdict::Credentials(failure("answered 401: the credentials were refused".to_owned())),
        300..=399 => Verdict::Rejected(failure(format!("answered {status}; redirects are not followed"))),
        408 | 425 | 429 | 500 | 502..=599 => {
            let answered = Failure::answered(status, format!("answered {status}"));
            let failure = worded(Failure { outage: status >= 500, ..answered });
            Verdict::Retry { failure, after }
        }
        _ => Verdict::Rejected(failure(format!("answered {status}"))),
    }
}

/// What the rule that fits says; without one, what the status means.
fn of_rule(response: &InboundResponse, rule: Option<&Rule>) -> Verdict {
    let (status, after) = (response.status, response.retry_after);
    let Some(rule) = rule else { return of_status(status, after, |failure| failure) };
    let is_success = is_success(status);
    let text = match &rule.spec.text {
        Some(words) => format!("answered {status}: {words}"),
        None => format!("answered {status}"),
    };
    let failure = if is_success { in_body(status, text) } else { Failure::answered(status, text) };
    match rule.spec.verdict {
        RuleVerdict::Delivered => Verdict::Delivered,
        RuleVerdict::Retry => Verdict::Retry { failure: Failure { outage: status >= 500, ..failure }, after },
        RuleVerdict::Reject => Verdict::Rejected(failure),
        RuleVerdict::Credentials => {
            let reason = if is_success { Reason::Unauthorized } else { failure.reason };
            Verdict::Credentials(Failure { reason, ..failure })
        }
        // There is nothing that items could be about.
        RuleVerdict::Items => of_status(status, after, |failure| failure),
    }
}

/// The status was a success, but the body says that it was none.
fn in_body(status: u16, text: String) -> Failure {
    Failure { status: Some(status), ..Failure::new(Reason::RefusedInBody, text) }
}

/// The verdict with what the receiver says of this delivery behind it. Of what pauses the destination it is left out.
fn in_its_words(verdict: Verdict, words: &str) -> Verdict {
    let add = |failure: Failure| failure.told(words);
    match verdict {
        Verdict::Delivered | Verdict::Credentials(_) => verdict,
        Verdict::Retry { failure, after } => Verdict::Retry { failure: add(failure), after },
        Verdict::Rejected(failure) => Verdict::Rejected(add(failure)),
    }
}

/// The text at that path, if there is one.
fn text_at(path: &Path, root: &Root<'_>) -> Option<String> {
    let value = path.first(root)?;
    let text = value.text()?;
    (!text.is_empty()).then(|| text.into_owned())
}

/// The text at that path without secrets, and bounded: in this order, for a part of a secret is one as well.
fn words(path: &Path, root: &Root<'_>, masker: &Masker) -> Option<String> {
    let masked = masker.text(&text_at(path, root)?);
    Some(masked.chars().take(MESSAGE_CHARACTERS_MAX).collect())
}

/// Taken or not, it can't be told.
fn unreadable(response: &InboundResponse) -> Verdict {
    let why = match (response.is_encoded, response.is_whole) {
        (true, _) => "came with a content-encoding, which was not asked for",
        (false, true) => "lies in too many levels",
        (false, false) => "did not come whole",
    };
    unreadable_because(response, format!("answered {}, with a body that {why}", response.status))
}

fn unreadable_because(response: &InboundResponse, text: String) -> Verdict {
    let failure = Failure { status: Some(response.status), ..Failure::new(Reason::UnreadableAnswer, text) };
    Verdict::Retry { failure, after: response.retry_after }
}

fn is_success(status: u16) -> bool {
    (200..=299).contains(&status)
}

fn is_well_formed(statuses: &Statuses) -> bool {
    match statuses {
        Statuses::One(status) => (100..=599).contains(status),
        Statuses::Class(class) => class_of(class).is_some(),
        Statuses::Any(list) => !list.is_empty() && list.iter().all(is_well_formed),
    }
}

fn names(statuses: &Statuses, status: u16) -> bool {
    match statuses {
        Statuses::One(one) => *one == status,
        Statuses::Class(class) => class_of(class) == Some(status / 100),
        Statuses::Any(list) => list.iter().any(|statuses| names(statuses, status)),
    }
}

/// The first digit of the statuses of a class such as `2xx`.
fn class_of(class: &str) -> Option<u16> {
    let digit = class.strip_suffix("xx")?.parse().ok()?;
    (1..=5).contains(&digit).then_some(digit)
}

#[cfg(test)]
mod tests;
