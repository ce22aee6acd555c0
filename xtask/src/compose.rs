//! The files of `docker compose`, as far as they can be judged without an engine.
//!
//! Versions that stand in two places agree, and no image is left to change under its tag. Whether the file is
//! valid is for the client to say, where one is at hand.

use crate::kafka;
use crate::project::{Project, report, run};
use anyhow::Result;
use std::process::Stdio;

const FILE: &str = "docker-compose.yml";
const IMAGE: &str = "Dockerfile";
const TOOLCHAIN: &str = "rust-toolchain.toml";

/// The ways to call a client.
const CLIENTS: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];

/// Versions first; then the client's own check.
pub(crate) fn check(project: &Project) -> Result<()> {
    let compose = project.read(FILE)?;
    let image = project.read(IMAGE)?;
    let mut problems = loose_tags(FILE, images(&compose));
    problems.extend(loose_tags(IMAGE, bases(&image)));
    problems.extend(other_version(FILE, images(&compose), "apache/kafka", kafka::version(), "xtask"));
    match channel(&project.read(TOOLCHAIN)?) {
        Some(channel) => problems.extend(other_version(IMAGE, bases(&image), "rust", channel, TOOLCHAIN)),
        None => problems.push(format!("{TOOLCHAIN}: no channel")),
    }
    report(&problems)?;
    client(project)
}

/// Lets the first client that there is read the file.
fn client(project: &Project) -> Result<()> {
    for words in CLIENTS {
        let command = || {
            let mut command = project.command(words[0]);
            command.args(&words[1..]);
            command
        };
        let version = command().arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if version.is_ok_and(|status| status.success()) {
            return run(command().args(["--file", FILE, "config", "--quiet"]));
        }
    }
    println!("no client has read {FILE}: neither `docker compose` nor docker-compose is here");
    Ok(())
}

/// The images of a compose file.
fn images(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect()
}

/// The images that stages of a Dockerfile begin with.
fn bases(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next()).collect()
}

fn channel(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'))
}

/// Images whose tag is missing, or moves on.
fn loose_tags(file: &str, images: Vec<&str>) -> Vec<String> {
    let loose = |image: &&str| image.split_once(':').is_none_or(|(_, tag)| tag.is_empty() || tag == "latest");
    images.into_iter().filter(loose).map(|image| format!("{file}: image {image} names no version")).collect()
}

/// The problem with the image of this name, if it is not there in this version.
fn other_version(
    file: &str,
    images: Vec<&str>,
    name: &str,
    version: &str,
    elsewhere: &str,
) -> Option<String> {
    let tag = images.iter().find_map(|image| image.strip_prefix(name)?.strip_prefix(':'));
    match tag {
        Some(tag)
            if tag == version || tag.strip_prefix(version).is_some_and(|rest| rest.starts_with('-')) =>
        {
            None
        }
        Some(tag) => Some(format!("{file}: {name} is {tag}; {elsewhere} has {version}")),
        None => Some(format!("{file}: no image {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_and_judged() {
        let compose = "services:\n  a:\n    image: apache/kafka:4.3.1\n  b:\n    image: x/y\n  c:\n    image: z:latest\n";
        assert_eq!(images(compose), ["apache/kafka:4.3.1", "x/y", "z:latest"]);
        assert_eq!(loose_tags(FILE, images(compose)).len(), 2);
        let image = "FROM rust:1.95.0-bookworm AS build\nRUN true\nFROM debian:bookworm-slim\n";
        assert_eq!(bases(image), ["rust:1.95.0-bookworm", "debian:bookworm-slim"]);
        let cases = [
            ("rust", "1.95.0", true),
            ("rust", "1.95", false),
            ("debian", "bookworm", true),
            ("alpine", "3", false),
        ];
        for (name, version, want) in cases {
            assert_eq!(other_version(IMAGE, bases(image), name, version, "others").is_none(), want, "{name}");
        }
    }

    #[test]
    fn the_channel_is_read() {
        assert_eq!(channel("[toolchain]\nchannel = \"1.95.0\"\n"), Some("1.95.0"));
        assert_eq!(channel("[toolchain]\n"), None);
    }
}
