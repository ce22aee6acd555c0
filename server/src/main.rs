//! The `tributary` binary: reads its arguments and does what they say.

use clap::Parser;
use std::process::ExitCode;
use tributary_server::cli::{self, Cli};

/// The state is built of many small values that come and go; glibc's allocator spends a fifth of the projector's
/// time on them (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Test builds alone have fail points; they take them from the variable FAILPOINTS, which their crate reads itself.
    // It is no setting, so the configuration knows nothing of it. See tributary_eventlog::fail_points.
    let _fail_points = fail::has_failpoints().then(fail::FailScenario::setup);
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
