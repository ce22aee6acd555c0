//! Links from page to page, and from a page to a file, lead somewhere.

use crate::project::Project;
use anyhow::Result;
use std::path::Path;

pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in project.files("md")? {
        let folder = path.parent().unwrap_or(&project.root);
        for target in local_targets(&project.read(&path)?) {
            if !leads_somewhere(folder, &target) {
                problems.push(format!("{}: the link to {target} leads nowhere", project.relative(&path)));
            }
        }
    }
    Ok(problems)
}

fn leads_somewhere(folder: &Path, target: &str) -> bool {
    let file = target.split('#').next().unwrap_or_default();
    file.is_empty() || folder.join(file).exists()
}

/// The targets of links, outside of fenced blocks, that are no addresses.
fn local_targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                targets.push(target.to_owned());
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_fences_are_left_out() {
        let text = "[a](b.md) and [c](https://example.com/d)\n```\n[e](f.md)\n```\n[g](h.md#i)";
        assert_eq!(local_targets(text), ["b.md", "h.md#i"]);
    }
}
