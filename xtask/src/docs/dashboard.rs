//! Every metric that a dashboard shows is a row of `docs/metrics.md`.

use super::metrics::{PAGE, is_name, names_in_rows};
use crate::project::Project;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;

const DASHBOARDS: &str = "deploy/grafana/dashboards";

/// What a histogram is written as, beside its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let rows: BTreeSet<String> = names_in_rows(&project.read(PAGE)?).into_iter().collect();
    let mut problems = Vec::new();
    for path in project.files("json")? {
        if !path.starts_with(project.root.join(DASHBOARDS)) {
            continue;
        }
        let name = project.relative(&path);
        let dashboard: Value =
            serde_json::from_str(&project.read(&path)?).with_context(|| format!("{name} is no JSON"))?;
        let shown = metrics_of(&dashboard);
        if shown.is_empty() {
            problems.push(format!("{name}: shows no metric"));
        }
        let unknown = shown.iter().filter(|metric| !is_known(metric, &rows));
        problems.extend(unknown.map(|metric| format!("{name}: {metric} is no row of {PAGE}")));
    }
    Ok(problems)
}

/// The metrics in the expressions of a dashboard, however deep they lie.
fn metrics_of(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => {
            let mut found: BTreeSet<String> = members.values().flat_map(metrics_of).collect();
            if let Some(Value::String(expression)) = members.get("expr") {
                found.extend(names_in(expression));
            }
            found
        }
        Value::Array(items) => items.iter().flat_map(metrics_of).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

fn names_in(expression: &str) -> impl Iterator<Item = String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| is_name(word)).map(str::to_owned)
}

fn is_known(metric: &str, rows: &BTreeSet<String>) -> bool {
    let whole = PARTS.iter().find_map(|part| metric.strip_suffix(part));
    rows.contains(metric) || whole.is_some_and(|name| rows.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metrics_are_found_in_expressions() {
        let dashboard = json!({"panels": [
            {"title": "tributary_in_a_title", "targets": [
                {"expr": "sum by (le) (rate(tributary_a_seconds_bucket{log=\"x\"}[5m])) / tributary_b"},
                {"expr": "vector(1)"}
            ]},
            {"panels": [{"targets": [{"expr": "tributary_c_total"}]}]}
        ]});
        let shown: Vec<_> = metrics_of(&dashboard).into_iter().collect();
        assert_eq!(shown, ["tributary_a_seconds_bucket", "tributary_b", "tributary_c_total"]);
    }

    #[test]
    fn parts_of_histograms_are_known_by_their_name() {
        let rows = BTreeSet::from(["tributary_a_seconds".to_owned(), "tributary_c_count".to_owned()]);
        let cases = [
            ("tributary_a_seconds_bucket", true),
            ("tributary_a_seconds", true),
            ("tributary_c_count", true),
            ("tributary_b_seconds_bucket", false),
        ];
        for (metric, want) in cases {
            assert_eq!(is_known(metric, &rows), want, "{metric}");
        }
    }
}
