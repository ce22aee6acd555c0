//! Rules of traits: which of several values counts, and which traits are searched.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tributary_model::workspace::{MergePolicy, TraitRules};
use tributary_model::{SourceId, Workspace};

use super::bodies::TraitRulesBody;
use super::{POLICIES_MAX, RANKING_MAX, SEARCHED_MAX, TRAIT_NAME_BYTES_MAX};
use crate::admin::edit::invalid;
use crate::workspaces::{Fault, Refusal};

const POLICIES: &str = "newest, oldest, max, min, union, or {\"sources\":[…]}";

/// The rules as they are shown. What is shown can be sent back.
pub(in crate::admin) fn shown(rules: &TraitRules) -> TraitRulesBody {
    let policies = rules.policies.iter().map(|(name, policy)| (name.clone(), written(policy))).collect();
    TraitRulesBody { policies, searched: Some(rules.searched.iter().cloned().collect()) }
}

fn written(policy: &MergePolicy) -> Value {
    match policy {
        MergePolicy::Newest => "newest".into(),
        MergePolicy::Oldest => "oldest".into(),
        MergePolicy::Max => "max".into(),
        MergePolicy::Min => "min".into(),
        MergePolicy::Union => "union".into(),
        MergePolicy::Sources(sources) => {
            let ids: Vec<String> = sources.iter().map(SourceId::to_string).collect();
            json!({"sources": ids})
        }
    }
}

/// Checks what was written; `within` is where it stands in the body, empty for the body itself.
pub(in crate::admin) fn checked(
    body: TraitRulesBody,
    workspace: &Workspace,
    within: &str,
) -> Result<TraitRules, Refusal> {
    rules(body, workspace).map_err(|(place, message)| {
        let place = if within.is_empty() { place } else { format!("{within}.{place}") };
        invalid(format!("`{place}`: {message}")).at(Fault { place, at: None, hint: None })
    })
}

type Wrong = (String, String);

fn rules(body: TraitRulesBody, workspace: &Workspace) -> Result<TraitRules, Wrong> {
    if body.policies.len() > POLICIES_MAX {
        return Err(("policies".to_owned(), format!("give at most {POLICIES_MAX}")));
    }
    let mut policies = BTreeMap::new();
    for (name, written) in body.policies {
        let place = format!("policies.{name}");
        check_trait(&name).map_err(|message| (place.clone(), message))?;
        let policy =
            policy(&written, workspace).map_err(|(within, message)| (format!("{place}{within}"), message))?;
        policies.insert(name, policy);
    }
    let Some(names) = body.searched else {
        return Ok(TraitRules { policies, ..TraitRules::default() });
    };
    if names.len() > SEARCHED_MAX {
        return Err(("searched".to_owned(), format!("give at most {SEARCHED_MAX} traits")));
    }
    let mut searched = BTreeSet::new();
    for (index, name) in names.into_iter().enumerate() {
        let place = || format!("searched[{index}]");
        check_trait(&name).map_err(|message| (place(), message))?;
        if !searched.insert(name) {
            return Err((place(), "is there twice".to_owned()));
        }
    }
    Ok(TraitRules { policies, searched })
}

fn check_trait(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > TRAIT_NAME_BYTES_MAX {
        return Err(format!("the name of a trait has 1 to {TRAIT_NAME_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn policy(written: &Value, workspace: &Workspace) -> Result<MergePolicy, Wrong> {
    if let Some(members) = written.as_object() {
        return match members.get("sources") {
            Some(sources) if members.len() == 1 => ranking(sources, workspace).map(MergePolicy::Sources),
            _ => Err((String::new(), format!("give one of {POLICIES}"))),
        };
    }
    match written.as_str() {
        Some("newest") => Ok(MergePolicy::Newest),
        Some("oldest") => Ok(MergePolicy::Oldest),
        Some("max") => Ok(MergePolicy::Max),
        Some("min") => Ok(MergePolicy::Min),
        Some("union") => Ok(MergePolicy::Union),
        _ => Err((String::new(), format!("is no policy; give one of {POLICIES}"))),
    }
}

fn ranking(written: &Value, workspace: &Workspace) -> Result<Vec<SourceId>, Wrong> {
    let list = written.as_array().filter(|list| (1..=RANKING_MAX).contains(&list.len()));
    let Some(list) = list else {
        let message = format!("give a list of 1 to {RANKING_MAX} ids of sources");
        return Err((".sources".to_owned(), message));
    };
    let mut sources = Vec::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let place = || format!(".sources[{index}]");
        let id: Option<SourceId> = entry.as_str().and_then(|text| text.parse().ok());
        // One that was deleted since may stay: its events did, too.
        let known = |id: &SourceId| workspace.source(*id).is_some() || is_ranked(&workspace.traits, *id);
        let id = id.filter(known).ok_or_else(|| (place(), format!("there is no source {entry}")))?;
        if sources.contains(&id) {
            return Err((place(), format!("{id} is there twice")));
        }
        sources.push(id);
    }
    Ok(sources)
}

fn is_ranked(rules: &TraitRules, id: SourceId) -> bool {
    rules.policies.values().any(|policy| match policy {
        MergePolicy::Sources(sources) => sources.contains(&id),
        MergePolicy::Newest
        | MergePolicy::Oldest
        | MergePolicy::Max
        | MergePolicy::Min
        | MergePolicy::Union => false,
    })
}
