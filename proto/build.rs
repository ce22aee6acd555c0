//! Makes the gRPC code from the proto files: compiled by protox, so that no `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;

const PROTO: &str = "tributary/v1/collector.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=tributary");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_file(PROTO)?;
    std::fs::write(out_dir()?.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "cargo tells a build script its directory by the environment")]
fn out_dir() -> Result<PathBuf, Box<dyn Error>> {
    Ok(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?.into())
}
