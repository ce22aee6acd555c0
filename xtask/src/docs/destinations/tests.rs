use super::words::{directive, laid_out};
use super::*;
use serde_json::json;

#[test]
fn directives_are_told_in_words() {
    let path = |path: &str| json!({ "@path": path });
    let cases = [
        (path("$.userId"), "`$.userId`"),
        (
            json!({"@if": {"exists": path("$.a"), "then": path("$.a"), "else": path("$.b")}}),
            "`$.a`, else `$.b`",
        ),
        (json!({"@if": {"exists": path("$.a"), "then": 1}}), "`1` if `$.a` is there"),
        (
            json!({"@if": {"blank": {"@setting": "on"}, "else": path("$.a")}}),
            "`$.a`, if the setting `on` is on",
        ),
        (json!({"@excludeWhenNull": path("$.a")}), "`$.a`"),
        (json!({"@template": "{{a}}"}), "the text `{{a}}`"),
        (json!({"@setting": "name"}), "the setting `name`"),
        (json!("GRANTED"), "`\"GRANTED\"`"),
        (json!({"@json": {"mode": "encode", "value": 1}}), r#"`{"@json":{"mode":"encode","value":1}}`"#),
    ];
    for (written, want) in cases {
        assert_eq!(directive(&written), want);
    }
}

#[test]
fn json_is_laid_out_and_its_values_stay_as_written() {
    let cases = [
        (
            r#"{"a": 1.50,"b":[ ],"c":{"d":"x, {y}: \"z\""}}"#,
            "{\n  \"a\": 1.50,\n  \"b\": [],\n  \"c\": {\n    \"d\": \"x, {y}: \\\"z\\\"\"\n  }\n}",
        ),
        ("[1,2]", "[\n  1,\n  2\n]"),
        ("select 1;\n", "select 1;"),
    ];
    for (written, want) in cases {
        assert_eq!(laid_out(written), want);
    }
}

#[test]
fn a_page_tells_settings_actions_and_examples() {
    let definition = Definition {
        name: "relay".to_owned(),
        json: json!({
            "title": "Relay", "help": "Sends on.",
            "settings": [{"name": "url", "kind": "url", "required": true, "help": "Where to."}],
            "transport": {"kind": "http", "request": {"url": {"@path": "$.settings.url"}, "headers": {"id": {"@path": "$.ids[0]"}}}},
            "actions": {
                "shared": [{"name": "user", "kind": "text", "help": "Who.", "hash": "email"}],
                "each": [{"name": "send", "title": "Send", "help": "Sends.", "takes": ["track"], "fields": []}],
            },
            "batch": {"events": 5, "among": "profile"},
            "limits": {"event_age": {"hours": 72, "field": "at"}},
        }),
        notes: Some("## Notes\n\nBy hand.\n".to_owned()),
        cases: vec![Case {
            name: "send-one".to_owned(),
            event: "{}".to_owned(),
            request: json!({"method": "POST", "target": "https://a.example/", "headers": {"id": "1"}, "body": "{}"}),
        }],
    };
    let text = page::page(&definition);
    let parts = [
        "# Relay\n",
        "| `url` | a URL with `http` or `https` | yes | no |  | Where to. |",
        "- takes: `track`\n",
        "| `user` | text; hashed as email with SHA-256 | no |  | Who. |",
        "- batches: up to 5 of one profile\n",
        "- age of events: up to 72 hours by `at`, older ones are refused as `too_old`\n",
        "## Notes\n\nBy hand.\n",
        "### Send: `send-one`",
        "POST https://a.example/\nid: 1\n\n{}\n",
    ];
    for part in parts {
        assert!(text.contains(part), "{part} in {text}");
    }
    let overview = overview::page(&[definition]);
    let row = "| [Relay](relay.md) | HTTP | 1 | 1 | up to 5 of one profile | yes | no | none | yes | no | no | yes |";
    assert!(overview.contains(row), "{overview}");
}
