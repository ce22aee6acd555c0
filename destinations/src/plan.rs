//! What becomes of activations: everything pure about a configured destination.
//!
//! An activation passes gates in this order: what the settings choose to send, consent, the event's `integrations`, filters,
//! triggers. What passes is mapped, once by each mapping that takes it. All of it depends on nothing but the configuration,
//! the activation and, where the vendor takes no old events, the time, so deliveries, previews and replays come to the same.

mod age;
mod condition;
mod mapped;
mod profile;
#[cfg(test)]
mod tests;

pub(crate) use condition::EventCondition;
pub(crate) use profile::{PROFILE, ProfileNames, ProfileText, Subject};

use crate::config::{DestinationConfig, Key};
use crate::consent::{self, Said};
use crate::definition::{SettingsError, Spec};
use crate::exchange::Payload;
use crate::failure::{Failure, Reason};
use crate::fanout::delivery_id;
use crate::filters::{Acted, CompiledFilter, FILTERS_MAX};
use crate::integrations::leaves_out;
use crate::selection::Selection;
use crate::settings::check_settings;
use age::AgeLimit;
use mapped::CompiledMapping;
use tributary_model::consent::{CATEGORIES_MAX, CATEGORY_BYTES_MAX};
use tributary_model::json::Members;
use tributary_model::outcome::Outcome;
use tributary_model::workspace::{ConsentRule, DestinationNeeds};
use tributary_model::{Activation, ActivationKind, EventKind, EventView, Timestamp};

/// What a destination is sent, and what becomes of it.
pub(crate) struct Plan {
    selection: Selection,
    consent: ConsentRule,
    /// What events call it in their `integrations`.
    names: [String; 4],
    filters: Vec<CompiledFilter>,
    mappings: Vec<CompiledMapping>,
    age: Option<AgeLimit>,
    needs: DestinationNeeds,
}

/// What becomes of an activation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// It is not sent.
    LeftOut {
        /// How the delivery ends.
        outcome: Outcome,
        /// What left it out, for people; without personal data.
        by: String,
    },
    /// It is sent.
    Payloads {
        /// What is sent: one for each mapping that takes it. Empty if all that take it were refused.
        payloads: Vec<Payload>,
        /// Mappings that take it, but would send what is not valid, or can't tell whether they take it.
        refused: Vec<(u32, Failure)>,
    },
    /// It can never be sent.
    Dead(Failure),
}

/// The way through the gates: the error is where it ends.
type Passed<T> = Result<T, Planned>;

impl Plan {
    /// Makes a plan of a configuration.
    ///
    /// # Errors
    /// The first part of it that can't be used, and what to do about it.
    pub(crate) fn compile(spec: &'static Spec, config: &DestinationConfig) -> Result<Self, SettingsError> {
        check_settings(spec, &config.settings)?;
        check_consent(&config.consent)?;
        if config.filters.len() > FILTERS_MAX {
            let message = format!("has {} filters; the limit is {FILTERS_MAX}", config.filters.len());
            return Err(SettingsError::new("filters", message));
        }
        let filters = config.filters.iter().enumerate().map(|(at, filter)| {
            CompiledFilter::compile(&format!("filters[{at}]"), filter, &config.audiences)
        });
        let filters = filters.collect::<Result<Vec<_>, _>>()?;
        let mappings = mapped::compile(spec, config)?;
        Ok(Self {
            selection: Selection::of(spec, &config.settings)?,
            consent: config.consent.clone(),
            names: [config.name.clone(), config.id.to_string(), spec.name.clone(), spec.title.clone()],
            needs: needs_of(&filters, &mappings),
            filters,
            mappings,
            age: AgeLimit::of(spec),
        })
    }

    /// That no mapping fills a field with what is the same for every event and can't be sent. What is saved is checked so;
    /// a plan that was saved before a definition knew better still does what its other mappings say.
    ///
    /// # Errors
    /// The first such field, or the setting that it is filled with.
    pub(crate) fn check_constants(&self) -> Result<(), SettingsError> {
        self.mappings.iter().try_for_each(CompiledMapping::check_constants)
    }

    /// What activations have to carry for it.
    pub(crate) fn needs(&self) -> DestinationNeeds {
        self.needs.clone()
    }

    /// What becomes of an activation of the destination's workspace that is attempted at that time.
    pub(crate) fn plan(&self, key: Key, activation: &Activation, at: Timestamp) -> Planned {
        self.passed(key, activation, at).unwrap_or_else(|end| end)
    }

    /// Whether one of these payloads has waited until the vendor no longer takes it: then they are planned again.
    pub(crate) fn is_outdated(&self, payloads: &[Payload], at: Timestamp) -> bool {
        let Some(age) = &self.age else { return false };
        payloads.iter().any(|payload| age.check(&payload.body, at).is_err())
    }

    fn passed(&self, key: Key, activation: &Activation, at: Timestamp) -> Passed<Planned> {
        let header = &activation.header;
        if !self.selection.takes(header.kind) {
            let by = format!("settings: {} is not sent", header.kind.name());
            return Err(Planned::LeftOut { outcome: Outcome::Filtered, by });
        }
        let text = std::str::from_utf8(&activation.event).map_err(|_| unreadable())?;
        let event = read(header.event_kind, text)?;
        self.pass_consent(activation, &event)?;
        self.pass_integrations(activation, &event)?;
        let profile = ProfileText::of(header, &self.needs);
        let subject = Subject { header, event: &event, profile: &profile };
        match self.filter(0, &subject, text)? {
            None => self.mapped(key, &subject, text, at),
            Some((next, text)) => self.filter_edited(key, activation, next, text, at),
        }
    }

    fn pass_consent(&self, activation: &Activation, event: &EventView<'_>) -> Passed<()> {
        match consent::refusal(&self.consent, event.members(), Said::of(&activation.header)) {
            Some(by) => Err(Planned::LeftOut { outcome: Outcome::FilteredByConsent, by }),
            None => Ok(()),
        }
    }

    /// Only clients say where their events go; what we tell ourselves goes everywhere.
    fn pass_integrations(&self, activation: &Activation, event: &EventView<'_>) -> Passed<()> {
        let is_clients = activation.header.kind == ActivationKind::Event;
        if is_clients && leaves_out(event.members(), &self.names) {
            let by = "integrations: the event leaves this destination out".to_owned();
            return Err(Planned::LeftOut { outcome: Outcome::FilteredByIntegrations, by });
        }
        Ok(())
    }

    /// Has the filters from `next` on act, up to the first one that edits the event: the filter behind that one, and the new
    /// text.
    fn filter(&self, next: usize, subject: &Subject<'_>, text: &str) -> Passed<Option<(usize, String)>> {
        for (at, filter) in self.filters.iter().enumerate().skip(next) {
            match filter.act(subject, text).map_err(Planned::Dead)? {
                Acted::Passed => {}
                Acted::Edited(text) => return Ok(Some((at + 1, text))),
                Acted::LeftOut => {
                    let by = filter.described();
                    return Err(Planned::LeftOut { outcome: Outcome::FilteredByFilter, by });
                }
            }
        }
        Ok(None)
    }

    /// Goes on behind a filter that edited the event.
    fn filter_edited(
        &self,
        key: Key,
        activation: &Activation,
        mut next: usize,
        mut text: String,
        at: Timestamp,
    ) -> Passed<Planned> {
        let header = &activation.header;
        let profile = ProfileText::of(header, &self.needs);
        loop {
            let edited = {
                let event = read(header.event_kind, &text)?;
                let subject = Subject { header, event: &event, profile: &profile };
                match self.filter(next, &subject, &text)? {
                    None => return self.mapped(key, &subject, &text, at),
                    Some(edited) => edited,
                }
            };
            (next, text) = edited;
        }
    }

    fn mapped(&self, key: Key, subject: &Subject<'_>, text: &str, at: Timestamp) -> Passed<Planned> {
        let header = subject.header;
        let (mut payloads, mut refused) = (Vec::new(), Vec::new());
        let mut delivery = None;
        for mapping in &self.mappings {
            let made = match mapping.takes(subject) {
                Ok(false) => continue,
                Ok(true) => {
                    let id = delivery.get_or_insert_with(|| {
                        delivery_id(key, header.position, header.ordinal, &header.message_id)
                    });
                    mapping.payload(header, id, text, subject.profile, (self.age.as_ref(), at))
                }
                Err(failure) => Err(failure),
            };
            match made {
                Ok(payload) => payloads.push(payload),
                Err(failure) => refused.push((mapping.id, failure)),
            }
        }
        if payloads.is_empty() && refused.is_empty() {
            let by = "triggers: no mapping takes it".to_owned();
            return Err(Planned::LeftOut { outcome: Outcome::FilteredByTrigger, by });
        }
        Ok(Planned::Payloads { payloads, refused })
    }
}

fn needs_of(filters: &[CompiledFilter], mappings: &[CompiledMapping]) -> DestinationNeeds {
    let mut all = DestinationNeeds::default();
    let mut add = |needs: &DestinationNeeds| {
        all.traits.extend(needs.traits.iter().cloned());
        all.audiences.extend(needs.audiences.iter().cloned());
    };
    filters.iter().for_each(|filter| add(filter.names().needs()));
    for mapping in mappings {
        if let Some(trigger) = mapping.trigger() {
            add(trigger.names().needs());
        }
        add(mapping.names().needs());
    }
    all
}

fn read(kind: EventKind, text: &str) -> Passed<EventView<'_>> {
    let members = Members::parse(text).map_err(|_| unreadable())?;
    Ok(EventView::from_members(kind, members))
}

fn unreadable() -> Planned {
    let text = "the stored event is damaged: it is no JSON object, and can't be sent";
    Planned::Dead(Failure::new(Reason::UnreadableEvent, text))
}

/// Of what can never be granted nothing would ever be sent.
fn check_consent(rule: &ConsentRule) -> Result<(), SettingsError> {
    let refuse = |message: String| Err(SettingsError::new("consent.categories", message));
    if rule.categories.len() > CATEGORIES_MAX {
        return refuse(format!("names {} categories; the limit is {CATEGORIES_MAX}", rule.categories.len()));
    }
    match rule.categories.iter().find(|name| name.is_empty() || name.len() > CATEGORY_BYTES_MAX) {
        Some(_) => refuse(format!("holds a name that is empty or longer than {CATEGORY_BYTES_MAX} bytes")),
        None => Ok(()),
    }
}
