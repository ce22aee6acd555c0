use super::*;
use serde_json::json;

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft202012::new(schema).expect("a valid schema that needs nothing else")
}

#[test]
fn every_document_is_a_schema_with_words_for_developers() {
    let mut documents = vec![("common", COMMON), ("event", EVENT)];
    documents.extend(EventKind::ALL.map(|kind| (kind.name(), spec(kind))));
    for (name, text) in documents {
        let schema = parse(text);
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{name}");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(schema["$id"].as_str().is_some_and(|id| id.ends_with(&format!("/{name}.json"))), "{name}");
        for (member, about) in schema["properties"].as_object().into_iter().flatten() {
            let constant = about.get("const").is_some();
            assert!(
                constant || (about["title"].is_string() && about["description"].is_string()),
                "{name} {member}"
            );
        }
    }
}

#[test]
fn the_examples_fit() {
    let any = validator(&bundle());
    for kind in EventKind::ALL {
        let one = validator(&bundle_of(kind));
        let examples = parse(spec(kind))["examples"].as_array().cloned().unwrap_or_default();
        assert!(!examples.is_empty(), "{kind}");
        for example in examples {
            assert!(one.is_valid(&example), "{kind}");
            assert!(any.is_valid(&example), "{kind}");
            for other in EventKind::ALL.into_iter().filter(|other| *other != kind) {
                assert!(!validator(&bundle_of(other)).is_valid(&example), "{kind} as {other}");
            }
        }
    }
}

#[test]
fn what_fits_and_what_does_not() {
    let cases = [
        ("least", json!({"type":"page","anonymousId":"a"}), true),
        (
            "null is missing",
            json!({"type":"page","anonymousId":"a","userId":null,"properties":null,"name":null}),
            true,
        ),
        ("unknown members", json!({"type":"page","anonymousId":"a","channel":7,"_metadata":[]}), true),
        ("any receivedAt", json!({"type":"page","anonymousId":"a","receivedAt":7}), true),
        ("unreadable time", json!({"type":"page","anonymousId":"a","timestamp":"soon"}), true),
        ("no type", json!({"anonymousId":"a"}), false),
        ("null type", json!({"type":null,"anonymousId":"a"}), false),
        ("unknown type", json!({"type":"Track","anonymousId":"a"}), false),
        ("no identifier", json!({"type":"page"}), false),
        ("empty identifiers", json!({"type":"page","userId":"","anonymousId":""}), false),
        ("one is enough", json!({"type":"page","userId":"","anonymousId":"a"}), true),
        ("number as id", json!({"type":"page","userId":7,"anonymousId":"a"}), false),
        ("number as time", json!({"type":"page","userId":"u","timestamp":1}), false),
        ("array as context", json!({"type":"page","userId":"u","context":[]}), false),
        ("text as context.traits", json!({"type":"page","userId":"u","context":{"traits":"x"}}), false),
        ("nameless track", json!({"type":"track","userId":"u"}), false),
        ("empty name", json!({"type":"track","userId":"u","event":""}), false),
        ("event of a page is free", json!({"type":"page","userId":"u","event":7}), true),
        ("group without group", json!({"type":"group","userId":"u","groupId":null}), false),
        ("alias without previous", json!({"type":"alias","userId":"u"}), false),
        ("no object", json!([{"type":"page","userId":"u"}]), false),
    ];
    let any = validator(&bundle());
    for (name, event, want) in cases {
        assert_eq!(any.is_valid(&event), want, "{name}");
    }
}
