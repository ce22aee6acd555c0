//! What of a fragment people can be searched by.
//!
//! Texts and numbers of the traits that the workspace names, in the form for searches; of lists, their elements. A
//! trait with a policy is found by every value that is kept of it, because which of them the profile shows is known
//! only once fragments are merged: a search looks at that again.

use crate::key::searched_form;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use tributary_model::Fragment;
use tributary_model::catalog::Catalog;
use tributary_model::condition::canonical;
use tributary_model::json::as_text;
use tributary_model::keeper::Kept;
use tributary_model::trait_record::TraitRecord;

/// How many forms a fragment is found by for one trait; those first in their order.
pub(crate) const FORMS_MAX: usize = 1000;

/// What a fragment is found by for a trait that people are searched by.
pub(crate) fn forms_of(catalog: &Catalog, fragment: &Fragment, name: &str) -> BTreeSet<String> {
    let newest = fragment.traits.get(name).and_then(|newest| newest.value.as_deref());
    let mut found = newest.map(forms).unwrap_or_default();
    if let Some(record) = record(catalog, fragment, name) {
        found.extend(record.values().flat_map(forms));
    }
    while found.len() > FORMS_MAX {
        found.pop_last();
    }
    found
}

/// Whether two states of a fragment are found by the same, as far as that can be told without reading values.
pub(crate) fn is_same(catalog: &Catalog, one: &Fragment, other: &Fragment, name: &str) -> bool {
    let (newest, others) = (one.traits.get(name), other.traits.get(name));
    let is_newest_same = newest.map(|newest| &newest.value) == others.map(|newest| &newest.value);
    is_newest_same && record(catalog, one, name) == record(catalog, other, name)
}

/// What is kept of a trait with a policy.
fn record<'a>(catalog: &Catalog, fragment: &'a Fragment, name: &str) -> Option<&'a TraitRecord> {
    let (_, keeper) = catalog.policy(name)?;
    match fragment.kept.get(&keeper)? {
        Kept::Trait(record) => Some(record),
        Kept::Trail(_) => None,
    }
}

/// The forms of what can be searched for in a value, given as JSON text.
pub(crate) fn forms(json: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    if json.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
        forms.extend(elements.into_iter().filter_map(|element| form(element.get())));
    } else {
        forms.extend(form(json));
    }
    forms
}

/// That of a text or a number; `None` for anything else.
fn form(json: &str) -> Option<String> {
    let form = match json.as_bytes().first()? {
        b'"' => searched_form(&as_text(serde_json::from_str(json).ok()?)?),
        b'-' | b'0'..=b'9' => number(json),
        _ => return None,
    };
    (!form.is_empty()).then_some(form)
}

/// Whole numbers as they are written, others without an exponent and without zeros at the end.
fn number(json: &str) -> String {
    let is_whole = json.strip_prefix('-').unwrap_or(json).bytes().all(|byte| byte.is_ascii_digit());
    if is_whole { searched_form(json) } else { searched_form(&canonical(json)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_have_forms_and_lists_those_of_their_elements() {
        let long = format!("\"{}\"", "x".repeat(200));
        let cases: [(&str, &[&str]); 12] = [
            (r#""Ada Lovelace""#, &["ada lovelace"]),
            (r#""\u0041\n""#, &["a\n"]),
            (r#""""#, &[]),
            (&long, &[&long[1..=100]]),
            ("491511234567890123456789", &["491511234567890123456789"]),
            ("-7", &["-7"]),
            ("1.50", &["1.5"]),
            ("1e3", &["1000"]),
            ("true", &[]),
            (r#"{"a":"b"}"#, &[]),
            ("[]", &[]),
            (r#"["B", 2, "b", null, ["c"], "A"]"#, &["2", "a", "b"]),
        ];
        for (json, want) in cases {
            let got: Vec<String> = forms(json).into_iter().collect();
            assert_eq!(got, want, "{json}");
        }
    }
}
