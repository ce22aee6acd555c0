//! Whether a would-be profile keeps within the limits and caps.
//!
//! A limit counts the identifiers of its namespace that the profile has today, former ones left out; with a window
//! only those that were first linked within it, by the log's time. A cap counts them whatever their namespace.

use crate::graph::{Cap, RefusalReason};
use crate::merge::Existing;
use crate::resolve::Context;
use crate::store::GraphRead;
use tributary_model::identifier::NodeKey;

/// The profile that these profiles and these identifiers, which are on none, would make.
#[derive(Clone)]
pub(crate) struct WouldBe<'a> {
    pub(crate) profiles: Vec<&'a Existing>,
    pub(crate) unknown: Vec<&'a NodeKey>,
}

impl WouldBe<'_> {
    /// Why it may not be; `None` if it may.
    pub(crate) fn refuse<G: GraphRead>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
    ) -> Result<Option<RefusalReason>, G::Error> {
        if self.profiles.len() == 1 && self.unknown.is_empty() {
            // Nothing changes: whatever a limit left out here would be kept as a member all the same.
            return Ok(None);
        }
        match self.over_limit(graph, context)? {
            None => Ok(self.over_cap(context)),
            refused => Ok(refused),
        }
    }

    fn over_limit<G: GraphRead>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
    ) -> Result<Option<RefusalReason>, G::Error> {
        let rules = &context.rules.namespaces;
        let rule_of = |node: &NodeKey| {
            let namespace = node.identifier.namespace();
            rules.iter().position(|rule| rule.name == *namespace)
        };
        // Profiles share no members, and an unknown identifier is on none: so all of these differ.
        let mut counts = vec![0u32; rules.len()];
        for member in self.profiles.iter().flat_map(|profile| profile.live.identifiers()) {
            let Some(place) = rule_of(member) else { continue };
            let counted = match rules[place].limit.window.micros() {
                None => true,
                Some(window) => {
                    let since = context.log_time.plus_micros(-window);
                    graph.node(context.workspace, member)?.is_some_and(|node| node.linked_at > since)
                }
            };
            counts[place] += u32::from(counted);
        }
        for place in self.unknown.iter().filter_map(|node| rule_of(node)) {
            counts[place] += 1;
        }
        let over = rules.iter().zip(counts).filter(|(rule, count)| *count > rule.limit.count);
        let first = over.min_by(|(a, _), (b, _)| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        Ok(first.map(|(rule, count)| RefusalReason::Limit {
            namespace: rule.name.clone(),
            limit: rule.limit.count,
            count,
        }))
    }

    fn over_cap(&self, context: &Context<'_>) -> Option<RefusalReason> {
        let merged: usize = self.profiles.iter().map(|profile| profile.live.merged.len()).sum();
        let identifiers: usize = self.profiles.iter().map(|profile| profile.live.identifier_count()).sum();
        let merges = merged + self.profiles.len().saturating_sub(1);
        let over = |cap, limit: u32, count: usize| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            (count > limit).then_some(RefusalReason::Cap { cap, limit, count })
        };
        let merges = over(Cap::Merges, context.rules.merges_max, merges).filter(|_| self.profiles.len() > 1);
        merges.or_else(|| {
            over(Cap::Identifiers, context.rules.identifiers_max, identifiers + self.unknown.len())
        })
    }
}
