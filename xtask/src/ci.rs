//! The steps of CI, in order: cheap ones first, so that a slip is told early.

use crate::kafka::{self, BROKERS_VARIABLE, CONTROL_VARIABLE, Size, with_brokers};
use crate::project::{Project, run as run_command};
use crate::{arrows, components, compose, crash, deny, docs, sources};
use anyhow::{Context, Result};
use std::time::Instant;

/// The crates that have golden files.
const GOLDEN: [&str; 1] = ["tributary-destinations"];

/// Ports of CI's own, so that brokers which somebody has up are left alone.
const KAFKA_PORT: u16 = 29_092;

/// The tests of the whole server that do not ask where its log is: they run on Kafka too.
const SCENARIOS: [&str; 5] = [
    "faces::",
    "grpc::every_kind_arrives_as_over_http",
    "grpc::a_stream_is_resumed_without_loss_or_repeats",
    "grpc::rejected_events_are_told_and_found",
    "lifecycle::a_stop_loses_nothing_and_duplicates_are_known_after_it",
];

/// For how many seconds all brokers are away in [`kafka_faults`].
pub(crate) const FAULT_SECONDS: u64 = 60;

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
        step("fail-points", crash::fail_points),
        step("sources", sources::check),
        step("clippy", clippy),
        step("docs", docs::check),
        step("compose", compose::check),
    ];
    if !skip_tests {
        steps.push(step("test", test));
    }
    if full {
        steps.push(step("demo", demo));
        steps.push(step("sdk", sdk));
        steps.push(step("grpc", grpc));
        steps.push(step("kafka-tests", kafka_tests));
        steps.push(step("kafka-faults", |project| kafka_faults(project, FAULT_SECONDS)));
        steps.push(step("destinations", components::test));
        steps.push(step("crash", crash_proof));
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

/// A client that is generated from the proto for Python, against a server of its own.
pub(crate) fn grpc(project: &Project) -> Result<()> {
    project.cargo(&["build", "--release", "--locked"])?;
    let binary = project.target.join("release").join("tributary");
    let script = project.root.join("server/tests/grpc_python/run.sh");
    run_command(project.command(script).arg(binary))
}

/// What `cargo test` does with the in-process mock cluster, with a real broker; then the demo on it.
///
/// All packages are named and tests are chosen by their paths: with single packages, Cargo would choose other
/// features for what they depend on, and build it all anew.
pub(crate) fn kafka_tests(project: &Project) -> Result<()> {
    with_brokers(project, KAFKA_PORT, Size::One, |cluster| {
        let brokers = cluster.bootstrap();
        run_command(
            project
                .command("cargo")
                .args(["test", "--workspace", "--locked", "kafka"])
                .env(BROKERS_VARIABLE, &brokers),
        )?;
        run_command(
            project
                .command("cargo")
                .args(["test", "--workspace", "--locked", "--test", "main", "--"])
                .args(SCENARIOS)
                .env("TRIBUTARY_EVENT_LOG", "kafka")
                .env("TRIBUTARY_KAFKA_BROKERS", &brokers),
        )?;
        project.cargo(&[
            "run",
            "--release",
            "--locked",
            "--",
            "demo",
            "--exit",
            "--log",
            "kafka",
            "--kafka-brokers",
            &brokers,
        ])
    })
}

/// Faults of brokers under load. The tests take brokers away through this program: all of them for so many seconds,
/// and let them stand still for half of that.
pub(crate) fn kafka_faults(project: &Project, seconds: u64) -> Result<()> {
    with_brokers(project, KAFKA_PORT, Size::Three, |cluster| {
        run_command(
            project
                .command("cargo")
                .args(["test", "--workspace", "--locked", "broker_faults"])
                .env(BROKERS_VARIABLE, cluster.bootstrap())
                .env(CONTROL_VARIABLE, kafka::control(KAFKA_PORT)?)
                .env("TRIBUTARY_FAULT_SECONDS", seconds.to_string()),
        )
    })
}

/// The server killed again and again, on the embedded log and on a real broker.
fn crash_proof(project: &Project) -> Result<()> {
    with_brokers(project, KAFKA_PORT, Size::One, |cluster| {
        crash::run(project, &crash::Arguments::of_ci(cluster.bootstrap()))
    })
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
