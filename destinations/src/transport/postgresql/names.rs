//! Names of tables and columns, made of names that people and programs gave.
//!
//! A name becomes words in lower case with `_` between: `Order Completed` and `orderCompleted` are `order_completed`.
//! Different names may become one; then they share a table or a column. What would begin with a digit, or is a column that
//! every table of PostgreSQL has, gets a `_` in front. What is longer than PostgreSQL takes is cut, and ends in a hash of
//! the whole, so that long names with the same beginning stay apart.

use heck::ToSnakeCase;

/// The longest name, in bytes: PostgreSQL cuts longer ones.
pub(super) const NAME_BYTES_MAX: usize = 63;

/// How many hexadecimal digits of a hash stand in a name.
const HASH_DIGITS: usize = 8;

/// Columns that every table has.
const SYSTEM_COLUMNS: [&str; 7] = ["cmax", "cmin", "ctid", "oid", "tableoid", "xmax", "xmin"];

/// The name of a table or a column.
pub(super) fn identifier(text: &str) -> String {
    let mut name = text.to_snake_case();
    if name.is_empty() {
        return format!("unnamed_{}", hash(text));
    }
    if name.starts_with(char::is_numeric) || SYSTEM_COLUMNS.contains(&name.as_str()) {
        name.insert(0, '_');
    }
    if name.len() > NAME_BYTES_MAX {
        let digits = hash(&name);
        let mut end = NAME_BYTES_MAX - HASH_DIGITS - 1;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name.push('_');
        name.push_str(&digits);
    }
    name
}

/// A name within a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table within a statement.
pub(super) fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// A text within a statement.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Names within a statement, with commas between.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().as_str()[..HASH_DIGITS].to_owned()
}
