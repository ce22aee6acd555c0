//! What a preview says.

use super::{Asked, AudiencePreviewError, Looked};
use crate::columns::{Held, Settled, Table};
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use tributary_model::condition::{Comparison, Condition, Operand, Right};
use tributary_model::{ProfileId, Timestamp};

/// How many members are shown.
pub const MEMBERS_SHOWN: usize = 20;
/// How many traits of each.
const TRAITS_SHOWN: usize = 5;
/// How many identifiers of each.
const IDENTIFIERS_SHOWN: usize = 20;
/// Traits that tell people apart, shown where the condition names few.
const TELLING: [&str; 6] = ["email", "name", "firstName", "lastName", "company", "plan"];

/// Who would be in an audience.
#[derive(Clone)]
pub struct AudiencePreview {
    /// How many profiles.
    pub size: u64,
    /// Some of them.
    pub members: Vec<SampleMember>,
    /// How it overlaps with each audience that there is, in the order in which they are defined.
    pub overlap: Vec<Overlap>,
    /// As of when.
    pub as_of: AsOf,
    /// What said so.
    pub answered_by: AnsweredBy,
    /// Whether it rests on values beyond a limit, as the audience would.
    pub is_approximate: bool,
}

/// A member.
#[derive(Clone)]
pub struct SampleMember {
    /// Its profile.
    pub profile: ProfileId,
    /// Its identifiers, as `namespace:value`.
    pub identifiers: Vec<String>,
    /// Some of its traits and their values as JSON text, those first that the condition names.
    pub traits: Vec<(String, String)>,
}

/// How many members it shares with an audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The audience's key.
    pub key: String,
    /// How many members that has.
    pub size: u64,
    /// How many would be in both.
    pub both: u64,
}

/// A moment of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// Records of the log below this sequence count.
    pub position: u64,
    /// The time at which windows end.
    pub time: Timestamp,
}

/// What answered a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The indexes alone.
    Columns,
    /// Profiles were evaluated one by one.
    Scan,
}

impl AnsweredBy {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Scan => "scan",
        }
    }
}

/// What was found out.
pub(super) struct Answer<'a> {
    pub(super) members: &'a RoaringBitmap,
    pub(super) by: AnsweredBy,
    pub(super) is_approximate: bool,
}

impl Asked<'_> {
    /// The answer with what is shown beside it, as of the same checkpoint.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn report(
        &self,
        held: &Held<'_>,
        table: &Table,
        looked: &Looked,
        answer: &Answer<'_>,
    ) -> Result<AudiencePreview, AudiencePreviewError> {
        let settled = Settled::new(&self.parts.state, self.order.workspace, &self.parts.hash_key)?;
        let mut names: Vec<&str> = Vec::new();
        traits_of(&self.order.condition, &mut names);
        names.extend(TELLING);
        let mut members = Vec::with_capacity(MEMBERS_SHOWN);
        for id in answer.members.iter().filter_map(|doc| table.id(doc)).take(MEMBERS_SHOWN) {
            if let Some(live) = settled.live(id)? {
                let view = settled.view(&live)?;
                let identifiers = live.identifiers().take(IDENTIFIERS_SHOWN);
                let mut seen = BTreeSet::new();
                let first = names.iter().copied().filter(|name| seen.insert(*name));
                let mut traits: Vec<(String, String)> = first
                    .filter_map(|name| Some((name.to_owned(), view.value(name)?.into_owned())))
                    .take(TRAITS_SHOWN)
                    .collect();
                let others = view.traits().filter(|(name, ..)| !names.contains(name));
                let left = TRAITS_SHOWN - traits.len();
                traits.extend(others.take(left).map(|(name, json, _)| (name.to_owned(), json.into_owned())));
                members.push(SampleMember {
                    profile: id,
                    identifiers: identifiers.map(|node| node.identifier.to_text()).collect(),
                    traits,
                });
            }
        }
        let overlap = self.order.defined.audiences.iter().map(|audience| {
            let of = table.members(audience.id);
            Overlap {
                key: audience.key.clone(),
                size: of.map_or(0, RoaringBitmap::len),
                both: of.map_or(0, |of| of.intersection_len(answer.members)),
            }
        });
        Ok(AudiencePreview {
            size: answer.members.len(),
            members,
            overlap: overlap.collect(),
            as_of: AsOf { position: held.checkpoint().next, time: looked.now },
            answered_by: answer.by,
            is_approximate: answer.is_approximate,
        })
    }
}

/// The traits of people that a condition names, in its order.
fn traits_of<'a>(condition: &'a Condition, names: &mut Vec<&'a str>) {
    match condition {
        Condition::All(conditions) | Condition::Any(conditions) => {
            for condition in conditions {
                traits_of(condition, names);
            }
        }
        Condition::Not(condition) => traits_of(condition, names),
        Condition::Compare(Comparison { left, right, .. }) => {
            let right = match right {
                Right::Operand(operand) => Some(operand),
                Right::Nothing | Right::Value(_) | Right::Values(_) | Right::Span(_) => None,
            };
            for operand in [Some(left), right].into_iter().flatten() {
                if let Operand::Trait(path) = operand {
                    names.push(path.head());
                }
            }
        }
        Condition::Performed(_)
        | Condition::Sequence(_)
        | Condition::Audience(_)
        | Condition::Account(_)
        | Condition::Members(_) => {}
    }
}
