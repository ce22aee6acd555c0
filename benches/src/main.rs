//! The bench binary: reads its arguments and does what they say.

use clap::Parser;
use std::process::ExitCode;
use tributary_bench::cli::{self, Cli};

/// The product's own allocator, so that what is measured from within costs what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
