//! Where the project lies, and how commands are run in it.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold nothing written by hand.
const NOT_OURS: [&str; 6] = ["target", "node_modules", "__pycache__", "data", ".venv", ".git"];

/// The workspace on disk.
pub(crate) struct Project {
    /// Its root folder.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// What `cargo metadata` says.
    pub(crate) metadata: serde_json::Value,
}

impl Project {
    /// The workspace that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
        let output = command(root, "cargo")
            .args(["metadata", "--format-version", "1", "--locked"])
            .output()
            .context("cargo could not be started")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let target = metadata["target_directory"].as_str().context("metadata names the target folder")?;
        Ok(Self { root: root.to_owned(), target: target.into(), metadata })
    }

    /// A command that will run in the root folder.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command(&self.root, program)
    }

    /// Runs cargo, its output going where ours goes.
    ///
    /// # Errors
    /// If it can't be started or ends with another status than 0.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<()> {
        run(self.command("cargo").args(arguments))
    }

    /// Every file under the root that was written by hand and has this ending, by path.
    pub(crate) fn files(&self, ending: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(&self.root, ending, &mut found)?;
        found.sort();
        Ok(found)
    }

    /// The path relative to the root, for messages.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// The text of a file, by its path below the root.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.root.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("{} can't be read", self.relative(&path)))
    }
}

/// Runs a command to its end.
///
/// # Errors
/// If it can't be started or ends with another status than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Fails with every problem found, one a line.
pub(crate) fn report(problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    for problem in problems {
        eprintln!("  {problem}");
    }
    bail!(
        "{} found",
        if problems.len() == 1 { "1 problem".into() } else { format!("{} problems", problems.len()) }
    )
}

/// Variables that cargo sets for what it runs are taken away: build scripts that watch them would be run again
/// for each caller, and their crates compiled anew.
fn command(root: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "CARGO" || text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} can't be listed", folder.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if !NOT_OURS.iter().any(|skipped| name == *skipped) {
                collect(&path, ending, found)?;
            }
        } else if path.extension().is_some_and(|have| have == ending) {
            found.push(path);
        }
    }
    Ok(())
}
