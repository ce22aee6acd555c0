//! The values of settings: checked against what a definition declares, and read. Pure.
//!
//! Errors name the setting and say what to write. They never hold a value: it may be a secret.

use crate::definition::{
    AuthenticationSpec, RawSettings, SettingKind, SettingSpec, SettingsError, Spec, TransportSpec,
};
use crate::mapping::Template;
use crate::selection::Selection;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use std::collections::BTreeSet;
use url::Url;

/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// Bytes of all headers of a destination together, names included.
const HEADERS_BYTES_MAX: usize = 32 << 10;
/// How many headers a setting may hold.
const HEADERS_MAX: usize = 50;
/// Headers that belong to the connection: the sender makes them.
const HEADERS_OF_CONNECTION: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of a signature by the Standard Webhooks scheme.
const HEADERS_OF_SIGNATURE: [&str; 3] = ["webhook-id", "webhook-signature", "webhook-timestamp"];
/// The header that shows who the sender is.
const AUTHORIZATION: &str = "authorization";

/// Checks that every setting is known and each is as the definition declares, and that what has to be given is. A null
/// counts as not given.
///
/// # Errors
/// The first setting that is wrong, and what to do about it.
pub(crate) fn check_settings(spec: &Spec, settings: &RawSettings) -> Result<(), SettingsError> {
    for name in settings.keys() {
        if spec.setting(name).is_none() {
            let known = listed(spec.settings.iter().map(|setting| setting.name.as_str()));
            let message = format!("is not a setting of {}; it takes {known}", spec.name);
            return Err(SettingsError::new(name, message));
        }
    }
    for setting in &spec.settings {
        if given(settings, &setting.name).is_some() {
            check_value(spec, setting, settings)?;
        } else if setting.required && setting.default.is_none() {
            return Err(SettingsError::new(&setting.name, "is required"));
        }
    }
    check_needs(spec, settings)?;
    check_authorization(spec, settings)?;
    spec.one_of.iter().try_for_each(|group| check_group(group, settings))
}

/// The settings, with what counts where nothing is given.
pub(crate) fn with_defaults(spec: &Spec, settings: &RawSettings) -> RawSettings {
    let mut filled: RawSettings = settings.clone();
    filled.retain(|_, value| !value.is_null());
    for setting in &spec.settings {
        if let Some(default) = &setting.default {
            filled.entry(setting.name.clone()).or_insert_with(|| default.clone());
        }
    }
    filled
}

/// A setting that is text, or what counts where it is not given; `None` without either.
///
/// # Errors
/// If it is something else.
pub(crate) fn text<'a>(
    spec: &'a Spec,
    settings: &'a RawSettings,
    name: &str,
) -> Result<Option<&'a str>, SettingsError> {
    let Some(value) = value(spec, settings, name) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| SettingsError::new(name, "must be text"))
}

/// A setting that is a number of things, or what counts where it is not given; `None` without either.
///
/// # Errors
/// If it is something else, or zero.
pub(crate) fn count(spec: &Spec, settings: &RawSettings, name: &str) -> Result<Option<u64>, SettingsError> {
    let Some(value) = value(spec, settings, name) else { return Ok(None) };
    match value.as_u64() {
        Some(number) if number > 0 => Ok(Some(number)),
        Some(_) | None => Err(SettingsError::new(name, "must be a whole number from 1 on")),
    }
}

/// A setting that is on or off, or what counts where it is not given; `None` without either.
///
/// # Errors
/// If it is something else.
pub(crate) fn switch(spec: &Spec, settings: &RawSettings, name: &str) -> Result<Option<bool>, SettingsError> {
    let Some(value) = value(spec, settings, name) else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| SettingsError::new(name, "must be true or false"))
}

/// A setting that is an absolute `http` or `https` URL, or what counts where it is not given; `None` without either.
///
/// # Errors
/// If it is something else.
pub(crate) fn url(spec: &Spec, settings: &RawSettings, name: &str) -> Result<Option<Url>, SettingsError> {
    let Some(text) = text(spec, settings, name)? else { return Ok(None) };
    let expected = "must be an absolute URL with http or https, such as https://example.com/hook";
    // The parser leaves them out, so that what is shown would not be what is used.
    if text.contains(char::is_control) {
        return Err(SettingsError::new(name, "must not hold line breaks, tabs or other control characters"));
    }
    let url = Url::parse(text).map_err(|_| SettingsError::new(name, expected))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(SettingsError::new(name, expected));
    }
    Ok(Some(url))
}

/// Names, with commas between.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn given<'a>(settings: &'a RawSettings, name: &str) -> Option<&'a Value> {
    settings.get(name).filter(|value| !value.is_null())
}

/// What counts: what is given, or the default.
fn value<'a>(spec: &'a Spec, settings: &'a RawSettings, name: &str) -> Option<&'a Value> {
    given(settings, name).or_else(|| spec.setting(name)?.default.as_ref())
}

/// Checks what counts of a setting: what is given, or the default.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_value(
    spec: &Spec,
    setting: &SettingSpec,
    settings: &RawSettings,
) -> Result<(), SettingsError> {
    let name = &setting.name;
    match setting.kind {
        SettingKind::Url => {
            check_text(spec, setting, settings)?;
            let url = url(spec, settings, name)?;
            if setting.secret { Ok(()) } else { check_open(spec, name, url.as_ref()) }
        }
        SettingKind::Text => check_text(spec, setting, settings).map(drop),
        SettingKind::Template => {
            let text = check_text(spec, setting, settings)?;
            Template::parse(text).map(drop).map_err(|message| SettingsError::new(name, message))
        }
        SettingKind::Choice => {
            let text = check_text(spec, setting, settings)?;
            if setting.choices.iter().any(|choice| choice == text) {
                return Ok(());
            }
            let choices = listed(setting.choices.iter().map(String::as_str));
            Err(SettingsError::new(name, format!("must be one of: {choices}")))
        }
        SettingKind::Switch => switch(spec, settings, name).map(drop),
        SettingKind::Count => check_count(spec, setting, settings),
        SettingKind::Headers => check_headers(spec, name, settings),
        SettingKind::Activations => Selection::read(settings, name).map(drop),
    }
}

/// The text: not empty, not too long, and of the declared form.
fn check_text<'a>(
    spec: &'a Spec,
    setting: &SettingSpec,
    settings: &'a RawSettings,
) -> Result<&'a str, SettingsError> {
    let refuse = |message: String| SettingsError::new(&setting.name, message);
    let text = text(spec, settings, &setting.name)?.unwrap_or_default();
    if text.is_empty() {
        return Err(refuse(if_empty(spec, setting, settings)));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(refuse(format!("has {} bytes; the limit is {TEXT_BYTES_MAX}", text.len())));
    }
    if let Some(pattern) = &setting.pattern {
        let whole = regex::Regex::new(&format!("^(?:{pattern})$"));
        let whole = whole.expect("the patterns of the catalog are regular expressions");
        if !whole.is_match(text) {
            let expected = setting.expected.clone();
            return Err(refuse(expected.unwrap_or_else(|| format!("must match {pattern}"))));
        }
    }
    Ok(text)
}

/// What is said of an empty text. Nobody is told to leave out what is asked for then.
fn if_empty(spec: &Spec, setting: &SettingSpec, settings: &RawSettings) -> String {
    if setting.default.is_some() {
        return "is empty; leave it out for its default".to_owned();
    }
    if setting.required {
        return "is empty, and required".to_owned();
    }
    let needs_it =
        |other: &&SettingSpec| other.needs.contains(&setting.name) && given(settings, &other.name).is_some();
    match spec.settings.iter().find(needs_it) {
        Some(other) => format!("is empty, and required where `{}` is given", other.name),
        None => "is empty; leave it out to go without it".to_owned(),
    }
}

/// Refuses credentials in a URL that is shown to everybody who may read settings.
fn check_open(spec: &Spec, name: &str, url: Option<&Url>) -> Result<(), SettingsError> {
    if url.is_none_or(|url| url.username().is_empty() && url.password().is_none()) {
        return Ok(());
    }
    let has_basic = spec.setting("basic_user").is_some() && spec.setting("basic_password").is_some();
    let advice = if has_basic { "; use `basic_user` and `basic_password`" } else { "; leave them out" };
    Err(SettingsError::new(
        name,
        format!("must not hold a user name or password, which would be shown{advice}"),
    ))
}

fn check_count(spec: &Spec, setting: &SettingSpec, settings: &RawSettings) -> Result<(), SettingsError> {
    let least = setting.minimum.unwrap_or(1);
    let expected = setting.maximum.map_or_else(
        || format!("must be a whole number from {least} on"),
        |most| format!("must be a whole number from {least} to {most}"),
    );
    let refuse = || SettingsError::new(&setting.name, expected.clone());
    let number = count(spec, settings, &setting.name).map_err(|_| refuse())?.unwrap_or(least);
    let is_good = number >= least && setting.maximum.is_none_or(|most| number <= most);
    if is_good { Ok(()) } else { Err(refuse()) }
}

fn check_headers(spec: &Spec, name: &str, settings: &RawSettings) -> Result<(), SettingsError> {
    let value = value(spec, settings, name).and_then(Value::as_object);
    let headers =
        value.ok_or_else(|| SettingsError::new(name, r#"must be an object of texts: {"x-api-key": "…"}"#))?;
    if headers.len() > HEADERS_MAX {
        return Err(SettingsError::new(
            name,
            format!("has {} headers; the limit is {HEADERS_MAX}", headers.len()),
        ));
    }
    let bytes = headers.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len));
    if bytes.sum::<usize>() > HEADERS_BYTES_MAX {
        return Err(SettingsError::new(name, "is too long: all headers together have at most 32 KB"));
    }
    let own = own_headers(spec, settings);
    let mut seen = BTreeSet::new();
    for (header, value) in headers {
        let refuse = |message: &str| Err(SettingsError::new(format!("{name}.{header}"), message));
        let Ok(parsed) = HeaderName::from_bytes(header.as_bytes()) else {
            return refuse("is no name of a header: letters, digits and - stand in one");
        };
        if HEADERS_OF_CONNECTION.contains(&parsed.as_str()) {
            return refuse("can't be set: it belongs to the connection");
        }
        if own.contains(parsed.as_str()) {
            return refuse("can't be set: each request has one of its own");
        }
        if !seen.insert(parsed.as_str().to_owned()) {
            return refuse("is given twice: names of headers are the same in small and in capital letters");
        }
        let Some(text) = value.as_str() else { return refuse("must be text") };
        if text.len() > TEXT_BYTES_MAX || HeaderValue::from_str(text).is_err() {
            return refuse("can't stand in a header: write text without line breaks, of 16 KB at most");
        }
    }
    Ok(())
}

/// The headers that the definition's requests have by themselves with these settings.
fn own_headers<'s>(spec: &'s Spec, settings: &RawSettings) -> BTreeSet<&'s str> {
    let TransportSpec::Http(http) = &spec.transport else { return BTreeSet::new() };
    let others = [&http.batch_request, &http.test, &http.delete];
    let of_actions = spec.actions.iter().map(|action| &action.request);
    let requests = others.into_iter().chain(of_actions).flatten().chain([&http.request]);
    let is_signed = |way: &AuthenticationSpec| match way {
        AuthenticationSpec::StandardWebhooks { secret } => given(settings, secret).is_some(),
        AuthenticationSpec::Headers { .. }
        | AuthenticationSpec::Header { .. }
        | AuthenticationSpec::Basic { .. }
        | AuthenticationSpec::Oauth2 { .. } => false,
    };
    let signature = http.authentication.iter().any(is_signed).then_some(HEADERS_OF_SIGNATURE);
    requests
        .flat_map(|request| request.headers.keys().map(String::as_str))
        .chain(signature.into_iter().flatten())
        .collect()
}

/// Refuses that more than one way fills the header for authorization: only one of them would be sent.
fn check_authorization(spec: &Spec, settings: &RawSettings) -> Result<(), SettingsError> {
    let TransportSpec::Http(http) = &spec.transport else { return Ok(()) };
    let (mut header, mut others) = (None, Vec::new());
    for way in &http.authentication {
        let setting = match way {
            AuthenticationSpec::Headers { setting } => {
                let headers = given(settings, setting).and_then(Value::as_object);
                let mut names = headers.into_iter().flat_map(serde_json::Map::keys);
                let name = names.find(|name| name.eq_ignore_ascii_case(AUTHORIZATION));
                header = header.or(name.map(|name| format!("{setting}.{name}")));
                continue;
            }
            AuthenticationSpec::Header { name, setting, .. } if name == AUTHORIZATION => setting,
            AuthenticationSpec::Basic { user: setting, .. }
            | AuthenticationSpec::Oauth2 { token_url: setting, .. } => setting,
            AuthenticationSpec::Header { .. } | AuthenticationSpec::StandardWebhooks { .. } => continue,
        };
        // Two ways may be told apart by another setting.
        if given(settings, setting).is_some() && !others.contains(setting) {
            others.push(setting.clone());
        }
    }
    let mut all = header.into_iter().chain(others);
    match (all.next(), all.next()) {
        (Some(first), Some(second)) => {
            let message =
                format!("is given beside `{second}`, which is sent in the same header; give one of them");
            Err(SettingsError::new(first, message))
        }
        (None, _) | (_, None) => Ok(()),
    }
}

fn check_needs(spec: &Spec, settings: &RawSettings) -> Result<(), SettingsError> {
    for setting in spec.settings.iter().filter(|setting| given(settings, &setting.name).is_some()) {
        for needed in &setting.needs {
            let has_default = spec.setting(needed).is_some_and(|needed| needed.default.is_some());
            if given(settings, needed).is_none() && !has_default {
                return Err(SettingsError::new(
                    needed,
                    format!("is required where `{}` is given", setting.name),
                ));
            }
        }
    }
    Ok(())
}

/// Settings of which exactly one has to be given.
fn check_group(group: &[String], settings: &RawSettings) -> Result<(), SettingsError> {
    let mut names = group.iter().filter(|name| given(settings, name).is_some());
    let all = listed(group.iter().map(String::as_str));
    match (names.next(), names.next()) {
        (Some(_), None) => Ok(()),
        (Some(first), Some(second)) => {
            let message = format!("is given beside `{first}`; give exactly one of: {all}");
            Err(SettingsError::new(second, message))
        }
        (None, _) => {
            let field = group.first().map(String::as_str).unwrap_or_default();
            Err(SettingsError::new(field, format!("is missing; give exactly one of: {all}")))
        }
    }
}

#[cfg(test)]
mod tests;
