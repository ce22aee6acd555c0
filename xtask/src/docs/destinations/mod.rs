//! The pages about destinations: one for each definition of the catalog, and a table of them all, made of the catalog's
//! files.
//!
//! The catalog is read as plain JSON: this program depends on nothing of the product. What is no definition there, the
//! product's own tests tell.

mod answers;
mod overview;
mod page;
mod words;

use crate::project::Project;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CATALOG: &str = "destinations/catalog";
const PAGES: &str = "docs/destinations";
/// What every page begins with.
const MARK: &str =
    "<!-- Made of destinations/catalog/ by `cargo xtask docs --write`: edit the files there. -->\n\n";

/// A definition, as its folder holds it.
struct Definition {
    name: String,
    json: Value,
    /// What a person wrote about it, in `notes.md`.
    notes: Option<String>,
    cases: Vec<Case>,
}

/// A golden pair.
struct Case {
    name: String,
    event: String,
    request: Value,
}

impl Definition {
    fn read(folder: &Path, name: &str) -> Result<Self> {
        let file = |name: &str| fs::read_to_string(folder.join(name));
        let json = file("definition.json").with_context(|| format!("the definition of {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            json: serde_json::from_str(&json).with_context(|| format!("the definition of {name}"))?,
            notes: file("notes.md").ok(),
            cases: cases(&folder.join("golden"))?,
        })
    }

    fn title(&self) -> &str {
        words::text(&self.json, "title")
    }

    fn settings(&self) -> &[Value] {
        words::list(&self.json, "settings")
    }

    fn setting(&self, name: &str) -> Option<&Value> {
        self.settings().iter().find(|setting| words::text(setting, "name") == name)
    }

    fn actions(&self) -> &[Value] {
        let actions = &self.json["actions"];
        actions.as_array().map_or_else(|| words::list(actions, "each"), Vec::as_slice)
    }

    /// The fields that every action has.
    fn shared_fields(&self) -> &[Value] {
        words::list(&self.json["actions"], "shared")
    }

    fn transport(&self) -> &Value {
        &self.json["transport"]
    }

    /// The cases about an action: their names begin with its name. A definition's only action has them all.
    fn cases_of(&self, action: &str) -> impl Iterator<Item = &Case> {
        let is_only = self.actions().len() == 1;
        let action = action.to_owned();
        self.cases.iter().filter(move |case| is_only || case.name.split('-').next() == Some(action.as_str()))
    }
}

/// Whether every page is what the catalog says, and is of a definition.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let wanted = pages(project)?;
    let folder = project.root.join(PAGES);
    let mut problems = Vec::new();
    for (name, text) in &wanted {
        if fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text) {
            problems.push(format!(
                "{PAGES}/{name}: is not what the catalog says; `cargo xtask docs --write` writes it"
            ));
        }
    }
    let strange = names(&folder)?.into_iter().filter(|name| !wanted.contains_key(name));
    problems.extend(strange.map(|name| format!("{PAGES}/{name}: there is no such definition")));
    Ok(problems)
}

/// Writes every page, and takes those away that are of no definition.
pub(super) fn write(project: &Project) -> Result<()> {
    let wanted = pages(project)?;
    let folder = project.root.join(PAGES);
    fs::create_dir_all(&folder)?;
    for name in names(&folder)?.into_iter().filter(|name| !wanted.contains_key(name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, text) in wanted {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// The pages by the names of their files.
fn pages(project: &Project) -> Result<BTreeMap<String, String>> {
    let folder = project.root.join(CATALOG);
    let mut definitions = Vec::new();
    for name in names(&folder)? {
        if folder.join(&name).join("definition.json").is_file() {
            definitions.push(Definition::read(&folder.join(&name), &name)?);
        }
    }
    let page = |definition: &Definition| {
        let text = format!("{MARK}{}", page::page(definition));
        (format!("{}.md", definition.name), text)
    };
    let mut pages: BTreeMap<_, _> = definitions.iter().map(page).collect();
    pages.insert("README.md".to_owned(), format!("{MARK}{}", overview::page(&definitions)));
    Ok(pages)
}

fn cases(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for file in names(folder)? {
        if let Some(name) = file.strip_suffix(".request.json") {
            let request = fs::read_to_string(folder.join(&file))?;
            let event = fs::read_to_string(folder.join(format!("{name}.event.json")))
                .with_context(|| format!("the event of golden pair {name}"))?;
            let request = serde_json::from_str(&request)
                .with_context(|| format!("the request of golden pair {name}"))?;
            cases.push(Case { name: name.to_owned(), event, request });
        }
    }
    Ok(cases)
}

/// The names in a folder, in order; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
