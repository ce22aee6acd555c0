//! Every endpoint that the admin API describes is a row of `docs/http-api.md`, and the reverse.

use super::missing;
use crate::project::Project;
use anyhow::Result;
use std::collections::BTreeSet;

const PAGE: &str = "docs/http-api.md";
const ROUTES: &str = "server/src/admin/routes";
const PREFIX: &str = "/admin/";

pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let folder = project.root.join(ROUTES);
    let mut described = BTreeSet::new();
    for path in project.files("rs")?.iter().filter(|path| path.starts_with(&folder)) {
        described.extend(described_in(&project.read(path)?));
    }
    let rows = rows_of(&project.read(PAGE)?);
    let mut problems = Vec::new();
    problems.extend(missing(&described, &rows).map(|name| format!("{PAGE}: no row for {name}")));
    problems.extend(missing(&rows, &described).map(|name| format!("{PAGE}: {name} is in no {ROUTES}")));
    Ok(problems)
}

/// The endpoints of `#[utoipa::path(get, path = "/…", …)]`, as `GET /…`.
fn described_in(code: &str) -> BTreeSet<String> {
    let endpoint = |rest: &str| {
        let (method, rest) = rest.split_once(',')?;
        let path = rest.split_once("path = \"")?.1.split('"').next()?;
        Some(format!("{} {path}", method.trim().to_uppercase()))
    };
    code.split("#[utoipa::path(").skip(1).filter_map(endpoint).collect()
}

/// The first column of the rows about the admin API.
fn rows_of(page: &str) -> BTreeSet<String> {
    let first = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    page.lines().filter_map(first).filter(|name| name.contains(PREFIX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_from_code_and_page() {
        let code =
            "#[utoipa::path(get, path = \"/admin/v1/x/{id}\", tag = \"x\",\n  responses())]\nfn f() {}";
        let page = "| request | what |\n| `GET /admin/v1/x/{id}` | reads one |\n| `GET /livez` | 200 |";
        assert_eq!(described_in(code), rows_of(page));
        assert_eq!(described_in(code), BTreeSet::from(["GET /admin/v1/x/{id}".to_owned()]));
    }
}
