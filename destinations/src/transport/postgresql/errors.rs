//! What PostgreSQL's errors mean: by their SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
//!
//! Texts hold what PostgreSQL said only where that can't be about the data: messages about values quote them.

use crate::exchange::Verdict;
use crate::failure::{Failure, Reason};
use std::error::Error as _;
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

/// What may help.
pub(super) fn remedy(error: &Error) -> Remedy {
    let Some(refused) = error.as_db_error() else { return Remedy::Reconnect };
    let code = refused.code().code();
    match (class(code), code) {
        // Undefined table, column, schema; datatypes that differ; what was made by somebody else at the same time.
        (_, "42P01" | "42703" | "3F000" | "42804" | "42P07" | "42701" | "42P06") => Remedy::ReadSchema,
        // Two that make the same at the same time can also meet in a catalog's index.
        ("23", _) if refused.schema() == Some("pg_catalog") => Remedy::ReadSchema,
        ("22" | "23" | "54", _) => Remedy::EachRow,
        ("08", _) | (_, "57P01" | "57P02" | "57P03") => Remedy::Reconnect,
        _ => Remedy::None,
    }
}

/// What an error means for the rows that it is about.
pub(super) fn verdict(error: &Error) -> Verdict {
    match error.as_db_error() {
        Some(refused) => refusal(refused),
        None => broken(error),
    }
}

/// Why a row is refused.
pub(super) fn refused_row(error: &Error) -> Failure {
    let text = error.as_db_error().map_or_else(|| "the row was refused".to_owned(), words);
    Failure::new(Reason::DataRefused, text)
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

fn refusal(refused: &DbError) -> Verdict {
    let code = refused.code().code();
    let text = words(refused);
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
        ("0A" | "21" | "22" | "23" | "42" | "44" | "54" | "P0", _) => {
            Verdict::Rejected(Failure::new(Reason::DataRefused, text))
        }
        // No room, too many connections, a transaction that lost against another, trouble of its own.
        _ => again(Failure::new(Reason::ServerError, text)),
    }
}

/// What it said, with the names of what it is about.
fn words(refused: &DbError) -> String {
    let code = refused.code().code();
    let mut text = match class(code) {
        "22" => "a value does not fit its column".to_owned(),
        "23" | "44" => "the row breaks a constraint".to_owned(),
        "P0" => "a trigger or a function refused the row".to_owned(),
        _ => refused.message().to_owned(),
    };
    let names =
        [("table", refused.table()), ("column", refused.column()), ("constraint", refused.constraint())];
    for (what, name) in names {
        if let Some(name) = name {
            text.push_str(&format!(", {what} {name}"));
        }
    }
    text.push_str(&format!(" (SQLSTATE {code})"));
    text
}

/// An error that PostgreSQL did not send. The library tells kinds apart by their texts only.
fn broken(error: &Error) -> Verdict {
    let kind = error.to_string();
    let text = error.source().map_or_else(|| kind.clone(), |cause| format!("{kind}: {cause}"));
    let failure = match kind.as_str() {
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
