//! Whether a tree makes sense: parts only where they may stand, comparisons that can hold, and limits.
//!
//! Errors name the place in the tree as its JSON form has it. Whether audiences and computed traits that it names are
//! there, [`crate::catalog::check_references`] looks.

mod comparison;
mod field;
#[cfg(test)]
mod tests;

use super::error::{ConditionError, Scope};
use super::text::TEXT_BYTES_MAX;
use super::tree::{Aggregate, Condition, EventPattern, Function, Members, Operand, Sequence, Window};
use super::write;
use crate::event::EventKind;
use crate::time::Timestamp;
use std::fmt::Display;

/// The limit on conditions and events in one tree, each counted.
const PARTS_MAX: usize = 200;
/// How deep conditions may stand within each other.
const DEPTH_MAX: usize = 20;
/// The limit on a list of values.
const VALUES_MAX: usize = 1000;
/// The limit on the key of an audience or a computed trait, in bytes.
const KEY_BYTES_MAX: usize = 200;
/// Moments within these have a text form with a year of four digits: 0001-01-01 and 9999-12-30.
const MOMENT_MIN: Timestamp = Timestamp::from_millis(-62_135_596_800_000);
const MOMENT_MAX: Timestamp = Timestamp::from_millis(253_402_128_000_000);

type Checked = Result<(), ConditionError>;

/// Whether a condition makes sense about what it is to stand for.
///
/// # Errors
/// The first part that does not, why, and often what to write instead.
pub fn check_condition(condition: &Condition, scope: Scope) -> Checked {
    let stand = match scope {
        Scope::Profile => Stand::Profile,
        Scope::Account => Stand::Account,
        Scope::Event => Stand::Event,
    };
    let mut check = Check { place: String::new(), parts: 0 };
    check.condition(condition, stand, 1)?;
    check_length(condition)
}

/// Whether what is computed from events makes sense.
///
/// # Errors
/// As [`check_condition`].
pub(super) fn check_aggregate(aggregate: &Aggregate) -> Checked {
    let mut check = Check { place: String::new(), parts: 0 };
    check.aggregate(aggregate, 1)?;
    check_length(aggregate)
}

/// So that the text form can be read back.
fn check_length(form: &impl Display) -> Checked {
    let length = write::length(form);
    if length > TEXT_BYTES_MAX {
        let message = format!("has {length} bytes as text; the limit is {TEXT_BYTES_MAX}");
        return Err(ConditionError::in_tree("", message));
    }
    Ok(())
}

/// What a condition is about where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Profile,
    Account,
    Member,
    /// One of the events that a condition about profiles asks for, behind `where`.
    Where,
    /// An event on its way to a destination, with its profile beside it.
    Event,
}

/// Whether events may have a window of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Windows {
    Own,
    None,
}

struct Check {
    /// Where in the tree it is.
    place: String,
    parts: usize,
}

impl Check {
    fn refuse(&self, message: impl Into<String>) -> ConditionError {
        ConditionError::in_tree(self.place.as_str(), message)
    }

    /// Looks at a member of what stands here.
    fn at(&mut self, name: &str, look: impl FnOnce(&mut Self) -> Checked) -> Checked {
        let length = self.place.len();
        if length > 0 && !name.starts_with('[') {
            self.place.push('.');
        }
        self.place.push_str(name);
        let checked = look(self);
        self.place.truncate(length);
        checked
    }

    fn count(&mut self) -> Checked {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(self.refuse(format!("has more than {PARTS_MAX} conditions and events in all")));
        }
        Ok(())
    }

    fn condition(&mut self, condition: &Condition, stand: Stand, depth: usize) -> Checked {
        self.count()?;
        if depth > DEPTH_MAX {
            return Err(self.refuse(format!("conditions nest deeper than {DEPTH_MAX}")));
        }
        match condition {
            Condition::All(conditions) => self.at("all", |check| check.conditions(conditions, stand, depth)),
            Condition::Any(conditions) => self.at("any", |check| check.conditions(conditions, stand, depth)),
            Condition::Not(condition) => self.at("not", |check| check.condition(condition, stand, depth + 1)),
            Condition::Compare(comparison) => {
                self.at("compare", |check| check.comparison(comparison, stand, depth))
            }
            Condition::Performed(pattern) => self.at("performed", |check| {
                check.may_look_at_events(stand)?;
                check.pattern(pattern, Windows::Own, depth)
            }),
            Condition::Sequence(sequence) => self.at("sequence", |check| {
                check.may_look_at_events(stand)?;
                check.sequence(sequence, depth)
            }),
            Condition::Audience(key) => self.at("audience", |check| check.audience(key, stand)),
            Condition::Account(condition) => {
                self.may_look_at_accounts(stand)?;
                self.at("account", |check| check.condition(condition, Stand::Account, depth + 1))
            }
            Condition::Members(members) => self.at("members", |check| check.members(members, stand, depth)),
        }
    }

    fn conditions(&mut self, conditions: &[Condition], stand: Stand, depth: usize) -> Checked {
        if conditions.is_empty() {
            return Err(self.refuse("is empty").hinted("write at least one condition".to_owned()));
        }
        conditions.iter().enumerate().try_for_each(|(index, condition)| {
            self.at(&format!("[{index}]"), |check| check.condition(condition, stand, depth + 1))
        })
    }

    fn may_look_at_events(&self, stand: Stand) -> Checked {
        match stand {
            Stand::Profile | Stand::Member => Ok(()),
            Stand::Where | Stand::Event => Err(self.of_event_only()),
            Stand::Account => Err(self
                .refuse("an account performs no events")
                .hinted("its members do: `any member(…)`".to_owned())),
        }
    }

    fn of_event_only(&self) -> ConditionError {
        self.refuse("a condition about an event looks at that event alone")
            .hinted("compare its fields: `properties.total > 100`".to_owned())
    }

    fn may_look_at_accounts(&self, stand: Stand) -> Checked {
        match stand {
            Stand::Profile => Ok(()),
            Stand::Where | Stand::Event => Err(self.of_event_only()),
            Stand::Account => Err(self
                .refuse("this is about an account already")
                .hinted("leave `account(…)` out, or write `any member(…)`".to_owned())),
            Stand::Member => Err(self.refuse("the accounts of a member can't be asked for")),
        }
    }

    fn audience(&self, key: &str, stand: Stand) -> Checked {
        match stand {
            Stand::Profile => self.key(key),
            Stand::Where | Stand::Event => Err(self.of_event_only()),
            Stand::Account | Stand::Member => Err(self
                .refuse("within an account, audiences can't be asked for")
                .hinted("write what the audience stands for".to_owned())),
        }
    }

    fn key(&self, key: &str) -> Checked {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(self.refuse(format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    fn members(&mut self, members: &Members, stand: Stand, depth: usize) -> Checked {
        match stand {
            Stand::Account => {
                self.at("condition", |check| check.condition(&members.condition, Stand::Member, depth + 1))
            }
            Stand::Where | Stand::Event => Err(self.of_event_only()),
            Stand::Profile | Stand::Member => Err(self
                .refuse("members are those of an account")
                .hinted("write `account(any member(…))`".to_owned())),
        }
    }

    fn pattern(&mut self, pattern: &EventPattern, windows: Windows, depth: usize) -> Checked {
        self.count()?;
        if let Some(name) = &pattern.name {
            self.at("name", |check| check.event_name(name, pattern.kind))?;
        }
        if let Some(filter) = &pattern.filter {
            self.at("where", |check| check.condition(filter, Stand::Where, depth + 1))?;
        }
        self.at("window", |check| match (&pattern.window, windows) {
            (window, Windows::Own) => check.window(window),
            (Window::Ever, Windows::None) => Ok(()),
            (Window::Within(_) | Window::Between(..), Windows::None) => Err(check
                .refuse("an event in a sequence has no window of its own")
                .hinted("put it behind the sequence: `sequence(…) within 30d`".to_owned())),
        })
    }

    fn event_name(&self, name: &str, kind: EventKind) -> Checked {
        match kind {
            EventKind::Track | EventKind::Page | EventKind::Screen => {}
            EventKind::Identify | EventKind::Group | EventKind::Alias => {
                return Err(self
                    .refuse(format!("calls of {kind} have no name"))
                    .hinted(format!("write `{kind}()`")));
            }
        }
        if name.is_empty() {
            let hint = "leave it out for an event of any name".to_owned();
            return Err(self.refuse("is empty").hinted(hint));
        }
        Ok(())
    }

    fn window(&self, window: &Window) -> Checked {
        let Window::Between(from, to) = window else { return Ok(()) };
        if *from < MOMENT_MIN || *to > MOMENT_MAX {
            return Err(self.refuse("the years of a window are 1 to 9999"));
        }
        if from >= to {
            return Err(self
                .refuse("ends before it begins, or at once")
                .hinted("write the earlier moment first; the later one is not part of it".to_owned()));
        }
        Ok(())
    }

    fn sequence(&mut self, sequence: &Sequence, depth: usize) -> Checked {
        self.at("first", |check| check.pattern(&sequence.first, Windows::None, depth))?;
        self.at("then", |check| {
            if sequence.then.is_empty() {
                return Err(check.refuse("is empty").hinted("a sequence has at least two events".to_owned()));
            }
            sequence.then.iter().enumerate().try_for_each(|(index, step)| {
                check.at(&format!("[{index}]"), |check| {
                    check.at("event", |check| check.pattern(&step.event, Windows::None, depth))?;
                    let Some(without) = &step.without else { return Ok(()) };
                    check.at("without", |check| check.pattern(without, Windows::None, depth))
                })
            })
        })?;
        self.at("window", |check| match &sequence.window {
            Window::Ever | Window::Within(_) => Ok(()),
            Window::Between(..) => Err(check
                .refuse("a sequence has no two dates around it")
                .hinted("write `sequence(…) within 30d`".to_owned())),
        })
    }

    fn aggregate(&mut self, aggregate: &Aggregate, depth: usize) -> Checked {
        self.at("of", |check| check.pattern(&aggregate.of, Windows::Own, depth))?;
        let name = super::text::words::function_name(aggregate.function);
        let (message, hint) = match (takes_value(aggregate.function), &aggregate.value) {
            (true, Some(_)) | (false, None) => return Ok(()),
            (true, None) => {
                (format!("`{name}` needs a value"), format!("write `{name}(event(\"…\").properties.total)`"))
            }
            (false, Some(_)) => (
                format!("`{name}` looks at events, not at a value of them"),
                format!("write `{name}(event(\"…\"))`"),
            ),
        };
        self.at("value", |check| Err(check.refuse(message).hinted(hint)))
    }

    /// What is compared, where it stands.
    fn operand(&mut self, operand: &Operand, stand: Stand, depth: usize) -> Checked {
        match (operand, stand) {
            (Operand::Trait(_), Stand::Profile | Stand::Account | Stand::Member) => Ok(()),
            (Operand::Trait(path), Stand::Where | Stand::Event) => Err(self.no_traits_here(path, stand)),
            (Operand::Computed(key), Stand::Profile | Stand::Member) => {
                self.at("computed", |check| check.key(key))
            }
            (Operand::Aggregate(aggregate), Stand::Profile | Stand::Member) => {
                self.at("aggregate", |check| check.aggregate(aggregate, depth))
            }
            (Operand::Computed(_) | Operand::Aggregate(_), Stand::Where | Stand::Event) => {
                Err(self.of_event_only())
            }
            (Operand::Computed(_) | Operand::Aggregate(_), Stand::Account) => Err(self
                .refuse("nothing is computed for an account")
                .hinted("ask its members: `any member(…)`".to_owned())),
            (Operand::Field(path), _) => self.field(path, stand),
        }
    }
}

const fn takes_value(function: Function) -> bool {
    match function {
        Function::Count | Function::TimeSince => false,
        Function::Sum
        | Function::Average
        | Function::Min
        | Function::Max
        | Function::First
        | Function::Last
        | Function::MostFrequent
        | Function::UniqueList
        | Function::UniqueCount => true,
    }
}
