//! Which traits have a column of their own in CSV and Parquet, and of which type.
//!
//! Names of traits are known only once all profiles were read, and a stream can't wait for that. So columns are those
//! that were asked for, or else the traits of the first rows. A trait without a column, and a value that a column can't
//! hold exactly, stand in the column `traits`.

use super::number::exact_double;
use super::row::Row;
use std::collections::{BTreeMap, BTreeSet};

/// The most columns of traits.
pub(crate) const COLUMNS_MAX: usize = 500;

/// The type of a column of traits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Texts.
    Text,
    /// Whole numbers of 64 bits.
    Whole,
    /// Doubles.
    Double,
    /// True or false.
    Bool,
    /// Anything, as JSON text.
    Json,
}

impl Kind {
    /// The narrowest type that holds a value.
    fn of(json: &str) -> Self {
        match json.bytes().next() {
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'-' | b'0'..=b'9') if json.parse::<i64>().is_ok() => Self::Whole,
            Some(b'-' | b'0'..=b'9') if exact_double(json).is_some() => Self::Double,
            _ => Self::Json,
        }
    }

    /// The narrowest type that holds what either holds.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Whole, Self::Double) | (Self::Double, Self::Whole) => Self::Double,
            _ => Self::Json,
        }
    }
}

/// A column of a trait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraitColumn {
    /// The trait.
    pub(super) name: String,
    /// The type, where columns have types.
    pub(super) kind: Kind,
}

/// The columns of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Whether rows say since when somebody is a member.
    pub(super) has_since: bool,
    /// The columns of traits, by name.
    pub(super) traits: Vec<TraitColumn>,
    /// Whether only the traits with a column are told.
    pub(super) is_limited: bool,
}

impl Columns {
    /// The columns for rows that begin like these. `asked` are the traits that were asked for: then no others are told.
    /// Else the most frequent ones of these rows have a column.
    pub(crate) fn of(first: &[Row], asked: Option<&BTreeSet<String>>, has_since: bool) -> Self {
        let mut found: BTreeMap<&str, (usize, Kind)> = BTreeMap::new();
        for (name, json) in first.iter().flat_map(|row| &row.traits) {
            let kind = Kind::of(json);
            let entry = found.entry(name).or_insert((0, kind));
            *entry = (entry.0 + 1, entry.1.with(kind));
        }
        let column = |name: &str, kind: Kind| TraitColumn { name: name.to_owned(), kind };
        let Some(asked) = asked else {
            let mut frequent: Vec<(&str, (usize, Kind))> = found.into_iter().collect();
            // Stable: of equally frequent ones, the first by name.
            frequent.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
            frequent.truncate(COLUMNS_MAX);
            let mut traits: Vec<TraitColumn> =
                frequent.into_iter().map(|(name, (_, kind))| column(name, kind)).collect();
            traits.sort_by(|one, other| one.name.cmp(&other.name));
            return Self { has_since, traits, is_limited: false };
        };
        let kind = |name: &str| found.get(name).map_or(Kind::Json, |(_, kind)| *kind);
        let traits = asked.iter().map(|name| column(name, kind(name))).collect();
        Self { has_since, traits, is_limited: true }
    }

    /// The place of a trait's column.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.traits.binary_search_by(|column| column.name.as_str().cmp(name)).ok()
    }

    /// Whether a trait is told.
    pub(super) fn tells(&self, name: &str) -> bool {
        !self.is_limited || self.place(name).is_some()
    }
}

/// A value in the column of its trait.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Held {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A double.
    Double(f64),
    /// True or false.
    Bool(bool),
}

impl Kind {
    /// The value as a column of this type holds it; `None` if it can't hold it as it is.
    pub(super) fn hold(self, json: &str) -> Option<Held> {
        match self {
            Self::Text => serde_json::from_str(json).ok().map(Held::Text),
            Self::Whole => json.parse().ok().map(Held::Whole),
            Self::Double => exact_double(json).map(Held::Double),
            Self::Bool => match json {
                "true" => Some(Held::Bool(true)),
                "false" => Some(Held::Bool(false)),
                _ => None,
            },
            Self::Json => Some(Held::Text(json.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(traits: &[(&str, &str)]) -> Row {
        let traits = traits.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
        Row { traits, ..Row::default() }
    }

    fn shown(columns: &Columns) -> Vec<(&str, Kind)> {
        columns.traits.iter().map(|column| (column.name.as_str(), column.kind)).collect()
    }

    #[test]
    fn columns_are_the_traits_of_the_first_rows() {
        let rows = [
            row(&[("age", "41"), ("name", r#""Ada""#), ("tags", "[1]"), ("vip", "true")]),
            row(&[("age", "41.5"), ("name", r#""Bob""#), ("vip", "7")]),
            row(&[("n", "9007199254740993"), ("x", "0.1000000000000000000001")]),
        ];
        let columns = Columns::of(&rows, None, false);
        let want = [
            ("age", Kind::Double),
            ("n", Kind::Whole),
            ("name", Kind::Text),
            ("tags", Kind::Json),
            ("vip", Kind::Json),
            ("x", Kind::Json),
        ];
        assert_eq!(shown(&columns), want);
        assert_eq!((columns.place("n"), columns.place("m"), columns.tells("m")), (Some(1), None, true));

        let asked: BTreeSet<String> = ["vip", "age", "new"].map(str::to_owned).into();
        let columns = Columns::of(&rows, Some(&asked), true);
        assert_eq!(shown(&columns), [("age", Kind::Double), ("new", Kind::Json), ("vip", Kind::Json)]);
        assert!(!columns.tells("name") && columns.tells("new"));
        assert!(shown(&Columns::of(&[], None, false)).is_empty());
    }

    #[test]
    fn the_most_frequent_traits_have_a_column() {
        let names: Vec<String> = (0..=COLUMNS_MAX).map(|number| format!("t{number:04}")).collect();
        let all: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        // The second one is the only one that not everybody has.
        let but_one: Vec<(&str, &str)> = all.iter().copied().filter(|(name, _)| *name != "t0001").collect();
        let columns = Columns::of(&[row(&all), row(&but_one)], None, false);
        assert_eq!(columns.traits.len(), COLUMNS_MAX);
        assert_eq!((columns.place("t0000"), columns.place("t0001")), (Some(0), None));
    }

    #[test]
    fn a_column_holds_what_it_can_hold_exactly() {
        let text = |text: &str| Some(Held::Text(text.to_owned()));
        let cases = [
            (Kind::Text, r#""a\n""#, text("a\n")),
            (Kind::Text, "5", None),
            (Kind::Text, r#""\ud800""#, None),
            (Kind::Whole, "-7", Some(Held::Whole(-7))),
            (Kind::Whole, "9223372036854775808", None),
            (Kind::Whole, "7.0", None),
            (Kind::Whole, r#""7""#, None),
            (Kind::Double, "7", Some(Held::Double(7.0))),
            (Kind::Double, "9007199254740993", None),
            (Kind::Double, "true", None),
            (Kind::Bool, "true", Some(Held::Bool(true))),
            (Kind::Bool, "1", None),
            (Kind::Json, "[1, 2]", text("[1, 2]")),
        ];
        for (kind, json, want) in cases {
            assert_eq!(kind.hold(json), want, "{kind:?} {json}");
        }
    }
}
