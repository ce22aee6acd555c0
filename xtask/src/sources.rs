//! The size and shape of source files: what no lint of the compiler looks at.

use crate::project::{Project, report};
use anyhow::Result;

/// A file that is longer than this does more than one thing.
const LINES_MAX: usize = 600;

/// Checks every Rust file.
pub(crate) fn check(project: &Project) -> Result<()> {
    let mut problems = Vec::new();
    for path in project.files("rs")? {
        let text = project.read(&path)?;
        let name = project.relative(&path).to_string();
        let tests = name.ends_with("/tests.rs") || name.ends_with("/tests/mod.rs");
        let kind = if tests { Kind::Tests } else { Kind::Module };
        problems.extend(problems_of(&text, kind).into_iter().map(|problem| format!("{name}: {problem}")));
    }
    report(&problems)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A file that is about something of its own.
    Module,
    /// The unit tests of a module, whose header speaks for them too.
    Tests,
}

fn problems_of(text: &str, kind: Kind) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        problems.push(format!("{lines} lines; the limit is {LINES_MAX}"));
    }
    let head = text.lines().find(|line| !line.trim().is_empty());
    if kind == Kind::Module && !head.is_some_and(|line| line.starts_with("//!") || line.starts_with("#![")) {
        problems
            .push("a header (//!) is missing: what it is for, what it guarantees, what it leaves out".into());
    }
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[ignore") {
            problems.push(format!("line {}: an ignored test", number + 1));
        }
        let comment = line.find("//").map_or("", |at| &line[at..]);
        for word in ["TODO", "FIXME", "XXX", "HACK"] {
            if comment.split(|c: char| !c.is_alphanumeric()).any(|have| have == word) {
                problems.push(format!("line {}: a comment with {word}; open an issue instead", number + 1));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_breaks_the_habits() {
        let marked = format!("//! Head.\n// {}: later\n", ["TO", "DO"].concat());
        let cases = [
            ("fine", Kind::Module, "//! Head.\nfn main() {}\n".to_owned(), 0),
            ("no header", Kind::Module, "fn main() {}\n".to_owned(), 1),
            ("tests need none", Kind::Tests, "use super::*;\n".to_owned(), 0),
            ("too long", Kind::Module, format!("//! Head.\n{}", "\n".repeat(LINES_MAX)), 1),
            ("a note to self", Kind::Module, marked, 1),
            ("an ignored test", Kind::Tests, "#[test]\n    #[ignore]\nfn slow() {}\n".to_owned(), 1),
        ];
        for (name, kind, text, want) in cases {
            assert_eq!(problems_of(&text, kind).len(), want, "{name}");
        }
    }
}
