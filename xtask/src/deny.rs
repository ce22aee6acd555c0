//! Licenses, duplicates, origins and advisories of dependencies, by cargo-deny under the rules of deny.toml.

use crate::project::{Project, run};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The version of cargo-deny that deny.toml is written for.
const VERSION: &str = "0.20.2";

/// Licenses, bans and sources. Needs nothing but the crates themselves.
pub(crate) fn check(project: &Project) -> Result<()> {
    let program = program(project)?;
    run(project.command(program).args(["--locked", "check", "licenses", "bans", "sources"]))
}

/// Advisories. Their database is fetched from a git host; where that can't be reached this says so and passes,
/// since nothing was found out. It fails on findings alone.
pub(crate) fn advisories(project: &Project) -> Result<()> {
    let program = program(project)?;
    let fetch = project
        .command(&program)
        .args(["--locked", "fetch", "db"])
        .stdin(Stdio::null())
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .context("cargo-deny could not be started")?;
    if !fetch.status.success() {
        let why = String::from_utf8_lossy(&fetch.stderr);
        println!("advisories NOT CHECKED: their database can't be fetched here");
        for line in why.lines().filter(|line| !line.trim().is_empty()).take(4) {
            println!("    {line}");
        }
        return Ok(());
    }
    run(project.command(&program).args(["--locked", "check", "--disable-fetch", "advisories"]))
}

/// The path of cargo-deny in the right version: one that is installed already, or else one built here, in a
/// folder of its own below the target folder.
fn program(project: &Project) -> Result<PathBuf> {
    let root = project.target.join("tools");
    let own = root.join("bin").join("cargo-deny");
    for candidate in [own.clone(), PathBuf::from("cargo-deny")] {
        if has_version(project.command(&candidate)) {
            return Ok(candidate);
        }
    }
    println!("installing cargo-deny {VERSION} into {}", root.display());
    let build = root.join("build");
    run(project
        .command("cargo")
        .args(["install", "--locked", "--quiet", "--force", "--version", VERSION, "cargo-deny", "--root"])
        .arg(&root)
        .env("CARGO_TARGET_DIR", &build)
        // It runs for seconds: a quick compile is worth more than a quick program.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"))?;
    std::fs::remove_dir_all(&build).context("the build folder of cargo-deny can't be removed")?;
    Ok(own)
}

fn has_version(mut command: Command) -> bool {
    let output = command.arg("--version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| {
        output.status.success() && String::from_utf8_lossy(&output.stdout).trim().ends_with(VERSION)
    })
}
