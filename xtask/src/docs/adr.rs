//! Each ADR has a number of its own, counted without gaps, the three parts, and a row in the list of ADRs.

use super::section;
use crate::project::Project;
use anyhow::Result;
use std::path::Path;

const FOLDER: &str = "docs/adr";
const LIST: &str = "ARCHITECTURE.md";

pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let folder = project.root.join(FOLDER);
    let list = project.read(LIST)?;
    let mut expected = 1;
    for path in project.files("md")?.iter().filter(|path| path.starts_with(&folder)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match number(Path::new(&*name)) {
            Some(number) if number == expected => expected += 1,
            Some(number) => {
                problems.push(format!("{FOLDER}/{name}: number {number} where {expected} is next"))
            }
            None => problems.push(format!("{FOLDER}/{name}: the name is not NNNN-title.md")),
        }
        if !list.contains(&format!("({FOLDER}/{name})")) {
            problems.push(format!("{LIST}: no link to {FOLDER}/{name}"));
        }
        let text = project.read(path)?;
        for part in ["## Context", "## Choice", "## Consequences"] {
            if section(&text, part).is_none_or(|body| body.trim().is_empty()) {
                problems.push(format!("{FOLDER}/{name}: \"{part}\" is missing or empty"));
            }
        }
    }
    Ok(problems)
}

fn number(name: &Path) -> Option<u32> {
    let (digits, title) = name.to_str()?.strip_suffix(".md")?.split_once('-')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (digits.len() == 4 && !title.is_empty() && title.chars().all(plain)).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_four_digits_and_a_title() {
        let cases = [
            ("0007-own-log.md", Some(7)),
            ("7-own-log.md", None),
            ("0007-Own.md", None),
            ("0007-.md", None),
            ("notes.md", None),
        ];
        for (name, want) in cases {
            assert_eq!(number(Path::new(name)), want, "{name}");
        }
    }
}
