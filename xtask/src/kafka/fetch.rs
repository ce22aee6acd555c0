//! The jars of Apache Kafka, fetched once from Maven Central by Maven.
//!
//! A folder of jars is there whole or not at all: Maven fills a folder beside it, which is renamed at the end. The
//! version stands in `pom.xml` alone.

use super::lock::Lock;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

const POM: &str = include_str!("pom.xml");

/// Kafka's brokers need this version of Java, or a newer one.
const JAVA_MIN: u32 = 17;

/// The version of Kafka, as `pom.xml` pins it.
pub(crate) fn version() -> &'static str {
    POM.split_once("<kafka.version>")
        .and_then(|(_, rest)| rest.split_once('<'))
        .map(|(version, _)| version)
        .expect("pom.xml has the property kafka.version")
}

/// Where everything about Kafka is kept.
pub(super) fn home(project: &Project) -> PathBuf {
    project.target.join("kafka")
}

/// The folder of jars, which is filled first if it isn't there.
pub(super) fn jars(project: &Project) -> Result<PathBuf> {
    java_is_there()?;
    let folder = home(project).join(version());
    let libs = folder.join("libs");
    let _lock = Lock::take(&home(project).join("fetch.lock"))?;
    if libs.is_dir() {
        return Ok(libs);
    }
    println!("fetching Apache Kafka {} from Maven Central", version());
    let part = folder.with_extension("part");
    if part.exists() {
        std::fs::remove_dir_all(&part).with_context(|| format!("{} can't be removed", part.display()))?;
    }
    std::fs::create_dir_all(&part)?;
    let pom = part.join("pom.xml");
    std::fs::write(&pom, POM)?;
    maven(project, &pom, &part.join("libs"))?;
    let broker = part.join("libs").join(format!("kafka_2.13-{}.jar", version()));
    if !broker.is_file() {
        bail!("maven ended well, but {} is not there", broker.display());
    }
    std::fs::rename(&part, &folder).with_context(|| format!("{} can't be put in place", folder.display()))?;
    Ok(libs)
}

fn maven(project: &Project, pom: &Path, libs: &Path) -> Result<()> {
    let mut output = std::ffi::OsString::from("-DoutputDirectory=");
    output.push(libs);
    let mut command = project.command("mvn");
    command
        .args(["--batch-mode", "--quiet", "-Dstyle.color=never", "-DincludeScope=runtime", "--file"])
        .arg(pom)
        .arg(output)
        .arg("dependency:copy-dependencies");
    let status = found(command.status(), "mvn", "maven")?;
    if !status.success() {
        bail!("maven could not fetch Kafka {} ({status}); is Maven Central reachable?", version());
    }
    Ok(())
}

/// Looks whether Java can run a broker.
fn java_is_there() -> Result<()> {
    let output = found(Command::new("java").arg("-version").output(), "java", "openjdk-17-jre-headless")?;
    let text = String::from_utf8_lossy(&output.stderr);
    match java_major(&text) {
        Some(major) if major >= JAVA_MIN => Ok(()),
        Some(major) => {
            bail!(
                "java is version {major}; Kafka needs {JAVA_MIN} or newer (Debian: apt-get install openjdk-17-jre-headless)"
            )
        }
        None => bail!("`java -version` told no version: {}", text.trim()),
    }
}

/// What a program gave, or which Debian package has it.
fn found<T>(result: std::io::Result<T>, program: &str, package: &str) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{program} is missing; on Debian: apt-get install {package}")
        }
        Err(error) => Err(error).with_context(|| format!("{program} could not be started")),
    }
}

/// The major version in what `java -version` prints: 17 in `openjdk version "17.0.15" 2025-04-15`.
fn java_major(text: &str) -> Option<u32> {
    let (_, quoted) = text.split_once("version \"")?;
    let mut numbers = quoted.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    match numbers.next()?.parse().ok()? {
        // Up to version 8 it was told as 1.8.
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_number() {
        assert!(version().split('.').all(|part| part.parse::<u32>().is_ok()), "{}", version());
    }

    #[test]
    fn major_versions_of_java_are_read() {
        let cases = [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment", Some(17)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"24-ea\" 2025-03-18", Some(24)),
            ("java version \"1.8.0_412\"", Some(8)),
            ("no such thing", None),
        ];
        for (text, want) in cases {
            assert_eq!(java_major(text), want, "{text}");
        }
    }
}
