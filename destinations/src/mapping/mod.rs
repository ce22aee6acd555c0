//! Mappings: how the fields of an action are filled from an event.
//!
//! - The language: [`Directive`] (what is written in JSON), [`Path`] and [`Template`] (what directives name), [`Root`] (what
//!   they are evaluated on), [`Value`] (what comes out).
//! - [`CompiledAction`] fills an action's fields, checks them as the definition says, and writes the payload.
//!
//! Everything is read once, when a destination is configured, and evaluated for every delivery. Values are taken from the
//! event's own text and written as they stand there: numbers keep their digits. Nothing here panics or takes more than time
//! and memory in proportion to the event, whatever clients send and admins write: each limit is a constant where it counts.
//! `docs/mappings.md` describes the language for those who write it.

mod coerce;
mod directive;
mod entries;
mod evaluate;
mod fields;
mod hashing;
mod mapper;
mod names;
mod number;
mod path;
mod read;
mod root;
mod rules;
mod template;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use mapper::Mapper;

pub(crate) use directive::Directive;
pub(crate) use evaluate::EvaluateError;
pub(crate) use fields::CompiledAction;
pub(crate) use path::Path;
pub(crate) use read::{DEPTH_MAX, json_depth};
pub(crate) use root::Root;
pub(crate) use template::Template;
pub(crate) use value::Value;

/// What is wrong with a mapping, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} {message}")]
pub(crate) struct DirectiveError {
    /// Where, from the field's name on: `total.@if.then`. Empty for a directive as a whole that belongs to no field.
    pub(crate) place: String,
    /// What is wrong, to be read after the place.
    pub(crate) message: String,
}

impl DirectiveError {
    /// The same within something that has a name.
    fn within(self, name: &str) -> Self {
        let place = match self.place.as_str() {
            "" => name.to_owned(),
            place if place.starts_with('[') => format!("{name}{place}"),
            place => format!("{name}.{place}"),
        };
        Self { place, ..self }
    }
}
