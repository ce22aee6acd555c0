//! What an answer over HTTP means for each delivery of the request. Pure.
//!
//! Vendors' words may hold personal data, so they stay in what is remembered of the answer: texts of failures are made of
//! statuses and of the definition's own words.

use crate::connect::InboundResponse;
use crate::definition::{ItemsSpec, ResponseRule, ResponseSpec, RuleVerdict, SettingsError, Statuses};
use crate::exchange::Verdict;
use crate::failure::{Failure, Reason};
use crate::mapping::{Path, Root, Value};
use memchr::memmem;
use serde_json::Value as Json;
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

    /// What the answer means for each of these deliveries, by their ids and in their order.
    pub(super) fn verdicts(&self, response: &InboundResponse, ids: &[&str]) -> Vec<Verdict> {
        let answer = Answer::new(response);
        match (self.rule(&answer), &self.items) {
            (Some(rule), Some(items)) if rule.spec.verdict == RuleVerdict::Items => {
                items.verdicts(&answer, ids)
            }
            (rule, _) => vec![of_rule(response, rule); ids.len()],
        }
    }

    /// What the answer means for a request that carries no deliveries.
    pub(super) fn verdict(&self, response: &InboundResponse) -> Verdict {
        of_rule(response, self.rule(&Answer::new(response)))
    }

    /// What the vendor says in words: bounded, but with whatever secrets and personal data it holds.
    pub(super) fn message(&self, response: &InboundResponse) -> Option<String> {
        let answer = Answer::new(response);
        let root = Root::new(answer.json()?);
        let whole = self.message.iter().find_map(|path| words(path, &root));
        whole.or_else(|| self.items.as_ref()?.message(&answer))
    }

    fn rule(&self, answer: &Answer<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(answer))
    }
}

/// An answer; its body is looked into once, and only if a rule asks for it.
struct Answer<'a> {
    response: &'a InboundResponse,
    json: OnceCell<Option<&'a str>>,
}

impl<'a> Answer<'a> {
    fn new(response: &'a InboundResponse) -> Self {
        Self { response, json: OnceCell::new() }
    }

    /// The body, if it is JSON.
    fn json(&self) -> Option<&'a str> {
        *self.json.get_or_init(|| {
            let text = std::str::from_utf8(&self.response.body).ok()?;
            serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
        })
    }
}

impl Rule {
    fn fits(&self, answer: &Answer<'_>) -> bool {
        let status = answer.response.status;
        if self.spec.status.as_ref().is_some_and(|statuses| !names(statuses, status)) {
            return false;
        }
        let Some(test) = &self.spec.body else { return true };
        if let Some(text) = &test.text {
            return memmem::find(&answer.response.body, text.as_bytes()).is_some();
        }
        let (Some(path), Some(json)) = (&self.path, answer.json()) else { return false };
        let root = Root::new(json);
        let found = path.first(&root).map(|value| value.to_serde());
        match (found, &test.equals) {
            (None, _) => false,
            (Some(found), Some(wanted)) => found == *wanted,
            (Some(found), None) => is_something(&found),
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

    fn verdicts(&self, answer: &Answer<'_>, ids: &[&str]) -> Vec<Verdict> {
        let response = answer.response;
        let Some(list) = self.list(answer) else {
            let text =
                format!("answered {}, without the list of results that it should have", response.status);
            let failure =
                Failure { status: Some(response.status), ..Failure::new(Reason::UnreadableAnswer, text) };
            return vec![Verdict::Retry { failure, after: response.retry_after }; ids.len()];
        };
        let results: Vec<Json> = list.iter().filter_map(|result| serde_json::from_str(result).ok()).collect();
        let missing = || self.of_missing(response);
        let Some(id) = &self.id else {
            let of = |result: &Json| self.of_result(response, result);
            return (0..ids.len()).map(|at| results.get(at).and_then(of).unwrap_or_else(missing)).collect();
        };
        let mut by_id: BTreeMap<String, Verdict> = BTreeMap::new();
        for result in &results {
            let named = words(id, &Root::of(Value::from_json(result)));
            if let (Some(named), Some(verdict)) = (named, self.of_result(response, result)) {
                by_id.entry(named).or_insert(verdict);
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

    /// `None` if the result has no status.
    fn of_result(&self, response: &InboundResponse, result: &Json) -> Option<Verdict> {
        let root = Root::of(Value::from_json(result));
        let status = self.status.first(&root)?.to_serde();
        match status.as_bool() {
            Some(true) => return Some(Verdict::Delivered),
            Some(false) => {
                let text = format!("answered {}, but took this delivery not", response.status);
                return Some(Verdict::Rejected(in_body(response.status, text)));
            }
            None => {}
        }
        let number = status.as_u64().or_else(|| status.as_str()?.parse().ok());
        let status = number.and_then(|number| u16::try_from(number).ok())?;
        Some(of_status(status, response.retry_after, |answered| {
            let text = format!("answered {}, with {status} for this delivery", response.status);
            Failure { text, outage: false, ..answered }
        }))
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
    fn message(&self, answer: &Answer<'_>) -> Option<String> {
        let path = self.message.as_ref()?;
        self.list(answer)?.iter().find_map(|result| words(path, &Root::new(result)))
    }
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
            let failure = worded(Failure { outage: status >= 500 && after.is_none(), ..answered });
            Verdict::Retry { failure, after }
        }
        _ => Verdict::Rejected(failure(format!("answered {status}"))),
    }
}

/// What the rule that fits says; without one, what the status means.
fn of_rule(response: &InboundResponse, rule: Option<&Rule>) -> Verdict {
    let (status, after) = (response.status, response.retry_after);
    let Some(rule) = rule else { return of_status(status, after, |failure| failure) };
    let is_success = (200..=299).contains(&status);
    let text = match &rule.spec.text {
        Some(words) => format!("answered {status}: {words}"),
        None => format!("answered {status}"),
    };
    let failure = if is_success { in_body(status, text) } else { Failure::answered(status, text) };
    match rule.spec.verdict {
        RuleVerdict::Delivered => Verdict::Delivered,
        RuleVerdict::Retry => {
            let outage = status >= 500 && after.is_none();
            Verdict::Retry { failure: Failure { outage, ..failure }, after }
        }
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

/// The text at that path, bounded.
fn words(path: &Path, root: &Root<'_>) -> Option<String> {
    let value = path.first(root)?;
    let text = value.text()?;
    Some(text.chars().take(MESSAGE_CHARACTERS_MAX).collect()).filter(|text: &String| !text.is_empty())
}

/// Neither null nor false nor empty.
fn is_something(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => false,
        Json::Bool(true) | Json::Number(_) => true,
        Json::String(text) => !text.is_empty(),
        Json::Array(list) => !list.is_empty(),
        Json::Object(members) => !members.is_empty(),
    }
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
