//! Measuring in a process of its own, so that nothing else's memory and CPU time are in the figures.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use std::process::{Command, Stdio};

/// Runs this program with these words, and reads the figures that it prints.
///
/// # Errors
/// If it can't be run, fails, or prints something else.
pub(super) fn in_a_process<T: DeserializeOwned>(words: &[String]) -> anyhow::Result<T> {
    let mut command = Command::new(std::env::current_exe().context("this program can't be found")?);
    let output = command.args(words).stderr(Stdio::inherit()).output().context("it can't be started")?;
    if !output.status.success() {
        bail!("`{}` failed ({})", words.join(" "), output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
