//! Rustdoc without warnings, and what the written pages say against what is there.
//!
//! A page that can't be checked drifts. So pages name things in forms that this module can look up: metric
//! rows, ADR numbers, links, the paths of the code map, the guards of invariants.

use crate::project::{Project, report, run};
use anyhow::Result;
use std::collections::BTreeSet;

mod adr;
mod api;
mod architecture;
mod dashboard;
mod destinations;
mod links;
mod metrics;

/// The pages first, because they are cheap; then rustdoc, for our crates alone.
pub(crate) fn check(project: &Project) -> Result<()> {
    let mut problems = metrics::check(project)?;
    problems.extend(dashboard::check(project)?);
    problems.extend(adr::check(project)?);
    problems.extend(api::check(project)?);
    problems.extend(architecture::check(project)?);
    problems.extend(destinations::check(project)?);
    problems.extend(links::check(project)?);
    report(&problems)?;
    run(project
        .command("cargo")
        .args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Writes the pages that are made of other files.
pub(crate) fn write(project: &Project) -> Result<()> {
    destinations::write(project)
}

/// The texts between single backticks, outside of fenced blocks.
fn ticked(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// The lines of a section, from below its heading to the next heading of the same or a higher level.
fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let marks = line.chars().take_while(|c| *c == '#').count();
        match start {
            None if line.trim_end() == heading => start = Some(at + line.len()),
            Some(from) if marks > 0 && marks <= level => return text.get(from..at),
            None | Some(_) => {}
        }
        at += line.len();
    }
    start.and_then(|from| text.get(from..))
}

/// The items that occur in `have` and not in `known`.
fn missing<'a>(have: &'a BTreeSet<String>, known: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    have.difference(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_end_at_the_next_heading_of_their_level() {
        let text = "# A\n\n## B\none `x`\n### C\ntwo\n## D\nthree\n";
        assert_eq!(section(text, "## B"), Some("one `x`\n### C\ntwo\n"));
        assert_eq!(section(text, "## D"), Some("three\n"));
        assert_eq!(section(text, "## E"), None);
    }

    #[test]
    fn ticked_texts_leave_fences_out() {
        assert_eq!(ticked("a `b` c `d`\n```text\n`e`\n```\n`f`"), ["b", "d", "f"]);
    }
}
