//! The `tributary` binary: reads its arguments and does what they say.

use clap::Parser;
use std::process::ExitCode;
use tributary_server::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
