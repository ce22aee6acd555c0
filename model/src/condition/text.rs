//! The text form of conditions, read.
//!
//! `text.pest` says what may stand where; [`lower`] makes the tree of it, and [`diagnose`] says what is wrong with a
//! text that does not fit. What the tree means is looked at by [`check_condition`]. A text is limited in length and in
//! how deep its parentheses nest before it is parsed, so the parser's own recursion is.

mod diagnose;
mod lower;
#[cfg(test)]
mod tests;
pub(super) mod words;

use super::check::{check_aggregate, check_condition};
use super::error::{ConditionError, Scope, TextPlace};
use super::tree::{Aggregate, Condition};
use lower::Lowering;
use pest::Parser as _;
use pest::iterators::Pair;

pub use words::nearest;

/// The limit on a text, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 20_000;
/// How deep parentheses may nest: deeper than in the text form of any tree that is accepted.
const PARENTHESES_DEPTH_MAX: usize = 40;

#[derive(pest_derive::Parser)]
#[grammar = "condition/text.pest"]
struct Grammar;

/// Reads a condition from its text form.
///
/// # Errors
/// If it is none, or one that makes no sense where it is to stand: where in the text, what is wrong, and often what to
/// write instead.
pub fn parse_condition(text: &str, scope: Scope) -> Result<Condition, ConditionError> {
    let rule = match scope {
        Scope::Profile | Scope::Account => Rule::condition_text,
        Scope::Event => Rule::event_text,
    };
    let mut lowering = Lowering::new(text);
    let condition = lowering.condition(parse(rule, text)?, String::new())?;
    check_condition(&condition, scope).map_err(|error| lowering.located(error))?;
    Ok(condition)
}

/// Reads what is computed from events, `count(event("Order Completed"))` for instance, from its text form.
///
/// # Errors
/// As [`parse_condition`].
pub fn parse_aggregate(text: &str) -> Result<Aggregate, ConditionError> {
    let mut lowering = Lowering::new(text);
    let aggregate = lowering.aggregate(parse(Rule::aggregate_text, text)?, "")?;
    check_aggregate(&aggregate).map_err(|error| lowering.located(error))?;
    Ok(aggregate)
}

/// Where in the text form of a condition about profiles that stands which is at a place of its tree, `all[1].audience`
/// for instance; `None` if the text is none.
pub fn locate(text: &str, place: &str) -> Option<TextPlace> {
    let mut lowering = Lowering::new(text);
    lowering.condition(parse(Rule::condition_text, text).ok()?, String::new()).ok()?;
    Some(lowering.text_place(place))
}

/// What stands in a text that is all of one rule.
fn parse(rule: Rule, text: &str) -> Result<Pair<'_, Rule>, ConditionError> {
    check_size(text)?;
    let mut pairs = Grammar::parse(rule, text).map_err(|error| diagnose::refusal(text, &error))?;
    let whole = pairs.next().expect("a text that was parsed is there");
    Ok(whole.into_inner().next().expect("it is something, then it ends"))
}

fn check_size(text: &str) -> Result<(), ConditionError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("has {} bytes; the limit is {TEXT_BYTES_MAX}", text.len());
        return Err(ConditionError::in_text(text, 0, message));
    }
    let (mut depth, mut quote, mut is_escaped) = (0_usize, None, false);
    for (offset, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), b'\\') => is_escaped = true,
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') if depth == PARENTHESES_DEPTH_MAX => {
                let message = format!("parentheses nest deeper than {PARENTHESES_DEPTH_MAX}");
                return Err(ConditionError::in_text(text, offset, message));
            }
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    Ok(())
}
