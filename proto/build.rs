//! Makes the gRPC code from the proto files: compiled by protox, so that no `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;

const PROTOS: [&str; 2] = ["tributary/v1/collector.proto", "tributary/v1/profiles.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=tributary");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    std::fs::write(out_dir()?.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    // Maps in the order of their keys: one profile, one text.
    tonic_prost_build::configure().btree_map(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "cargo tells a build script its directory by the environment")]
fn out_dir() -> Result<PathBuf, Box<dyn Error>> {
    Ok(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?.into())
}
