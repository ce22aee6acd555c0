//! The allowed dependencies between the project's crates, and what may never reach the pure ones.

use crate::project::{Project, report};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A crate and those of ours that it may depend on. A new arrow is an architecture decision: it enters here
/// together with its ADR.
const ARROWS: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("sample", &[]),
    ("xtask", &[]),
    ("proto", &["model"]),
    ("schemas", &["model"]),
    ("identity", &["model"]),
    ("eventlog", &["model", "proto"]),
    ("ingest", &["model", "proto", "schemas", "eventlog"]),
    ("profiles", &["model", "proto", "identity", "eventlog"]),
    ("destinations", &["model", "eventlog"]),
    ("server", EVERYTHING),
    ("bench", EVERYTHING),
];

const EVERYTHING: &[&str] = &[
    "model",
    "sample",
    "proto",
    "schemas",
    "identity",
    "eventlog",
    "ingest",
    "profiles",
    "destinations",
    "server",
];

/// Crates that are functions over values.
const PURE: [&str; 4] = ["model", "proto", "schemas", "identity"];

/// What a pure crate would do I/O, time or tasks with.
const IMPURE: [&str; 12] = [
    "actix-web",
    "fjall",
    "futures-util",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "reqwest",
    "rustix",
    "sled",
    "socket2",
    "tokio",
];

/// What generated code of a pure crate is made for: it names their types, and others run it. What is reached
/// through them alone does not count.
const GENERATED_FOR: [&str; 2] = ["tonic", "tonic-prost"];

/// Checks both rules against `cargo metadata`.
pub(crate) fn check(project: &Project) -> Result<()> {
    let graph = Graph::read(&project.metadata)?;
    let mut problems = arrows(&graph.ours);
    problems.extend(reached(&graph));
    report(&problems)
}

/// What depends on what, by short name.
struct Graph {
    /// Our crates and those of ours that each depends on in any way, tests included.
    ours: BTreeMap<String, BTreeSet<String>>,
    /// Every package id with those it depends on outside of tests and build scripts.
    normal: BTreeMap<String, Vec<String>>,
    /// The name of each package id.
    names: BTreeMap<String, String>,
}

impl Graph {
    fn read(metadata: &Value) -> Result<Self> {
        let list =
            |value: &Value, what| value.as_array().cloned().with_context(|| format!("metadata has {what}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let members: BTreeSet<_> =
            list(&metadata["workspace_members"], "members")?.iter().map(text).collect();
        let mut graph = Self { ours: BTreeMap::new(), normal: BTreeMap::new(), names: BTreeMap::new() };
        for package in list(&metadata["packages"], "packages")? {
            graph.names.insert(text(&package["id"]), short(&text(&package["name"])).to_owned());
        }
        for node in list(&metadata["resolve"]["nodes"], "a resolved graph")? {
            let id = text(&node["id"]);
            let mut normal = Vec::new();
            let mut ours = BTreeSet::new();
            for dependency in list(&node["deps"], "dependencies")? {
                let other = text(&dependency["pkg"]);
                if members.contains(&other)
                    && let Some(name) = graph.names.get(&other)
                {
                    ours.insert(name.clone());
                }
                if list(&dependency["dep_kinds"], "kinds")?.iter().any(|kind| kind["kind"].is_null()) {
                    normal.push(other);
                }
            }
            if members.contains(&id)
                && let Some(name) = graph.names.get(&id)
            {
                ours.remove(name);
                graph.ours.insert(name.clone(), ours);
            }
            graph.normal.insert(id, normal);
        }
        Ok(graph)
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("tributary-").unwrap_or(name)
}

fn arrows(ours: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut problems = Vec::new();
    for (from, targets) in ours {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == from) else {
            problems.push(format!("crate {from} is not in the list of xtask/src/arrows.rs"));
            continue;
        };
        for to in targets.iter().filter(|to| !allowed.contains(&to.as_str())) {
            problems.push(format!("{from} must not depend on {to}"));
        }
    }
    problems
}

fn reached(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for (start, _) in graph.names.iter().filter(|(_, name)| PURE.contains(&name.as_str())) {
        if !graph.ours.contains_key(&graph.names[start]) {
            continue;
        }
        let mut seen = BTreeSet::from([start.as_str()]);
        let mut open = vec![start.as_str()];
        while let Some(id) = open.pop() {
            for next in graph.normal.get(id).into_iter().flatten() {
                let generated_for = GENERATED_FOR.contains(&graph.names.get(next).map_or("", String::as_str));
                if !generated_for && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        for id in seen {
            let name = graph.names.get(id).map_or("", String::as_str);
            if IMPURE.contains(&name) {
                problems.push(format!("{} is pure and must not reach {name}", graph.names[start]));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let names: BTreeSet<&str> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let ours = |name: &&&str| ARROWS.iter().any(|(have, _)| *have == **name) || name.starts_with("our-");
        let nodes: Vec<_> = names
            .iter()
            .map(|name| {
                let deps: Vec<_> = edges
                    .iter()
                    .filter(|(from, _)| from == name)
                    .map(|(_, to)| json!({"pkg": to, "dep_kinds": [{"kind": null}]}))
                    .collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        let packages: Vec<_> = names.iter().map(|name| json!({"id": name, "name": name})).collect();
        let members: Vec<_> = names.iter().filter(ours).collect();
        Graph::read(&json!({"workspace_members": members, "packages": packages, "resolve": {"nodes": nodes}}))
            .expect("metadata of the right shape")
    }

    #[test]
    fn an_arrow_that_is_not_listed_is_told() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
        let cases: [Case; 6] = [
            ("allowed", &[("ingest", "eventlog"), ("server", "profiles")], &[]),
            (
                "against the list",
                &[("destinations", "profiles")],
                &["destinations must not depend on profiles"],
            ),
            (
                "an unknown crate",
                &[("our-new", "model")],
                &["crate our-new is not in the list of xtask/src/arrows.rs"],
            ),
            (
                "a pure crate that reaches a runtime",
                &[("identity", "helper"), ("helper", "tokio")],
                &["identity is pure and must not reach tokio"],
            ),
            ("generated code, which others run", &[("proto", "tonic"), ("tonic", "tokio")], &[]),
            ("others may", &[("server", "helper"), ("helper", "tokio")], &[]),
        ];
        for (name, edges, want) in cases {
            let graph = graph(edges);
            let mut have = arrows(&graph.ours);
            have.extend(reached(&graph));
            assert_eq!(have, want, "{name}");
        }
    }
}
