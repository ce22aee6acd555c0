//! Real components for the tests of destinations: `cargo xtask destinations`.
//!
//! A PostgreSQL from Debian's packages and an S3 server from PyPI, both on loopback, both with nothing in them. They
//! live as long as the tests. What the S3 server says lies in Cargo's target folder; the database runs as a user of its own,
//! who may not reach that, so its folder is in the system's temporary one, and is removed when the tests are done.

use crate::project::{Project, run};
use anyhow::{Context, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

mod moto;
mod postgresql;

use moto::Moto;

/// The variable by which tests are told of the database.
const DATABASE_VARIABLE: &str = "TRIBUTARY_TEST_POSTGRESQL";
/// The variable by which tests are told of the S3 server.
const STORAGE_VARIABLE: &str = "TRIBUTARY_TEST_S3";

/// Runs the tests of destinations, those that need real components too.
pub(crate) fn test(project: &Project) -> Result<()> {
    let folder = project.target.join("components");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} can't be removed", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    let database_folder = Temporary::new()?;
    let database = postgresql::start(&database_folder.0)?;
    let storage = Moto::start(project, &folder)?;
    run(project
        .command("cargo")
        .args(["test", "--locked", "--package", "tributary-destinations", "--features", "real-components"])
        .env(DATABASE_VARIABLE, database.url())
        .env(STORAGE_VARIABLE, storage.url()))
}

/// A fresh folder that everybody may reach, removed when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tributary-postgresql-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path).with_context(|| format!("{} can't be removed", path.display()))?;
        }
        std::fs::create_dir(&path).with_context(|| format!("{} can't be made", path.display()))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left behind is found in the temporary folder.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}
