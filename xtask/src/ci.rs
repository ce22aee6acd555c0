//! The steps of CI, in order: cheap ones first, so that a slip is told early.

use crate::project::{Project, run as run_command};
use crate::{arrows, deny, docs, sources};
use anyhow::{Context, Result};
use std::time::Instant;

/// The crates that have golden files.
const GOLDEN: [&str; 1] = ["tributary-destinations"];

/// A named check.
pub(crate) struct Step {
    name: &'static str,
    check: fn(&Project) -> Result<()>,
}

const fn step(name: &'static str, check: fn(&Project) -> Result<()>) -> Step {
    Step { name, check }
}

/// The steps in the order in which they run.
pub(crate) fn steps(full: bool, skip_tests: bool) -> Vec<Step> {
    let mut steps = vec![
        step("fmt", fmt),
        step("arrows", arrows::check),
        step("sources", sources::check),
        step("clippy", clippy),
        step("docs", docs::check),
    ];
    if !skip_tests {
        steps.push(step("test", test));
    }
    if full {
        steps.push(step("demo", demo));
        steps.push(step("sdk", sdk));
    }
    // Last, because they are the only ones that a network decides about.
    steps.push(step("deny", deny::check));
    steps.push(step("advisories", deny::advisories));
    steps
}

/// Runs the steps one after another, each with its time, up to the first that fails.
pub(crate) fn run(project: &Project, steps: Vec<Step>) -> Result<()> {
    let start = Instant::now();
    let count = steps.len();
    for (number, step) in steps.into_iter().enumerate() {
        println!("── {}/{count} {}", number + 1, step.name);
        let began = Instant::now();
        let result = (step.check)(project);
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("── {}: ok, {seconds:.1} s", step.name),
            Err(why) => {
                println!("── {}: FAILED, {seconds:.1} s; run it alone with `cargo xtask {0}`", step.name);
                return Err(why.context(format!("step {}", step.name)));
            }
        }
    }
    println!("── all {count} steps ok, {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Formatting.
pub(crate) fn fmt(project: &Project) -> Result<()> {
    project.cargo(&["fmt", "--all", "--check"])
}

/// Lints.
pub(crate) fn clippy(project: &Project) -> Result<()> {
    project.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

/// Every test that needs nothing but loopback.
pub(crate) fn test(project: &Project) -> Result<()> {
    project.cargo(&["test", "--workspace", "--locked"])
}

/// The demo judges itself: it knows what the generator made.
pub(crate) fn demo(project: &Project) -> Result<()> {
    project.cargo(&["run", "--release", "--locked", "--", "demo", "--exit"])
}

/// Published SDKs, installed by their own registries' clients, against a server of their own.
pub(crate) fn sdk(project: &Project) -> Result<()> {
    project.cargo(&["build", "--release", "--locked"])?;
    let binary = project.target.join("release").join("tributary");
    let script = project.root.join("server/tests/sdk/run.sh");
    run_command(project.command(script).arg(binary))
}

/// Rewrites golden files.
pub(crate) fn golden(project: &Project) -> Result<()> {
    for package in GOLDEN {
        run_command(
            project
                .command("cargo")
                .args(["test", "--locked", "--package", package, "golden"])
                .env("TRIBUTARY_GOLDEN", "rewrite"),
        )
        .with_context(|| format!("golden files of {package}"))?;
    }
    Ok(())
}
