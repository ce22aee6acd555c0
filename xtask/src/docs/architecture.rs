//! ARCHITECTURE.md: the paths of its code map exist, every crate is in it, and every invariant names a guard
//! that exists.

use super::{section, ticked};
use crate::project::Project;
use anyhow::Result;

const PAGE: &str = "ARCHITECTURE.md";
const COMMAND: &str = "cargo xtask ";
const COMMANDS: [&str; 7] = ["arrows", "clippy", "docs", "sources", "deny", "demo", "fail-points"];

pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let page = project.read(PAGE)?;
    let mut problems = Vec::new();
    match section(&page, "## Code map") {
        Some(map) => {
            let paths: Vec<_> = ticked(map).into_iter().filter(|text| is_path(text)).collect();
            for path in paths.iter().filter(|path| !project.root.join(path).exists()) {
                problems.push(format!("{PAGE}: the code map names {path}, which is not there"));
            }
            for member in members(project) {
                if !paths
                    .iter()
                    .any(|path| path.trim_end_matches('/').split('/').next() == Some(member.as_str()))
                {
                    problems.push(format!("{PAGE}: the code map leaves out {member}/"));
                }
            }
        }
        None => problems.push(format!("{PAGE}: \"## Code map\" is missing")),
    }
    match section(&page, "## Invariants") {
        Some(list) => problems.extend(guards(project, list)),
        None => problems.push(format!("{PAGE}: \"## Invariants\" is missing")),
    }
    Ok(problems)
}

/// The folders of our crates.
fn members(project: &Project) -> Vec<String> {
    let packages = project.metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let folder = |package: &serde_json::Value| {
        let manifest = package["manifest_path"].as_str()?;
        let path = std::path::Path::new(manifest).strip_prefix(&project.root).ok()?;
        Some(path.parent()?.to_string_lossy().into_owned())
    };
    packages.iter().filter(|package| package["source"].is_null()).filter_map(folder).collect()
}

fn is_path(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    plain && (text.contains('/') || text.ends_with(".rs") || text.ends_with(".md") || text.ends_with(".toml"))
}

/// The problems of the list of invariants: items that begin with `- `, each ending in `Guard: …`.
fn guards(project: &Project, list: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for item in items(list) {
        let head: String = item.chars().take(60).collect();
        let named = item.split_once("Guard: ").map(|(_, guard)| ticked(guard)).unwrap_or_default();
        if named.is_empty() {
            problems.push(format!("{PAGE}: an invariant without a guard: {head}…"));
        }
        problems.extend(
            named
                .into_iter()
                .filter(|guard| !exists(project, guard))
                .map(|guard| format!("{PAGE}: guard {guard} is not there")),
        );
    }
    problems
}

fn items(list: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in list.lines() {
        if let Some(start) = line.strip_prefix("- ") {
            items.push(start.to_owned());
        } else if let (Some(last), true) = (items.last_mut(), line.starts_with("  ")) {
            last.push(' ');
            last.push_str(line.trim());
        }
    }
    items
}

/// A guard is a test (`path::function`), a command (`cargo xtask arrows`), or a file that a lint reads.
fn exists(project: &Project, guard: &str) -> bool {
    if let Some(command) = guard.strip_prefix(COMMAND) {
        return COMMANDS.contains(&command);
    }
    match guard.split_once("::") {
        Some((path, test)) => project.read(path).is_ok_and(|text| text.contains(&format!("fn {test}("))),
        None => project.root.join(guard).exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_join_their_lines() {
        let list = "\nIntro.\n\n- **One.** Text\n  goes on. Guard: `a`.\n- Two.\n";
        assert_eq!(items(list), ["**One.** Text goes on. Guard: `a`.", "Two."]);
    }

    #[test]
    fn paths_are_told_from_names() {
        let cases = [
            ("model/", true),
            ("model/src/id.rs", true),
            ("deny.toml", true),
            ("Record", false),
            ("a b/c", false),
        ];
        for (text, want) in cases {
            assert_eq!(is_path(text), want, "{text}");
        }
    }
}
