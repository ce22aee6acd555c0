//! An action's fields: filled, checked, and written as the payload.

mod constants;

use super::coerce::coerced;
use super::directive::{Directive, Settings};
use super::entries::{self, Misfit, has_something};
use super::evaluate::Evaluation;
use super::path::PathNames;
use super::read::Shape;
use super::root::Root;
use super::rules::Rules;
use super::value::{Value, write_text};
use super::{DirectiveError, EvaluateError};
use crate::definition::{ActionSpec, FieldSpec, RawSettings, Required, Spec};
use crate::failure::{Failure, Reason};
use std::collections::BTreeMap;
use tributary_model::condition::nearest;

/// The limit on a payload, in bytes.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// The fields of an action with what a mapping says of them, ready to be filled.
pub(crate) struct CompiledAction {
    action: &'static ActionSpec,
    fields: Vec<Field>,
    layout: Vec<Part>,
    /// Groups of places in `fields` of which at least one has to be filled.
    any_of: Vec<Vec<usize>>,
    /// The vendor's limit on a payload, in bytes, or our own.
    bytes_max: usize,
}

struct Field {
    spec: &'static FieldSpec,
    directive: Option<Directive>,
    /// The setting that is given and that the action itself fills it with, as it is.
    setting: Option<&'static str>,
    is_required: bool,
    rules: Rules,
}

/// A member of the payload, or of an object in it.
enum Part {
    Field {
        /// The name as JSON, with the colon.
        key: Vec<u8>,
        /// Which of the fields.
        place: usize,
    },
    Object {
        key: Vec<u8>,
        parts: Vec<Part>,
    },
}

impl CompiledAction {
    /// The fields of an action of that definition. What the mapping says of a field counts instead of what the action says; a
    /// null leaves it out.
    ///
    /// # Errors
    /// The first thing that is wrong, and where: the place begins with the field's name.
    pub(crate) fn compile(
        spec: &'static Spec,
        action: &'static ActionSpec,
        fields: &BTreeMap<String, serde_json::Value>,
        settings: &RawSettings,
    ) -> Result<Self, DirectiveError> {
        if let Some(odd) = fields.keys().find(|name| !action.fields.iter().any(|field| field.name == **name))
        {
            return Err(DirectiveError { place: odd.clone(), message: unknown(action, odd) });
        }
        let bytes_max = spec.limits.payload_bytes.unwrap_or(PAYLOAD_BYTES_MAX).min(PAYLOAD_BYTES_MAX);
        let settings = Settings { spec, given: settings };
        let compiled =
            action.fields.iter().map(|field| Field::compile(field, fields.get(&field.name), settings));
        let compiled = compiled.collect::<Result<Vec<_>, _>>()?;
        let mut layout = Vec::new();
        for (place, field) in action.fields.iter().enumerate() {
            let names: Vec<&str> = field.name.split('.').collect();
            lay_out(&mut layout, &names, place).map_err(|message| problem(field, message))?;
        }
        let place = |name: &String| action.fields.iter().position(|field| field.name == *name);
        let any_of = action.any_of.iter().map(|group| group.iter().filter_map(place).collect()).collect();
        Ok(Self { action, fields: compiled, layout, any_of, bytes_max })
    }

    /// The payload: a JSON object with the fields in the order in which the definition has them.
    ///
    /// # Errors
    /// Which field is missing or has a value that the action does not take, and what to do; without values.
    pub(crate) fn payload(&self, root: &Root<'_>) -> Result<Vec<u8>, Failure> {
        let evaluation = Evaluation::new();
        let mut values = Vec::with_capacity(self.fields.len());
        let mut bytes = 0;
        for field in &self.fields {
            let value = self.value(field, root, &evaluation)?;
            bytes += value.as_ref().map_or(0, Value::bytes);
            values.push(value);
        }
        // Before it is written out: our own limit is on memory.
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(self.too_large(bytes, &values));
        }
        self.check_groups(&values)?;
        let mut body = Vec::with_capacity(bytes + 16 * values.len() + 2);
        write_parts(&self.layout, &values, &mut body);
        if body.len() > self.bytes_max {
            return Err(self.too_large(body.len(), &values));
        }
        Ok(body)
    }

    /// Shows the names of every path: what it needs of an event, a profile and a delivery.
    pub(crate) fn paths(&self, look: &mut impl FnMut(&PathNames<'_>)) {
        for directive in self.fields.iter().filter_map(|field| field.directive.as_ref()) {
            directive.paths(look);
        }
    }

    fn value<'v, 'a: 'v>(
        &'v self,
        field: &'v Field,
        root: &Root<'a>,
        evaluation: &Evaluation,
    ) -> Result<Option<Value<'v>>, Failure> {
        let value = match &field.directive {
            Some(directive) => {
                directive.evaluate_within(root, evaluation).map_err(|EvaluateError(what)| {
                    self.refused(field, Misfit::invalid(what), "change the mapping")
                })?
            }
            None => None,
        };
        let value = match value {
            Some(value) if !value.is_null() => field
                .fitted(value)
                .map_err(|misfit| self.refused(field, misfit, "change the mapping, or narrow its trigger"))?,
            nothing => nothing,
        };
        if field.is_required && !Field::is_filled(value.as_ref()) {
            let text = format!(
                "the field {} of {} is required, and there is nothing in this event to fill it with: map it to something \
                 that every such event has, or narrow the trigger",
                field.spec.name, self.action.name
            );
            return Err(Failure::new(Reason::MissingField, text));
        }
        Ok(value)
    }

    fn refused(&self, field: &Field, misfit: Misfit, advice: &str) -> Failure {
        let Misfit { place, what, reason } = misfit;
        let text = format!("the field {}{place} of {} {what}: {advice}", field.spec.name, self.action.name);
        Failure::new(reason, text)
    }

    fn too_large(&self, bytes: usize, values: &[Option<Value<'_>>]) -> Failure {
        let bytes_of = |at: &usize| values[*at].as_ref().map_or(0, Value::bytes);
        let largest =
            (0..values.len()).max_by_key(bytes_of).map_or("", |at| self.fields[at].spec.name.as_str());
        let text = format!(
            "the fields of {} have {bytes} bytes together; the limit is {}: map less, above all to {largest}",
            self.action.name, self.bytes_max
        );
        Failure::new(Reason::InvalidField, text)
    }

    fn check_groups(&self, values: &[Option<Value<'_>>]) -> Result<(), Failure> {
        let is_filled = |place: &usize| Field::is_filled(values[*place].as_ref());
        let Some(empty) = self.any_of.iter().find(|group| !group.iter().any(is_filled)) else {
            return Ok(());
        };
        let names: Vec<&str> = empty.iter().map(|place| self.fields[*place].spec.name.as_str()).collect();
        let text = format!(
            "{} needs at least one of the fields {}, and there is nothing in this event to fill any with: map one to \
             something that every such event has, or narrow the trigger",
            self.action.name,
            names.join(", ")
        );
        Err(Failure::new(Reason::MissingField, text))
    }
}

impl Field {
    fn compile(
        spec: &'static FieldSpec,
        said: Option<&serde_json::Value>,
        settings: Settings<'_>,
    ) -> Result<Self, DirectiveError> {
        let is_required = match &spec.required {
            Required::Never => false,
            Required::Always => true,
            Required::WithSetting(name) => settings.value(name).is_some(),
        };
        let written = said.or(spec.default.as_ref()).filter(|written| !written.is_null());
        if is_required && written.is_none() {
            return Err(problem(spec, "is required: say how it is filled".to_owned()));
        }
        let directive = match written {
            Some(written) => {
                let directive = Directive::parse_with(written, settings, spec.escape);
                Some(directive.map_err(|error| error.within(&spec.name))?)
            }
            None => None,
        };
        let rules = Rules::compile(spec).map_err(|message| problem(spec, message))?;
        let default = spec.default.as_ref().filter(|_| said.is_none());
        let setting = default.and_then(|default| default.get("@setting")?.as_str());
        let setting = setting.filter(|name| settings.is_given(name));
        Ok(Self { spec, directive, setting, is_required, rules })
    }

    /// A value that is not null as it is sent, `None` if there is nothing left of it.
    fn fitted<'v>(&self, value: Value<'v>) -> Result<Option<Value<'v>>, Misfit> {
        let value = coerced(value, self.spec.kind).map_err(Misfit::invalid)?;
        let value = match &self.spec.each {
            Some(each) => entries::fitted(each, value)?,
            None => Some(value),
        };
        let Some(value) = value else { return Ok(None) };
        let value = self.rules.apply(value).map_err(Misfit::invalid)?;
        // The rules may have left out what was left.
        Ok(value.filter(|value| self.spec.each.is_none() || value.is_something()))
    }

    /// Whether it is there in the sense of what is required.
    fn is_filled(value: Option<&Value<'_>>) -> bool {
        let Some(value) = value else { return false };
        match value.shape() {
            Shape::List => value.is_something(),
            Shape::Null | Shape::Bool(_) | Shape::Number | Shape::Text | Shape::Object => {
                has_something(value)
            }
        }
    }
}

fn problem(field: &FieldSpec, message: String) -> DirectiveError {
    DirectiveError { place: field.name.clone(), message }
}

fn unknown(action: &ActionSpec, odd: &str) -> String {
    let known = || action.fields.iter().map(|field| field.name.as_str());
    match nearest(odd, known()) {
        Some(near) => format!("is no field of {}; did you mean {near}?", action.name),
        None => {
            format!("is no field of {}; there are {}", action.name, known().collect::<Vec<_>>().join(", "))
        }
    }
}

/// Puts a field where its name says, objects within each other where the name has dots.
fn lay_out(parts: &mut Vec<Part>, names: &[&str], place: usize) -> Result<(), String> {
    let Some((name, deeper)) = names.split_first() else { return Ok(()) };
    let mut key = Vec::with_capacity(name.len() + 3);
    write_text(name, &mut key);
    key.push(b':');
    let have = parts.iter_mut().find(|part| match part {
        Part::Field { key: have, .. } | Part::Object { key: have, .. } => *have == key,
    });
    match have {
        Some(Part::Object { parts, .. }) if !deeper.is_empty() => lay_out(parts, deeper, place),
        Some(_) => {
            Err("has the name of another field, or of an object that another field lies in".to_owned())
        }
        None if deeper.is_empty() => {
            parts.push(Part::Field { key, place });
            Ok(())
        }
        None => {
            let mut inner = Vec::new();
            lay_out(&mut inner, deeper, place)?;
            parts.push(Part::Object { key, parts: inner });
            Ok(())
        }
    }
}

/// Writes an object. Objects within it that nothing lies in are left out.
fn write_parts(parts: &[Part], values: &[Option<Value<'_>>], out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    for part in parts {
        let before = out.len();
        if before > start {
            out.push(b',');
        }
        let is_written = match part {
            Part::Field { key, place } => match &values[*place] {
                Some(value) => {
                    out.extend_from_slice(key);
                    value.write(out);
                    true
                }
                None => false,
            },
            Part::Object { key, parts } => {
                out.extend_from_slice(key);
                let inner = out.len();
                write_parts(parts, values, out);
                out.len() > inner + 2
            }
        };
        if !is_written {
            out.truncate(before);
        }
    }
    out.push(b'}');
}
