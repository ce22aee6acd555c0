//! The search for people, as the admin API has it.

use super::Outside;
use crate::admin::outside::{OutsideError, Rows};
use crate::admin::people::{People, PersonRow, SearchRefused};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use tributary_model::WorkspaceId;
use tributary_profiles::reader::{Match, PersonFound, SearchError};

impl People for Outside {
    fn search(
        &self,
        workspace: WorkspaceId,
        text: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<PersonRow>, SearchRefused> {
        let reader = self.behind.reader();
        let reader = reader.get().ok_or(OutsideError::NotReady("the profiles"))?;
        let found = reader.search(workspace, text, limit, cursor).map_err(refused)?;
        let rows = found.people.iter().map(row).collect();
        Ok(Rows { rows, next: found.next })
    }
}

fn refused(error: SearchError) -> SearchRefused {
    match error {
        SearchError::Text => SearchRefused::Text(error.to_string()),
        SearchError::Cursor => OutsideError::Cursor.into(),
        SearchError::Lookup(error) => OutsideError::Failed("searching for people", error.into()).into(),
    }
}

fn row(found: &PersonFound) -> PersonRow {
    let view = &found.view;
    let value = |name: &str| view.value(name).and_then(|json| RawValue::from_string(json.into_owned()).ok());
    let matched = match &found.by {
        Match::Trait(name) => value(name).map(|value| (name.clone(), value)),
        Match::Identifier(identifier) => {
            let value = to_raw_value(identifier.value()).expect("a text can be written");
            Some((identifier.namespace().to_string(), value))
        }
        Match::Profile => {
            let value = to_raw_value(&found.id.to_string()).expect("a text can be written");
            Some(("profile_id".to_owned(), value))
        }
    };
    let searched = view.catalog().searched().iter();
    PersonRow {
        profile_id: found.id.to_string(),
        matched: matched.into_iter().collect(),
        traits: searched.filter_map(|name| Some((name.clone(), value(name)?))).collect::<BTreeMap<_, _>>(),
        identifiers: view.profile.identifiers().map(|node| node.identifier.to_text()).collect(),
    }
}
