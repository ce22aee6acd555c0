//! What PostgreSQL's errors mean: by their SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
//!
//! Texts hold what PostgreSQL said only where that can't be about the data: messages about values quote them. They are
//! bounded, and without secrets: whoever answers may say what they like, and knows what was sent to log in.

use super::bounded::ANSWER_BYTES_MAX;
use crate::connect::Masker;
use crate::exchange::Verdict;
use crate::failure::{Failure, Reason};
use std::error::Error as _;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// What may help before a verdict is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// What is known of the schema is out of date.
    ReadSchema,
    /// Single rows are refused: those have to be found.
    EachRow,
    /// The connection was gone before it was used.
    Reconnect,
    /// Nothing.
    None,
}

/// For how long a change of a table that PostgreSQL refused is not asked for again.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);

/// The same where others had locked the table.
const LOCKED_FOR: Duration = Duration::from_secs(60);

/// Bytes of what it said that are kept.
const WORDS_BYTES_MAX: usize = 300;

/// Bytes of an SQLSTATE.
const CODE_BYTES: usize = 5;

/// Classes of errors that are about no row: connection, features, transactions, rights, names, statements, room, locks,
/// operators, the server's own system, tables of other servers.
const OF_NO_ROW: [&str; 22] = [
    "08", "0A", "0B", "0L", "0P", "25", "26", "28", "2B", "2D", "3B", "3D", "3F", "40", "42", "53", "55",
    "57", "58", "72", "F0", "HV",
];

/// What is stored can't be read.
const DAMAGE: [&str; 2] = ["XX001", "XX002"];

/// What PostgreSQL said, and of what.
pub(super) struct Trouble {
    pub(super) error: Error,
    about: About,
}

/// What an error is about.
enum About {
    /// The connection, the session, the schema.
    Session,
    /// Rows of this table.
    Table(String),
    /// Rows of any table that was written to: constraints and triggers may wait for the end of the transaction.
    Rows,
}

impl About {
    fn table(&self) -> Option<&str> {
        match self {
            Self::Table(table) => Some(table),
            Self::Session | Self::Rows => None,
        }
    }

    /// Whether what is said of it may quote values.
    fn may_be_quoted(&self) -> bool {
        match self {
            Self::Table(_) | Self::Rows => true,
            Self::Session => false,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { error, about: About::Session }
    }
}

impl Trouble {
    /// About that table.
    pub(super) fn of(table: &str, error: Error) -> Self {
        Self { error, about: About::Table(table.to_owned()) }
    }

    /// At the end of a transaction that stored rows.
    pub(super) fn at_end(error: Error) -> Self {
        Self { error, about: About::Rows }
    }

    /// What it means for the rows that it is about.
    pub(super) fn verdict(&self, masker: &Masker) -> Verdict {
        match self.error.as_db_error() {
            Some(refused) => refusal(refused, &self.about, masker),
            None if is_unsent(&self.error) => {
                Verdict::Rejected(Failure::new(Reason::DataRefused, said(&self.error, masker)))
            }
            None => broken(&self.error, masker),
        }
    }
}

/// What may help.
pub(super) fn remedy(error: &Error) -> Remedy {
    let Some(refused) = error.as_db_error() else {
        return if is_unsent(error) { Remedy::EachRow } else { Remedy::Reconnect };
    };
    let code = refused.code().code();
    match (class(code), code) {
        // Undefined table, column, schema; datatypes that differ; what was made by somebody else at the same time.
        (_, "42P01" | "42703" | "3F000" | "42804" | "42P07" | "42701" | "42P06") => Remedy::ReadSchema,
        // Two that make the same at the same time can also meet in a catalog's index.
        ("23", _) if refused.schema() == Some("pg_catalog") => Remedy::ReadSchema,
        ("08", _) | (_, "57P01" | "57P02" | "57P03") => Remedy::Reconnect,
        _ if may_be_of_row(code) || is_of_policy(refused) => Remedy::EachRow,
        _ => Remedy::None,
    }
}

/// Whether it may be about what a row holds. Triggers, functions and types within the database raise codes of their own, so
/// that is all that is not known to be about the statement, the session, the server or what it has stored.
fn may_be_of_row(code: &str) -> bool {
    !OF_NO_ROW.contains(&class(code)) && !DAMAGE.contains(&code)
}

/// Whether a policy of the table refuses a row. Its code is that of all missing rights; only the routine tells.
fn is_of_policy(refused: &DbError) -> bool {
    refused.code().code() == "42501" && refused.routine() == Some("ExecWithCheckOptions")
}

/// Whether the library itself could not send something: the connection is as good as before.
pub(super) fn is_unsent(error: &Error) -> bool {
    let kind = error.to_string();
    kind == "error encoding message to server" || kind.starts_with("error serializing parameter")
}

/// Whether a change of a table is refused whoever asks and however often: a view needs the column as it is, the table
/// has no room for another, it belongs to a type.
pub(super) fn is_refused_change(error: &Error) -> bool {
    let Some(code) = error.as_db_error().map(|refused| refused.code().code()) else { return false };
    match (class(code), code) {
        // A name that all tables have for themselves, a default that no other type can have: unlike with others of their
        // kind, reading again won't help.
        (_, "42701" | "42804") => true,
        (_, "42501") => false,
        ("0A" | "22" | "23" | "2B" | "42" | "54", _) => remedy(error) != Remedy::ReadSchema,
        _ => false,
    }
}

/// What a column that could not be made wider means for later attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotWidened {
    /// For how long it is left as it is.
    pub(super) span: Duration,
    /// The table's other columns are left as they are, too: it is too large for the time or the room that there is, or
    /// others have locked it.
    pub(super) whole_table: bool,
}

/// Why a column could not be made wider; `None` where the error says nothing about that.
pub(super) fn not_widened(error: &Error) -> Option<NotWidened> {
    let code = error.as_db_error().map(|refused| refused.code().code())?;
    match code {
        "55P03" => Some(NotWidened { span: LOCKED_FOR, whole_table: true }),
        "57014" | "53100" | "53200" | "53400" => Some(NotWidened { span: REFUSED_FOR, whole_table: true }),
        _ => is_refused_change(error).then_some(NotWidened { span: REFUSED_FOR, whole_table: false }),
    }
}

/// What an error means that is about no table.
pub(super) fn verdict(error: &Error, masker: &Masker) -> Verdict {
    match error.as_db_error() {
        Some(refused) => refusal(refused, &About::Session, masker),
        None => broken(error, masker),
    }
}

/// What it means that an answer was too long to be read.
pub(super) fn flooded() -> Verdict {
    let text =
        format!("the server's answer is longer than {} MiB, which is not read", ANSWER_BYTES_MAX >> 20);
    Verdict::Retry { failure: Failure::outage(Reason::UnreadableAnswer, text), after: None }
}

/// In words, for people; without values.
pub(super) fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Delivered => String::new(),
        Verdict::Retry { failure, .. } | Verdict::Rejected(failure) | Verdict::Credentials(failure) => {
            failure.text.clone()
        }
    }
}

fn class(code: &str) -> &str {
    code.get(..2).unwrap_or_default()
}

fn refusal(refused: &DbError, about: &About, masker: &Masker) -> Verdict {
    let code = refused.code().code();
    let text = words(refused, about, masker);
    if let (Some(table), Some(advice)) = (about.table(), advice(code)) {
        let text = format!("the table {table}: {text}; {advice}");
        return Verdict::Credentials(Failure::new(Reason::DataRefused, text));
    }
    let again = |failure| Verdict::Retry { failure, after: None };
    match (class(code), code) {
        ("28", _) => Verdict::Credentials(Failure::new(Reason::Unauthorized, text)),
        ("3D" | "3F", _) => Verdict::Credentials(Failure::new(Reason::NotFound, text)),
        (_, "42501") => Verdict::Credentials(Failure::new(Reason::PermissionDenied, text)),
        // Canceled after the time that the transaction may take; no lock within its time.
        (_, "57014" | "55P03") => again(Failure::new(Reason::Timeout, text)),
        ("08" | "57", _) => again(Failure::outage(Reason::Connection, text)),
        // A standby that takes no writes, for instance after a failover.
        (_, "25006") => again(Failure::outage(Reason::ServerError, text)),
        // No room, no memory, too many connections; trouble of its own system.
        ("53" | "58", _) => again(Failure::outage(Reason::ServerError, text)),
        ("0A" | "21" | "22" | "23" | "42" | "44" | "54" | "P0", _) => {
            Verdict::Rejected(Failure::new(Reason::DataRefused, text))
        }
        // A transaction that lost against another, what is stored can't be read, codes that are not known.
        _ => again(Failure::new(Reason::ServerError, text)),
    }
}

/// What to do about a table that takes no row at all, whatever is in it.
fn advice(code: &str) -> Option<&'static str> {
    match code {
        "42P10" => Some(
            "make it a table with a primary key or a unique index of exactly the key's columns, or let the \
             mapping name another table or key",
        ),
        "42809" | "55000" => {
            Some("it is not a table that takes rows; rename it, or let the mapping name another table")
        }
        "428C9" => Some(
            "PostgreSQL fills that column itself (GENERATED ALWAYS); make it a common column, or leave it out of \
             the mapping",
        ),
        _ => None,
    }
}

/// What it said, with the names of what it is about.
fn words(refused: &DbError, about: &About, masker: &Masker) -> String {
    let code = refused.code().code();
    let mut text = match class(code) {
        "22" => "a value does not fit its column".to_owned(),
        "23" | "44" => "the row breaks a constraint".to_owned(),
        "P0" => "a trigger or a function refused the row".to_owned(),
        // Limits are told without values; whatever else refuses rows may quote them.
        class if class != "54" && about.may_be_quoted() && may_be_of_row(code) => {
            "PostgreSQL could not store the row".to_owned()
        }
        _ => refused.message().to_owned(),
    };
    let names =
        [("table", refused.table()), ("column", refused.column()), ("constraint", refused.constraint())];
    for (what, name) in names {
        if let Some(name) = name {
            text.push_str(&format!(", {what} {name}"));
        }
    }
    format!("{} (SQLSTATE {})", kept(&text, masker), masker.body(code.as_bytes(), CODE_BYTES))
}

/// What is kept of a text.
fn kept(text: &str, masker: &Masker) -> String {
    masker.body(text.as_bytes(), WORDS_BYTES_MAX)
}

/// What the library says of an error, and of its cause.
fn said(error: &Error, masker: &Masker) -> String {
    let text = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    kept(&text, masker)
}

/// An error that PostgreSQL did not send. The library tells kinds apart by their texts only.
fn broken(error: &Error, masker: &Masker) -> Verdict {
    let text = said(error, masker);
    let failure = match error.to_string().as_str() {
        "authentication error" | "invalid configuration" => {
            return Verdict::Credentials(Failure::new(Reason::Unauthorized, text));
        }
        "error performing TLS handshake" => Failure::outage(Reason::Tls, text),
        "unexpected message from server" | "error parsing response from server" => {
            Failure::outage(Reason::UnreadableAnswer, text)
        }
        _ => Failure::outage(Reason::Connection, text),
    };
    Verdict::Retry { failure, after: None }
}
