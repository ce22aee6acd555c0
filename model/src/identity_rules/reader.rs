//! Reads the identifiers that events carry.

use super::blocked::Blocked;
use super::path::{Path, Scalar};
use super::values::{Plan, PlanBuilder, Values};
use super::{IdentityRules, NamespaceRule, Normalization, RulesError, SourcePath};
use crate::event::{EventKind, EventView};
use crate::identifier::{Identifier, Namespace, NotAnIdentifier};
use crate::json::{Members, as_text};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// How many identifiers of one event are looked at; those of the lowest priority beyond are passed over.
pub const IDENTIFIERS_PER_EVENT_MAX: usize = 100;
/// How many blocked identifiers of one event are told of.
pub const BLOCKED_PER_EVENT_MAX: usize = 16;

/// Rules compiled for reading events. Built once for each version of them.
#[derive(Debug)]
pub struct IdentifierReader {
    rules: IdentityRules,
    /// Highest priority first.
    namespaces: Vec<Reading>,
    plan: Plan,
    /// The number of the value `context.externalIds`, if it is wanted.
    external_ids: Option<usize>,
}

/// One namespace's rule, compiled.
#[derive(Debug)]
struct Reading {
    namespace: Namespace,
    normalize: Normalization,
    sources: Vec<Source>,
    blocked: Blocked,
}

/// A place that identifiers are read from, with its conditions on other values.
#[derive(Debug)]
struct Source {
    place: Place,
    when: Vec<(usize, Scalar)>,
}

#[derive(Debug)]
enum Place {
    UserId,
    AnonymousId,
    ExternalIds,
    Value(usize),
}

/// What an event says about whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventIdentifiers {
    /// Highest priority first, each once, at most [`IDENTIFIERS_PER_EVENT_MAX`]. The first is the event's anchor.
    pub identifiers: Vec<Identifier>,
    /// What stands where identifiers do but is blocked; each once, at most [`BLOCKED_PER_EVENT_MAX`].
    pub blocked: Vec<Identifier>,
    /// The `previousId` of an alias call.
    pub previous: Option<PreviousId>,
}

/// The `previousId` of an alias call: it doesn't say of which namespace it is. At least one of them is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousId {
    /// As an `anonymous_id`, if those are declared and it isn't blocked.
    pub as_anonymous: Option<Identifier>,
    /// As a `user_id`, if those are declared and it isn't blocked.
    pub as_user: Option<Identifier>,
}

impl IdentifierReader {
    /// Compiles rules.
    ///
    /// # Errors
    /// If a blocked pattern doesn't work. Checked rules have none such.
    pub fn new(rules: &IdentityRules) -> Result<Self, RulesError> {
        let mut plan = PlanBuilder::default();
        let mut namespaces = Vec::with_capacity(rules.namespaces.len());
        for (index, rule) in rules.namespaces.iter().enumerate() {
            let reading = Reading::new(rule, &mut plan).map_err(|(pattern, message)| RulesError {
                place: format!("namespaces[{index}].blocked_patterns[{pattern}]"),
                message,
            })?;
            namespaces.push((rule.priority, reading));
        }
        namespaces
            .sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.namespace.cmp(&right.namespace)));
        let external_ids = SourcePath::external_ids();
        let wanted = rules
            .namespaces
            .iter()
            .flat_map(|rule| &rule.from)
            .any(|source| source.path == external_ids.path);
        let external_ids = if wanted { plan.want(&[&external_ids.path])[0] } else { None };
        Ok(Self {
            rules: rules.clone(),
            namespaces: namespaces.into_iter().map(|(_, reading)| reading).collect(),
            plan: plan.build(),
            external_ids,
        })
    }

    /// The rules that were compiled.
    pub fn rules(&self) -> &IdentityRules {
        &self.rules
    }

    /// The identifiers that an event carries. Values are texts or whole numbers; what has not the form of its
    /// namespace is none.
    pub fn read(&self, event: &EventView<'_>) -> EventIdentifiers {
        let values = self.plan.read(event);
        let external_ids = self.external_ids.and_then(|number| values.get(number)).map(external_ids);
        let mut found = EventIdentifiers::default();
        for reading in &self.namespaces {
            for source in &reading.sources {
                if !source.applies(&values) {
                    continue;
                }
                match source.place {
                    Place::UserId => found.offer(reading, event.user_id.as_deref()),
                    Place::AnonymousId => found.offer(reading, event.anonymous_id.as_deref()),
                    Place::Value(number) => {
                        found.offer(reading, values.get(number).and_then(value).as_deref());
                    }
                    Place::ExternalIds => {
                        let name = reading.namespace.as_str();
                        for (_, id) in external_ids.iter().flatten().filter(|(kind, _)| kind == name) {
                            found.offer(reading, Some(id));
                        }
                    }
                }
            }
        }
        if event.kind == EventKind::Alias {
            found.previous = self.previous(event);
        }
        found
    }

    /// A value as an identifier of the namespace, in the form that its rule gives it; of an undeclared namespace, in
    /// the form that it has where no rules say otherwise.
    ///
    /// # Errors
    /// If it has not the form of its namespace.
    pub fn identifier(&self, namespace: &Namespace, raw: &str) -> Result<Identifier, NotAnIdentifier> {
        self.rules.identifier(namespace, raw)
    }

    /// Whether the rules block an identifier of a declared namespace.
    pub fn blocks(&self, identifier: &Identifier) -> bool {
        self.reading(identifier.namespace()).is_some_and(|reading| reading.blocked.holds(identifier.value()))
    }

    fn reading(&self, namespace: &Namespace) -> Option<&Reading> {
        self.namespaces.iter().find(|reading| reading.namespace == *namespace)
    }

    fn previous(&self, event: &EventView<'_>) -> Option<PreviousId> {
        let raw = event.members().text("previousId")?;
        let of = |namespace| {
            let reading = self.reading(&namespace)?;
            reading.identifier(&raw).filter(|identifier| !reading.blocked.holds(identifier.value()))
        };
        let (as_anonymous, as_user) = (of(Namespace::ANONYMOUS_ID), of(Namespace::USER_ID));
        (as_anonymous.is_some() || as_user.is_some()).then_some(PreviousId { as_anonymous, as_user })
    }
}

impl Reading {
    fn new(rule: &NamespaceRule, plan: &mut PlanBuilder) -> Result<Self, (usize, String)> {
        Ok(Self {
            namespace: Namespace::new(rule.name.as_str()),
            normalize: rule.normalize.clone(),
            sources: rule.from.iter().map(|source| Source::new(source, plan)).collect(),
            blocked: Blocked::new(rule)?,
        })
    }

    fn identifier(&self, raw: &str) -> Option<Identifier> {
        Identifier::normalized(self.namespace.clone(), raw, &self.normalize).ok()
    }
}

impl Source {
    fn new(source: &SourcePath, plan: &mut PlanBuilder) -> Self {
        let paths: Vec<&Path> =
            std::iter::once(&source.path).chain(source.when.iter().map(|(path, _)| path)).collect();
        let numbers = plan.want(&paths);
        let place = match &source.path {
            Path::UserId => Place::UserId,
            Path::AnonymousId => Place::AnonymousId,
            Path::Member(..) if source.path.is_external_ids() => Place::ExternalIds,
            Path::Member(..) => Place::Value(numbers[0].expect("a member of an object has a number")),
        };
        let conditions = source.when.iter().zip(&numbers[1..]);
        let when =
            conditions.filter_map(|((_, wanted), number)| Some(((*number)?, wanted.clone()))).collect();
        Self { place, when }
    }

    fn applies(&self, values: &Values<'_>) -> bool {
        self.when
            .iter()
            .all(|(number, wanted)| values.get(*number).is_some_and(|written| is_equal(wanted, written)))
    }
}

impl EventIdentifiers {
    /// Takes what stands at a place, if it is an identifier and not there yet.
    fn offer(&mut self, reading: &Reading, raw: Option<&str>) {
        let Some(identifier) = raw.and_then(|raw| reading.identifier(raw)) else { return };
        let (list, max) = match reading.blocked.holds(identifier.value()) {
            true => (&mut self.blocked, BLOCKED_PER_EVENT_MAX),
            false => (&mut self.identifiers, IDENTIFIERS_PER_EVENT_MAX),
        };
        if list.len() < max && !list.contains(&identifier) {
            list.push(identifier);
        }
    }
}

/// The value of an identifier: a text, or a whole number as it is written.
fn value(written: &RawValue) -> Option<Cow<'_, str>> {
    let digits = written.get().strip_prefix('-').unwrap_or(written.get());
    match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Some(Cow::Borrowed(written.get())),
        false => as_text(written),
    }
}

fn is_equal(wanted: &Scalar, written: &RawValue) -> bool {
    match wanted {
        Scalar::Text(text) => as_text(written).is_some_and(|written| written.eq_ignore_ascii_case(text)),
        Scalar::Flag(flag) => written.get() == if *flag { "true" } else { "false" },
        Scalar::Number(number) => written.get().parse() == Ok(*number),
    }
}

/// How many entries of `context.externalIds` are looked at.
const EXTERNAL_IDS_MAX: usize = 500;

/// The entries of `context.externalIds` that name people, as type and id.
fn external_ids(written: &RawValue) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let entries: Vec<&RawValue> = serde_json::from_str(written.get()).unwrap_or_default();
    entries.into_iter().take(EXTERNAL_IDS_MAX).filter_map(external_id).collect()
}

/// An entry has all of its four members, and is not encoded.
fn external_id(written: &RawValue) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    let members = Members::parse(written.get()).ok()?;
    let says = |name, wanted: &str| members.text(name).is_some_and(|written| written == wanted);
    if !says("collection", "users") || !says("encoding", "none") {
        return None;
    }
    Some((members.text("type")?, value(members.get("id")?)?))
}
