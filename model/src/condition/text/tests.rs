//! The text form: what is read, and what is said about the rest.

use super::*;
use serde_json::{Value, json};

/// (text, the text that is written for it)
const GOOD: &[(&str, &str)] = &[
    (
        "count(event(\"Order Completed\") where properties.total > 100 within 30d) >= 2\n and not event(\"App Opened\") within 7d",
        "count(event(\"Order Completed\") where properties.total > 100 within 30d) >= 2 and not event(\"App Opened\") within 7d",
    ),
    // Words in any case, blanks anywhere or nowhere, both quotes.
    (
        "TRAITS.plan='pro' AND Not Event ( \"A\" )Within 7d",
        "traits.plan = \"pro\" and not event(\"A\") within 7d",
    ),
    ("traits.a==1 or(traits.b<>2)", "traits.a = 1 or traits.b != 2"),
    (r#"trait("odd name") = 'say "hi" \u00e9' "#, r#"trait("odd name") = "say \"hi\" é""#),
    (r#"trait("a\\.b.c") exists"#, r#"trait("a\\.b.c") exists"#),
    ("trait(\"plain\") exists", "traits.plain exists"),
    ("computed(\"orders\") > 1", "computed.orders > 1"),
    // Precedence.
    ("traits.a = 1 or traits.b = 1 and traits.c = 1", "traits.a = 1 or traits.b = 1 and traits.c = 1"),
    ("(traits.a = 1 or traits.b = 1) and traits.c = 1", "(traits.a = 1 or traits.b = 1) and traits.c = 1"),
    ("((traits.a = 1))", "traits.a = 1"),
    ("all(traits.a = 1, any(traits.b = 1, traits.c = 1))", "traits.a = 1 and (traits.b = 1 or traits.c = 1)"),
    ("(traits.a = 1 and traits.b = 1) and traits.c = 1", "(traits.a = 1 and traits.b = 1) and traits.c = 1"),
    ("all(traits.a = 1)", "all(traits.a = 1)"),
    ("not not traits.a = 1", "not not traits.a = 1"),
    ("not (traits.a = 1 and traits.b = 1)", "not (traits.a = 1 and traits.b = 1)"),
    // Names that begin with words of the language, or are one.
    (
        "traits.order = 1 and traits.notes exists or traits.in_stock not in (1, \"x\")",
        "traits.order = 1 and traits.notes exists or traits.in_stock not in (1, \"x\")",
    ),
    ("traits.not = 1 and traits.and.or = 2", "traits.not = 1 and traits.and.or = 2"),
    ("traits.first-name = \"Ada\" and traits.größe > 1", "traits.first-name = \"Ada\" and traits.größe > 1"),
    ("traits.2fa = true and traits.$x = null", "traits.2fa = true and traits.$x = null"),
    // Numbers and lengths of time.
    ("traits.a > -1.50 and traits.b < 1e3", "traits.a > -1.5 and traits.b < 1000"),
    ("time_since(event(\"X\")) > 2w", "time_since(event(\"X\")) > 14d"),
    (
        "time_since(event(\"X\")) < time_since(event(\"Y\") within 30d)",
        "time_since(event(\"X\")) < time_since(event(\"Y\") within 30d)",
    ),
    ("count(event(\"A\")) > 30", "count(event(\"A\")) > 30"),
    // Operators and their other names.
    ("traits.a equals 1 and traits.a not equals 2", "traits.a = 1 and traits.a != 2"),
    ("traits.a one_of (1) and traits.a none_of (2)", "traits.a in (1) and traits.a not in (2)"),
    (
        "traits.a omits \"x\" or traits.a not  contains \"x\"",
        "traits.a not contains \"x\" or traits.a not contains \"x\"",
    ),
    ("not traits.a contains \"x\"", "not traits.a contains \"x\""),
    ("traits.a not exists", "traits.a absent"),
    ("traits.a contains_any (\"x\", 1, true)", "traits.a contains_any (\"x\", 1, true)"),
    (
        "traits.a starts_with \"x\" and traits.a ends_with traits.b",
        "traits.a starts_with \"x\" and traits.a ends_with traits.b",
    ),
    (r#"traits.a matches "^\\d+$""#, r#"traits.a matches "^\\d+$""#),
    ("traits.a before_date \"2026-01-31\"", "traits.a before_date \"2026-01-31\""),
    (
        "traits.a within_last 7d and traits.a after_next 7d",
        "traits.a within_last 7d and traits.a after_next 7d",
    ),
    (
        "traits.a = traits.b and traits.c in computed.list",
        "traits.a = traits.b and traits.c in computed.list",
    ),
    // Events.
    ("event()", "event()"),
    (
        "page(\"Pricing\") or screen() or identify() or group() or alias()",
        "page(\"Pricing\") or screen() or identify() or group() or alias()",
    ),
    (
        "event(\"A\") within 30d where properties.a.b > 100",
        "event(\"A\") where properties.a.b > 100 within 30d",
    ),
    (
        "event(\"A\") where properties.total > properties.discount",
        "event(\"A\") where properties.total > properties.discount",
    ),
    (
        "event(\"A\") between \"2026-01-01\" and \"2026-02-01T12:00:00+01:00\"",
        "event(\"A\") between \"2026-01-01\" and \"2026-02-01T11:00:00.000Z\"",
    ),
    (
        "event(\"A\") where field(\"traits.plan\") = \"pro\"",
        "event(\"A\") where field(\"traits.plan\") = \"pro\"",
    ),
    ("event(\"A\") where field(\"userId\") exists", "event(\"A\") where userId exists"),
    (
        "event(\"A\") where properties.x = 1 or properties.y = 2 and not properties.z exists",
        "event(\"A\") where (properties.x = 1 or properties.y = 2 and not properties.z exists)",
    ),
    // `where` ends before a comparison of the profile.
    (
        "event(\"A\") where properties.x = 1 and properties.y = 2 and traits.z = 3",
        "event(\"A\") where (properties.x = 1 and properties.y = 2) and traits.z = 3",
    ),
    (
        "event(\"A\") where properties.x = 1 and (properties.y = 2 or properties.y = 3) and (traits.z = 3)",
        "event(\"A\") where (properties.x = 1 and (properties.y = 2 or properties.y = 3)) and traits.z = 3",
    ),
    (
        "event(\"A\") where properties.x = 1 and account(any member(traits.z = 3))",
        "event(\"A\") where properties.x = 1 and account(any member(traits.z = 3))",
    ),
    (
        "account(all members(event(\"A\") where name = \"x\") and any member(traits.a = 1))",
        "account(all members(event(\"A\") where name = \"x\") and any member(traits.a = 1))",
    ),
    // What is computed.
    (
        "sum(event(\"Order Completed\").properties.total where properties.a = \"x\" within 30d) > 100",
        "sum(event(\"Order Completed\").properties.total where properties.a = \"x\" within 30d) > 100",
    ),
    ("avg(event(\"A\").field(\"a b\")) > 1", "average(event(\"A\").field(\"a b\")) > 1"),
    ("last(identify().traits.plan) = \"pro\"", "last(identify().traits.plan) = \"pro\""),
    ("mode(page().name) = \"x\"", "most_frequent(page().name) = \"x\""),
    ("unique(event(\"A\").properties.x) contains 1", "unique_list(event(\"A\").properties.x) contains 1"),
    // Sequences.
    (
        "sequence(event(\"A\") where properties.x = 1 then event(\"B\") without event(\"C\") within 2d then page()) within 30d",
        "sequence(event(\"A\") where properties.x = 1 then event(\"B\") within 2d without event(\"C\") then page()) within 30d",
    ),
    ("audience(\"vip\")", "audience(\"vip\")"),
];

#[test]
fn texts_are_read_and_written() {
    for (text, want) in GOOD {
        let condition =
            parse_condition(text, Scope::Profile).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(condition.to_string(), *want, "{text}");
        assert_eq!(parse_condition(want, Scope::Profile), Ok(condition), "{text}");
    }
}

#[test]
fn and_behind_where_goes_to_whom_it_suits() {
    let pattern = |filter: &Value| json!({"kind": "track", "name": "A", "where": filter});
    let x =
        json!({"compare": {"left": {"field": "properties.x"}, "operator": "equals", "right": {"value": 1}}});
    let y = json!({"compare": {"left": {"field": "properties.y"}, "operator": "exists"}});
    let z = json!({"compare": {"left": {"trait": "z"}, "operator": "exists"}});
    let b = json!({"performed": {"kind": "track", "name": "B"}});
    let cases = [
        (
            r#"event("A") where properties.x = 1 and not event("B")"#,
            json!({"all": [{"performed": pattern(&x)}, {"not": b}]}),
        ),
        (
            r#"event("A") where properties.x = 1 and not properties.y exists"#,
            json!({"performed": pattern(&json!({"all": [x, {"not": y}]}))}),
        ),
        (
            r#"event("A") where properties.x = 1 or properties.y exists and traits.z exists"#,
            json!({"all": [{"performed": pattern(&json!({"any": [x, y]}))}, z]}),
        ),
        (
            r#"event("A") where (properties.x = 1) or event("B")"#,
            json!({"any": [{"performed": pattern(&x)}, b]}),
        ),
    ];
    for (text, want) in cases {
        let condition = parse_condition(text, Scope::Profile).expect(text);
        assert_eq!(serde_json::to_value(condition).expect("it is JSON"), want, "{text}");
    }
}

#[test]
fn conditions_about_events_and_accounts_stand_alone() {
    let text = r#"type = "track" and (event = "A" or properties.x in (1)) and all(context.page.url exists)"#;
    let condition = parse_condition(text, Scope::Event).expect(text);
    assert_eq!(condition.to_string(), text);
    let text = r#"traits.tier = "gold" and any member(event("A"))"#;
    assert_eq!(parse_condition(text, Scope::Account).expect(text).to_string(), text);
}

/// (text, the column, what is said, a part of the hint or nothing)
const BAD: &[(&str, usize, &str, &str)] = &[
    ("", 1, "expected a condition, but the text ends", ""),
    ("  ", 3, "expected a condition, but the text ends", ""),
    ("traits.plan is \"pro\"", 13, "expected an operator such as `=`, found `is`", "did you mean `=`"),
    (
        "traits.a contians \"x\"",
        10,
        "expected an operator such as `=`, found `contians`",
        "did you mean `contains`",
    ),
    ("traits.a starts with \"x\"", 10, "expected an operator such as `=`, found `starts`", "`starts_with`"),
    (
        "traits.a within 7d",
        10,
        "expected an operator such as `=`, found `within`",
        "did you mean `within_last`",
    ),
    ("traits.vip", 11, "expected an operator such as `=`, but the text ends", "`= true`"),
    ("traits.vip and traits.x = 1", 12, "expected an operator such as `=`, found `and`", "`= true`"),
    (
        "traits.a not like \"x\"",
        14,
        "expected `in`, `contains`, `equals` or `exists`, found `like`",
        "`not contains`",
    ),
    ("traits.a = ", 12, "expected a value, but the text ends", "text in quotes"),
    ("traits.a => 3", 11, "expected a value, found `>`", "did you mean `>=`"),
    ("traits.a = \"pro", 12, "a text begins here and does not end", "put a `\"` behind it"),
    ("traits.a = “pro”", 12, "`“` is no quote of this language", "straight quotes"),
    ("traits.a = pro", 12, "`pro` is nothing that is known here", "text stands in quotes: \"pro\""),
    ("traits.a in (free, pro)", 14, "`free` is nothing that is known here", "text stands in quotes"),
    ("traits.a in 1, 2", 14, "expected `and`, `or` or the end, found `,`", "in parentheses"),
    ("traits.a = 1 && traits.b = 2", 14, "expected `and`, `or` or the end, found `&&`", "did you mean `and`"),
    ("!traits.a = 1", 1, "expected a condition, found `!`", "did you mean `not`"),
    ("(traits.a = 1", 14, "expected `and`, `or` or `)`, but the text ends", "a `)` is missing"),
    ("traits.a = 1)", 13, "expected `and`, `or` or the end, found `)`", "no parenthesis is open"),
    ("traits.a = 1 or", 16, "expected a condition, but the text ends", ""),
    ("all()", 5, "expected a condition, found `)`", ""),
    (
        "any traits.x = 1",
        5,
        "expected an operator such as `=`, `member` or `(`, found `traits.x`",
        "`any member(…)`",
    ),
    ("plan = \"pro\"", 1, "`plan` is nothing that is known here", "did you mean `traits.plan`"),
    ("trait.plan = \"pro\"", 1, "`trait.plan` is nothing that is known here", "did you mean `traits.plan`"),
    ("count > 3", 1, "`count` is nothing that is known here", "write `count(event(\"…\"))`"),
    ("computed.a.b = 1", 1, "a computed trait has no parts", "write `computed.a`"),
    ("foo(event(\"A\")) > 3", 1, "`foo` is no function", "there are `event`"),
    ("cuont(event(\"A\")) > 3", 1, "`cuont` is no function", "did you mean `count`"),
    ("traits.a = 1 and did(\"A\")", 18, "`did` is no function", "did you mean `event`"),
    (
        "count(\"Order\") > 2",
        7,
        "expected an event such as `event(\"…\")`, found text in quotes",
        "write `event(\"…\")`",
    ),
    ("event(Order)", 7, "expected text in quotes or `)`, found `Order`", "stands in quotes"),
    ("event(\"A) and traits.x = \"pro\"", 27, "expected `)`, found `pro`", "a quote is missing"),
    (
        "event(\"A\") >= 2",
        12,
        "expected `where`, `within`, `between`, `and`, `or` or the end, found `>=`",
        "`count(event(\"…\")) >= 2`",
    ),
    ("event(\"A\") within 30", 19, "`30` has no unit of time", "did you mean `30d`"),
    (
        "event(\"A\") within 30 days",
        22,
        "expected `where`, `and`, `or` or the end, found `days`",
        "did you mean `30d`",
    ),
    (
        "event(\"A\") within 30days",
        19,
        "`30days` is neither a number nor a length of time",
        "did you mean `30d`",
    ),
    ("event(\"A\") within \"30d\"", 19, "a length of time has no quotes", "did you mean `30d`"),
    ("event(\"A\") within 0d", 19, "`0d`: a window of zero holds nothing; write at least 1s", ""),
    (
        "event(\"A\") within (7 days)",
        19,
        "expected a length of time such as `30d`, found `(`",
        "`within 30d`",
    ),
    ("event(\"A\") between \"yesterday\" and \"2026-01-01\"", 20, "this text is no date", "2026-01-31"),
    (
        "event(\"A\") where total > 100",
        18,
        "`total` is nothing that is known here",
        "did you mean `properties.total`",
    ),
    (
        "event(\"A\") where property.total > 100",
        18,
        "`property.total` is nothing that is known here",
        "did you mean `properties.total`",
    ),
    (
        "event(\"A\") where traits.x = 1",
        18,
        "expected a condition, found `traits.x`",
        "looks at that event alone",
    ),
    (
        "event(\"A\") where event(\"B\")",
        18,
        "expected a condition, found `event`",
        "looks at that event alone",
    ),
    (
        "event(\"A\") where (properties.x = 1 and traits.y = 2)",
        40,
        "expected a condition, found `traits.y`",
        "looks at that event alone",
    ),
    (
        "sum(event(\"A\"), properties.total) > 1",
        15,
        "expected the path of a value, `where`, `within`, `between` or `)`, found `,`",
        "`event(\"…\").properties.total`",
    ),
    (
        "sum(event(\"A\").total) > 1",
        16,
        "`total` is nothing that is known here",
        "did you mean `.properties.total`",
    ),
    ("sequence(event(\"A\"))", 20, "expected `where` or `then`, found `)`", "two events at least"),
    (
        "sequence(event(\"A\") within 3d then event(\"B\"))",
        21,
        "expected `where` or `then`, found `within`",
        "behind the whole sequence",
    ),
    (
        "event(\"A\") then event(\"B\")",
        12,
        "expected `where`, `within`, `between`, `and`, `or` or the end, found `then`",
        "`sequence(",
    ),
    ("traits.a > 01", 12, "`01` is neither a number nor a length of time", "write numbers as"),
    (
        "traits.a = \"\\d\"",
        12,
        "a backslash in quotes begins an escape: `\\\"`, `\\n` or `\\u00e9`",
        "two backslashes",
    ),
    // Read, but it makes no sense.
    ("traits.a > true", 12, "`>` does not compare a trait with true or false", "did you mean `=`"),
    (
        "traits.a = 1 and count(event(\"A\")) = \"2\"",
        38,
        "`=` does not compare `count`, which is a number, with text",
        "",
    ),
    (
        "time_since(event(\"A\")) > 7",
        26,
        "`>` does not compare `time_since`, which is a length of time, with a number",
        "write a unit",
    ),
    (
        "time_since(event(\"A\")) = 7d",
        26,
        "`=` does not compare `time_since`, which is a length of time, with a length of time",
        "time goes on",
    ),
    ("traits.a > 7d", 12, "`>` does not compare a trait with a length of time", "`within_last`"),
    ("traits.a contains 7d", 19, "`contains` looks for text, a number, true or false", ""),
    ("traits.a in ()", 13, "the list is empty", "at least one"),
    ("traits.a in \"x\"", 13, "`in` needs a list of values", "write `in ("),
    ("traits.a = (1)", 12, "`=` compares with one value, not with a list", "did you mean `in`"),
    ("traits.a matches \"(\"", 18, "is no regular expression: unclosed group", ""),
    (
        "traits.a matches \"((((a{100}){100}){100}){100}){100}\"",
        18,
        "explodes to more than 256 KB when it is compiled; repeat less, and write [0-9A-Za-z_] for \\w",
        "",
    ),
    ("traits.a before_date \"soon\"", 22, "this text is no date", "2026-01-31"),
    ("traits.a within_last 7", 22, "`within_last` needs a length of time", "write `within_last 30d`"),
    (
        "sum(event(\"A\").properties.x) within_last 7d",
        42,
        "`within_last` looks at dates; `sum` is a number",
        "",
    ),
    ("count(event(\"A\")) exists", 19, "`count` is never missing", "compare it with 0"),
    ("min(event(\"A\")) > 1", 1, "`min` needs a value", "write `min(event(\"…\").properties.total)`"),
    (
        "count(event(\"A\").properties.x) > 1",
        18,
        "`count` looks at events, not at a value of them",
        "write `count(event(\"…\"))`",
    ),
    ("event(\"\")", 7, "is empty", "any name"),
    ("traits.a = 1 or identify(\"x\")", 26, "calls of identify have no name", "write `identify()`"),
    (
        "event(\"A\") between \"2026-02-01\" and \"2026-02-01\"",
        12,
        "ends before it begins, or at once",
        "earlier moment first",
    ),
    (
        "properties.x = 1",
        1,
        "`properties` is a field of events: it stands in a `where` only",
        "`event(\"…\") where …`",
    ),
    (
        "event(\"A\") where properties.x = traits.y",
        33,
        "a condition about an event looks at that event alone, not at traits",
        "`field(\"traits.y\")`",
    ),
    ("any member(traits.a = 1)", 1, "members are those of an account", "`account(any member(…))`"),
    (
        "account(traits.a = 1 and account(traits.b = 1))",
        26,
        "this is about an account already",
        "`any member(…)`",
    ),
    ("account(event(\"A\"))", 9, "an account performs no events", "`any member(…)`"),
    (
        "account(audience(\"x\"))",
        18,
        "within an account, audiences can't be asked for",
        "write what the audience stands for",
    ),
    ("account(computed.a = 1)", 9, "nothing is computed for an account", "`any member(…)`"),
];

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, column, message, hint) in BAD {
        let error = parse_condition(text, Scope::Profile).expect_err(text);
        let at = error.at.expect("texts have places");
        assert_eq!((at.line, at.column, error.message.as_str()), (1, *column, *message), "{text}");
        let said = error.hint.unwrap_or_default();
        assert!(said.contains(hint) && said.is_empty() == hint.is_empty(), "{text}: {said}");
    }
}

#[test]
fn wrong_aggregates_are_refused() {
    let cases = [
        ("event(\"A\")", 1, "expected what is computed, such as `count(`, found `event`"),
        ("total(event(\"A\"))", 1, "`total` is no function"),
        ("count(event(\"A\")) > 1", 19, "expected the end, found `>`"),
        ("sum(event(\"A\"))", 1, "`sum` needs a value"),
    ];
    for (text, column, message) in cases {
        let error = parse_aggregate(text).expect_err(text);
        let at = error.at.expect("texts have places");
        assert_eq!((at.column, error.message.as_str()), (column, message), "{text}");
    }
}

#[test]
fn what_is_wrong_about_events_alone() {
    let cases = [
        ("event(\"A\")", 1, "expected a condition, found `event`"),
        ("properties.x = 1 and traits.y = 2", 22, "expected a condition, found `traits.y`"),
        ("total = 1", 1, "`total` is nothing that is known here"),
        ("properties.x = computed.y", 16, "a condition about an event looks at that event alone"),
    ];
    for (text, column, message) in cases {
        let error = parse_condition(text, Scope::Event).expect_err(text);
        let at = error.at.expect("texts have places");
        assert_eq!((at.column, error.message.as_str()), (column, message), "{text}");
    }
}

#[test]
fn lines_are_counted() {
    let error = parse_condition("traits.a = 1\n  and traits.bé is 2", Scope::Profile).expect_err("`is`");
    let at = error.at.expect("texts have places");
    assert_eq!((at.line, at.column), (2, 17));
    assert_eq!(
        error.to_string(),
        "line 2, column 17: expected an operator such as `=`, found `is`; did you mean `=`"
    );
}

#[test]
fn texts_are_limited_before_they_are_parsed() {
    let nested = |depth: usize| format!("{}traits.a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse_condition(&nested(40), Scope::Profile).is_ok());
    let cases = [
        (nested(41), 41, "parentheses nest deeper than 40"),
        ("(".repeat(20_000), 41, "parentheses nest deeper than 40"),
        ("(".repeat(100_000), 1, "has 100000 bytes; the limit is 20000"),
        (format!("{}traits.a = 1", "not ".repeat(4900)), 1, "there are 4900 `not` in a row"),
        (format!("event('it\\'s (') and {}", "any(".repeat(45)), 185, "parentheses nest deeper than 40"),
    ];
    for (text, column, message) in cases {
        let error = parse_condition(&text, Scope::Profile).expect_err(message);
        let at = error.at.expect("texts have places");
        assert_eq!((at.column, error.message.as_str()), (column, message));
    }
}

#[test]
fn places_of_the_tree_are_found_in_the_text() {
    let text = "traits.a exists and\n not audience(\"b\") and computed.c > 1";
    let cases = [
        ("all[1].not.audience", Some((2, 15))),
        ("all[2].compare.left.computed", Some((2, 24))),
        ("", Some((1, 1))),
        ("nowhere", Some((1, 1))),
    ];
    for (place, want) in cases {
        assert_eq!(locate(text, place).map(|at| (at.line, at.column)), want, "{place}");
    }
    assert_eq!(locate("traits.a =", ""), None);
    assert_eq!(nearest("order", ["orders", "buyers"].into_iter()), Some("orders"));
    assert_eq!(nearest("zzz", ["orders", "buyers"].into_iter()), None);
}
