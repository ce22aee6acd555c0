//! The OpenAPI document against the routes.

use std::collections::BTreeSet;

use super::super::routes::ENDPOINTS;
use super::*;

pub(super) use super::super::openapi::{document, route};

#[actix_web::test]
async fn the_document_has_every_route_and_no_other() {
    let server = Server::start();
    let served = server.send(TestRequest::get().uri("/openapi.json")).await.expect(200).body;
    let (mut described, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in served["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            described.insert((path.clone(), method.to_uppercase()));
            let place = format!("{method} {path}");
            assert_eq!(operation["security"], serde_json::json!([{"token": []}]), "{place}");
            assert!(operation["summary"].is_string(), "{place}");
            assert!(ids.insert(operation["operationId"].to_string()), "{place} has an id of its own");
            for status in ["401", "403", "500", "503"] {
                let schema = &operation["responses"][status]["content"]["application/json"]["schema"];
                assert_eq!(schema["$ref"], "#/components/schemas/ErrorBody", "{place} {status}");
            }
        }
    }
    let registered: BTreeSet<_> = ENDPOINTS
        .iter()
        .map(|endpoint| (format!("{PREFIX}{}", endpoint.path), endpoint.method.as_str().to_owned()))
        .collect();
    assert_eq!(described, registered);
    assert_eq!(served["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

#[test]
fn every_schema_that_is_referred_to_is_there() {
    let document = serde_json::to_value(document()).expect("JSON");
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let text = document.to_string();
    let prefix = "#/components/schemas/";
    for (at, _) in text.match_indices(prefix) {
        let name: String = text[at + prefix.len()..].chars().take_while(|char| *char != '"').collect();
        assert!(schemas.contains_key(&name), "{name} is missing");
    }
    for name in ["SourceView", "DestinationNew", "TokenCreated", "Document", "RejectRow", "ErrorBody"] {
        assert!(schemas.contains_key(name), "{name} is missing");
    }
}

#[test]
fn identity_rules_are_described_as_they_are_shown() {
    let document = serde_json::to_value(document()).expect("JSON");
    let members = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let rules = tributary_model::workspace::IdentityRules::default();
    let rules = serde_json::to_value(rules).expect("JSON");
    let first = &rules["namespaces"][0];
    for (name, shown) in [
        ("IdentityRules", &rules),
        ("NamespaceRule", first),
        ("IdentifierLimit", &first["limit"]),
        ("AlarmRules", &rules["alarms"]),
    ] {
        let described = &document["components"]["schemas"][name]["properties"];
        assert_eq!(members(described), members(shown), "{name}");
    }
}
