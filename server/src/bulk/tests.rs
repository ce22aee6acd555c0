//! What is written is read back, by each format.

use super::number::is_same;
use super::read::{Person, Problem, ReadError, ReadOptions, Rows};
use super::write::RowWriter;
use super::*;
use ::parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::data_type::{
    ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{PrimitiveTypeBuilder, Type};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn options() -> ReadOptions {
    ReadOptions { id_column: "user_id".to_owned(), time_column: None, cells: Cells::Typed }
}

/// Every row of a file.
fn read_all(
    path: &Path,
    format: Format,
    options: &ReadOptions,
) -> Result<Vec<Result<Person, Problem>>, ReadError> {
    let mut rows = Rows::open(path, format, options)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row);
    }
    assert_eq!(rows.done(), rows.total(), "the end is the end");
    Ok(found)
}

/// A file with this content.
fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content).expect("written");
    file
}

fn traits_of(person: &Person) -> BTreeMap<String, String> {
    let members = tributary_model::json::Members::parse(&person.traits).expect("an object");
    members.iter().map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect()
}

/// Whether two JSON texts are the same value; numbers to their last digit.
fn is_same_value(one: &str, other: &str) -> bool {
    let value = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
    one == other || is_same(one, other) || (one.starts_with('"') && value(one) == value(other))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |number| number.is_finite())
            .prop_map(|number| serde_json::to_string(&number).expect("a number")),
        "-?[1-9][0-9]{0,25}(\\.[0-9]{1,25})?([eE][-+]?[0-9]{1,4})?",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let looks_like_more =
        vec!["", "5", "true", "null", "[1]", "\"x\"", " 5", "a,b", "a\r\nb", "\u{0}", "é💶"];
    prop_oneof![any::<String>(), prop::sample::select(looks_like_more).prop_map(str::to_owned)]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => number(),
        3 => text().prop_map(|text| cell::quoted(&text)),
        1 => any::<bool>().prop_map(|bool| bool.to_string()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            inner.prop_map(|inner| format!(r#"{{"a b":{inner}}}"#)),
        ]
    })
}

fn row() -> impl Strategy<Value = Row> {
    let name = prop_oneof![3 => "[a-e]", 1 => text()];
    let traits = prop::collection::btree_map(name, value(), 0..6);
    let computed = prop::collection::btree_map("[a-e]", value(), 0..3);
    (traits, computed, prop::option::of("[a-z0-9]{1,5}"), text(), any::<bool>()).prop_map(
        |(traits, computed, user_id, text, more)| Row {
            profile_id: "prf_1".to_owned(),
            user_id,
            email: more.then(|| text.clone()),
            anonymous_ids: if more { vec![text.clone(), "7".to_owned()] } else { Vec::new() },
            identifiers: vec![format!("user_id:{text}")],
            traits: traits.into_iter().collect(),
            computed: computed.into_iter().collect(),
            audiences: if more { vec!["lapsed".to_owned()] } else { Vec::new() },
            since: Some("2026-11-20T10:00:00.000Z".to_owned()),
        },
    )
}

fn written(rows: &[Row], format: Format, columns: Columns) -> Vec<u8> {
    written_as(rows, format, Formulas::Plain, columns)
}

fn written_as(rows: &[Row], format: Format, formulas: Formulas, columns: Columns) -> Vec<u8> {
    let mut writer = RowWriter::new(format, formulas, columns, Vec::new()).expect("begun");
    for row in rows {
        writer.write(row).expect("written");
    }
    writer.finish().expect("ended")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// An export, imported, sets the traits that it shows, of those without a user id too, and none that is computed;
    /// whatever the first rows are that its columns come from.
    #[test]
    fn traits_survive_each_format(
        rows in prop::collection::vec(row(), 1..8),
        first in 0usize..8,
        asked in prop::option::of(prop::collection::btree_set("[a-e]", 0..3)),
        has_since in any::<bool>(),
    ) {
        let asked = asked.map(|sent| Asked { sent, computed: ["a".to_owned()].into() });
        for format in Format::ALL {
            let columns = Columns::of(&rows[..first.min(rows.len())], asked.as_ref(), has_since);
            let file = file(&written(&rows, format, columns));
            let found = read_all(file.path(), format, &options()).expect("readable");
            prop_assert_eq!(found.len(), rows.len(), "{}", format);
            for (row, found) in rows.iter().zip(found) {
                let person = found.unwrap_or_else(|problem| panic!("{format}: {}", problem.reason));
                prop_assert_eq!(&person.user_id, &row.user_id);
                let first = row.anonymous_ids.iter().find(|id| !id.is_empty());
                prop_assert_eq!(person.anonymous_id.as_ref(), first.filter(|_| row.user_id.is_none()));
                let got = traits_of(&person);
                let told = |name: &str| asked.as_ref().is_none_or(|asked| asked.sent.contains(name));
                let want: Vec<&(String, String)> = row.traits.iter().filter(|(name, _)| told(name)).collect();
                prop_assert_eq!(got.len(), want.len(), "{}: {:?} {:?}", format, got, want);
                for (name, json) in want {
                    let other = got.get(name).expect("it is there");
                    prop_assert!(is_same_value(json, other), "{format} {name:?}: {json} became {other}");
                }
            }
        }
    }
}

#[test]
fn exports_look_as_they_are_described() {
    let row = |id: &str, traits: &[(&str, &str)]| Row {
        profile_id: format!("prf_{id}"),
        user_id: Some(id.to_owned()),
        anonymous_ids: vec!["a1".to_owned(), "a2".to_owned()],
        identifiers: vec![format!("user_id:{id}")],
        traits: traits.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect(),
        since: Some("2026-11-20T10:00:00.000Z".to_owned()),
        ..Row::default()
    };
    let mut rows = [
        row("1", &[("plan", r#""pro""#), ("score", "0.5")]),
        row("2", &[("new", "[1]"), ("score", r#""5""#)]),
    ];
    rows[0].computed = vec![("visits".to_owned(), "7".to_owned())];
    rows[1].computed = vec![("last".to_owned(), r#""x""#.to_owned())];
    let columns = Columns::of(&rows[..1], None, true);
    let csv = String::from_utf8(written(&rows, Format::Csv, columns.clone())).expect("text");
    let want = "profile_id,user_id,email,anonymous_ids,identifiers,audiences,since,traits,computed,traits.plan,traits.score,computed.visits\n\
                prf_1,1,,\"[\"\"a1\"\",\"\"a2\"\"]\",\"[\"\"user_id:1\"\"]\",,2026-11-20T10:00:00.000Z,,,pro,0.5,7\n\
                prf_2,2,,\"[\"\"a1\"\",\"\"a2\"\"]\",\"[\"\"user_id:2\"\"]\",,2026-11-20T10:00:00.000Z,\"{\"\"new\"\":[1]}\",\"{\"\"last\"\":\"\"x\"\"}\",,\"\"\"5\"\"\",\n";
    assert_eq!(csv, want);
    let ndjson = String::from_utf8(written(&rows[..1], Format::Ndjson, columns)).expect("text");
    let want = "{\"profile_id\":\"prf_1\",\"user_id\":\"1\",\"email\":null,\"anonymous_ids\":[\"a1\",\"a2\"],\
                \"identifiers\":[\"user_id:1\"],\"audiences\":[],\"since\":\"2026-11-20T10:00:00.000Z\",\
                \"traits\":{\"plan\":\"pro\",\"score\":0.5},\"computed\":{\"visits\":7}}\n";
    assert_eq!(ndjson, want);
    for format in Format::ALL {
        let nobody = file(&written(&[], format, Columns::of(&[], None, false)));
        let rows = read_all(nobody.path(), format, &options()).expect("readable");
        assert!(rows.is_empty(), "{format}");
    }
}

#[test]
fn formulas_are_escaped_where_that_is_asked_for() {
    let traits = [
        ("+name", r#""=1+1""#),
        ("a", r#""+1 555""#),
        ("b", "-7"),
        ("c", r#""@x""#),
        ("d", r#""\tx""#),
        ("e", r#""plain=""#),
        ("f", r#""-7""#),
        ("g", r#""-x""#),
        ("h", r#""\rx""#),
    ];
    let row = Row {
        profile_id: "prf_1".to_owned(),
        user_id: Some("=cmd".to_owned()),
        email: Some("-a@b.c".to_owned()),
        traits: traits.map(|(name, json)| (name.to_owned(), json.to_owned())).to_vec(),
        ..Row::default()
    };
    let rows = [row];
    let csv = |formulas| {
        let columns = Columns::of(&rows, None, false);
        let bytes = written_as(&rows, Format::Csv, formulas, columns);
        let mut csv = ::csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
        csv.records()
            .map(|record| record.expect("cells").iter().map(str::to_owned).collect())
            .collect::<Vec<Vec<String>>>()
    };
    let (plain, escaped) = (csv(Formulas::Plain), csv(Formulas::Escape));
    assert_eq!(
        plain[0][8..],
        [
            "traits.+name",
            "traits.a",
            "traits.b",
            "traits.c",
            "traits.d",
            "traits.e",
            "traits.f",
            "traits.g",
            "traits.h"
        ]
    );
    assert_eq!(escaped[0], plain[0], "no name of a column begins with a sign");
    assert_eq!((plain[1][1].as_str(), escaped[1][1].as_str()), ("=cmd", "'=cmd"));
    assert_eq!((plain[1][2].as_str(), escaped[1][2].as_str()), ("-a@b.c", "'-a@b.c"));
    assert_eq!(plain[1][8..], ["=1+1", "+1 555", "-7", "@x", "\tx", "plain=", "\"-7\"", "-x", "\rx"]);
    assert_eq!(escaped[1][8..], ["'=1+1", "'+1 555", "-7", "'@x", "'\tx", "plain=", "\"-7\"", "'-x", "'\rx"]);
}

/// What rows were read: places, and traits or what is wrong.
fn shown(rows: Vec<Result<Person, Problem>>) -> Vec<(u64, String)> {
    rows.into_iter()
        .map(|row| match row {
            Ok(person) => (person.place, format!("{:?} {}", person.user_id, person.traits)),
            Err(problem) => (problem.place, problem.reason),
        })
        .collect()
}

#[test]
fn rows_of_people_are_read_with_their_lines() {
    let ndjson = "\u{feff}{\"user_id\":\"u1\",\"traits\":{\"a\":1}}\n\n{\"user_id\":7,\"a\":[1],\"b\":null}\n[1]\n\
                  {\"user_id\":\"u3\",\"traits\":7}\n{\"user_id\":\"u4\",\"traits.a\":true,\"b\":1}\n{\"a\":1}";
    let rows = read_all(file(ndjson.as_bytes()).path(), Format::Ndjson, &options()).expect("readable");
    let want = [
        (1, r#"Some("u1") {"a":1}"#),
        (3, r#"Some("7") {"a":[1],"b":null}"#),
        (4, "the line is no JSON object (see column "),
        (5, "`traits` is no JSON object"),
        (6, "beside `traits` and `traits.…` there is `b`: call it `traits.b`, or leave it out"),
        (7, r#"None {"a":1}"#),
    ];
    let rows = shown(rows);
    assert_eq!(rows.len(), want.len(), "{rows:?}");
    for ((place, text), (want, part)) in rows.iter().zip(want) {
        assert!(*place == want && text.starts_with(part), "{place}: {text}");
    }

    let csv = "\u{feff}user_id,score,note\nu1,0.50,\"two\nlines\"\n\nu2,,x\nu3,1\n7,null,007\n";
    let rows = read_all(file(csv.as_bytes()).path(), Format::Csv, &options()).expect("readable");
    let want = [
        (2, r#"Some("u1") {"score":0.50,"note":"two\nlines"}"#),
        (3, r#"Some("u2") {"score":null,"note":"x"}"#),
        (4, "the row has 2 cells; there are 3 columns"),
        (5, r#"Some("7") {"score":null,"note":"007"}"#),
    ];
    assert_eq!(shown(rows), want.map(|(place, text)| (place, text.to_owned())));

    let strings = ReadOptions { cells: Cells::Strings, ..options() };
    let rows = read_all(file(b"user_id,a,b\nu1,5,\n").path(), Format::Csv, &strings).expect("readable");
    assert_eq!(shown(rows), [(2, r#"Some("u1") {"a":"5","b":""}"#.to_owned())]);
}

#[test]
fn files_that_are_not_what_they_say_are_refused() {
    let long = format!("user_id,a\nu1,\"{}", "x".repeat(5 << 20));
    let lost = format!("{{\"user_id\":\"u1\",\"a\":\"{}\"}}\n{{\"user_id\":\"u2\"}}", "x".repeat(5 << 20));
    let error = read_all(file(long.as_bytes()).path(), Format::Csv, &options()).map(|rows| rows.len());
    let error = format!("{:#}", anyhow::Error::from(error.expect_err("refused")));
    assert!(
        error.contains("row 2 can't be read") && error.contains("is a quotation mark missing?"),
        "{error}"
    );
    let rows = read_all(file(lost.as_bytes()).path(), Format::Ndjson, &options()).expect("readable");
    let shown = shown(rows);
    assert!(shown[0].1.contains("the line has more than"), "{}", shown[0].1);
    assert_eq!(shown[1], (2, r#"Some("u2") {}"#.to_owned()));
    for (format, content) in [(Format::Csv, "\u{ff}"), (Format::Csv, ""), (Format::Parquet, "user_id\nu1")] {
        let refused = read_all(file(content.as_bytes()).path(), format, &options());
        assert!(matches!(refused, Err(ReadError::Unusable(_))), "{format} {content:?}");
    }
}

/// A Parquet file with one row of these columns.
fn one_row(columns: Vec<(PrimitiveTypeBuilder<'_>, Cell)>) -> tempfile::NamedTempFile {
    let (types, cells): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|(builder, cell)| {
            let field = builder.with_repetition(Repetition::REQUIRED).build().expect("a type");
            (Arc::new(field), cell)
        })
        .unzip();
    let schema = Type::group_type_builder("rows").with_fields(types).build().expect("a schema");
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).expect("begun");
    let mut group = writer.next_row_group().expect("a row group");
    for cell in cells {
        let mut column = group.next_column().expect("a column").expect("as many as cells");
        match cell {
            Cell::Int(value) => column.typed::<Int32Type>().write_batch(&[value], None, None),
            Cell::Long(value) => column.typed::<Int64Type>().write_batch(&[value], None, None),
            Cell::Float(value) => column.typed::<FloatType>().write_batch(&[value], None, None),
            Cell::Double(value) => column.typed::<DoubleType>().write_batch(&[value], None, None),
            Cell::Text(value) => column.typed::<ByteArrayType>().write_batch(&[value.into()], None, None),
            Cell::Fixed(value) => {
                let value = FixedLenByteArray::from(value);
                column.typed::<FixedLenByteArrayType>().write_batch(&[value], None, None)
            }
        }
        .expect("written");
        column.close().expect("closed");
    }
    group.close().expect("closed");
    file(&writer.into_inner().expect("ended"))
}

enum Cell {
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Text(&'static str),
    Fixed(Vec<u8>),
}

#[test]
fn parquet_of_others_is_read_by_its_types() {
    let column = Type::primitive_type_builder;
    let logical =
        |name, physical, logical: LogicalType| column(name, physical).with_logical_type(Some(logical));
    let decimal = |name| {
        let builder = column(name, Physical::INT32).with_converted_type(ConvertedType::DECIMAL);
        builder.with_precision(6)
    };
    let uuid: Vec<u8> = (0..16).collect();
    let file = one_row(vec![
        (logical("user_id", Physical::BYTE_ARRAY, LogicalType::String), Cell::Text("u1")),
        (column("int", Physical::INT32), Cell::Int(-7)),
        (column("long", Physical::INT64), Cell::Long(9_007_199_254_740_993)),
        (logical("unsigned", Physical::INT64, LogicalType::integer(64, false)), Cell::Long(-1)),
        (column("float", Physical::FLOAT), Cell::Float(0.1)),
        (column("double", Physical::DOUBLE), Cell::Double(0.1)),
        (decimal("decimal").with_scale(2), Cell::Int(-5)),
        (decimal("places").with_scale(0), Cell::Int(12)),
        (logical("date", Physical::INT32, LogicalType::Date), Cell::Int(20_777)),
        (
            logical("millis", Physical::INT64, LogicalType::timestamp(true, TimeUnit::MILLIS)),
            Cell::Long(1_790_000_000_123),
        ),
        (
            logical("nanos", Physical::INT64, LogicalType::timestamp(true, TimeUnit::NANOS)),
            Cell::Long(1_790_000_000_123_456_789),
        ),
        (logical("json", Physical::BYTE_ARRAY, LogicalType::Json), Cell::Text(r#" {"a":[1]} "#)),
        (column("bytes", Physical::BYTE_ARRAY), Cell::Text("é")),
        (
            logical("uuid", Physical::FIXED_LEN_BYTE_ARRAY, LogicalType::Uuid).with_length(16),
            Cell::Fixed(uuid),
        ),
    ]);
    let rows = read_all(file.path(), Format::Parquet, &options()).expect("readable");
    let person =
        rows.into_iter().next().expect("one row").unwrap_or_else(|problem| panic!("{}", problem.reason));
    assert_eq!((person.place, person.user_id.as_deref()), (1, Some("u1")));
    let want = [
        ("int", "-7"),
        ("long", "9007199254740993"),
        ("unsigned", "18446744073709551615"),
        ("float", "0.1"),
        ("double", "0.1"),
        ("decimal", "-0.05"),
        ("places", "12"),
        ("date", r#""2026-11-20""#),
        ("millis", r#""2026-09-21T14:13:20.123Z""#),
        ("nanos", r#""2026-09-21T14:13:20.123456Z""#),
        ("json", r#"{"a":[1]}"#),
        ("bytes", r#""é""#),
        ("uuid", r#""00010203-0405-0607-0809-0a0b0c0d0e0f""#),
    ];
    let want: BTreeMap<String, String> =
        want.into_iter().map(|(name, json)| (name.to_owned(), json.to_owned())).collect();
    assert_eq!(traits_of(&person), want);
}

#[test]
fn columns_of_parquet_that_are_no_values_are_refused_by_name() {
    let time = LogicalType::time(true, TimeUnit::MILLIS);
    let of_day = Type::primitive_type_builder("opens", Physical::INT32).with_logical_type(Some(time));
    let id = || {
        let builder = Type::primitive_type_builder("user_id", Physical::BYTE_ARRAY);
        (builder.with_logical_type(Some(LogicalType::String)), Cell::Text("u1"))
    };
    let file = one_row(vec![id(), (of_day, Cell::Int(1))]);
    let refused = read_all(file.path(), Format::Parquet, &options()).map(|rows| rows.len());
    let refused = refused.expect_err("refused").to_string();
    assert!(refused.contains("column `opens` is a time of day"), "{refused}");

    let list = Type::primitive_type_builder("tags", Physical::INT32).with_repetition(Repetition::REPEATED);
    let fields = vec![Arc::new(list.build().expect("a type"))];
    let schema = Type::group_type_builder("rows").with_fields(fields).build().expect("a schema");
    let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).expect("begun");
    let file = self::file(&writer.into_inner().expect("ended"));
    let refused = read_all(file.path(), Format::Parquet, &options()).map(|rows| rows.len());
    let refused = refused.expect_err("refused").to_string();
    assert!(refused.contains("column `tags` is nested"), "{refused}");

    // The codec stands behind the column's name, in the description of the chunk: 0 is none, 12 is ZSTD.
    let score = Type::primitive_type_builder("score", Physical::DOUBLE);
    let file = one_row(vec![id(), (score, Cell::Double(0.5))]);
    let mut bytes = std::fs::read(file.path()).expect("readable");
    let (plain, zstd) = (b"\x05score\x15\x00", b"\x05score\x15\x0c");
    let places: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(plain.as_slice())).collect();
    assert_eq!(places.len(), 1, "there is one such chunk");
    bytes[places[0]..places[0] + zstd.len()].copy_from_slice(zstd);
    let refused = read_all(self::file(&bytes).path(), Format::Parquet, &options()).map(|rows| rows.len());
    let refused = refused.expect_err("refused").to_string();
    assert!(refused.contains("column `score` is compressed with ZSTD: write"), "{refused}");

    let score = Type::primitive_type_builder("score", Physical::DOUBLE);
    let file = one_row(vec![id(), (score, Cell::Double(f64::NAN))]);
    let rows = read_all(file.path(), Format::Parquet, &options()).expect("readable");
    assert_eq!(shown(rows), [(1, "`score` is no finite number".to_owned())]);
}
