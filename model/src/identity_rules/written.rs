//! Rules as an admin writes them: checked as a whole, so that a refusal names the place and what to do.

use super::at::At;
use super::path::{Path, Scalar};
use super::{
    AlarmRules, IdentityRules, Limit, NamespaceRule, Normalization, SharedDevice, SourcePath, Window,
    blocked, path, phone,
};
use crate::identifier::{Identifier, Namespace};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::ops::RangeInclusive;

/// The limit on declared namespaces.
const NAMESPACES_MAX: usize = 100;
/// The limit on the paths of a namespace.
const PATHS_MAX: usize = 20;
/// The limit on the conditions of a path.
const CONDITIONS_MAX: usize = 5;
/// The limit on the blocked values of a namespace.
const BLOCKED_MAX: usize = 1000;
/// The limit on the blocked patterns of a namespace.
const PATTERNS_MAX: usize = 50;
/// The limit on the blocked patterns of all namespaces: it bounds the memory that they take.
const PATTERNS_IN_ALL_MAX: usize = 200;
/// The limit on the length of a namespace's name, in bytes.
const NAME_BYTES_MAX: usize = 64;

const PRIORITY: RangeInclusive<u32> = 1..=1_000_000;
const COUNT: RangeInclusive<u32> = 1..=1_000_000;
const IDENTIFIERS: RangeInclusive<u32> = 2..=10_000;
const MERGES: RangeInclusive<u32> = 1..=1_000;
const ALARM_COUNT: RangeInclusive<u32> = 1..=1_000_000;
const PERCENT: RangeInclusive<u32> = 1..=100;

/// Rules as they were written: the JSON document, unchecked. Its `Debug` tells nothing of it: what is blocked may be
/// personal.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct WrittenRules(Value);

/// Why rules were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{place}`: {message}")]
pub struct RulesError {
    /// Where: `namespaces[2].limit.count` for instance.
    pub place: String,
    /// What is wrong there, and what to do.
    pub message: String,
}

impl From<&IdentityRules> for WrittenRules {
    fn from(rules: &IdentityRules) -> Self {
        Self(serde_json::to_value(rules).expect("rules are text, numbers and flags under text names"))
    }
}

impl TryFrom<WrittenRules> for IdentityRules {
    type Error = RulesError;

    fn try_from(written: WrittenRules) -> Result<Self, RulesError> {
        Self::check(written)
    }
}

impl fmt::Debug for WrittenRules {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("WrittenRules(…)")
    }
}

/// Checks a whole document and puts in the defaults.
pub(super) fn check(written: &WrittenRules) -> Result<IdentityRules, RulesError> {
    let top = At::top(&written.0);
    let rules = top.object(&["namespaces", "identifiers_max", "merges_max", "alarms"])?;
    let Some(list) = rules.get("namespaces") else {
        return Err(top.refuse_member(
            "namespaces",
            "is missing; list the namespaces, [{\"name\":\"user_id\"}] at least",
        ));
    };
    let namespaces = namespaces(&list)?;
    let alarms = rules.get("alarms").map_or(Ok(AlarmRules::default()), |at| alarms(&at))?;
    Ok(IdentityRules {
        namespaces,
        identifiers_max: rules.whole("identifiers_max", IDENTIFIERS, IdentityRules::IDENTIFIERS_MAX)?,
        merges_max: rules.whole("merges_max", MERGES, IdentityRules::MERGES_MAX)?,
        alarms,
    })
}

fn alarms(at: &At<'_>) -> Result<AlarmRules, RulesError> {
    let names = ["joins_per_day", "near_cap_percent", "merges_per_hour_min", "merges_jump_factor"];
    let (written, default) = (at.object(&names)?, AlarmRules::default());
    Ok(AlarmRules {
        joins_per_day: written.whole(names[0], ALARM_COUNT, default.joins_per_day)?,
        near_cap_percent: written.whole(names[1], PERCENT, default.near_cap_percent)?,
        merges_per_hour_min: written.whole(names[2], ALARM_COUNT, default.merges_per_hour_min)?,
        merges_jump_factor: written.whole(names[3], ALARM_COUNT, default.merges_jump_factor)?,
    })
}

fn namespaces(at: &At<'_>) -> Result<Vec<NamespaceRule>, RulesError> {
    let list = at.list(NAMESPACES_MAX, "namespaces")?;
    if list.is_empty() {
        return Err(at.refuse("is empty, so that no event would have a profile; declare a namespace"));
    }
    let mut rules: Vec<NamespaceRule> = Vec::with_capacity(list.len());
    let mut pinned: Vec<bool> = Vec::with_capacity(list.len());
    let mut patterns = 0;
    for at in &list {
        let (rule, priority) = namespace(at)?;
        if let Some(same) = rules.iter().position(|other| other.name == rule.name) {
            let say = format!("is declared in `namespaces[{same}]` already; declare each namespace once");
            return Err(at.refuse_member("name", &say));
        }
        let taken = |(other, pinned): (&NamespaceRule, &bool)| *pinned && Some(other.priority) == priority;
        if let Some(same) = rules.iter().zip(&pinned).position(taken) {
            let name = &rules[same].name;
            let say = format!("is that of `{name}` too; give each its own, or leave one out");
            return Err(at.refuse_member("priority", &say));
        }
        patterns += rule.blocked_patterns.len();
        if patterns > PATTERNS_IN_ALL_MAX {
            let say =
                format!("makes more than {PATTERNS_IN_ALL_MAX} patterns in all namespaces; leave some out");
            return Err(at.refuse_member("blocked_patterns", &say));
        }
        pinned.push(priority.is_some());
        rules.push(rule);
    }
    give_priorities(&mut rules, &pinned);
    Ok(rules)
}

/// Gives those without a priority the next free ones: `user_id`, `email`, `anonymous_id`, then by name.
fn give_priorities(rules: &mut [NamespaceRule], pinned: &[bool]) {
    let first = [Namespace::USER_ID, Namespace::EMAIL, Namespace::ANONYMOUS_ID];
    let taken: Vec<u32> =
        rules.iter().zip(pinned).filter(|(_, pinned)| **pinned).map(|(rule, _)| rule.priority).collect();
    let mut free = (1..).filter(|priority| !taken.contains(priority));
    let mut open: Vec<_> =
        rules.iter_mut().zip(pinned).filter(|(_, pinned)| !**pinned).map(|(rule, _)| rule).collect();
    open.sort_by_cached_key(|rule| {
        let rank = first.iter().position(|name| *name == rule.name).unwrap_or(first.len());
        (rank, rule.name.clone())
    });
    for rule in open {
        rule.priority = free.next().expect("there are more numbers than namespaces");
    }
}

/// One namespace, with its priority if one was written; else it is still 0.
fn namespace(at: &At<'_>) -> Result<(NamespaceRule, Option<u32>), RulesError> {
    let written = at.object(&[
        "name",
        "from",
        "normalize",
        "priority",
        "limit",
        "blocked",
        "blocked_patterns",
        "block_suggested",
        "shared_device",
    ])?;
    let name =
        written.get("name").ok_or_else(|| at.refuse_member("name", "is missing; name the namespace"))?;
    let mut rule = NamespaceRule::new(name_of(&name)?, 0);
    match written.get("from") {
        Some(from) => rule.from = paths(&from)?,
        None if path::standard(rule.name.as_str()).is_empty() => {
            let say = format!(
                "is missing, and `{}` is not one of the known namespaces; say where it is read from, \
                 [\"traits.{0}\",\"context.externalIds\"] for instance",
                rule.name
            );
            return Err(at.refuse_member("from", &say));
        }
        None => {}
    }
    if let Some(normalize) = written.get("normalize") {
        rule.normalize = normalization(&normalize)?;
    }
    if let Some(written) = written.get("limit") {
        rule.limit = limit(&written)?;
    }
    if let Some(list) = written.get("blocked") {
        rule.blocked =
            list.list(BLOCKED_MAX, "values")?.iter().map(blocked_value).collect::<Result<_, _>>()?;
    }
    if let Some(list) = written.get("blocked_patterns") {
        let pattern = |at: &At<'_>| match blocked::pattern(at.text()?) {
            Ok(_) => Ok(at.text()?.to_owned()),
            Err(why) => Err(at.refuse(&why)),
        };
        rule.blocked_patterns =
            list.list(PATTERNS_MAX, "patterns")?.iter().map(pattern).collect::<Result<_, _>>()?;
    }
    if let Some(suggested) = written.get("block_suggested") {
        rule.block_suggested = suggested.flag()?;
    }
    if let Some(policy) = written.get("shared_device") {
        rule.shared_device = policy.one_of(&SharedDevice::ALL, SharedDevice::name)?;
    }
    let priority = written.get("priority").map(|at| at.whole(PRIORITY)).transpose()?;
    rule.priority = priority.unwrap_or(0);
    Ok((rule, priority))
}

fn name_of(at: &At<'_>) -> Result<Namespace, RulesError> {
    let name = at.text()?;
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        let say = format!("is no name; use 1 to {NAME_BYTES_MAX} of a-z, 0-9, `_`, `.`, `-`, in lower case");
        return Err(at.refuse(&say));
    }
    match name {
        Namespace::PROFILE_ID => Err(at.refuse("names profiles, which no event carries; use another name")),
        Namespace::GROUP_ID => Err(at.refuse("names accounts, not people; use another name")),
        _ => Ok(Namespace::new(name)),
    }
}

fn paths(at: &At<'_>) -> Result<Vec<SourcePath>, RulesError> {
    let list = at.list(PATHS_MAX, "paths")?;
    if list.is_empty() {
        return Err(at.refuse("is empty; say where it is read from, or leave it out for the default"));
    }
    list.iter().map(source_path).collect()
}

fn source_path(at: &At<'_>) -> Result<SourcePath, RulesError> {
    let parse = |at: &At<'_>, text: &str| Path::parse(text).map_err(|why| at.refuse(&why));
    if let Value::String(text) = at.value {
        return Ok(SourcePath::new(parse(at, text)?, Vec::new()));
    }
    let Value::Object(_) = at.value else {
        return Err(at.refuse("is no path; write \"traits.email\", or {\"path\":\"…\",\"when\":{…}}"));
    };
    let written = at.object(&["path", "when"])?;
    let path = written
        .get("path")
        .ok_or_else(|| at.refuse_member("path", "is missing; write \"context.device.id\" for instance"))?;
    let path = parse(&path, path.text()?)?;
    Ok(SourcePath::new(path, written.get("when").map_or(Ok(Vec::new()), |at| conditions(&at))?))
}

fn conditions(at: &At<'_>) -> Result<Vec<(Path, Scalar)>, RulesError> {
    let Value::Object(conditions) = at.value else {
        return Err(at.refuse("is no object; write {\"context.device.type\":\"ios\"} for instance"));
    };
    if conditions.len() > CONDITIONS_MAX {
        let say = format!("has {} conditions; the limit is {CONDITIONS_MAX}", conditions.len());
        return Err(at.refuse(&say));
    }
    let condition = |(text, value): (&String, &Value)| {
        let at = At { place: format!("{}[{text:?}]", at.place), value };
        Ok::<_, RulesError>((condition_path(&at, text)?, condition_value(&at)?))
    };
    conditions.iter().map(condition).collect()
}

fn condition_path(at: &At<'_>, text: &str) -> Result<Path, RulesError> {
    let path = Path::parse(text).map_err(|why| at.refuse(&why))?;
    match path {
        Path::Member(..) => Ok(path),
        Path::UserId | Path::AnonymousId => {
            Err(at.refuse("is an identifier itself; a condition names a member of `context` for instance"))
        }
    }
}

fn condition_value(at: &At<'_>) -> Result<Scalar, RulesError> {
    match at.value {
        Value::String(text) => Ok(Scalar::Text(text.clone())),
        Value::Bool(flag) => Ok(Scalar::Flag(*flag)),
        Value::Number(number) if number.is_i64() => Ok(Scalar::Number(number.as_i64().unwrap_or_default())),
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(at.refuse("can't be compared with; give a text, a whole number, true or false"))
        }
    }
}

fn normalization(at: &At<'_>) -> Result<Normalization, RulesError> {
    let none =
        "is no normalization; write \"exact\", \"email\", \"phone\" or {\"phone\":{\"region\":\"DE\"}}";
    match at.value {
        Value::String(name) => match name.as_str() {
            "exact" => Ok(Normalization::Exact),
            "email" => Ok(Normalization::Email),
            "phone" => Ok(Normalization::Phone { region: None }),
            _ => Err(at.refuse(none)),
        },
        Value::Object(_) => {
            let phone = at.object(&["phone"])?.get("phone").ok_or_else(|| at.refuse(none))?;
            let Some(region) = phone.object(&["region"])?.get("region") else {
                return Ok(Normalization::Phone { region: None });
            };
            match region.text()? {
                known if phone::knows_region(known) => {
                    Ok(Normalization::Phone { region: Some(known.to_owned()) })
                }
                _ => Err(region.refuse("is no country; give its ISO 3166 name in capitals, DE for instance")),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(at.refuse(none)),
    }
}

fn limit(at: &At<'_>) -> Result<Limit, RulesError> {
    if let Value::Number(_) = at.value {
        return Ok(Limit { count: at.whole(COUNT)?, window: Window::Ever });
    }
    let written = at.object(&["count", "window"])?;
    let count = written.get("count").ok_or_else(|| at.refuse_member("count", "is missing; say how many"))?;
    let window = written.get("window").map(|at| at.one_of(&Window::ALL, Window::name)).transpose()?;
    Ok(Limit { count: count.whole(COUNT)?, window: window.unwrap_or(Window::Ever) })
}

fn blocked_value(at: &At<'_>) -> Result<String, RulesError> {
    let text = match at.value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(at.refuse("is no value of an identifier; give a text"));
        }
    };
    match text.len() {
        0..=Identifier::BYTES_MAX => Ok(text),
        _ => Err(at.refuse(&format!(
            "is longer than an identifier can be ({} bytes); leave it out",
            Identifier::BYTES_MAX
        ))),
    }
}
