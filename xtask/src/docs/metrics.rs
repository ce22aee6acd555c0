//! Every metric name is a constant in its crate's `metrics.rs` and a row of `docs/metrics.md`, and the reverse.

use super::missing;
use crate::project::Project;
use anyhow::Result;
use std::collections::BTreeSet;

pub(super) const PAGE: &str = "docs/metrics.md";
const PREFIX: &str = "tributary_";

pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut constants = BTreeSet::new();
    for path in project.files("rs")? {
        let text = project.read(&path)?;
        if path.file_name().is_some_and(|name| name == "metrics.rs") {
            if !path.starts_with(project.root.join("xtask")) {
                constants.extend(names_in_code(&text));
            }
        } else if !path.starts_with(project.root.join("xtask")) {
            for name in literal_metrics(&text) {
                problems.push(format!(
                    "{}: metric {name} is not a constant of metrics.rs",
                    project.relative(&path)
                ));
            }
        }
    }
    let rows = names_in_rows(&project.read(PAGE)?);
    let unique: BTreeSet<String> = rows.iter().cloned().collect();
    if unique.len() != rows.len() {
        problems.push(format!("{PAGE}: a metric has two rows"));
    }
    problems.extend(missing(&constants, &unique).map(|name| format!("{PAGE}: no row for {name}")));
    problems.extend(missing(&unique, &constants).map(|name| format!("{PAGE}: {name} is in no metrics.rs")));
    Ok(problems)
}

/// The string literals that are metric names.
fn names_in_code(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).filter(|word| is_name(word)).map(str::to_owned).collect()
}

/// Names given to a metric's macro as a literal.
fn literal_metrics(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for macro_name in ["counter!(", "gauge!(", "histogram!("] {
        for rest in text.split(macro_name).skip(1) {
            if let Some(literal) = rest.trim_start().strip_prefix('"') {
                found.push(literal.split('"').next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

/// The names in the first column.
pub(super) fn names_in_rows(text: &str) -> Vec<String> {
    let first = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    text.lines().filter_map(first).filter(|name| is_name(name)).collect()
}

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(PREFIX) && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_in_code_and_in_rows() {
        let code = "pub const A: &str = \"tributary_a_total\";\ndescribe(\"a total of things\");";
        assert_eq!(names_in_code(code), ["tributary_a_total"]);
        assert_eq!(
            names_in_rows("| name |\n|---|\n| `tributary_a_total` | counter |\n"),
            ["tributary_a_total"]
        );
        assert_eq!(literal_metrics("metrics::counter!(\"x\", 1); counter!(NAME)"), ["x"]);
    }
}
