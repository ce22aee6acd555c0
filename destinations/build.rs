//! Lists the catalog: every folder in it with a `definition.json` is a definition, so that adding one touches no other file.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=catalog");
    let catalog = directory("CARGO_MANIFEST_DIR")?.join("catalog");
    let mut listed = String::from("&[\n");
    for (name, file) in definitions(&catalog)? {
        writeln!(listed, "    ({name:?}, include_str!({file:?})),")?;
    }
    listed.push_str("]\n");
    std::fs::write(directory("OUT_DIR")?.join("catalog.rs"), listed)?;
    Ok(())
}

/// Names of folders and their definitions, in the order of names.
fn definitions(catalog: &Path) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(catalog)? {
        let entry = entry?;
        let file = entry.path().join("definition.json");
        if file.is_file() {
            let name = entry.file_name().into_string().map_err(|name| format!("{name:?} is no UTF-8"))?;
            found.push((name, file));
        }
    }
    found.sort();
    Ok(found)
}

#[allow(clippy::disallowed_methods, reason = "cargo tells a build script its directories by the environment")]
fn directory(variable: &str) -> Result<PathBuf, Box<dyn Error>> {
    Ok(std::env::var_os(variable).ok_or("cargo sets it")?.into())
}
