//! `tributary serve`: start, tell what the first start made, wait for the end, stop in good order.

use crate::app::{self, Running};
use crate::config::Config;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A stop that takes longer is cut short: what is durable is safe, the next start has more to read.
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// Serves until told to stop (SIGTERM, SIGINT) or until a part has failed.
pub(super) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    let told = told_to_stop()?;
    let given = (config.admin_token.is_some(), config.write_key.is_some());
    let running = app::start(config).await?;
    // Whoever started this may not be reading any more: that is no reason to end.
    if let Err(error) = tell(&running, given, &mut std::io::stdout()) {
        tracing::warn!(%error, "nothing could be printed; TRIBUTARY_ADMIN_TOKEN and TRIBUTARY_WRITE_KEY set credentials");
    }
    tokio::select! {
        () = told.wait() => tracing::info!("told to stop"),
        reason = running.failed() => anyhow::bail!("{reason}"),
    }
    match tokio::time::timeout(STOP_WITHIN, running.stop()).await {
        Ok(stopped) => {
            stopped?;
            tracing::info!("stopped");
        }
        Err(_) => tracing::warn!("the stop took too long and was cut short; nothing accepted is lost"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the addresses, and what the first start made; not what was given to it.
fn tell(
    running: &Running,
    (token_given, key_given): (bool, bool),
    out: &mut impl Write,
) -> std::io::Result<()> {
    writeln!(out, "tracking API  http://{}", running.http)?;
    writeln!(out, "gRPC  http://{}", running.grpc)?;
    writeln!(out, "profile and admin API  http://{}", running.api)?;
    if let Some(first) = &running.first_start {
        if !token_given {
            writeln!(out, "admin token, shown this once  {}", first.admin_token)?;
        }
        if !key_given {
            writeln!(out, "write key of source \"default\", shown this once  {}", first.write_key)?;
        }
    }
    out.flush()
}

/// The signals by which a process is told to stop.
pub(super) struct ToldToStop {
    terminate: Signal,
    interrupt: Signal,
}

/// Listens for SIGTERM and SIGINT from now on.
pub(super) fn told_to_stop() -> std::io::Result<ToldToStop> {
    Ok(ToldToStop {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    })
}

impl ToldToStop {
    /// Resolves once one of them came.
    pub(super) async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
