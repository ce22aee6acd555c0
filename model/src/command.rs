//! What people command about profiles. A command is a record of the events log: its place there decides what it
//! meets, and it is decided again, in the same way, whenever the log is read again.

use crate::id::ProfileId;
use crate::identifier::Identifier;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A command, and who gave it. Its `Debug` hides the reason, which may name people.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Who gave it, as the history shows it.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Parts a profile, for good.
    Unmerge {
        /// Whose profile.
        who: Who,
        /// What is parted from what.
        target: UnmergeTarget,
        /// Whether what the joint profile had decided (limits, caps, blocks) is decided anew.
        retake: bool,
    },
    /// Gives a profile an identifier, whoever had it.
    Link {
        /// Whose profile.
        who: Who,
        /// What it gets.
        identifier: Identifier,
    },
    /// Takes an identifier from a profile. It is nobody's until it is seen again.
    Remove {
        /// Whose profile.
        who: Who,
        /// What it loses.
        identifier: Identifier,
    },
    /// Takes an identifier from one profile and gives it to another.
    Move {
        /// Who loses it.
        who: Who,
        /// What is moved.
        identifier: Identifier,
        /// Who gets it.
        to: Who,
    },
    /// Resolves all evidence of the workspace again under the rules in force.
    Rebuild,
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The profile of that id, or the one that it was merged into.
    Profile(ProfileId),
    /// Whose profile has that identifier.
    Identifier(Identifier),
}

/// What an unmerge parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmergeTarget {
    /// An identifier from all others.
    Identifier(Identifier),
    /// What a link ties together.
    Edge(Identifier, Identifier),
    /// What a merge joined: the sequence number of the record that brought it about.
    Merge(u64),
    /// These from each other.
    Sides(Vec<Vec<Identifier>>),
}

impl Command {
    /// The stored form, version 1: JSON.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("a command is text, numbers and lists").into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the bytes are no command.
    pub fn decode(payload: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(payload)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = if self.reason.is_some() { "…" } else { "" };
        out.debug_struct("Command")
            .field("by", &self.by)
            .field("reason", &format_args!("{reason}"))
            .field("action", &self.action)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::Namespace;
    use crate::{Record, RecordKind, Timestamp, WorkspaceId};

    fn id(namespace: Namespace, value: &str) -> Identifier {
        Identifier::parse(namespace, value).expect("an identifier")
    }

    fn command(action: Action) -> Command {
        Command { by: "support".to_owned(), reason: Some("asked by Ada".to_owned()), action }
    }

    /// Commands stay in logs for years: what each looks like there.
    #[test]
    fn stored_commands_are_read_for_ever() {
        let (user, email) = (id(Namespace::USER_ID, "u1"), id(Namespace::EMAIL, "a@x"));
        let who = Who::Identifier(user.clone());
        let unmerge = |target| Action::Unmerge { who: who.clone(), target, retake: false };
        let u1 = r#"{"namespace":"user_id","value":"u1"}"#;
        let mail = r#"{"namespace":"email","value":"a@x"}"#;
        let unmerged = |target: &str| {
            format!(r#"{{"unmerge":{{"who":{{"identifier":{u1}}},"target":{target},"retake":false}}}}"#)
        };
        let zeros = ["0"; 16].join(",");
        let cases = [
            (
                unmerge(UnmergeTarget::Identifier(email.clone())),
                unmerged(&format!(r#"{{"identifier":{mail}}}"#)),
            ),
            (
                unmerge(UnmergeTarget::Edge(user.clone(), email.clone())),
                unmerged(&format!(r#"{{"edge":[{u1},{mail}]}}"#)),
            ),
            (unmerge(UnmergeTarget::Merge(7)), unmerged(r#"{"merge":7}"#)),
            (
                unmerge(UnmergeTarget::Sides(vec![vec![user], vec![email.clone()]])),
                unmerged(&format!(r#"{{"sides":[[{u1}],[{mail}]]}}"#)),
            ),
            (
                Action::Link { who: Who::Profile(ProfileId([0; 16])), identifier: email.clone() },
                format!(r#"{{"link":{{"who":{{"profile":[{zeros}]}},"identifier":{mail}}}}}"#),
            ),
            (
                Action::Remove { who: who.clone(), identifier: email.clone() },
                format!(r#"{{"remove":{{"who":{{"identifier":{u1}}},"identifier":{mail}}}}}"#),
            ),
            (
                Action::Move { who: who.clone(), identifier: email.clone(), to: Who::Identifier(email) },
                format!(
                    r#"{{"move":{{"who":{{"identifier":{u1}}},"identifier":{mail},"to":{{"identifier":{mail}}}}}}}"#
                ),
            ),
            (Action::Rebuild, r#""rebuild""#.to_owned()),
        ];
        for (action, json) in cases {
            let command = command(action);
            let want = format!(r#"{{"by":"support","reason":"asked by Ada","action":{json}}}"#);
            assert_eq!(String::from_utf8_lossy(&command.encode()), want);
            assert_eq!(Command::decode(want.as_bytes()).expect("a command"), command);
        }
    }

    #[test]
    fn a_command_is_a_record() {
        let at = Timestamp::parse("2026-11-20T10:00:00Z").expect("a time");
        let command = command(Action::Rebuild);
        let record = Record::of_command(WorkspaceId(3), 9, at, &command);
        let read = Record::decode(&record.encode()).expect("own bytes");
        assert_eq!(read, record);
        assert_eq!((read.envelope.kind, read.envelope.workspace_version), (RecordKind::Command, 9));
        assert_eq!(Command::decode(&read.payload).expect("a command"), command);
    }

    #[test]
    fn debug_hides_values_and_reasons() {
        let who = Who::Identifier(id(Namespace::EMAIL, "ada@example.com"));
        let shown =
            format!("{:?}", command(Action::Remove { who, identifier: id(Namespace::USER_ID, "ada") }));
        assert!(shown.contains("email:…") && !shown.to_lowercase().contains("ada"), "{shown}");
    }
}
