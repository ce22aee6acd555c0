//! The one condition language, for audiences, filters of destinations and triggers of mappings.
//!
//! A condition is a typed tree ([`Condition`]) with a JSON form and a text form, which are read back to equal trees. How
//! it is evaluated: what it needs of a profile's events is kept by [`crate::keeper`], and a
//! [plan](crate::catalog::AudiencePlan) looks at that and at traits. The language is described in
//! `docs/conditions.md`.
//!
//! Guarantees: evaluation never fails. What is missing is null; a positive operator does not hold of null (but that it
//! equals null), a negative one is the negation of its positive one; values of different types are not equal.

mod check;
pub mod compare;
mod datum;
mod error;
mod json;
mod number;
mod path;
mod span;
mod text;
mod tree;
mod write;

pub use check::check_condition;
pub use datum::{Datum, canonical};
pub use error::{ConditionError, Scope, TextPlace};
pub use json::{read_aggregate, read_condition};
pub use number::Number;
pub use path::{FieldPath, NotAPath, NotOfEvents};
pub use span::{NotASpan, Span};
pub use text::{locate, nearest, parse_aggregate, parse_condition};
pub use tree::{
    Aggregate, Comparison, Condition, EventPattern, Function, Literal, Members, Operand, Operator,
    Quantifier, Right, Sequence, Step, Window,
};
