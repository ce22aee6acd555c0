//! The rules of mappings written down a second time, slowly and straightforwardly, on values of `serde_json`.

use serde_json::{Map, Value as Json};

/// A value, or that there is none, or that it can't be made.
pub(super) type Made = Result<Option<Json>, ()>;

/// What a directive makes of something.
pub(super) fn evaluate(directive: &Json, root: &Json) -> Made {
    let members = match directive {
        Json::Array(items) => {
            let made: Result<Vec<_>, ()> = items.iter().map(|item| evaluate(item, root)).collect();
            return Ok(Some(Json::Array(made?.into_iter().flatten().collect())));
        }
        Json::Object(members) => members,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            return Ok(Some(directive.clone()));
        }
    };
    if let Some((name, argument)) = members.iter().find(|(name, _)| name.starts_with('@')) {
        return run(name, argument, root);
    }
    let mut made = Map::new();
    for (name, value) in members {
        if let Some(value) = evaluate(value, root)? {
            made.insert(name.clone(), value);
        }
    }
    Ok(Some(Json::Object(made)))
}

fn run(name: &str, argument: &Json, root: &Json) -> Made {
    let value = || evaluate(&argument["value"], root);
    match name {
        "@literal" => Ok(Some(argument.clone())),
        "@path" => Ok(path(text(argument), root)),
        "@template" => Ok(Some(Json::String(template(text(argument), root)))),
        "@if" => {
            let holds = match argument.get("exists") {
                Some(exists) => evaluate(exists, root)?.is_some_and(|value| !value.is_null()),
                None => evaluate(&argument["blank"], root)?.is_none_or(|value| is_blank(&value)),
            };
            match argument.get(if holds { "then" } else { "else" }) {
                Some(branch) => evaluate(branch, root),
                None => Ok(None),
            }
        }
        "@case" => Ok(value()?.map(|value| match (value, text(&argument["operator"])) {
            (Json::String(text), "lower") => Json::String(text.to_lowercase()),
            (Json::String(text), _) => Json::String(text.to_uppercase()),
            (other, _) => other,
        })),
        "@replace" => Ok(value()?.map(|value| replace(value, argument))),
        "@arrayPath" => array_path(argument, root),
        "@flatten" => Ok(value()?.map(|value| {
            let is_opened = value.is_object() || (value.is_array() && argument["omitArrays"] != true);
            if !is_opened {
                return value;
            }
            let mut flat = Map::new();
            flatten(&value, None, argument, &mut flat);
            Json::Object(flat)
        })),
        "@json" => match (value()?, text(&argument["mode"])) {
            (Some(value), "encode") => Ok(Some(Json::String(value.to_string()))),
            (Some(Json::String(text)), _) => serde_json::from_str(&text).map(Some).map_err(|_| ()),
            (other, _) => Ok(other),
        },
        "@merge" => merge(argument, root),
        "@transform" => match evaluate(&argument["apply"], root)? {
            Some(applied) => evaluate(&argument["mapping"], &applied),
            None => Ok(None),
        },
        "@excludeWhenNull" => Ok(evaluate(argument, root)?.filter(|value| !value.is_null())),
        other => panic!("{other} is no directive"),
    }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// The steps of a path such as `$.a[0]['b'][*]`.
fn steps(path: &str) -> Vec<String> {
    let path = path.trim_start_matches('$').replace('[', ".").replace([']', '\''], "");
    path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

/// Follows a path that may have `[*]` in it.
pub(super) fn path(path: &str, root: &Json) -> Option<Json> {
    let steps = steps(path);
    let mut found = vec![root];
    for step in &steps {
        found = found.into_iter().flat_map(|value| follow(value, step)).collect();
    }
    if steps.iter().any(|step| step == "*") {
        return Some(Json::Array(found.into_iter().cloned().collect()));
    }
    found.first().copied().cloned()
}

fn follow<'j>(value: &'j Json, step: &str) -> Vec<&'j Json> {
    match value {
        Json::Array(items) if step == "*" => items.iter().collect(),
        Json::Object(members) if step == "*" => members.values().collect(),
        Json::Array(items) => {
            let index: i64 = step.parse().unwrap_or(i64::MAX);
            let place = if index < 0 { index + items.len() as i64 } else { index };
            usize::try_from(place).ok().and_then(|place| items.get(place)).into_iter().collect()
        }
        Json::Object(members) => members.get(step).into_iter().collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
    }
}

/// Fills `{{a.b}}`.
fn template(text: &str, root: &Json) -> String {
    let mut parts = text.split("{{");
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once("}}").expect("the reference is given whole places");
        made.push_str(&path(place, root).map(|value| rendered(&value)).unwrap_or_default());
        made.push_str(rest);
    }
    made
}

fn rendered(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(rendered).collect::<Vec<_>>().join(", ")),
        Json::Object(_) => "[object]".to_owned(),
        other @ (Json::Bool(_) | Json::Number(_)) => other.to_string(),
    }
}

fn is_blank(value: &Json) -> bool {
    value.is_null() || *value == false || *value == "" || value.as_f64() == Some(0.0)
}

fn replace(value: Json, argument: &Json) -> Json {
    let mut made = match value {
        Json::String(text) => text,
        Json::Bool(_) | Json::Number(_) => value.to_string(),
        other @ (Json::Null | Json::Array(_) | Json::Object(_)) => return other,
    };
    for (pattern, replacement) in [("pattern", "replacement"), ("pattern2", "replacement2")] {
        let (pattern, replacement) = (text(&argument[pattern]), text(&argument[replacement]));
        if pattern.is_empty() {
            continue;
        }
        let mut rest = made.as_str();
        let mut next = String::new();
        let mut is_done = false;
        while let Some(first) = rest.chars().next() {
            let ignores_case = argument["ignorecase"] == true;
            let fits = rest.get(..pattern.len()).is_some_and(|start| {
                start == pattern || (ignores_case && start.eq_ignore_ascii_case(pattern))
            });
            if fits && !is_done {
                next.push_str(replacement);
                rest = &rest[pattern.len()..];
                is_done = argument["global"] == false;
            } else {
                next.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        made = next;
    }
    Json::String(made)
}

fn array_path(argument: &Json, root: &Json) -> Made {
    let list = match &argument[0] {
        Json::String(text) => path(text, root),
        directive @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            evaluate(directive, root)?
        }
    };
    let items = match (list, argument.get(1)) {
        (Some(Json::Array(items)), Some(_)) => items,
        (Some(object @ Json::Object(_)), Some(_)) => vec![object],
        (list, _) => return Ok(list),
    };
    let made: Result<Vec<_>, ()> = items.iter().map(|item| evaluate(&argument[1], item)).collect();
    Ok(Some(Json::Array(made?.into_iter().flatten().collect())))
}

fn flatten(value: &Json, name: Option<&str>, argument: &Json, flat: &mut Map<String, Json>) {
    let joined = |inner: &str| match name {
        Some(outer) => format!("{outer}{}{inner}", text(&argument["separator"])),
        None => inner.to_owned(),
    };
    match value {
        Json::Object(members) => {
            for (inner, value) in members {
                flatten(value, Some(&joined(inner)), argument, flat);
            }
        }
        Json::Array(items) if argument["omitArrays"] != true => {
            for (index, value) in items.iter().enumerate() {
                flatten(value, Some(&joined(&index.to_string())), argument, flat);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            flat.insert(name.unwrap_or_default().to_owned(), value.clone());
        }
    }
}

fn merge(argument: &Json, root: &Json) -> Made {
    let mut merged = Map::new();
    for directive in argument["objects"].as_array().expect("the reference is given lists") {
        match evaluate(directive, root)? {
            None | Some(Json::Null) => {}
            Some(Json::Object(members)) => {
                for (name, value) in members {
                    if argument["direction"] == "right" || !merged.contains_key(&name) {
                        merged.insert(name, value);
                    }
                }
            }
            Some(_) => return Err(()),
        }
    }
    Ok(Some(Json::Object(merged)))
}
