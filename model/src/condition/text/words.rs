//! The words of the text form, what they stand for, and how close a wrong one comes.

use crate::condition::{Function, NotASpan, Number, Operator, Span};

/// What is computed, by name. Of several names of one the first is written.
const FUNCTIONS: [(&str, Function); 14] = [
    ("count", Function::Count),
    ("sum", Function::Sum),
    ("average", Function::Average),
    ("avg", Function::Average),
    ("min", Function::Min),
    ("max", Function::Max),
    ("first", Function::First),
    ("last", Function::Last),
    ("most_frequent", Function::MostFrequent),
    ("mode", Function::MostFrequent),
    ("unique_list", Function::UniqueList),
    ("unique", Function::UniqueList),
    ("unique_count", Function::UniqueCount),
    ("time_since", Function::TimeSince),
];

/// Operators, by name. Of several names of one the first is written.
const OPERATORS: [(&str, Operator); 30] = [
    ("=", Operator::Equals),
    ("==", Operator::Equals),
    ("equals", Operator::Equals),
    ("!=", Operator::NotEquals),
    ("<>", Operator::NotEquals),
    ("not equals", Operator::NotEquals),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
    ("in", Operator::OneOf),
    ("one_of", Operator::OneOf),
    ("not in", Operator::NoneOf),
    ("none_of", Operator::NoneOf),
    ("contains", Operator::Contains),
    ("contains_any", Operator::ContainsAny),
    ("not contains", Operator::NotContains),
    ("omits", Operator::NotContains),
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("matches", Operator::Matches),
    ("exists", Operator::Exists),
    ("absent", Operator::Absent),
    ("not exists", Operator::Absent),
    ("before_date", Operator::BeforeDate),
    ("after_date", Operator::AfterDate),
    ("within_last", Operator::WithinLast),
    ("within_next", Operator::WithinNext),
    ("before_last", Operator::BeforeLast),
    ("after_next", Operator::AfterNext),
];

/// Calls, by the names that begin an event.
const CALLS: [&str; 6] = ["event", "page", "screen", "identify", "group", "alias"];

/// What else has parentheses behind it.
const FORMS: [&str; 8] = ["all", "any", "audience", "account", "sequence", "trait", "computed", "field"];

/// Members of an event that may be written without quotes. Traits in an event may not, as they would look like those
/// of the profile.
const EVENT_FIELDS: [&str; 18] = [
    "anonymousId",
    "category",
    "channel",
    "context",
    "event",
    "groupId",
    "integrations",
    "messageId",
    "name",
    "originalTimestamp",
    "previousId",
    "properties",
    "receivedAt",
    "sentAt",
    "timestamp",
    "type",
    "userId",
    "version",
];

/// What stands beside the members of an event in the conditions of filters and triggers: whose it is.
pub(in crate::condition) const PROFILE: &str = "profile";

/// What people write for operators, and which one they mean.
const MEANT: [(&str, &str); 20] = [
    ("is", "="),
    ("eq", "="),
    ("equal", "="),
    ("isnt", "!="),
    ("ne", "!="),
    ("neq", "!="),
    ("gt", ">"),
    ("gte", ">="),
    ("lt", "<"),
    ("lte", "<="),
    ("like", "contains"),
    ("ilike", "contains"),
    ("has", "contains"),
    ("includes", "contains"),
    ("regex", "matches"),
    ("before", "before_date"),
    ("after", "after_date"),
    ("starts", "starts_with"),
    ("begins", "starts_with"),
    ("ends", "ends_with"),
];

/// Names of units, and the unit with a factor.
const UNITS: [(&str, u64, &str); 19] = [
    ("s", 1, "s"),
    ("sec", 1, "s"),
    ("second", 1, "s"),
    ("m", 1, "m"),
    ("min", 1, "m"),
    ("minute", 1, "m"),
    ("h", 1, "h"),
    ("hr", 1, "h"),
    ("hour", 1, "h"),
    ("d", 1, "d"),
    ("day", 1, "d"),
    ("w", 1, "w"),
    ("wk", 1, "w"),
    ("week", 1, "w"),
    ("mo", 30, "d"),
    ("month", 30, "d"),
    ("y", 365, "d"),
    ("yr", 365, "d"),
    ("year", 365, "d"),
];

/// What is written wrong, and what to write instead.
pub(super) type Wrong = (String, Option<String>);

/// Whether a name may hold it without quotes; as `letter` of the grammar says.
pub(in crate::condition) const fn is_letter(character: char) -> bool {
    matches!(character,
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '$' | '-'
        | '\u{C0}'..='\u{1FFF}' | '\u{2C00}'..='\u{2FEF}' | '\u{3040}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDFF}' | '\u{10000}'..='\u{10FFFF}')
}

/// Whether a path that begins so is a field of an event without quotes.
pub(in crate::condition) fn is_event_field(head: &str) -> bool {
    EVENT_FIELDS.contains(&head)
}

/// The name that is written.
pub(in crate::condition) fn function_name(function: Function) -> &'static str {
    let found = FUNCTIONS.iter().find(|(_, has)| *has == function);
    found.expect("every function has a name").0
}

/// The name that is written.
pub(in crate::condition) fn operator_name(operator: Operator) -> &'static str {
    let found = OPERATORS.iter().find(|(_, has)| *has == operator);
    found.expect("every operator has a name").0
}

/// The function of a name, whatever its case.
pub(super) fn function(name: &str) -> Option<Function> {
    let found = FUNCTIONS.iter().find(|(has, _)| has.eq_ignore_ascii_case(name));
    found.map(|(_, function)| *function)
}

/// The operator of a name, whatever its case and the blanks in it.
pub(super) fn operator(name: &str) -> Option<Operator> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = OPERATORS.iter().find(|(has, _)| has.eq_ignore_ascii_case(&name));
    found.map(|(_, operator)| *operator)
}

/// Whether a word, behind which a parenthesis opens, is one of the language.
pub(super) fn is_callable(name: &str) -> bool {
    callables().any(|has| has.eq_ignore_ascii_case(name))
}

/// Whether it begins an event.
pub(super) fn is_call(name: &str) -> bool {
    CALLS.iter().any(|has| has.eq_ignore_ascii_case(name))
}

fn callables() -> impl Iterator<Item = &'static str> {
    CALLS.into_iter().chain(FUNCTIONS.map(|(name, _)| name)).chain(FORMS)
}

/// What to write instead of an unknown word with a parenthesis behind it.
pub(super) fn instead_of_call(name: &str) -> String {
    if ["did", "performed", "track"].iter().any(|said| said.eq_ignore_ascii_case(name)) {
        return "did you mean `event`".to_owned();
    }
    nearest(name, callables()).map_or_else(
        || {
            format!(
                "there are {}",
                callables().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )
        },
        |near| format!("did you mean `{near}`"),
    )
}

/// The operator that a word is likely to mean.
pub(super) fn instead_of_operator(word: &str) -> Option<&'static str> {
    let meant = MEANT.iter().find(|(said, _)| said.eq_ignore_ascii_case(word)).map(|(_, meant)| *meant);
    meant.or_else(|| nearest(word, OPERATORS.into_iter().map(|(name, _)| name)))
}

/// The field of an event that a path is likely to mean.
pub(in crate::condition) fn instead_of_field(path: &str) -> String {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    match (nearest(head, EVENT_FIELDS.into_iter()), rest) {
        (Some(near), Some(rest)) => format!("{near}.{rest}"),
        (Some(near), None) => near.to_owned(),
        (None, _) => format!("properties.{path}"),
    }
}

/// The one of these that a word comes closest to, if it is close.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONG: usize = 30;
    let word: Vec<char> = word.chars().take(LONG).flat_map(char::to_lowercase).collect();
    let allowed = ((word.len() + 1) / 3).min(3);
    let steps = among.map(|name| (distance(&word, &name.to_lowercase()), name));
    steps.filter(|(steps, _)| *steps <= allowed).min_by_key(|(steps, _)| *steps).map(|(_, name)| name)
}

/// How many characters are to be added, left out or changed.
fn distance(word: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (line, have) in name.chars().enumerate() {
        let mut corner = line;
        let mut left = line + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (said, cell) in word.iter().zip(row.iter_mut().skip(1)) {
            let changed = corner + usize::from(*said != have);
            corner = *cell;
            left = changed.min(corner + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A number or a length of time.
pub(super) enum Quantity {
    /// A number.
    Number(Number),
    /// A length of time.
    Span(Span),
}

/// Reads what begins with a digit.
pub(super) fn quantity(text: &str) -> Result<Quantity, Wrong> {
    if let Some(number) = Number::parse(text) {
        return Ok(Quantity::Number(number));
    }
    match text.parse() {
        Ok(span) => Ok(Quantity::Span(span)),
        Err(why @ (NotASpan::Zero | NotASpan::TooLong)) => Err((format!("`{text}`: {why}"), None)),
        Err(NotASpan::Form) => {
            let hint = span_meant(text).map(|span| format!("did you mean `{span}`"));
            let other = || Some("write numbers as 12, -0.5 or 1e6, and lengths of time as 30d".to_owned());
            Err((format!("`{text}` is neither a number nor a length of time"), hint.or_else(other)))
        }
    }
}

/// Reads a length of time.
pub(super) fn span(text: &str) -> Result<Span, Wrong> {
    match quantity(text)? {
        Quantity::Span(span) => Ok(span),
        Quantity::Number(_) => {
            let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
            let hint =
                if is_whole { format!("did you mean `{text}d`") } else { "write it as 30d".to_owned() };
            Err((
                format!("`{text}` has no unit of time"),
                Some(format!("{hint}; the units are s, m, h, d and w")),
            ))
        }
    }
}

/// The length of time that a text is likely to mean: `30 days`, for instance.
pub(super) fn span_meant(text: &str) -> Option<Span> {
    let split = text.find(|character: char| !character.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let unit = unit.trim().trim_start_matches(['-', '_']).to_ascii_lowercase();
    let is = |name: &str| unit == name || name.len() > 1 && unit.strip_suffix('s') == Some(name);
    let (_, factor, unit) = UNITS.into_iter().find(|(name, ..)| is(name))?;
    let number = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    format!("{number}{unit}").parse().ok()
}

/// Reads a text in quotes, with the escapes of JSON; in single quotes, `\'` is one too.
pub(super) fn unquote(quoted: &str) -> Result<String, Wrong> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let json = if quoted.starts_with('\'') { with_double_quotes(inner) } else { quoted.to_owned() };
    serde_json::from_str(&json).map_err(|_| {
        if inner.chars().any(|character| character < ' ') {
            let message = "a text in quotes ends on its line, and has no tabs".to_owned();
            return (message, Some("write `\\n` for a new line, `\\t` for a tab".to_owned()));
        }
        let message = "a backslash in quotes begins an escape: `\\\"`, `\\n` or `\\u00e9`".to_owned();
        (message, Some("write two backslashes for one".to_owned()))
    })
}

fn with_double_quotes(inner: &str) -> String {
    let mut json = String::from('"');
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => match characters.next() {
                Some('\'') => json.push('\''),
                Some(escaped) => json.extend(['\\', escaped]),
                None => json.push('\\'),
            },
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_close_or_not() {
        let cases = [
            ("contians", Some("contains")),
            ("start_with", Some("starts_with")),
            ("banana", None),
            ("is", Some("=")),
        ];
        for (word, want) in cases {
            assert_eq!(instead_of_operator(word), want, "{word}");
        }
        assert_eq!(instead_of_field("total"), "properties.total");
        assert_eq!(instead_of_field("property.total"), "properties.total");
        assert_eq!(instead_of_field("userID"), "userId");
        assert_eq!(instead_of_call("cuont"), "did you mean `count`");
        assert!(instead_of_call("banana").starts_with("there are `event`"));
    }

    #[test]
    fn lengths_of_time_are_understood() {
        let cases = [
            ("30 days", Some("30d")),
            ("1week", Some("7d")),
            ("2months", Some("60d")),
            ("24hrs", Some("1d")),
            ("3 apples", None),
            ("500ms", None),
            ("30", None),
            ("99999999999999999999d", None),
        ];
        for (text, want) in cases {
            assert_eq!(span_meant(text).map(|span| span.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn quotes_are_taken_off() {
        let cases = [
            (r#""a\"b\u00e9""#, Some("a\"bé")),
            (r"'a\'b\n'", Some("a'b\n")),
            (r#"'say "x"'"#, Some("say \"x\"")),
            (r#""\d""#, None),
            ("\"a\nb\"", None),
            (r"'\ud800'", None),
            ("''", Some("")),
        ];
        for (text, want) in cases {
            assert_eq!(unquote(text).ok().as_deref(), want, "{text}");
        }
    }
}
