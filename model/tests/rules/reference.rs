//! A slow and obvious reading of events, written from the rules and not from the code: whole events as JSON values,
//! the rules as the document that an admin sees.

use serde_json::Value;

/// The identifiers of an event and those that are blocked, as `namespace:value`. `rules` are checked ones as JSON;
/// their namespaces are normalized exactly or as e-mail addresses, their paths have no quoted names.
pub(crate) fn read(rules: &Value, event: &Value) -> (Vec<String>, Vec<String>) {
    let mut namespaces: Vec<&Value> = rules["namespaces"].as_array().expect("a list").iter().collect();
    namespaces.sort_by_key(|namespace| namespace["priority"].as_u64());
    let (mut identifiers, mut blocked) = (Vec::new(), Vec::new());
    for namespace in namespaces {
        let name = namespace["name"].as_str().expect("a name");
        for source in namespace["from"].as_array().expect("a list") {
            for value in values(source, name, event) {
                let Some(value) = normalized(namespace, &value) else { continue };
                let list = if is_blocked(namespace, &value) { &mut blocked } else { &mut identifiers };
                let text = format!("{name}:{value}");
                if !list.contains(&text) {
                    list.push(text);
                }
            }
        }
    }
    (identifiers, blocked)
}

/// The values that stand at a source, as texts.
fn values(source: &Value, namespace: &str, event: &Value) -> Vec<String> {
    let (path, conditions) = match source.as_str() {
        Some(path) => (path, None),
        None => (source["path"].as_str().expect("a path"), source["when"].as_object()),
    };
    for (place, wanted) in conditions.into_iter().flatten() {
        let is_met = match (at(place, event), wanted) {
            (Value::String(found), Value::String(wanted)) => found.to_lowercase() == wanted.to_lowercase(),
            (found, wanted) => found == wanted,
        };
        if !is_met {
            return Vec::new();
        }
    }
    if path != "context.externalIds" {
        return text(at(path, event)).into_iter().collect();
    }
    let entries = at(path, event).as_array().cloned().unwrap_or_default();
    let is_ours = |entry: &Value| {
        entry["type"] == namespace && entry["collection"] == "users" && entry["encoding"] == "none"
    };
    entries.iter().filter(|entry| is_ours(entry)).filter_map(|entry| text(&entry["id"])).collect()
}

static NOTHING: Value = Value::Null;

fn at<'a>(path: &str, event: &'a Value) -> &'a Value {
    if path.starts_with("traits.") && event["type"] != "identify" {
        return &NOTHING;
    }
    path.split('.').fold(event, |value, name| if value.is_object() { &value[name] } else { &NOTHING })
}

fn text(value: &Value) -> Option<String> {
    let number = || value.as_number().filter(|number| number.is_i64()).map(ToString::to_string);
    value.as_str().map(str::to_owned).or_else(number)
}

fn normalized(namespace: &Value, value: &str) -> Option<String> {
    if namespace["normalize"] != "email" {
        return Some(value.to_owned()).filter(|value| !value.is_empty());
    }
    let value = value.trim().to_lowercase();
    let (local, domain) = value.split_once('@')?;
    if local.is_empty() || domain.is_empty() { None } else { Some(value) }
}

fn is_blocked(namespace: &Value, value: &str) -> bool {
    let nobody = "null undefined none nil nan anonymous guest unknown true false n/a id email distinct_id \
                  not_authenticated -1";
    let plain = value.trim().to_lowercase();
    let is_suggested = plain == "[object object]"
        || nobody.split(' ').any(|word| word == plain)
        || plain.chars().all(|character| character == '0' || character == '-');
    namespace["block_suggested"] == true && is_suggested
        || namespace["blocked"].as_array().expect("a list").iter().any(|blocked| blocked == value)
}
