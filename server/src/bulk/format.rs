//! The formats of files.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// How the rows of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object a line.
    Ndjson,
    /// Cells with commas between, and a line of names before them.
    Csv,
    /// Columns with types.
    Parquet,
}

impl Format {
    /// Every format.
    pub(crate) const ALL: [Self; 3] = [Self::Ndjson, Self::Csv, Self::Parquet];

    /// The stable name, which is also how names of files end.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// The format that the name of a file tells; `None` if it tells none.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "jsonl" => Some(Self::Ndjson),
            _ => ending.parse().ok(),
        }
    }

    /// What rows are counted as, for people.
    pub(crate) const fn place(self) -> &'static str {
        match self {
            Self::Ndjson => "line",
            Self::Csv | Self::Parquet => "row",
        }
    }

    /// What it is called over HTTP.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// What CSV does with texts that a spreadsheet takes for formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formulas {
    /// They stand as they are: what programs read.
    Plain,
    /// They have an apostrophe before them, and so do names of columns: what people open.
    Escape,
}

/// A name that is no format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give ndjson, csv or parquet")]
pub(crate) struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_its_format() {
        let cases = [
            ("scores.csv", Some(Format::Csv)),
            ("a/b.c/SCORES.CSV", Some(Format::Csv)),
            ("scores.ndjson", Some(Format::Ndjson)),
            ("scores.jsonl", Some(Format::Ndjson)),
            ("scores.parquet", Some(Format::Parquet)),
            ("scores.json", None),
            ("scores", None),
            ("csv", None),
        ];
        for (path, want) in cases {
            assert_eq!(Format::of_path(Path::new(path)), want, "{path}");
        }
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("NDJSON".parse::<Format>(), Err(UnknownFormat));
    }
}
