//! The bench binary: reads its arguments and does what they say.

use clap::Parser;
use std::process::ExitCode;
use tributary_bench::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
