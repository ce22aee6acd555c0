//! `tributary snapshot` and `tributary restore`.

use super::running::RunningServer;
use crate::config::{Config, Environment, ServeArgs};
use crate::keys::Keys;
use crate::lifecycle::{DataDir, LockError};
use crate::telemetry;
use anyhow::{Context, bail};
use reqwest::Method;
use std::path::PathBuf;
use std::process::ExitCode;
use tributary_profiles::StatePaths;
use tributary_profiles::generation::{self, Generation};
use tributary_profiles::snapshot;

/// The flags of `tributary snapshot`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The first token, for a running server [environment: TRIBUTARY_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// The flags of `tributary restore`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RestoreArgs {
    /// The directory of the snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: PathBuf,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Asks a running server for a snapshot, or takes one of a stopped data directory.
pub(super) async fn take(args: SnapshotArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    telemetry::start_logging("warn");
    let config = Config::load(&args.serve, environment)?;
    if !config.data_dir.is_dir() {
        bail!("{} is no directory: name one with --data-dir", config.data_dir.display());
    }
    match DataDir::lock(&config.data_dir) {
        Ok(directory) => {
            let taken = tokio::task::spawn_blocking(move || of_stopped(&config, &directory)).await??;
            println!("{}", taken.path.display());
        }
        Err(LockError::InUse(_)) => {
            let server = RunningServer::new(&config, args.token)?;
            let (_, body) = server.call(Method::POST, "/snapshots", None).await?;
            println!("{}", body["path"].as_str().context("the server's answer names no path")?);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn of_stopped(config: &Config, directory: &DataDir) -> anyhow::Result<snapshot::Snapshot> {
    let paths = StatePaths::within(directory.path());
    if !paths.state.is_dir() {
        bail!("{} holds no profiles yet", directory.path().display());
    }
    let hash_key = Keys::open(directory.path())?.hash_key();
    let open = Generation::open(&paths, &hash_key, config.state.sled_cache_bytes)?;
    let kept = usize::try_from(config.state.snapshots_kept).unwrap_or(usize::MAX);
    let fingerprint = hash_key.fingerprint();
    Ok(snapshot::export(&paths.snapshots, &*open.store, open.checkpoint, &fingerprint, kept)?)
}

/// Puts a snapshot in the place of the state of a stopped data directory.
pub(super) fn restore(args: &RestoreArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    telemetry::start_logging("warn");
    let config = Config::load(&args.serve, environment)?;
    let directory = match DataDir::lock(&config.data_dir) {
        Err(error @ LockError::InUse(_)) => return Err(error).context("stop the server before restoring"),
        other => other?,
    };
    let hash_key = Keys::open(directory.path())?.hash_key();
    let paths = StatePaths::within(directory.path());
    let checkpoint = generation::restore(&paths, &args.snapshot, &hash_key, config.state.sled_cache_bytes)?;
    println!(
        "restored; the next start reads the events log on from record {} (what was there before is in {})",
        checkpoint.next,
        paths.state.display()
    );
    Ok(ExitCode::SUCCESS)
}
