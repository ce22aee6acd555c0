//! What becomes of memberships where profiles became one, were parted, or handed identifiers on.
//!
//! A profile takes over the memberships of those that were merged into it. Then, for each audience that is evaluated:
//!
//! - Where the condition holds of a profile, it stays a member if it was one itself, and is told of nothing; the
//!   identifiers of its entry and of what it took over are united, and those that are on another profile now leave them.
//!   If it was not, it enters with all its identifiers; those that were taken over will be told of its exit, too.
//! - Where it does not hold, each membership that it had or took over ends, with the identifiers of its entry. What
//!   came to it from a profile that stays a member leaves with one exit.
//!
//! Exits are told before entries, in the order of profile ids. An audience that is not evaluated stands still: what was
//! in it stays in it, under whatever profile it is on now. So a membership that is parted is one on each side, and what
//! was told of each is on it when the audience is evaluated again.
//!
//! After a rebuild profiles are settled one after the other. One that an event met before its turn may have entered
//! with identifiers that another's membership still has: an exit leaves those out.

use super::evaluate::earlier;
use super::known::Active;
use super::standing::Moved;
use super::{Machine, ProjectError};
use crate::announce::{Change, identifiers};
use crate::codec::Value;
use crate::key::Key;
use crate::standing::{Membership, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_identity::{GraphRead, LiveProfile, ProfileRecord};
use tributary_model::{AudienceId, Identifier, NodeKey, ProfileId, Timestamp, WorkspaceId};

/// A profile that changed.
struct Party {
    record: Option<ProfileRecord>,
    standing: Option<Arc<Standing>>,
}

/// A live one, and what is said of it.
#[derive(Default)]
pub(super) struct Side {
    /// Its identifiers of today.
    pub(super) identifiers: BTreeSet<Identifier>,
    /// The places of the audiences that hold of it, ascending.
    held: Vec<usize>,
    /// Those of them that rest on values beyond a limit.
    approximate: Vec<usize>,
    due: Option<Timestamp>,
}

/// The profiles that changed, and how they hang together.
#[derive(Default)]
pub(super) struct Sides {
    pub(super) live: BTreeMap<ProfileId, Side>,
    /// The live profile that each of the others was merged into; those without one are gone.
    pub(super) heirs: BTreeMap<ProfileId, ProfileId>,
    /// On which of the live ones an identifier is.
    pub(super) owners: BTreeMap<Identifier, ProfileId>,
    /// Whether profiles were made again, and are not all settled.
    pub(super) are_made_again: bool,
}

/// What becomes of one audience.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The memberships that there are.
    pub(super) after: BTreeMap<ProfileId, Membership>,
    /// What is told of exits: the profile, and the identifiers.
    pub(super) exits: Vec<(ProfileId, Arc<[Identifier]>)>,
    /// What is told of entries, likewise.
    pub(super) entries: Vec<(ProfileId, Arc<[Identifier]>)>,
    /// How many memberships ended.
    pub(super) ended: u64,
}

/// The memberships that come together on one profile.
#[derive(Default)]
struct Pool {
    own: Option<Membership>,
    others: Vec<Membership>,
}

impl Pool {
    fn all(&self) -> impl Iterator<Item = &Membership> {
        self.own.iter().chain(&self.others)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Membership> {
        self.own.iter_mut().chain(&mut self.others)
    }
}

impl Machine {
    /// Settles the memberships of profiles whose records changed, and of those that they hang together with.
    pub(super) fn take_over(
        &mut self,
        workspace: WorkspaceId,
        active: &Active,
        changed: BTreeSet<ProfileId>,
    ) -> Result<(), ProjectError> {
        let parties = self.parties(workspace, changed)?;
        let sides = self.sides(workspace, active, &parties)?;
        let plans = active.catalog.audiences();
        let defined = plans.iter().enumerate().map(|(place, plan)| (Some(place), plan.id));
        let standings = parties.values().filter_map(|party| party.standing.as_ref());
        let left: BTreeSet<AudienceId> = standings
            .flat_map(|standing| standing.memberships.keys().copied())
            .filter(|id| plans.iter().all(|plan| plan.id != *id))
            .collect();
        let mut settled: BTreeMap<ProfileId, BTreeMap<AudienceId, Membership>> = BTreeMap::new();
        for (place, id) in defined.chain(left.into_iter().map(|id| (None, id))) {
            let before = memberships(&parties, id);
            let place = place.filter(|place| active.is_evaluated(*place));
            let outcome = match place {
                Some(place) => {
                    let enters = |identifiers| self.new_membership(identifiers);
                    let holds = |side: &Side| side.held.binary_search(&place).is_ok();
                    let mut outcome = settle(&sides, &before, holds, enters);
                    for (profile, membership) in &mut outcome.after {
                        let side = sides.live.get(profile);
                        membership.is_approximate =
                            side.is_some_and(|side| side.approximate.binary_search(&place).is_ok());
                    }
                    outcome
                }
                None => stand_still(&sides, &before),
            };
            let key = place.map_or("", |place| active.plan(place).key.as_str());
            self.carry_out(workspace, (id, key), &before, &outcome)?;
            for (profile, membership) in outcome.after {
                settled.entry(profile).or_default().insert(id, membership);
            }
        }
        for (profile, party) in parties {
            let before = party.standing.as_deref();
            let timer = sides
                .live
                .get(&profile)
                .and_then(|side| earlier(before.and_then(|before| before.timer), side.due));
            let after = Standing { memberships: settled.remove(&profile).unwrap_or_default(), timer };
            if before.map_or(after != Standing::default(), |before| *before != after) {
                self.put_standing(workspace, profile, before, after);
            }
        }
        Ok(())
    }

    /// These profiles, those that they were merged into, and those that have identifiers now which their members entered
    /// with.
    fn parties(
        &mut self,
        workspace: WorkspaceId,
        changed: BTreeSet<ProfileId>,
    ) -> Result<BTreeMap<ProfileId, Party>, ProjectError> {
        let mut parties = BTreeMap::new();
        let mut wanted: Vec<ProfileId> = changed.into_iter().collect();
        while let Some(id) = wanted.pop() {
            if parties.contains_key(&id) {
                continue;
            }
            let record = self.graph.profile(workspace, id)?;
            let standing = self.standing(workspace, id)?;
            let live = match &record {
                Some(ProfileRecord::Live(live)) => Some(live),
                Some(ProfileRecord::MergedInto(heir)) => {
                    wanted.push(*heir);
                    None
                }
                None => None,
            };
            for identifier in standing.iter().flat_map(|standing| told_of(standing)) {
                if live.is_none_or(|live| !has(live, identifier)) {
                    wanted.extend(self.owner(workspace, identifier)?);
                }
            }
            parties.insert(id, Party { record, standing });
        }
        Ok(parties)
    }

    /// Whether a member was told of with an identifier that is not on it now: another one may have it.
    pub(super) fn was_told_of_more(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<bool, ProjectError> {
        let Some(standing) = self.standing(workspace, profile)? else { return Ok(false) };
        let Some(ProfileRecord::Live(live)) = self.graph.profile(workspace, profile)? else {
            return Ok(false);
        };
        Ok(told_of(&standing).into_iter().any(|identifier| !has(&live, identifier)))
    }

    /// The profile that an identifier is on.
    fn owner(
        &mut self,
        workspace: WorkspaceId,
        identifier: &Identifier,
    ) -> Result<Option<ProfileId>, ProjectError> {
        let first = NodeKey::first_epoch(identifier.clone());
        let node = match self.graph.node(workspace, &first)? {
            Some(node) if node.current_epoch > 0 => {
                self.graph.node(workspace, &NodeKey { epoch: node.current_epoch, ..first })?
            }
            node => node,
        };
        Ok(node.map(|node| node.profile))
    }

    fn sides(
        &mut self,
        workspace: WorkspaceId,
        active: &Active,
        parties: &BTreeMap<ProfileId, Party>,
    ) -> Result<Sides, ProjectError> {
        let evaluating = self.definitions(workspace)?.evaluating;
        let are_made_again = evaluating.is_some_and(|evaluating| evaluating.is_reconciling);
        let mut sides = Sides { are_made_again, ..Sides::default() };
        for (id, party) in parties {
            match &party.record {
                Some(ProfileRecord::Live(live)) => {
                    let identifiers: BTreeSet<Identifier> = identifiers(live).into_iter().collect();
                    sides.owners.extend(identifiers.iter().map(|known| (known.clone(), *id)));
                    let mut side = Side { identifiers, ..Side::default() };
                    let view = if active.all.is_empty() {
                        None
                    } else if are_made_again {
                        self.passing_view(workspace, *id)?
                    } else {
                        self.view(workspace, *id)?
                    };
                    if let Some(view) = view {
                        let judgement = self.judge(workspace, active, &view, &active.all)?;
                        for held in judgement.held.iter().filter(|held| held.holds) {
                            side.held.push(held.place);
                            side.approximate.extend(held.is_approximate.then_some(held.place));
                        }
                        side.due = judgement.due;
                    }
                    sides.live.insert(*id, side);
                }
                Some(ProfileRecord::MergedInto(heir)) => {
                    sides.heirs.insert(*id, *heir);
                }
                None => {}
            }
        }
        Ok(sides)
    }

    fn carry_out(
        &mut self,
        workspace: WorkspaceId,
        (id, key): (AudienceId, &str),
        before: &BTreeMap<ProfileId, Membership>,
        outcome: &Outcome,
    ) -> Result<(), ProjectError> {
        for profile in before.keys().filter(|profile| !outcome.after.contains_key(*profile)) {
            self.graph.remove(Key::member(workspace, id, *profile));
        }
        for (profile, membership) in &outcome.after {
            if before.get(profile) != Some(membership) {
                let value = Value::Member(Arc::new(membership.clone()));
                self.graph.put(Key::member(workspace, id, *profile), value);
            }
        }
        for (profile, identifiers) in &outcome.exits {
            self.tell_change(workspace, key, *profile, Change::Exited, identifiers);
        }
        for (profile, identifiers) in &outcome.entries {
            self.tell_change(workspace, key, *profile, Change::Entered, identifiers);
        }
        let count = |memberships: &BTreeMap<ProfileId, Membership>| {
            i64::try_from(memberships.len()).unwrap_or(i64::MAX)
        };
        let change = count(&outcome.after) - count(before);
        let entered = outcome.entries.len() as u64;
        self.note_members(workspace, id, Moved { change, entered, exited: outcome.ended })
    }
}

fn memberships(parties: &BTreeMap<ProfileId, Party>, id: AudienceId) -> BTreeMap<ProfileId, Membership> {
    let of = |party: &Party| party.standing.as_ref()?.memberships.get(&id).cloned();
    parties.iter().filter_map(|(profile, party)| Some((*profile, of(party)?))).collect()
}

fn told_of(standing: &Standing) -> BTreeSet<&Identifier> {
    standing.memberships.values().flat_map(|membership| membership.identifiers.iter()).collect()
}

fn has(live: &LiveProfile, identifier: &Identifier) -> bool {
    live.identifiers().any(|node| node.identifier == *identifier)
}

/// The memberships by the live profiles that they are on now; the others are of profiles that are gone.
fn pools(
    sides: &Sides,
    before: &BTreeMap<ProfileId, Membership>,
) -> (BTreeMap<ProfileId, Pool>, Vec<(ProfileId, Membership)>) {
    let (mut pools, mut gone) = (BTreeMap::<ProfileId, Pool>::new(), Vec::new());
    for (holder, membership) in before {
        let heir = sides.heirs.get(holder).filter(|heir| sides.live.contains_key(*heir));
        match heir {
            _ if sides.live.contains_key(holder) => {
                pools.entry(*holder).or_default().own = Some(membership.clone());
            }
            Some(heir) => pools.entry(*heir).or_default().others.push(membership.clone()),
            None => gone.push((*holder, membership.clone())),
        }
    }
    (pools, gone)
}

/// What becomes of an audience that is evaluated.
pub(super) fn settle(
    sides: &Sides,
    before: &BTreeMap<ProfileId, Membership>,
    holds: impl Fn(&Side) -> bool,
    enters: impl Fn(Arc<[Identifier]>) -> Membership,
) -> Outcome {
    let (mut pools, gone) = pools(sides, before);
    let mut arrived = part(sides, &mut pools, &holds);
    let spoken_for = spoken_for(sides, &pools, &holds);
    let mut outcome = Outcome { ended: gone.len() as u64, ..Outcome::default() };
    outcome.exits.extend(gone.into_iter().map(|(profile, membership)| (profile, membership.identifiers)));
    for (profile, side) in &sides.live {
        let pool = pools.remove(profile).unwrap_or_default();
        let mut more = arrived.remove(profile).unwrap_or_default();
        if !holds(side) {
            for membership in pool.all() {
                outcome.ended += 1;
                outcome.exits.push((*profile, Arc::clone(&membership.identifiers)));
                more.retain(|told| !membership.identifiers.contains(told));
            }
            if !more.is_empty() {
                outcome.exits.push((*profile, more.into_iter().collect()));
            }
            continue;
        }
        more.extend(pool.others.iter().flat_map(|membership| membership.identifiers.iter().cloned()));
        let membership = match pool.own {
            Some(own) => united(own, more),
            None => {
                more.extend(side.identifiers.iter().cloned());
                outcome.entries.push((*profile, side.identifiers.iter().cloned().collect()));
                enters(more.into_iter().collect())
            }
        };
        outcome.after.insert(*profile, membership);
    }
    if !spoken_for.is_empty() {
        outcome.exits.retain_mut(|(_, identifiers)| {
            let is_free = |told: &&Identifier| !spoken_for.contains(*told);
            *identifiers = identifiers.iter().filter(is_free).cloned().collect();
            !identifiers.is_empty()
        });
    }
    outcome.exits.sort_by_key(|(profile, _)| *profile);
    outcome
}

/// What members that stay were told of with, where others that leave may have been, too.
fn spoken_for(
    sides: &Sides,
    pools: &BTreeMap<ProfileId, Pool>,
    holds: &impl Fn(&Side) -> bool,
) -> BTreeSet<Identifier> {
    let stays = |profile: &ProfileId| sides.are_made_again && sides.live.get(profile).is_some_and(holds);
    let staying =
        pools.iter().filter(|(profile, _)| stays(profile)).filter_map(|(_, pool)| pool.own.as_ref());
    staying.flat_map(|membership| membership.identifiers.iter().cloned()).collect()
}

/// Takes identifiers that are on another of the profiles now out of memberships that stay. Answers with where they are.
fn part(
    sides: &Sides,
    pools: &mut BTreeMap<ProfileId, Pool>,
    holds: &impl Fn(&Side) -> bool,
) -> BTreeMap<ProfileId, BTreeSet<Identifier>> {
    let mut arrived: BTreeMap<ProfileId, BTreeSet<Identifier>> = BTreeMap::new();
    for (profile, pool) in pools {
        if !sides.live.get(profile).is_some_and(holds) {
            continue;
        }
        for membership in pool.all_mut() {
            let owner = |told: &Identifier| sides.owners.get(told).filter(|owner| *owner != profile);
            if membership.identifiers.iter().all(|told| owner(told).is_none()) {
                continue;
            }
            let mut stays = Vec::new();
            for told in membership.identifiers.iter() {
                match owner(told) {
                    Some(owner) => {
                        arrived.entry(*owner).or_default().insert(told.clone());
                    }
                    None => stays.push(told.clone()),
                }
            }
            membership.identifiers = stays.into();
        }
    }
    arrived
}

/// What becomes of an audience that is not evaluated: whoever has what was told of a member is in it. A live one that
/// was in it stays in it, whatever is left of what was told.
pub(super) fn stand_still(sides: &Sides, before: &BTreeMap<ProfileId, Membership>) -> Outcome {
    let (pools, gone) = pools(sides, before);
    let mut outcome = Outcome::default();
    let mut moved: Vec<(ProfileId, Membership)> = Vec::new();
    let on_live = pools.into_iter().flat_map(|(profile, pool)| {
        pool.own.into_iter().chain(pool.others).map(move |membership| (profile, membership))
    });
    for (holder, membership) in on_live.chain(gone) {
        let mut parts: BTreeMap<ProfileId, BTreeSet<Identifier>> = BTreeMap::new();
        if sides.live.contains_key(&holder) {
            parts.entry(holder).or_default();
        }
        for told in membership.identifiers.iter() {
            let owner = sides.owners.get(told).copied().unwrap_or(holder);
            parts.entry(owner).or_default().insert(told.clone());
        }
        for (owner, told) in parts {
            let part = Membership { identifiers: told.into_iter().collect(), ..membership.clone() };
            if owner == holder {
                add(&mut outcome.after, owner, part);
            } else {
                moved.push((owner, part));
            }
        }
    }
    for (owner, part) in moved {
        add(&mut outcome.after, owner, part);
    }
    outcome
}

/// Adds what was told of a profile to what is known of it.
fn add(memberships: &mut BTreeMap<ProfileId, Membership>, profile: ProfileId, more: Membership) {
    let all = match memberships.remove(&profile) {
        Some(known) => united(known, more.identifiers.iter().cloned().collect()),
        None => more,
    };
    memberships.insert(profile, all);
}

/// A membership with more identifiers.
fn united(membership: Membership, more: BTreeSet<Identifier>) -> Membership {
    if more.iter().all(|told| membership.identifiers.contains(told)) {
        return membership;
    }
    let all: BTreeSet<Identifier> = membership.identifiers.iter().cloned().chain(more).collect();
    Membership { identifiers: all.into_iter().collect(), ..membership }
}

#[cfg(test)]
mod tests;
