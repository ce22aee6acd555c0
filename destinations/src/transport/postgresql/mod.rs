//! Rows in a PostgreSQL database: typed tables whose columns grow with what is sent.
//!
//! A payload is a row:
//!
//! ```json
//! {"table": "users", "key": ["user_id"], "newest_by": "event_time",
//!  "row": {"user_id": "u1", "event_time": "2026-11-20T10:00:00Z"}, "spread": {"trait": {"plan": "pro"}}}
//! ```
//!
//! All rows of a batch are stored in one transaction, which also makes the schema, tables and columns that are missing
//! (`schema`). Names are made safe (`names`), objects are taken apart (`rows`), values get types (`columns`). A row is
//! found again by its key, so a repeated one changes nothing; with `newest_by`, an older one changes nothing either
//! (`insert`).
//!
//! A value that does not fit its column, or whose column PostgreSQL would not make or change, fails no row: it goes to the
//! table `discards`, with the row's delivery id, table, column, the value as text, the reason and the row's time. A row
//! that PostgreSQL refuses fails alone: the batch is stored again in halves, down to that row. It is given up where the error
//! is about what it holds, and tried again where that can't be told, as of an error that a trigger names itself. A table that
//! takes no row at all pauses the destination.
//!
//! Guarantees: either all rows of a batch that are not refused are stored, or none; a delivery is reported as taken only
//! after the commit. Values are parameters, never part of a statement. An exchange has one deadline; a connection on which
//! one broke off is not used again.
//!
//! What is shown and remembered holds no secrets, also where the server repeats one.
//!
//! Limits: [`schema::COLUMNS_MAX`] columns a table, [`schema::TABLES_MAX`] tables a schema, names of
//! [`names::NAME_BYTES_MAX`] bytes, keys of 800 bytes, objects 64 deep, 100 discarded values a row, answers of
//! [`bounded::ANSWER_BYTES_MAX`] bytes.

mod bounded;
mod calls;
mod columns;
mod connection;
mod errors;
mod insert;
mod keys;
mod names;
mod refusals;
mod rows;
mod schema;
mod settings;
mod write;

pub(crate) use keys::check_columns;

use super::{Called, Person, Transport, TransportParts};
use crate::connect::{Masker, Whole};
use crate::definition::{RawSettings, SettingsError, Spec};
use crate::exchange::{Exchange, Payload, RequestRecord, ResponseRecord, Verdict};
use crate::failure::{Failure, Reason};
use connection::Connections;
use futures_util::future::BoxFuture;
use refusals::Refusals;
use rows::{Entry, Names};
use settings::Settings;
use std::time::Duration;
use tributary_model::Timestamp;

/// A schema of a database.
pub(super) struct Postgresql {
    names: Names,
    schema: String,
    /// Where it is, for people: without user and password.
    target: String,
    connections: Connections,
    refusals: Refusals,
    masker: Masker,
    timeout: Duration,
    response_bytes: usize,
}

impl Postgresql {
    /// The one that these settings name; nothing is connected yet.
    ///
    /// # Errors
    /// The first setting that can't be used.
    pub(super) fn new(
        spec: &'static Spec,
        settings: &RawSettings,
        parts: &TransportParts,
    ) -> Result<Self, SettingsError> {
        let masker = Masker::of_settings(spec, settings);
        let settings = Settings::read(spec, settings, &parts.outbound)?;
        let connections = Connections::new(
            parts.outbound.clone(),
            (settings.host.as_str(), settings.port),
            settings.config,
            settings.tls,
            masker.clone(),
            parts.timeout,
        );
        Ok(Self {
            names: Names::of(spec),
            schema: settings.schema,
            target: settings.target,
            connections,
            refusals: Refusals::default(),
            masker,
            timeout: parts.timeout,
            response_bytes: parts.response_bytes,
        })
    }

    /// The payloads as rows; and of those that are none, why.
    fn read(&self, payloads: &[Payload]) -> (Vec<Entry>, Vec<(usize, Failure)>) {
        let (mut entries, mut refused) = (Vec::with_capacity(payloads.len()), Vec::new());
        for (place, payload) in payloads.iter().enumerate() {
            match rows::read(&self.names, place, payload) {
                Ok(entry) => entries.push(entry),
                Err(failure) => refused.push((place, failure)),
            }
        }
        (entries, refused)
    }

    async fn exchange(&self, payloads: &[Payload]) -> Exchange {
        let mut verdicts = vec![Verdict::Delivered; payloads.len()];
        let (entries, refused) = self.read(payloads);
        for (place, failure) in refused {
            verdicts[place] = Verdict::Rejected(failure);
        }
        if entries.is_empty() {
            return Exchange { response: None, verdicts, by_item: true };
        }
        let (response, by_item) = match self.in_time(self.write(&entries)).await {
            Ok(written) => {
                for (place, verdict) in written.refused {
                    verdicts[place] = verdict;
                }
                (written.response, true)
            }
            Err(verdict) => {
                for entry in &entries {
                    verdicts[entry.payload] = verdict.clone();
                }
                (errors::text(&verdict), false)
            }
        };
        Exchange { response: Some(self.response(&response)), verdicts, by_item }
    }

    /// Does something within the time for an exchange. What is not done by then is broken off, its connection with it.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Verdict>>) -> Result<T, Verdict> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => {
                let failure = Failure::outage(Reason::Timeout, "no answer in time");
                Err(Verdict::Retry { failure, after: None })
            }
        }
    }

    fn response(&self, text: &str) -> ResponseRecord {
        let body = self.masker.beginning(text.as_bytes(), Whole::Given, self.response_bytes);
        ResponseRecord { status: None, body }
    }

    /// What is shown of statements.
    fn request(&self, statements: &str, body_bytes: usize) -> RequestRecord {
        RequestRecord {
            method: "SQL".to_owned(),
            target: self.target.clone(),
            headers: Vec::new(),
            body_bytes: statements.len() as u64,
            body: self.masker.beginning(statements.as_bytes(), Whole::Given, body_bytes),
        }
    }

    /// What a call beside deliveries did.
    fn called(&self, statements: &str, response: &str, verdict: Verdict) -> Called {
        let request = self.request(statements, usize::MAX);
        Called { request, response: Some(self.response(response)), verdict }
    }
}

impl Transport for Postgresql {
    fn part(&self, _: &Payload) -> u64 {
        0
    }

    fn describe(
        &self,
        payloads: &[Payload],
        _: Timestamp,
        body_bytes: usize,
    ) -> Result<RequestRecord, Failure> {
        let (entries, refused) = self.read(payloads);
        match refused.into_iter().next() {
            Some((_, failure)) if entries.is_empty() => Err(failure),
            Some(_) | None => Ok(self.request(&self.statements(&entries), body_bytes)),
        }
    }

    fn send<'a>(&'a self, payloads: &'a [Payload], _: Timestamp) -> BoxFuture<'a, Exchange> {
        Box::pin(self.exchange(payloads))
    }

    fn test(&self, _: Timestamp) -> Option<BoxFuture<'_, Called>> {
        Some(Box::pin(self.try_settings()))
    }

    fn delete<'a>(&'a self, person: &'a Person, _: Timestamp) -> Option<BoxFuture<'a, Called>> {
        Some(Box::pin(self.delete_person(person)))
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "real-components"))]
mod real;
