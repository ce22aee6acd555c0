//! Numbers keep their digits, and are compared and converted exactly.

use super::check;
use crate::mapping::number::{compare, is_number, is_zero, scaled, whole};
use crate::mapping::{Root, Value};
use std::cmp::Ordering;

#[test]
fn every_digit_is_kept() {
    check(&[
        (r#"{"@path": "$.properties.total"}"#, Some("12.50")),
        (r#"{"@path": "$.properties.big"}"#, Some("123456789012345678901234567890")),
        (r#"{"@path": "$.properties.huge"}"#, Some("1e400")),
        (r#"{"@path": "$.properties.negative"}"#, Some("-0")),
        (
            r#"{"@merge": {"direction": "left", "objects": [{"@path": "$.properties.address.geo"}]}}"#,
            Some(r#"{"lat":48.40}"#),
        ),
        (
            r#"{"@flatten": {"separator": "_", "value": {"@path": "$.properties.address"}}}"#,
            Some(r#"{"city":"Ulm","geo_lat":48.40}"#),
        ),
        (
            r#"{"@json": {"mode": "decode", "value": "[1e400,12.50,123456789012345678901234567890,-0]"}}"#,
            Some("[1e400,12.50,123456789012345678901234567890,-0]"),
        ),
        (
            r#"{"@template": "{{properties.huge}} {{properties.total}} {{properties.big}} {{properties.negative}}"}"#,
            Some(r#""1e400 12.50 123456789012345678901234567890 -0""#),
        ),
        // The library's own numbers would lose them.
        (
            r#"{"@template": "{{#with properties}}{{huge}} {{total}} {{big}} {{negative}}{{/with}}"}"#,
            Some(r#""1e400 12.50 123456789012345678901234567890 -0""#),
        ),
    ]);
}

#[test]
fn a_number_that_a_library_would_change_is_text_to_it() {
    let cases = [
        ("12", "12"),
        ("12.5", "12.5"),
        ("-7", "-7"),
        ("18446744073709551615", "18446744073709551615"),
        ("12.50", r#""12.50""#),
        ("1e400", r#""1e400""#),
        ("1E2", r#""1E2""#),
        ("-0", r#""-0""#),
        ("18446744073709551616", r#""18446744073709551616""#),
        ("0.1000000000000000055511151231257827", r#""0.1000000000000000055511151231257827""#),
    ];
    for (digits, want) in cases {
        assert_eq!(Value::Raw(digits).to_serde().to_string(), want, "{digits}");
    }
}

#[test]
fn comparisons_are_exact() {
    let ascending = [
        "-1e400",
        "-123456789012345678901234567890.1",
        "-123456789012345678901234567890",
        "-2.5",
        "-1",
        "-1e-400",
        "0",
        "1e-400",
        "0.1",
        "0.10000000000000000001",
        "1",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.5",
        "1e16",
        "1e400",
        "1e99999999999999999999999",
    ];
    for (at, left) in ascending.iter().enumerate() {
        for (other, right) in ascending.iter().enumerate() {
            assert_eq!(compare(left, right), Some(at.cmp(&other)), "{left} and {right}");
        }
    }
    let equal = [("0", "-0.00e7"), ("1e3", "1000.0"), ("12.50", "12.5"), ("0.001", "1E-3"), ("100", "1e+2")];
    for (left, right) in equal {
        assert_eq!(compare(left, right), Some(Ordering::Equal), "{left} and {right}");
    }
    assert_eq!(compare("1", "x"), None);
}

#[test]
fn what_is_a_number_and_what_is_zero() {
    let numbers = ["0", "-0", "10", "0.5", "-1.25e-7", "1E+400", "123456789012345678901234567890"];
    let others =
        ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1 ", "NaN", "Infinity", "1_000", "１"];
    assert!(numbers.iter().all(|text| is_number(text)));
    assert!(!others.iter().any(|text| is_number(text)));
    for (text, want) in
        [("0", true), ("-0.000", true), ("0e400", true), ("0.01", false), ("x", false), ("", false)]
    {
        assert_eq!(is_zero(text), want, "{text}");
    }
}

#[test]
fn whole_numbers_lose_point_and_exponent_only() {
    let cases = [
        ("12", Some("12")),
        ("-12", Some("-12")),
        ("-0", Some("0")),
        ("0.0", Some("0")),
        ("12.0", Some("12")),
        ("1.2e1", Some("12")),
        ("1200e-2", Some("12")),
        ("-1.5e3", Some("-1500")),
        ("123456789012345678901234567890", Some("123456789012345678901234567890")),
        ("1e39", Some("1000000000000000000000000000000000000000")),
        ("1e40", None),
        ("1e400", None),
        ("12.5", None),
        ("1e-1", None),
        ("0.1e1", Some("1")),
        ("x", None),
    ];
    for (text, want) in cases {
        assert_eq!(whole(text).as_deref(), want, "{text}");
    }
}

#[test]
fn numbers_are_scaled_without_rounding() {
    let cases = [
        ("1732096800", 6, Some(1_732_096_800_000_000)),
        ("1732096800.123456789", 6, Some(1_732_096_800_123_456)),
        ("-1.9", 0, Some(-1)),
        ("0.9", 0, Some(0)),
        ("1.7320968e9", 3, Some(1_732_096_800_000)),
        ("1e-400", 6, Some(0)),
        ("1e400", 0, None),
        ("x", 0, None),
    ];
    for (text, places, want) in cases {
        assert_eq!(scaled(text, places), want, "{text}");
    }
}

#[test]
fn text_that_is_no_json_does_no_harm() {
    for text in ["", "{", "nul", "[1,", "\"", "{\"a\":}", "\u{0}"] {
        let root = Root::new(text);
        assert!(crate::mapping::Path::parse("$.a.b").expect("a path").evaluate(&root).is_none(), "{text:?}");
        let _ = Value::Raw(text).to_serde();
        let _ = Value::Raw(text).text();
    }
}
