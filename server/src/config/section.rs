//! How a section of numbered settings is declared once and used everywhere: written form, checked form,
//! environment variables, defaults, ranges, and the rows of the documentation.

use std::ops::RangeInclusive;
use std::time::Duration;

/// One setting, as the documentation has to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the file, with its section: `ingest.body_bytes_max`.
    pub key: &'static str,
    /// Its value where nothing is said.
    pub default: String,
    /// What is taken.
    pub allowed: String,
    /// What it is for.
    pub help: String,
}

impl Setting {
    /// The environment variable of the same meaning: `TRIBUTARY_INGEST_BODY_BYTES_MAX`.
    pub fn variable(&self) -> String {
        variable(self.key)
    }
}

/// The environment variable of a setting's name.
pub(super) fn variable(key: &str) -> String {
    format!("TRIBUTARY_{}", key.replace('.', "_").to_uppercase())
}

/// A row for [`super::settings`].
pub(super) fn setting(
    key: &'static str,
    default: u64,
    range: &RangeInclusive<u64>,
    help: &[&str],
) -> Setting {
    Setting {
        key,
        default: default.to_string(),
        allowed: format!("{} to {}", range.start(), range.end()),
        help: help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
    }
}

/// How the number of a setting becomes a value of its type, and back.
pub(super) trait Quantity: Sized {
    fn from_number(number: u64, unit: Unit) -> Self;
    fn number(&self, unit: Unit) -> u64;
}

/// What the number of a setting counts. Its name says so too.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Plain,
    Millis,
    Seconds,
}

impl Quantity for u64 {
    fn from_number(number: u64, _unit: Unit) -> Self {
        number
    }

    fn number(&self, _unit: Unit) -> u64 {
        *self
    }
}

impl Quantity for Duration {
    fn from_number(number: u64, unit: Unit) -> Self {
        match unit {
            Unit::Millis => Self::from_millis(number),
            Unit::Seconds | Unit::Plain => Self::from_secs(number),
        }
    }

    fn number(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Millis => u64::try_from(self.as_millis()).unwrap_or(u64::MAX),
            Unit::Seconds | Unit::Plain => self.as_secs(),
        }
    }
}

macro_rules! unit_of {
    (count) => {
        Unit::Plain
    };
    (bytes) => {
        Unit::Plain
    };
    (percent) => {
        Unit::Plain
    };
    (millis) => {
        Unit::Millis
    };
    (seconds) => {
        Unit::Seconds
    };
}

macro_rules! type_of {
    (count) => {
        u64
    };
    (bytes) => {
        u64
    };
    (percent) => {
        u64
    };
    (millis) => {
        Duration
    };
    (seconds) => {
        Duration
    };
}

/// Declares a section: `field(name in the file): unit = default, allowed range;`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        [$name:literal] $checked:ident, $written:ident;
        $( $(#[doc = $help:literal])+ $field:ident($key:ident): $unit:tt = $default:expr, $range:expr; )+
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $checked {
            $( $(#[doc = $help])+ pub $field: type_of!($unit), )+
        }

        /// The section as written.
        #[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $written {
            $( $key: Option<u64>, )+
        }

        impl $checked {
            pub(super) fn check(written: &$written, given: &Given<'_>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $( $field: Quantity::from_number(
                        given.number(concat!($name, ".", stringify!($key)), written.$key, $default, &$range)?,
                        unit_of!($unit),
                    ), )+
                })
            }

            pub(super) fn written(&self) -> $written {
                $written { $( $key: Some(self.$field.number(unit_of!($unit))), )+ }
            }

            pub(super) fn settings() -> Vec<Setting> {
                vec![$( setting(concat!($name, ".", stringify!($key)), $default, &$range, &[$($help),+]), )+]
            }
        }

        impl Default for $checked {
            fn default() -> Self {
                Self { $( $field: Quantity::from_number($default, unit_of!($unit)), )+ }
            }
        }
    };
}

pub(super) use {section, type_of, unit_of};
