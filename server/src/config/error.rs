//! What is wrong with a configuration: what, where, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// The configuration file.
    File(PathBuf),
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(out, "flag {name}"),
            Self::Variable(name) => write!(out, "environment variable {name}"),
            Self::File(path) => write!(out, "file {}", path.display()),
            Self::Default => out.write_str("default"),
        }
    }
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{origin}: cannot read the configuration file {path}; name a readable file")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Where it was named.
        origin: Origin,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML, or holds an unknown setting or a value of the wrong type.
    #[error("file {path}: {message}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A value is not one that its setting takes.
    #[error("{origin}: {key} is {value:?}; {advice}")]
    Value {
        /// Where it was written.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// What was written; masked if it is a secret.
        value: String,
        /// What to write instead.
        advice: String,
    },
    /// Two settings don't go together.
    #[error("{origin}: {message}")]
    Clash {
        /// Where the later of the two was written.
        origin: Origin,
        /// What clashes, and what to do.
        message: String,
    },
}
