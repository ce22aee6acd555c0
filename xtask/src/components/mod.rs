//! Real components for the tests of destinations: `cargo xtask destinations`.
//!
//! A PostgreSQL from Debian's packages and an S3 server from PyPI, both on loopback, both with nothing in them. They
//! live as long as the tests; what they keep lies in Cargo's target folder, and is removed before the next run.

use crate::project::{Project, run};
use anyhow::{Context, Result};

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
    let database_folder = folder.join("postgresql");
    std::fs::create_dir_all(&database_folder)?;
    let database = postgresql::start(&database_folder)?;
    let storage = Moto::start(project, &folder)?;
    run(project
        .command("cargo")
        .args(["test", "--locked", "--package", "tributary-destinations", "--features", "real-components"])
        .env(DATABASE_VARIABLE, database.url())
        .env(STORAGE_VARIABLE, storage.url()))
}
