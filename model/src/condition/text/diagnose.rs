//! What is wrong with a text that is no condition, and what to write instead.
//!
//! The parser says how far it came and what could have stood there. The words around that place tell what was meant.

use super::Rule;
use super::words::{self, Wrong, is_letter};
use crate::condition::error::ConditionError;
use pest::error::{Error, ErrorVariant, InputLocation};

/// Where a path stands without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// At the left, in a condition about a profile or an account.
    Profile,
    /// At the left, in a condition about an event.
    Event,
    /// Behind an event whose value is meant.
    Value,
    /// At the right, or in a list.
    Right,
}

/// A path that nothing has.
pub(super) fn unknown(path: &str, spot: Spot) -> Wrong {
    let shown = shown(path);
    let hint = match spot {
        Spot::Right => format!("text stands in quotes: \"{shown}\""),
        Spot::Event => {
            format!(
                "did you mean `{}`; for any other field write `field(\"{shown}\")`",
                words::instead_of_field(&shown)
            )
        }
        Spot::Value => {
            format!(
                "did you mean `.{}`; for any other field write `.field(\"{shown}\")`",
                words::instead_of_field(&shown)
            )
        }
        Spot::Profile if words::function(path).is_some() => {
            format!("write `{shown}(event(\"…\"))`")
        }
        Spot::Profile if words::is_call(path) => {
            format!("write `{shown}(\"…\")` with the name of what happened")
        }
        Spot::Profile => {
            let name =
                ["trait.", "user.", "profile.", "account."].iter().find_map(|said| shown.strip_prefix(said));
            format!("did you mean `traits.{}`", name.unwrap_or(&shown))
        }
    };
    (format!("`{shown}` is nothing that is known here"), Some(hint))
}

/// Why a text does not fit the grammar.
pub(super) fn refusal(text: &str, error: &Error<Rule>) -> ConditionError {
    let offset = match error.location {
        InputLocation::Pos(offset) | InputLocation::Span((offset, _)) => offset,
    };
    let expected: &[Rule] = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => &[],
    };
    let stop = Stop::at(text, offset, expected);
    let (message, hint) = stop.mistake().unwrap_or_else(|| (stop.message(), stop.hint()));
    ConditionError::in_text(text, offset, message).hinted(hint)
}

/// The longest part of a text that is shown in a message.
const SHOWN_MAX: usize = 40;

fn shown(word: &str) -> String {
    if word.chars().count() <= SHOWN_MAX {
        return word.to_owned();
    }
    word.chars().take(SHOWN_MAX).chain(['…']).collect()
}

/// Where the parser came to, and what stands around.
struct Stop<'t> {
    /// What could have stood there.
    expected: &'t [Rule],
    /// The word or sign before it.
    before: &'t str,
    /// Whether that ends where this begins.
    is_joined: bool,
    /// The word or sign there; empty at the end.
    found: &'t str,
    /// Everything from there on.
    rest: &'t str,
}

const fn is_word(character: char) -> bool {
    is_letter(character) || character == '.'
}

const fn is_sign(character: char) -> bool {
    matches!(character, '=' | '<' | '>' | '!' | '&' | '|' | '~')
}

impl<'t> Stop<'t> {
    fn at(text: &'t str, offset: usize, expected: &'t [Rule]) -> Self {
        let (before, rest) = text.split_at_checked(offset).unwrap_or((text, ""));
        let found = match rest.chars().next() {
            Some(first) if is_word(first) => rest.split(|next| !is_word(next)).next(),
            Some(first) if is_sign(first) => rest.split(|next| !is_sign(next)).next(),
            Some(first) => rest.get(..first.len_utf8()),
            None => None,
        };
        let trimmed = before.trim_end();
        let last = match trimmed.chars().next_back() {
            Some(last) if is_word(last) => trimmed.rsplit(|next| !is_word(next)).next(),
            Some(last) if is_sign(last) => trimmed.rsplit(|next| !is_sign(next)).next(),
            Some(last) => trimmed.get(trimmed.len() - last.len_utf8()..),
            None => None,
        };
        let is_joined = trimmed.len() == before.len() && !trimmed.is_empty();
        Self { expected, before: last.unwrap_or(""), is_joined, found: found.unwrap_or(""), rest }
    }

    fn expects(&self, rules: &[Rule]) -> bool {
        self.expected.iter().any(|rule| rules.contains(rule))
    }

    fn is_word(&self) -> bool {
        self.found.starts_with(is_word)
    }

    /// The word that was found, if a parenthesis opens behind it.
    fn called(&self) -> Option<&'t str> {
        let behind = self.rest.get(self.found.len()..)?;
        (self.is_word() && behind.trim_start().starts_with('(')).then_some(self.found)
    }

    /// What is wrong whatever could have stood there.
    fn mistake(&self) -> Option<Wrong> {
        if self.expected.is_empty() {
            return Some(("nests too deep".to_owned(), None));
        }
        let first = self.rest.chars().next()?;
        if matches!(first, '"' | '\'') && !is_closed(self.rest, first) {
            return Some((
                "a text begins here and does not end".to_owned(),
                Some(format!("put a `{first}` behind it")),
            ));
        }
        if matches!(first, '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '«' | '»' | '`') {
            let message = format!("`{first}` is no quote of this language");
            return Some((message, Some("write straight quotes: \"…\"".to_owned())));
        }
        let called = self.called()?;
        let is_operator = words::operator(called).is_some() || self.expects(OPERATORS);
        if words::is_callable(called) || is_operator || is_reserved(called) {
            return None;
        }
        Some((format!("`{}` is no function", shown(called)), Some(words::instead_of_call(called))))
    }

    /// What could have stood there, and what does.
    fn message(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (rules, phrases) in PHRASES {
            if self.expects(rules) {
                names.extend(*phrases);
            }
            if self.expects(CONDITIONS) {
                break;
            }
        }
        let expected = match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "something else".to_owned(),
        };
        match self.found {
            "" => format!("expected {expected}, but the text ends"),
            "\"" | "'" => format!("expected {expected}, found text in quotes"),
            found => format!("expected {expected}, found `{}`", shown(found)),
        }
    }

    fn hint(&self) -> Option<String> {
        self.hint_of_sign()
            .map(str::to_owned)
            .or_else(|| self.hint_of_operator())
            .or_else(|| self.hint_of_condition().map(str::to_owned))
            .or_else(|| self.hint_of_end())
            .or_else(|| self.hint_of_event().map(str::to_owned))
    }

    /// Signs of other languages.
    fn hint_of_sign(&self) -> Option<&'static str> {
        Some(match (self.before, self.found) {
            (_, "&&" | "&") => "did you mean `and`",
            (_, "||" | "|") => "did you mean `or`",
            (_, found) if found.starts_with('!') && self.expects(CONDITIONS) => "did you mean `not`",
            ("=" | "==", ">") => "did you mean `>=`",
            ("=" | "==", "<") => "did you mean `<=`",
            ("=" | "==", "=" | "==") => "did you mean `=`",
            _ => return None,
        })
    }

    /// Where an operator has to stand.
    fn hint_of_operator(&self) -> Option<String> {
        if self.expects(&[Rule::negatable]) {
            return Some("write `not in`, `not contains`, `not equals`, `not exists` or `!=`".to_owned());
        }
        if !self.expects(OPERATORS) {
            return None;
        }
        match self.found.to_ascii_lowercase().as_str() {
            "" | ")" | "," | "and" | "or" | "where" | "then" => {
                Some("say what it is compared with, for instance `= true`, or write `exists`".to_owned())
            }
            "within" => Some("did you mean `within_last`".to_owned()),
            "between" => Some("write two comparisons with `and` between: `>=` and `<`".to_owned()),
            _ if self.expects(&[Rule::member]) => Some("write `any member(…)` or `any(…, …)`".to_owned()),
            _ if self.found.starts_with('~') || self.found == "=~" => {
                Some("did you mean `matches`".to_owned())
            }
            found => words::instead_of_operator(found).map(|meant| format!("did you mean `{meant}`")),
        }
    }

    /// Where a condition or a value has to stand.
    fn hint_of_condition(&self) -> Option<&'static str> {
        if self.expects(EVENT_CONDITIONS) && self.is_word() {
            return Some(
                "a condition about an event looks at that event alone, at `properties.total` for instance; \
                 traits in it are `field(\"traits.plan\")`",
            );
        }
        if self.expects(&[Rule::right]) {
            return Some("write text in quotes, a number, true, false, null, or `traits.…`");
        }
        None
    }

    /// Where a part is complete and something else has to follow.
    fn hint_of_end(&self) -> Option<String> {
        if !self.expects(&[Rule::and, Rule::or, Rule::close, Rule::comma, Rule::EOI]) {
            return None;
        }
        if let Some(span) = words::span_meant(&format!("{} {}", self.before, self.found)) {
            return Some(format!("did you mean `{span}`"));
        }
        if self.is_joined && matches!(self.before, "\"" | "'") && self.is_word() {
            return Some("a quote is missing, here or further left".to_owned());
        }
        let hint = match self.found.to_ascii_lowercase().as_str() {
            ")" => "no parenthesis is open here",
            "" if self.expects(&[Rule::close]) => "a `)` is missing",
            "," if self.expects(&[Rule::value]) => {
                "write the value behind the event: `event(\"…\").properties.total`"
            }
            "," => "a list stands in parentheses: `in (1, 2)`",
            "then" => "`then` stands in `sequence(event(\"…\") then event(\"…\"))`",
            "without" => "`without` stands behind `then event(\"…\")` in a sequence",
            _ if self.expects(&[Rule::string]) => "the name of an event stands in quotes: `event(\"…\")`",
            found if self.expects(&[Rule::window]) && words::operator(found).is_some() => {
                "to count events write `count(event(\"…\")) >= 2`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Where an event, or what belongs to one, has to stand.
    fn hint_of_event(&self) -> Option<&'static str> {
        if self.expects(&[Rule::then, Rule::step]) {
            return Some(match self.found.to_ascii_lowercase().as_str() {
                "within" => "`within` stands behind a `then event(\"…\")`, or behind the whole sequence",
                _ => "a sequence has two events at least: `sequence(event(\"…\") then event(\"…\"))`",
            });
        }
        if self.expects(&[Rule::pattern, Rule::pattern_kind]) {
            return Some("write `event(\"…\")`, `page()`, `screen()`, `identify()`, `group()` or `alias()`");
        }
        if self.expects(&[Rule::length]) {
            return Some("write `within 30d`; the units are s, m, h, d and w");
        }
        if self.expects(&[Rule::string]) {
            return Some("write it in quotes");
        }
        if self.expects(&[Rule::function]) {
            return Some("write `count(event(\"…\"))` or another function");
        }
        None
    }
}

/// Whether a quote ends before the text does.
fn is_closed(rest: &str, quote: char) -> bool {
    let mut is_escaped = false;
    rest.chars().skip(1).any(|character| {
        let closes = character == quote && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        closes
    })
}

fn is_reserved(word: &str) -> bool {
    let reserved = ["and", "or", "not", "then", "where", "within", "without", "between", "member", "members"];
    reserved.iter().any(|has| has.eq_ignore_ascii_case(word))
}

const OPERATORS: &[Rule] = &[Rule::unary, Rule::operator, Rule::negatable];
const EVENT_CONDITIONS: &[Rule] = &[Rule::event_negation, Rule::event_start, Rule::event_operand];
/// Where any of these is expected a condition is, and nothing else is named.
const CONDITIONS: &[Rule] = &[
    Rule::condition,
    Rule::negation,
    Rule::members,
    Rule::operand,
    Rule::event_condition,
    Rule::event_negation,
    Rule::event_start,
    Rule::event_operand,
];

/// What is said for rules, in the order in which it is said.
const PHRASES: &[(&[Rule], &[&str])] = &[
    (CONDITIONS, &["a condition"]),
    (&[Rule::right, Rule::element], &["a value"]),
    (&[Rule::unary, Rule::operator], &["an operator such as `=`"]),
    (&[Rule::negatable], &["`in`", "`contains`", "`equals`"]),
    (&[Rule::exists], &["`exists`"]),
    (&[Rule::function], &["what is computed, such as `count(`"]),
    (&[Rule::pattern, Rule::pattern_kind], &["an event such as `event(\"…\")`"]),
    (&[Rule::string], &["text in quotes"]),
    (&[Rule::length, Rule::quantity], &["a length of time such as `30d`"]),
    (&[Rule::member], &["`member`"]),
    (&[Rule::open], &["`(`"]),
    (
        &[Rule::value, Rule::field_quoted, Rule::field_word, Rule::trait_dotted, Rule::path],
        &["the path of a value"],
    ),
    (&[Rule::filter, Rule::where_word], &["`where`"]),
    (&[Rule::then, Rule::step], &["`then`"]),
    (&[Rule::window, Rule::lasting, Rule::within], &["`within`"]),
    (&[Rule::window, Rule::between], &["`between`"]),
    (&[Rule::without, Rule::without_word], &["`without`"]),
    (&[Rule::and], &["`and`"]),
    (&[Rule::or], &["`or`"]),
    (&[Rule::comma], &["`,`"]),
    (&[Rule::close], &["`)`"]),
    (&[Rule::EOI], &["the end"]),
];
