//! The changes of destinations: functions over the draft of a workspace, used by single routes, by the document, and by
//! whoever tries a change before it is saved.

use serde_json::{Map, Value};
use tributary_destinations::{RawSettings, Spec};
use tributary_model::workspace::{ConsentRule, Destination, DestinationNeeds};
use tributary_model::{DestinationId, ErrorCode, Timestamp, Workspace, WorkspaceId};

use super::bodies::{
    ConsentPatch, DestinationNew, DestinationPatch, DestinationPut, FilterPut, MappingPut, Resume,
};
use super::{config, rules};
use crate::admin::edit::{Editor, check_name, check_room, gone, invalid};
use crate::admin::settings::{self, Stored, Unsent};
use crate::workspaces::{Draft, Refusal};

const WHAT: &str = "destination";

/// What is sent of a destination beside its name and whether it is on; what is not given stays.
#[derive(Debug, Clone, Default)]
pub(in crate::admin) struct Parts {
    pub(in crate::admin) settings: Option<Map<String, Value>>,
    pub(in crate::admin) mappings: Option<Option<Vec<MappingPut>>>,
    pub(in crate::admin) filters: Option<Vec<FilterPut>>,
    pub(in crate::admin) consent: Option<ConsentPatch>,
}

/// A destination as it would be after a change that is not saved.
pub(in crate::admin) struct Changed {
    /// The destination; secrets that were sent stand in its settings in the clear.
    pub(in crate::admin) destination: Destination,
    /// Its settings, every secret in the clear.
    pub(in crate::admin) raw: RawSettings,
    /// The parts of secrets that were not sent anew.
    kept: Vec<String>,
    spec: &'static Spec,
}

impl Editor {
    pub(in crate::admin) fn create_destination(
        &self,
        draft: &mut Draft,
        new: DestinationNew,
    ) -> Result<DestinationId, Refusal> {
        check_name(&new.name)?;
        check_room("destinations", draft.workspace.destinations.len(), self.limits.destinations_max)?;
        let id = DestinationId(draft.take_id());
        let changed = self.new_destination(&draft.workspace, id, draft.at, new)?;
        let destination = self.settled(&draft.workspace, changed, &Stored::new())?;
        draft.workspace.destinations.push(destination);
        Ok(id)
    }

    pub(in crate::admin) fn patch_destination(
        &self,
        draft: &mut Draft,
        id: DestinationId,
        patch: DestinationPatch,
    ) -> Result<(), Refusal> {
        if patch.resume.is_some() && patch.enabled != Some(true) {
            return Err(invalid("`resume` goes with `\"enabled\": true` only"));
        }
        let DestinationPatch { name, enabled, resume, settings, mappings, filters, consent } = patch;
        self.change_destination(
            draft,
            id,
            name,
            Parts { settings, mappings, filters, consent },
            Unsent::Kept,
        )?;
        let version = draft.workspace.version;
        let destination = found(draft, id)?;
        if resume == Some(Resume::Now) {
            if destination.enabled {
                // What waits would be passed over without a word.
                let message = "`resume` is for switching on, and the destination is on: switch it off first";
                return Err(Refusal::new(ErrorCode::Conflict, message));
            }
            destination.resumed_version = Some(version);
        }
        destination.enabled = enabled.unwrap_or(destination.enabled);
        Ok(())
    }

    /// Brings a destination to what a document says of it.
    pub(in crate::admin) fn put_destination(
        &self,
        draft: &mut Draft,
        id: DestinationId,
        put: DestinationPut,
    ) -> Result<(), Refusal> {
        let DestinationPut { definition, name, enabled, settings, mappings, filters, consent, .. } = put;
        if found(draft, id)?.definition != definition {
            return Err(invalid("`definition` can't be changed; create another destination"));
        }
        let consent = consent.map(ConsentPatch::from);
        let parts = Parts { settings: Some(settings), mappings, filters, consent };
        self.change_destination(draft, id, Some(name), parts, Unsent::Dropped)?;
        let destination = found(draft, id)?;
        destination.enabled = enabled.unwrap_or(destination.enabled);
        Ok(())
    }

    fn change_destination(
        &self,
        draft: &mut Draft,
        id: DestinationId,
        name: Option<String>,
        parts: Parts,
        unsent: Unsent,
    ) -> Result<(), Refusal> {
        let known = draft.workspace.destination(id).ok_or_else(|| gone(WHAT, id))?;
        let mut changed = known.clone();
        if let Some(name) = name {
            check_name(&name)?;
            changed.name = name;
        }
        if parts.settings.is_some()
            || parts.mappings.is_some()
            || parts.filters.is_some()
            || parts.consent.is_some()
        {
            let tried = self.over(draft.workspace.id, changed.clone(), parts, unsent)?;
            let is_same = |one: &Destination, other: &Destination| {
                one.mappings == other.mappings
                    && one.filters == other.filters
                    && one.consent == other.consent
                    && one.settings == other.settings
            };
            // What no longer works, by no fault of this change, may stay as it is.
            if !is_same(&tried.destination, known) {
                // What is wrong in itself is told first.
                tried.check(&draft.workspace, self.allow_private_destinations)?;
                tried.check_secrets(known)?;
                changed = self.settled(&draft.workspace, tried, &known.settings)?;
            }
        }
        *found(draft, id)? = changed;
        Ok(())
    }

    /// A destination that is not there yet, of that number.
    pub(in crate::admin) fn new_destination(
        &self,
        workspace: &Workspace,
        id: DestinationId,
        created_at: Timestamp,
        new: DestinationNew,
    ) -> Result<Changed, Refusal> {
        let DestinationNew { definition, name, enabled, settings, mappings, filters, consent } = new;
        let bare = Destination {
            id,
            definition,
            name,
            enabled: enabled.unwrap_or(true),
            settings: Stored::new(),
            created_at,
            created_version: workspace.version,
            resumed_version: None,
            // No number is taken yet.
            mappings: Some(Vec::new()),
            mapping_numbers: 0,
            filters: Vec::new(),
            consent: ConsentRule::default(),
            needs: DestinationNeeds::default(),
        };
        let consent = consent.map(ConsentPatch::from);
        let parts = Parts { settings: Some(settings), mappings: Some(mappings), filters, consent };
        self.over(workspace.id, bare, parts, Unsent::Dropped)
    }

    /// Puts what was sent over a destination.
    ///
    /// # Errors
    /// If it can't be read.
    pub(in crate::admin) fn over(
        &self,
        workspace: WorkspaceId,
        mut destination: Destination,
        parts: Parts,
        unsent: Unsent,
    ) -> Result<Changed, Refusal> {
        let spec = settings::definition(&destination.definition)?;
        let Parts { settings, mappings, filters, consent } = parts;
        let place = (workspace, destination.id);
        let mut kept = Vec::new();
        if let Some(sent) = settings {
            let known = &destination.settings;
            let merged = settings::merge(&self.sealing, spec, place, known, sent, unsent)?;
            (destination.settings, kept) = (merged.settings, merged.kept);
        }
        destination.mapping_numbers = largest_number(&destination, spec);
        if let Some(mappings) = mappings {
            let largest = destination.mapping_numbers;
            destination.mappings = mappings.map(|sent| rules::mappings(sent, largest)).transpose()?;
            destination.mapping_numbers = largest_number(&destination, spec);
        }
        if let Some(filters) = filters {
            destination.filters = rules::filters(filters)?;
        }
        if let Some(consent) = consent {
            rules::consent(consent, &mut destination.consent);
        }
        let raw = settings::opened(&self.sealing, spec, place, &destination.settings)?;
        Ok(Changed { destination, raw, kept, spec })
    }

    /// Why a destination can't work as it is set up, in the engine's words; `None` also if a secret of it does not open.
    pub(in crate::admin) fn problem(
        &self,
        workspace: &Workspace,
        destination: &Destination,
    ) -> Option<String> {
        let raw = settings::unsealed(&self.sealing, workspace.id, destination).ok()?;
        let config = config(workspace, destination, raw);
        let checked = tributary_destinations::check(&config, self.allow_private_destinations);
        checked.err().map(|why| why.to_string())
    }

    /// A changed destination in the form in which it is stored, if it can work.
    fn settled(
        &self,
        workspace: &Workspace,
        changed: Changed,
        known: &Stored,
    ) -> Result<Destination, Refusal> {
        let needs = changed.check(workspace, self.allow_private_destinations)?;
        let Changed { destination, spec, .. } = changed;
        let place = (workspace.id, destination.id);
        let stored = settings::sealed(&self.sealing, spec, place, known, destination.settings)?;
        Ok(Destination { settings: stored, needs, ..destination })
    }
}

impl Changed {
    /// Whether it can work; tells what it needs of profiles.
    ///
    /// # Errors
    /// If it can't: where and why.
    pub(in crate::admin) fn check(
        &self,
        workspace: &Workspace,
        allow_private: bool,
    ) -> Result<DestinationNeeds, Refusal> {
        let config = config(workspace, &self.destination, self.raw.clone());
        tributary_destinations::check(&config, allow_private).map_err(|error| settings::unusable(&error))
    }

    /// Whether secrets stay where they were given for; `known` is the destination before the change.
    ///
    /// # Errors
    /// If requests would go elsewhere with a secret that was not sent anew.
    pub(in crate::admin) fn check_secrets(&self, known: &Destination) -> Result<(), Refusal> {
        settings::check_secrets(self.spec, &known.settings, &self.destination.settings, &self.kept)
    }
}

fn found(draft: &mut Draft, id: DestinationId) -> Result<&mut Destination, Refusal> {
    let mut destinations = draft.workspace.destinations.iter_mut();
    destinations.find(|destination| destination.id == id).ok_or_else(|| gone(WHAT, id))
}

/// The largest number that a destination's mappings ever had. Those of the definition's own are those of its actions,
/// from 1.
fn largest_number(destination: &Destination, spec: &Spec) -> u32 {
    let largest = match &destination.mappings {
        Some(mappings) => mappings.iter().map(|mapping| mapping.id).max().unwrap_or(0),
        None => u32::try_from(spec.actions.len()).unwrap_or(u32::MAX),
    };
    largest.max(destination.mapping_numbers)
}

/// Refuses that a change takes away an audience that a destination asks for.
pub(in crate::admin) fn check_references(before: &Workspace, after: &Workspace) -> Result<(), Refusal> {
    let has =
        |workspace: &Workspace, key: &str| workspace.audiences.iter().any(|audience| audience.key == key);
    for destination in &after.destinations {
        let mut needed = destination.needs.audiences.iter();
        if let Some(key) = needed.find(|key| has(before, key) && !has(after, key)) {
            let who = format!("destination {} ({})", destination.id, destination.name);
            return Err(invalid(format!("`audiences`: {key} is missing, but {who} asks for it")));
        }
    }
    Ok(())
}
