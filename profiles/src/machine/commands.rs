//! Commands: what a person ordered about identity, decided when its record is read.

use super::results::CommandResult;
use super::{Applied, Machine, ProjectError, note_profiles};
use crate::announce;
use crate::metrics;
use std::collections::BTreeSet;
use std::sync::Arc;
use tributary_identity::{CommandRefused, Context, Ordered, RefusedKind, Retake, hand_over, unmerge};
use tributary_model::command::{Action, Command};
use tributary_model::{Position, ProfileId, Record, WorkspaceId};

impl Machine {
    pub(super) fn apply_command(&mut self, sequence: u64, record: &Record) -> Result<Applied, ProjectError> {
        let id = record.envelope.workspace;
        let command =
            Command::decode(&record.payload).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let workspace = self.graph.workspace(id)?;
        if workspace.deleted {
            let message = "the workspace was deleted before the change could come into force".to_owned();
            let refused = CommandRefused { kind: RefusedKind::NotFound, message, paths: Vec::new() };
            self.tell(sequence, &command.action, CommandResult::Refused(refused));
            return Ok(Applied::Done);
        }
        let rules = Arc::clone(&workspace.rules);
        let context = Context {
            workspace: id,
            rules: &rules,
            hash_key: &self.hash_key,
            log_time: self.checkpoint.log_time,
        };
        let order = Ordered {
            position: Position::at(sequence),
            at: record.envelope.received_at,
            by: &command.by,
            reason: command.reason.as_deref(),
        };
        let result = match &command.action {
            Action::Unmerge { who, target, retake } => {
                let retake = if *retake { Retake::Again } else { Retake::Keep };
                match unmerge(&mut self.graph, &context, who, target, retake, &order)? {
                    Ok(unmerged) => {
                        let changed = self.came_into_force(id, unmerged.profiles_delta)?;
                        let told = announce::of_unmerge(&record.envelope, sequence, &unmerged);
                        self.activations.extend(told);
                        self.look_at_moves(id, changed)?;
                        CommandResult::Unmerged(unmerged)
                    }
                    Err(refused) => CommandResult::Refused(refused),
                }
            }
            Action::Link { .. } | Action::Remove { .. } | Action::Move { .. } => {
                match hand_over(&mut self.graph, &context, &command.action, &order)? {
                    Ok(handed) => {
                        let changed = self.came_into_force(id, handed.profiles_delta)?;
                        self.look_at_moves(id, changed)?;
                        CommandResult::HandedOver(handed)
                    }
                    Err(refused) => CommandResult::Refused(refused),
                }
            }
            Action::Rebuild => {
                count(&command.action, "done");
                return Ok(Applied::Rebuild { workspace: id, sequence });
            }
        };
        self.tell(sequence, &command.action, result);
        Ok(Applied::Done)
    }

    /// After a change of the graph: what rests on it is dropped, and profiles are counted. Answers with the profiles whose
    /// records changed.
    fn came_into_force(
        &mut self,
        id: WorkspaceId,
        profiles_delta: i64,
    ) -> Result<BTreeSet<ProfileId>, ProjectError> {
        let changed = self.drop_changed();
        // Partitions and epochs hold for more than the profiles whose records changed.
        self.resolved.clear();
        let mut workspace = self.graph.take_workspace(id)?;
        let counters = Arc::make_mut(&mut workspace);
        counters.profiles = counters.profiles.saturating_add_signed(profiles_delta);
        note_profiles(id, counters.profiles);
        self.graph.put_workspace(id, workspace);
        Ok(changed)
    }

    fn tell(&mut self, sequence: u64, action: &Action, result: CommandResult) {
        let outcome = match &result {
            CommandResult::Unmerged(_) | CommandResult::HandedOver(_) | CommandResult::Rebuilt(_) => "done",
            CommandResult::Refused(_) => {
                debug_assert!(self.graph.take_changed().is_empty(), "a refused command changes nothing");
                "refused"
            }
        };
        count(action, outcome);
        self.state.results().put(sequence, result);
    }
}

fn count(action: &Action, outcome: &'static str) {
    let action = match action {
        Action::Unmerge { .. } => "unmerge",
        Action::Link { .. } => "link",
        Action::Remove { .. } => "remove",
        Action::Move { .. } => "move",
        Action::Rebuild => "rebuild",
    };
    ::metrics::counter!(metrics::COMMANDS, "action" => action, "outcome" => outcome).increment(1);
}
