//! Reads of the graph: reasons, histories, commands that are only tried, alarms.

use super::{LookupError, ProfileReader};
use crate::alarms::AlarmRow;
use crate::codec::Value;
use crate::graph::{GraphError, ReadGraph};
use crate::key::Tag;
use crate::state::View;
use std::sync::Arc;
use tributary_identity::{
    CommandRefused, Context, Explanation, GraphRead, HistoryRow, LiveProfile, Ordered, Overlay, Partitions,
    Retake, Unmerged, explain, find, hand_over, history, unmerge,
};
use tributary_model::command::{Action, Who};
use tributary_model::workspace::IdentityRules;
use tributary_model::{Identifier, Position, ProfileId, Timestamp, WorkspaceId};

/// What a command would do.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// What would come of it. Of a hand move, which parts nothing: the profiles that it is about, with no sides and no
    /// decisions, under partition 0.
    pub unmerged: Unmerged,
    /// `unmerged.profiles` as they would be read.
    pub views: Vec<View>,
}

/// What was tried: its result, and the partitions as they would be.
type Tried = Result<(Unmerged, Arc<Partitions>), CommandRefused>;

impl ProfileReader {
    /// What makes somebody and an identifier one profile, or keeps them apart.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn explain(
        &self,
        workspace: WorkspaceId,
        who: &Who,
        with: &Identifier,
    ) -> Result<Explanation, LookupError> {
        let rules = Arc::clone(&self.workspace(workspace)?.rules);
        // Reasons are read from evidence: no window is counted, so the time does not matter.
        let context = self.context(workspace, &rules, Timestamp::default());
        self.steady(|graph| explain(graph, &context, who, with))
    }

    /// What happened to somebody's profile, in order; `None` if there is no profile.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn history(&self, workspace: WorkspaceId, who: &Who) -> Result<Option<Vec<HistoryRow>>, LookupError> {
        self.steady(|graph| match find(graph, workspace, who)? {
            Some((id, live)) => history(graph, workspace, id, &live).map(Some),
            None => Ok(None),
        })
    }

    /// Tries a command as if it were given now, at `at`; nothing changes. A rebuild can't be tried this way and is
    /// told to have no effect.
    ///
    /// # Errors
    /// If the state can't be read. The inner result says why the command would be refused.
    pub fn dry_run(
        &self,
        workspace: WorkspaceId,
        action: &Action,
        at: Timestamp,
    ) -> Result<Result<DryRun, CommandRefused>, LookupError> {
        let rules = Arc::clone(&self.workspace(workspace)?.rules);
        let context = self.context(workspace, &rules, at);
        // The place that its record would get if nothing came before it.
        let position = Position::at(self.events.bounds().end);
        let order = Ordered { position, at, by: "", reason: None };
        let tried = self.steady(|graph| try_out(graph, &context, action, &order))?;
        let (unmerged, partitions) = match tried {
            Ok(tried) => tried,
            Err(refused) => return Ok(Err(refused)),
        };
        let views = unmerged.profiles.iter().map(|(_, live)| self.merge(workspace, live, &partitions));
        let views = views.collect::<Result<_, _>>()?;
        Ok(Ok(DryRun { unmerged, views }))
    }

    /// Alarms, newest first, each with its number: those below `before`, so many at most.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn alarms(
        &self,
        workspace: WorkspaceId,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<(u64, AlarmRow)>, LookupError> {
        // There are few: their number is bounded.
        let stored = self.state.entries_with(workspace, Tag::Alarm, &[Vec::new()])?;
        let mut rows = Vec::new();
        for (key, value) in stored.into_iter().rev() {
            if rows.len() == limit {
                break;
            }
            if let (Some(number), Value::Alarm(row)) = (key.number_named(), value)
                && before.is_none_or(|before| number < before)
            {
                rows.push((number, AlarmRow::clone(&row)));
            }
        }
        Ok(rows)
    }

    fn context<'a>(
        &'a self,
        workspace: WorkspaceId,
        rules: &'a IdentityRules,
        log_time: Timestamp,
    ) -> Context<'a> {
        Context { workspace, rules, hash_key: &self.hash_key, log_time }
    }
}

fn try_out(
    graph: &mut ReadGraph,
    context: &Context<'_>,
    action: &Action,
    order: &Ordered<'_>,
) -> Result<Tried, GraphError> {
    let mut graph = Overlay::new(graph);
    let tried = match action {
        Action::Unmerge { who, target, retake } => {
            let retake = if *retake { Retake::Again } else { Retake::Keep };
            unmerge(&mut graph, context, who, target, retake, order)?
        }
        Action::Link { .. } | Action::Remove { .. } | Action::Move { .. } => {
            match hand_over(&mut graph, context, action, order)? {
                Ok(handed) => {
                    let mut profiles = Vec::new();
                    for id in handed.from.into_iter().chain(handed.to) {
                        profiles.extend(find(&mut graph, context.workspace, &Who::Profile(id))?);
                    }
                    Ok(Unmerged {
                        changed: handed.changed,
                        profiles_delta: handed.profiles_delta,
                        ..of_nothing(profiles)
                    })
                }
                Err(refused) => Err(refused),
            }
        }
        Action::Rebuild => Ok(of_nothing(Vec::new())),
    };
    let partitions = graph.partitions(context.workspace)?;
    Ok(tried.map(|unmerged| (unmerged, partitions)))
}

/// What is told where nothing is parted.
fn of_nothing(profiles: Vec<(ProfileId, Arc<LiveProfile>)>) -> Unmerged {
    Unmerged {
        partition: 0,
        before: profiles.first().map_or(ProfileId([0; 16]), |(id, _)| *id),
        profiles,
        sides: Vec::new(),
        decisions: Vec::new(),
        joined: Vec::new(),
        changed: Vec::new(),
        profiles_delta: 0,
    }
}
