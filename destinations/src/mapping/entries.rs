//! What a definition says of what lies in a list or an object: of each of its members, which has members of its own.

use super::coerce::coerced;
use super::names::begins;
use super::read::Shape;
use super::rules::cut;
use super::value::Value;
use crate::definition::{EachSpec, FieldKind, MemberKind, MemberSpec, Unfit};
use crate::failure::Reason;
use std::borrow::Cow;

/// Why a value can't be sent, without the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Where within the field, behind its name: `[0].price`. Empty for the value as a whole.
    pub(super) place: String,
    /// What is wrong, to be read after the place.
    pub(super) what: String,
    /// Whether something is missing, or not as it has to be.
    pub(super) reason: Reason,
}

impl Misfit {
    /// Of the value as a whole.
    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self { place: String::new(), what: what.into(), reason: Reason::InvalidField }
    }

    /// The same within something.
    fn within(self, place: &str) -> Self {
        Self { place: format!("{place}{}", self.place), ..self }
    }
}

/// The value with each member as it is sent, `None` if none is left of it.
pub(super) fn fitted<'v>(each: &EachSpec, value: Value<'v>) -> Result<Option<Value<'v>>, Misfit> {
    Ok(match value.opened() {
        Value::List(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate().filter(|(_, item)| !item.is_null()) {
                kept.extend(kept_entry(each, item).map_err(|misfit| misfit.within(&format!("[{at}]")))?);
            }
            (!kept.is_empty()).then_some(Value::List(kept))
        }
        Value::Object(members) => {
            let mut kept = Vec::with_capacity(members.len());
            for (name, member) in members {
                // Its name may be personal: it is the client's.
                let member = kept_entry(each, member).map_err(|misfit| misfit.within(".*"))?;
                kept.extend(member.map(|member| (name, member)));
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Raw(_)) => {
            Some(other)
        }
    })
}

/// Whether a value is there in the sense of what is required: neither null nor a blank text.
pub(super) fn has_something(value: &Value<'_>) -> bool {
    match value.shape() {
        Shape::Null => false,
        Shape::Text => value.text().is_some_and(|text| !text.trim().is_empty()),
        Shape::Bool(_) | Shape::Number | Shape::List | Shape::Object => true,
    }
}

fn kept_entry<'v>(each: &EachSpec, value: Value<'v>) -> Result<Option<Value<'v>>, Misfit> {
    match (entry(each, value), each.unfit) {
        (Ok(entry), Unfit::Refuse | Unfit::LeaveOut) => Ok(Some(entry)),
        (Err(_), Unfit::LeaveOut) => Ok(None),
        (Err(misfit), Unfit::Refuse) => Err(misfit),
    }
}

fn entry<'v>(each: &EachSpec, value: Value<'v>) -> Result<Value<'v>, Misfit> {
    let Value::Object(mut members) = value.opened() else { return Err(Misfit::invalid("must be an object")) };
    let rule_of = |name: &str| each.members.iter().find_map(|rule| Some((rule, named(rule, name)?)));
    // Where a number belongs, a blank text is nothing.
    members.retain(|(name, value)| {
        let is_number = rule_of(name).is_some_and(|(rule, _)| matches!(rule.kind, MemberKind::Number));
        !is_number || value.is_null() || has_something(value)
    });
    for (name, value) in &mut members {
        if let Some((rule, place)) = rule_of(name)
            && !value.is_null()
        {
            let given = std::mem::replace(value, Value::Null);
            *value =
                member(rule, given).map_err(|what| Misfit::invalid(what).within(&format!(".{place}")))?;
        }
    }
    for group in &each.any_of {
        let fills = |(name, value): &(Cow<'_, str>, Value<'_>)| {
            group.iter().any(|wanted| wanted == name) && has_something(value)
        };
        if !members.iter().any(fills) {
            return Err(missing(group));
        }
    }
    Ok(Value::Object(members))
}

/// As what a rule names something.
fn named<'r>(rule: &'r MemberSpec, name: &str) -> Option<&'r str> {
    rule.names.iter().find(|pattern| begins(name, pattern)).map(String::as_str)
}

fn member<'v>(rule: &MemberSpec, value: Value<'v>) -> Result<Value<'v>, String> {
    let value = match rule.kind {
        MemberKind::Text => coerced(value, FieldKind::Text)?,
        MemberKind::Number => coerced(value, FieldKind::Number)?,
        MemberKind::Scalar if matches!(value.shape(), Shape::List | Shape::Object) => {
            return Err("must be a text, a number, true or false".to_owned());
        }
        MemberKind::Scalar => value,
    };
    let Some(most) = rule.characters_max.filter(|_| value.shape() == Shape::Text) else { return Ok(value) };
    let kept = cut(&value.text().unwrap_or_default(), most, rule.too_long)
        .map_err(|()| format!("must have at most {most} characters"))?;
    Ok(match kept {
        Some(kept) => Value::Text(Cow::Owned(kept)),
        None => value,
    })
}

fn missing(group: &[String]) -> Misfit {
    let place = group.first().map(|first| format!(".{first}")).unwrap_or_default();
    let what =
        format!("is missing, or there is nothing in it, and each needs at least one of {}", group.join(", "));
    Misfit { place, what, reason: Reason::MissingField }
}
