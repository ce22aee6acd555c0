//! Which traits have a column of their own in CSV and Parquet, and of which type.
//!
//! Names of traits are known only once all profiles were read, and a stream can't wait for that. So columns are those
//! that were asked for, or else the traits of the first rows. A trait without a column, and a value that a column can't
//! hold exactly, stand in the column `traits`. Computed traits have columns of their own kind, beside a column
//! `computed`, so that an import can tell them from those that were sent.

use super::number::exact_double;
use super::row::{Row, names};
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

/// Where a trait comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    /// It was sent.
    Sent,
    /// It is computed.
    Computed,
}

/// The traits that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    /// Those that were sent.
    pub(crate) sent: BTreeSet<String>,
    /// Those that are computed.
    pub(crate) computed: BTreeSet<String>,
}

/// A column of a trait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraitColumn {
    /// Where the trait comes from.
    pub(super) family: Family,
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
    /// The columns of traits: those that were sent before computed ones, each by name.
    pub(super) traits: Vec<TraitColumn>,
    /// Whether only the traits with a column are told.
    pub(super) is_limited: bool,
}

impl TraitColumn {
    /// What the column is called.
    pub(super) fn title(&self) -> String {
        let before = match self.family {
            Family::Sent => names::OF_TRAIT,
            Family::Computed => names::OF_COMPUTED,
        };
        format!("{before}{}", self.name)
    }
}

impl Columns {
    /// The columns for rows that begin like these. `asked` are the traits that were asked for: then no others are told.
    /// Else the most frequent ones of these rows have a column.
    pub(crate) fn of(first: &[Row], asked: Option<&Asked>, has_since: bool) -> Self {
        let mut found: BTreeMap<(Family, &str), (usize, Kind)> = BTreeMap::new();
        for (family, name, json) in first.iter().flat_map(traits_of) {
            let kind = Kind::of(json);
            let entry = found.entry((family, name)).or_insert((0, kind));
            *entry = (entry.0 + 1, entry.1.with(kind));
        }
        let column =
            |(family, name): (Family, &str), kind: Kind| TraitColumn { family, name: name.to_owned(), kind };
        let Some(asked) = asked else {
            let mut frequent: Vec<_> = found.into_iter().collect();
            // Stable: of equally frequent ones, the first by name.
            frequent.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
            frequent.truncate(COLUMNS_MAX);
            frequent.sort_by_key(|(place, _)| *place);
            let traits = frequent.into_iter().map(|(place, (_, kind))| column(place, kind)).collect();
            return Self { has_since, traits, is_limited: false };
        };
        let sent = asked.sent.iter().map(|name| (Family::Sent, name.as_str()));
        let computed = asked.computed.iter().map(|name| (Family::Computed, name.as_str()));
        let kind = |place: (Family, &str)| found.get(&place).map_or(Kind::Json, |(_, kind)| *kind);
        let traits = sent.chain(computed).map(|place| column(place, kind(place))).collect();
        Self { has_since, traits, is_limited: true }
    }

    /// The place of a trait's column.
    pub(super) fn place(&self, family: Family, name: &str) -> Option<usize> {
        let found =
            self.traits.binary_search_by(|column| (column.family, column.name.as_str()).cmp(&(family, name)));
        found.ok()
    }

    /// Whether a trait is told.
    pub(super) fn tells(&self, family: Family, name: &str) -> bool {
        !self.is_limited || self.place(family, name).is_some()
    }
}

/// The traits of a row: where each comes from, its name, and its value as JSON text.
pub(super) fn traits_of(row: &Row) -> impl Iterator<Item = (Family, &str, &str)> {
    let sent = row.traits.iter().map(|(name, json)| (Family::Sent, name.as_str(), json.as_str()));
    let computed = row.computed.iter().map(|(name, json)| (Family::Computed, name.as_str(), json.as_str()));
    sent.chain(computed)
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
        let place = |name| columns.place(Family::Sent, name);
        assert_eq!((place("n"), place("m"), columns.tells(Family::Sent, "m")), (Some(1), None, true));

        let sent = ["vip", "age", "new"].map(str::to_owned).into();
        let asked = Asked { sent, ..Asked::default() };
        let columns = Columns::of(&rows, Some(&asked), true);
        assert_eq!(shown(&columns), [("age", Kind::Double), ("new", Kind::Json), ("vip", Kind::Json)]);
        assert!(!columns.tells(Family::Sent, "name") && columns.tells(Family::Sent, "new"));
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
        let place = |name| columns.place(Family::Sent, name);
        assert_eq!((place("t0000"), place("t0001")), (Some(0), None));
    }

    #[test]
    fn computed_traits_have_columns_of_their_own() {
        let computed = vec![("b".to_owned(), "2".to_owned()), ("z".to_owned(), "true".to_owned())];
        let row = Row { computed, ..row(&[("a", "1"), ("b", r#""x""#)]) };
        let columns = Columns::of(std::slice::from_ref(&row), None, false);
        let titles: Vec<String> = columns.traits.iter().map(TraitColumn::title).collect();
        assert_eq!(titles, ["traits.a", "traits.b", "computed.b", "computed.z"]);
        let asked = Asked { sent: ["a".to_owned()].into(), computed: ["b".to_owned()].into() };
        let columns = Columns::of(&[row], Some(&asked), false);
        assert_eq!(shown(&columns), [("a", Kind::Whole), ("b", Kind::Whole)]);
        assert!(columns.tells(Family::Computed, "b") && !columns.tells(Family::Sent, "b"));
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
