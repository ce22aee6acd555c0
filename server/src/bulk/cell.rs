//! Values of traits in the cells of CSV.
//!
//! A text stands as it is, and so does any other JSON value. Where a text would be read as something else (`"5"`,
//! `"true"`, an empty one), it stands as a JSON string, with its quotation marks.

use serde_json::value::RawValue;
use std::borrow::Cow;

/// How cells are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Numbers, `true`, `false`, `null` and every other JSON value are what they are; an empty cell is null; anything
    /// else is a text.
    Typed,
    /// Every cell is a text.
    Strings,
}

/// The JSON text of what a cell says.
pub(crate) fn json_of(cell: &str, cells: Cells) -> String {
    match cells {
        Cells::Typed if cell.is_empty() => "null".to_owned(),
        Cells::Typed if is_json(cell) => cell.to_owned(),
        Cells::Typed | Cells::Strings => quoted(cell),
    }
}

/// The cell that says this JSON text.
pub(crate) fn cell_of(json: &str) -> Cow<'_, str> {
    let text = json.starts_with('"').then(|| serde_json::from_str::<String>(json).ok()).flatten();
    match text {
        Some(text) if !text.is_empty() && !is_json(&text) => Cow::Owned(text),
        Some(_) | None => Cow::Borrowed(json),
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}

/// Whether a text is a JSON value as a whole, without spaces around it.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().len() == text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_they_look_like() {
        let cases = [
            ("", "null", r#""""#),
            ("null", "null", r#""null""#),
            ("true", "true", r#""true""#),
            ("True", r#""True""#, r#""True""#),
            ("5", "5", r#""5""#),
            ("-0.50", "-0.50", r#""-0.50""#),
            ("9007199254740993", "9007199254740993", r#""9007199254740993""#),
            ("1e400", "1e400", r#""1e400""#),
            ("007", r#""007""#, r#""007""#),
            ("+5", r#""+5""#, r#""+5""#),
            (" 5", r#"" 5""#, r#"" 5""#),
            ("NaN", r#""NaN""#, r#""NaN""#),
            ("1,5", r#""1,5""#, r#""1,5""#),
            (r#""5""#, r#""5""#, r#""\"5\"""#),
            (r#"say "hi""#, r#""say \"hi\"""#, r#""say \"hi\"""#),
            (r#"[1,"a"]"#, r#"[1,"a"]"#, r#""[1,\"a\"]""#),
            ("[draft]", r#""[draft]""#, r#""[draft]""#),
            ("a\nb", r#""a\nb""#, r#""a\nb""#),
        ];
        for (cell, typed, strings) in cases {
            assert_eq!(json_of(cell, Cells::Typed), typed, "{cell:?}");
            assert_eq!(json_of(cell, Cells::Strings), strings, "{cell:?}");
        }
    }

    #[test]
    fn a_text_that_looks_like_something_else_keeps_its_marks() {
        let cases = [
            (r#""pro""#, "pro"),
            (r#""5""#, r#""5""#),
            (r#""true""#, r#""true""#),
            (r#""""#, r#""""#),
            (r#"" 5""#, " 5"),
            (r#""[1]""#, r#""[1]""#),
            (r#""\"5\"""#, r#""\"5\"""#),
            (r#""caf\u00e9""#, "café"),
            ("5", "5"),
            ("null", "null"),
            (r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            // Half of a pair can't be a text of its own.
            (r#""\ud800""#, r#""\ud800""#),
        ];
        for (json, cell) in cases {
            assert_eq!(cell_of(json), cell, "{json}");
        }
    }
}
