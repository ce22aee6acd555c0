//! Why a condition is refused, and where.

use std::fmt;

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A profile: an audience.
    Profile,
    /// An account.
    Account,
    /// An event: a filter of a destination.
    Event,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPlace {
    /// How many bytes lie before it.
    pub offset: usize,
    /// The line, from 1.
    pub line: usize,
    /// Which character of the line it is, from 1.
    pub column: usize,
}

impl TextPlace {
    /// Behind so many bytes, which end with a whole character.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        Self {
            offset: before.len(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

/// Why a condition, or what is computed from events, is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    /// Where in the tree: `all[1].compare.left` for instance; empty for the whole, and for a text that is no tree yet.
    pub place: String,
    /// Where in the text, if it was one.
    pub at: Option<TextPlace>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl ConditionError {
    pub(super) fn in_tree(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), at: None, message: message.into(), hint: None }
    }

    pub(super) fn in_text(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let at = Some(TextPlace::of(text, offset));
        Self { place: String::new(), at, message: message.into(), hint: None }
    }

    #[must_use]
    pub(super) fn hinted(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

/// The place of a member of what stands at a place.
pub(super) fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(out, "line {}, column {}: ", at.line, at.column)?,
            None if self.place.is_empty() => {}
            None => write!(out, "{}: ", self.place)?,
        }
        out.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(out, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConditionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let text = "a\nbé = 1\n";
        let cases = [(0, (1, 1)), (1, (1, 2)), (2, (2, 1)), (5, (2, 3)), (text.len(), (3, 1)), (99, (3, 1))];
        for (offset, want) in cases {
            let place = TextPlace::of(text, offset);
            assert_eq!((place.line, place.column), want, "{offset}");
        }
    }

    #[test]
    fn an_error_says_where() {
        let error = ConditionError::in_tree("all[1]", "is wrong");
        assert_eq!(error.to_string(), "all[1]: is wrong");
        let error = ConditionError::in_text("a", 1, "is wrong").hinted("write b".to_owned());
        assert_eq!(error.to_string(), "line 1, column 2: is wrong; write b");
    }
}
