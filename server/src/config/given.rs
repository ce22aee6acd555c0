//! What was given, and where: the environment over the file.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use super::error::{ConfigError, Origin};
use super::section::variable;

/// The environment variables that begin with `TRIBUTARY_`, taken once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The prefix of every variable that is looked at.
    pub const PREFIX: &'static str = "TRIBUTARY_";

    /// Those of this process. A value that is not UTF-8 is taken with U+FFFD for what can't be read; no setting
    /// accepts that where it matters.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// Which log lines are written, in the form of `RUST_LOG`: `info`, or `warn,tributary_profiles=debug`.
    pub fn log_directives(&self) -> Option<&str> {
        self.get(Self::LOG)
    }

    /// The variable of [`Self::log_directives`]; it has to be known before a file is read.
    pub(super) const LOG: &'static str = "TRIBUTARY_LOG";

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names of all variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(name, _)| name.starts_with(Self::PREFIX)).collect())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.names()).finish()
    }
}

/// The layers below the flags.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) environment: &'a Environment,
    pub(super) file: Option<&'a Path>,
}

impl Given<'_> {
    /// The text that counts for a setting, and where it was written.
    pub(super) fn text(
        &self,
        key: &str,
        flag: Option<(&'static str, String)>,
        in_file: Option<&str>,
        default: &str,
    ) -> (Origin, String) {
        if let Some((name, value)) = flag {
            return (Origin::Flag(name), value);
        }
        let name = variable(key);
        if let Some(value) = self.environment.get(&name) {
            return (Origin::Variable(name), value.to_owned());
        }
        match in_file {
            Some(value) => (self.in_file(), value.to_owned()),
            None => (Origin::Default, default.to_owned()),
        }
    }

    /// The number that counts for a setting.
    pub(super) fn number(
        &self,
        key: &'static str,
        in_file: Option<u64>,
        default: u64,
        range: &RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let advice = || format!("give a whole number from {} to {}", range.start(), range.end());
        let name = variable(key);
        let (origin, number) = match (self.environment.get(&name), in_file) {
            (Some(text), _) => {
                let origin = Origin::Variable(name);
                match u64::from_str(text) {
                    Ok(number) => (origin, number),
                    Err(_) => {
                        return Err(ConfigError::Value {
                            origin,
                            key,
                            value: text.to_owned(),
                            advice: advice(),
                        });
                    }
                }
            }
            (None, Some(number)) => (self.in_file(), number),
            (None, None) => (Origin::Default, default),
        };
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(ConfigError::Value { origin, key, value: number.to_string(), advice: advice() })
        }
    }

    /// The configuration file as an origin.
    pub(super) fn in_file(&self) -> Origin {
        self.file.map_or(Origin::Default, |path| Origin::File(path.to_path_buf()))
    }
}
