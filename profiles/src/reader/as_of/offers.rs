//! Whose an event was, where some of its identifiers are strangers: on profiles that are not read again.
//!
//! A stranger never was on one profile with an identifier that is read again, or it would be none. So its link with the
//! event's anchor was refused each time, and by a limit or a cap: what a partition names is no stranger. Limits leave
//! identifiers out from the lowest priority up. So whatever the event has behind its first stranger was left out too,
//! but for
//!
//! - what was on the event's profile anyway, and lost nothing,
//! - what a partition keeps away, which is left out before any limit is asked, and gets a profile of its own,
//! - a shared device, which then followed the sign-in: the graph of today has the edge that says so.
//!
//! What comes before the first stranger is decided as the first time.

use super::replay::Replay;
use crate::reader::LookupError;
use std::sync::Arc;
use tributary_identity::{
    Context, EdgeKey, EdgeRule, Evidence, GraphRead, GraphStore, Happened, LiveProfile, Ordered, Refusal,
    RefusalReason, Resolution, current_node, find, follow, hand_over, resolve,
};
use tributary_model::command::{Action, Who};
use tributary_model::identity_rules::{EventIdentifiers, PreviousId};
use tributary_model::workspace::{IdentityRules, SharedDevice};
use tributary_model::{Identifier, NodeKey, ProfileId};

/// A profile with its id.
type Owner = (ProfileId, Arc<LiveProfile>);

impl Replay<'_> {
    /// Resolves an event. Answers with its anchor.
    pub(super) fn resolve(
        &mut self,
        context: &Context<'_>,
        found: &EventIdentifiers,
        evidence: &Evidence,
    ) -> Result<Option<NodeKey>, LookupError> {
        let offers = self.offers(context.rules, found, evidence.position.sequence)?;
        let stranger = offers.iter().position(|identifier| !self.kin.has(identifier));
        let (head, tail) = offers.split_at(stranger.unwrap_or(offers.len()));
        // Nobody's, or a stranger's: without records that arrived later than they should have, that may be.
        let Some(resolution) = resolve(&mut self.graph, context, &only(found, head), evidence)? else {
            return Ok(None);
        };
        let tail: Vec<&Identifier> =
            tail.iter().copied().filter(|identifier| self.kin.has(identifier)).collect();
        if !tail.is_empty() {
            self.settle(context, found, evidence, (head, &tail), &resolution)?;
        }
        Ok(Some(resolution.anchor))
    }

    /// The identifiers that an event offers, highest priority first, as [`resolve`] puts them.
    fn offers<'e>(
        &mut self,
        rules: &IdentityRules,
        found: &'e EventIdentifiers,
        sequence: u64,
    ) -> Result<Vec<&'e Identifier>, LookupError> {
        let previous = match &found.previous {
            Some(previous) => self.previous(previous, sequence)?,
            None => None,
        };
        let mut offers: Vec<(u32, &Identifier)> = Vec::with_capacity(found.identifiers.len() + 1);
        for identifier in found.identifiers.iter().chain(previous) {
            if let Some(rule) = rules.rule(identifier.namespace())
                && offers.iter().all(|(_, have)| *have != identifier)
            {
                offers.push((rule.priority, identifier));
            }
        }
        offers
            .sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.namespace().cmp(right.namespace())));
        Ok(offers.into_iter().map(|(_, identifier)| identifier).collect())
    }

    /// Which of the two the previous id of an alias call is: the first that is known, else the first.
    fn previous<'e>(
        &mut self,
        previous: &'e PreviousId,
        sequence: u64,
    ) -> Result<Option<&'e Identifier>, LookupError> {
        let candidates = [&previous.as_anonymous, &previous.as_user];
        for candidate in candidates.into_iter().flatten() {
            if self.is_known(candidate, sequence)? {
                return Ok(Some(candidate));
            }
        }
        Ok(candidates.into_iter().flatten().next())
    }

    /// Whether an identifier was on a profile before this record.
    fn is_known(&mut self, identifier: &Identifier, sequence: u64) -> Result<bool, LookupError> {
        if self.kin.has(identifier) {
            let node = current_node(&mut self.graph, self.workspace, identifier)?;
            return Ok(self.graph.node(self.workspace, &node)?.is_some());
        }
        self.was_known(identifier, sequence)
    }

    /// The same of a stranger, from the graph of today.
    fn was_known(&mut self, stranger: &Identifier, sequence: u64) -> Result<bool, LookupError> {
        let first = NodeKey::first_epoch(stranger.clone());
        let current = self.today.node(self.workspace, &first)?.map_or(0, |node| node.current_epoch);
        for epoch in (0..=current).rev() {
            let key = NodeKey { epoch, ..first.clone() };
            if let Some(node) = self.today.node(self.workspace, &key)?
                && node.first.position.sequence < sequence
            {
                return Ok(epoch == current || !self.was_lost(&key, node.profile, sequence)?);
            }
        }
        Ok(false)
    }

    /// Whether an identifier's epoch had ended before this record.
    fn was_lost(&mut self, node: &NodeKey, owner: ProfileId, sequence: u64) -> Result<bool, LookupError> {
        let Some((id, live)) = follow(&mut self.today, self.workspace, owner)? else { return Ok(false) };
        for id in live.merged.iter().chain([&id]) {
            let entries = self.today.history(self.workspace, *id)?;
            let mut before = entries.iter().filter(|entry| entry.position.sequence < sequence);
            if before.any(|entry| matches!(&entry.what, Happened::Lost { node: lost, .. } if lost == node)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does what the event did to the identifiers behind its first stranger, in `tail`; those before are in `head`.
    fn settle(
        &mut self,
        context: &Context<'_>,
        found: &EventIdentifiers,
        evidence: &Evidence,
        (head, tail): (&[&Identifier], &[&Identifier]),
        resolution: &Resolution,
    ) -> Result<(), LookupError> {
        let mut owners: Vec<Owner> = Vec::new();
        for identifier in head {
            owners.extend(self.owner(identifier)?);
        }
        let (mut decided, mut left_out) = (head.to_vec(), Vec::new());
        for identifier in tail {
            let owner = self.owner(identifier)?;
            let is_on_it = owner.as_ref().is_some_and(|(id, _)| *id == resolution.profile);
            if is_on_it || self.is_parted(&owners, owner.as_ref(), identifier)? {
                decided.push(*identifier);
            } else {
                left_out.push(*identifier);
            }
        }
        if decided.len() > head.len() {
            // Those before are decided as a moment ago.
            resolve(&mut self.graph, context, &only(found, &decided), evidence)?;
        }
        for identifier in left_out {
            if self.has_followed(context, &resolution.anchor, identifier, evidence)? {
                self.hand_over(context, &resolution.anchor, identifier, evidence)?;
            } else {
                self.note_refusal(&resolution.anchor, identifier, evidence)?;
            }
        }
        Ok(())
    }

    fn owner(&mut self, identifier: &Identifier) -> Result<Option<Owner>, LookupError> {
        Ok(find(&mut self.graph, self.workspace, &Who::Identifier(identifier.clone()))?)
    }

    /// Whether a partition keeps an identifier, with the profile that it is on, away from these profiles.
    fn is_parted(
        &mut self,
        owners: &[Owner],
        owner: Option<&Owner>,
        identifier: &Identifier,
    ) -> Result<bool, LookupError> {
        let partitions = self.graph.partitions(self.workspace)?;
        if partitions.is_empty() {
            return Ok(false);
        }
        let members: Vec<NodeKey> = match owner {
            Some((_, live)) => live.members.to_vec(),
            None => {
                // What was parted in an earlier epoch stays so.
                let node = current_node(&mut self.graph, self.workspace, identifier)?;
                (0..=node.epoch).map(|epoch| NodeKey { epoch, ..node.clone() }).collect()
            }
        };
        let sides_of = |node: &NodeKey| partitions.of(node).to_vec();
        let taken: Vec<(u64, usize)> =
            owners.iter().flat_map(|(_, live)| live.members.iter()).flat_map(sides_of).collect();
        let is_other = |(id, side): (u64, usize)| taken.iter().any(|(taken, of)| *taken == id && *of != side);
        Ok(members.iter().flat_map(sides_of).any(is_other))
    }

    /// Whether a shared device went over to the anchor's profile by this event.
    fn has_followed(
        &mut self,
        context: &Context<'_>,
        anchor: &NodeKey,
        device: &Identifier,
        evidence: &Evidence,
    ) -> Result<bool, LookupError> {
        let rule = context.rules.rule(device.namespace());
        if rule.is_none_or(|rule| rule.shared_device != SharedDevice::LastSignIn) {
            return Ok(false);
        }
        let anchors = std::slice::from_ref(anchor);
        let is_it = |key: &EdgeKey, rule: EdgeRule, first: &Evidence| {
            key.other.identifier == *device && rule == EdgeRule::SignIn && first.position == evidence.position
        };
        let edges = self.today.edges_of(self.workspace, anchors)?;
        if edges.iter().any(|(key, edge)| is_it(key, edge.rule, &edge.first)) {
            return Ok(true);
        }
        // A person may have parted them since.
        let refusals = self.today.refusals_of(self.workspace, anchors)?;
        Ok(refusals.iter().any(|(key, refusal)| is_it(key, refusal.rule, &refusal.first)))
    }

    /// Gives a device to the anchor's profile.
    fn hand_over(
        &mut self,
        context: &Context<'_>,
        anchor: &NodeKey,
        device: &Identifier,
        evidence: &Evidence,
    ) -> Result<(), LookupError> {
        let who = Who::Identifier(anchor.identifier.clone());
        let action = Action::Link { who, identifier: device.clone() };
        let order = Ordered { position: evidence.position, at: evidence.received_at, by: "", reason: None };
        drop(hand_over(&mut self.graph, context, &action, &order)?);
        Ok(())
    }

    /// Notes that a link was refused, for an unmerge that may decide that again.
    fn note_refusal(
        &mut self,
        anchor: &NodeKey,
        other: &Identifier,
        evidence: &Evidence,
    ) -> Result<(), LookupError> {
        let other = current_node(&mut self.graph, self.workspace, other)?;
        let key = EdgeKey { anchor: anchor.clone(), other };
        if let Some(refusal) = self.today.refusal(self.workspace, &key)?
            && refusal.first.position == evidence.position
            && self
                .graph
                .refusal(self.workspace, &key)?
                .is_none_or(|known| known.reason == RefusalReason::Blocked)
        {
            let refusal = Refusal { reason: own_reason(&refusal.reason), ..Refusal::clone(&refusal) };
            self.graph.put_refusal(self.workspace, key, refusal)?;
        }
        Ok(())
    }
}

/// A reason that does not name another identifier, which may be a stranger.
fn own_reason(reason: &RefusalReason) -> RefusalReason {
    if let RefusalReason::Demotion { reason, .. } = reason { own_reason(reason) } else { reason.clone() }
}

/// What an event says about whose it is, without the identifiers that are not among these.
fn only(found: &EventIdentifiers, kept: &[&Identifier]) -> EventIdentifiers {
    let is_kept = |identifier: &Identifier| kept.contains(&identifier);
    let candidate = |identifier: &Option<Identifier>| identifier.clone().filter(is_kept);
    let previous = found.previous.as_ref().map(|previous| PreviousId {
        as_anonymous: candidate(&previous.as_anonymous),
        as_user: candidate(&previous.as_user),
    });
    EventIdentifiers {
        identifiers: found.identifiers.iter().filter(|identifier| is_kept(identifier)).cloned().collect(),
        blocked: found.blocked.clone(),
        previous: previous.filter(|previous| previous.as_anonymous.is_some() || previous.as_user.is_some()),
    }
}
