//! Parts of definitions in words.

use serde_json::Value;

/// The text of a member; empty where it is missing.
pub(super) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

/// The list that a member is; empty where it is missing.
pub(super) fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts in the list that a member is, each as code.
pub(super) fn codes(of: &Value, name: &str) -> Vec<String> {
    coded(list(of, name))
}

/// Texts, each as code.
pub(super) fn coded(texts: &[Value]) -> Vec<String> {
    texts.iter().map(|text| code(&bare(text))).collect()
}

/// A text as it is, anything else as JSON.
pub(super) fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Something within backticks.
pub(super) fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// The cells of a row of a table.
fn row<const N: usize>(cells: [String; N]) -> String {
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    format!("| {} |\n", cells.join(" | "))
}

/// A table: its head, its rows.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = format!("| {} |\n{}|\n", head.join(" | "), "|---".repeat(N));
    for cells in rows {
        table.push_str(&row(cells));
    }
    table
}

/// Several things, with commas and one word between them.
pub(super) fn joined(things: &[String], word: &str) -> String {
    match things {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}

/// A directive, or a literal.
pub(super) fn directive(value: &Value) -> String {
    let single =
        value.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
    match single {
        Some((name, path)) if name == "@path" => code(&bare(path)),
        Some((name, template)) if name == "@template" => format!("the text {}", code(&bare(template))),
        Some((name, setting)) if name == "@setting" => format!("the setting {}", code(&bare(setting))),
        Some((name, literal)) if name == "@literal" => code(&literal.to_string()),
        Some((name, inner)) if name == "@excludeWhenNull" => directive(inner),
        Some((name, choice)) if name == "@if" => {
            conditional(choice).unwrap_or_else(|| code(&value.to_string()))
        }
        Some(_) | None => code(&value.to_string()),
    }
}

/// The commonest forms of `@if`: something, else something else; and something if a setting is on.
fn conditional(choice: &Value) -> Option<String> {
    let otherwise = choice.get("else");
    if let Some(exists) = choice.get("exists") {
        let is_itself = choice.get("then") == Some(exists);
        let first = directive(if is_itself { exists } else { choice.get("then")? });
        let first = if is_itself { first } else { format!("{first} if {} is there", directive(exists)) };
        return Some(match otherwise {
            Some(otherwise) => format!("{first}, else {}", directive(otherwise)),
            None => first,
        });
    }
    let setting = choice.get("blank")?.get("@setting")?;
    if choice.get("then").is_some() {
        return None;
    }
    Some(format!("{}, if the setting {} is on", directive(otherwise?), code(&bare(setting))))
}

/// JSON laid out for people, each value as it is written; anything else as it is.
pub(super) fn laid_out(written: &str) -> String {
    if serde_json::from_str::<Value>(written).is_err() {
        return written.trim_end().to_owned();
    }
    let mut out = String::new();
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    let mut rest = written.chars().peekable();
    while let Some(next) = rest.next() {
        if is_quoted {
            out.push(next);
            is_quoted = is_escaped || next != '"';
            is_escaped = !is_escaped && next == '\\';
            continue;
        }
        match next {
            space if space.is_whitespace() => {}
            '{' | '[' => {
                while rest.next_if(|following| following.is_whitespace()).is_some() {}
                out.push(next);
                if let Some(close) = rest.next_if(|following| matches!(following, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(next);
            }
            ',' => {
                out.push(next);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => {
                is_quoted = other == '"';
                out.push(other);
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}
