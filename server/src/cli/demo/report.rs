//! What happened on the day, beside what was expected.

use super::api::Profile;
use super::observe::Observed;
use super::sender::Posted;
use crate::app::FirstStart;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use tributary_sample::{Channel, Expectation};

/// The numbers of a day that is over.
pub(super) struct Report<'a> {
    pub(super) want: &'a Expectation,
    pub(super) observed: Observed,
    pub(super) profile: Profile,
    pub(super) posted: Posted,
}

/// A number that happened, and the one that was expected.
struct Row {
    name: &'static str,
    got: u64,
    want: u64,
}

impl Report<'_> {
    /// The names of what is not as expected.
    pub(super) fn differences(&self) -> Vec<&'static str> {
        let rows = self.rows().into_iter().filter(|row| row.got != row.want).map(|row| row.name);
        let parts = [
            ("identifiers of the profile", self.identifiers_agree()),
            ("traits of the profile", self.traits_agree()),
        ];
        rows.chain(parts.into_iter().filter(|(_, agree)| !agree).map(|(name, _)| name)).collect()
    }

    /// Where everything listens, and how to go on from here.
    pub(super) fn addresses(&self, http: SocketAddr, api: SocketAddr, first: &FirstStart) -> String {
        let FirstStart { admin_token: token, write_key } = first;
        let user_id = self.want.example.user_id().unwrap_or_default();
        format!(
            "\nTracking API  http://{http}/v1/…      write key  {write_key}\n\
             Profile and admin API  http://{api}/  token  {token}\n\n\
             Post an event:\n  \
             curl -u {write_key}: http://{http}/v1/track -H 'content-type: application/json' \\\n    \
             -d '{{\"userId\":\"{user_id}\",\"event\":\"Coffee Ordered\",\"properties\":{{\"cups\":2}}}}'\n\
             Read the profile:\n  \
             curl -H 'authorization: Bearer {token}' \\\n    \
             http://{api}/v1/spaces/default/collections/users/profiles/user_id:{user_id}/traits\n"
        )
    }

    fn rows(&self) -> Vec<Row> {
        let row = |name, got, want| Row { name, got, want };
        let (got, want) = (&self.observed, self.want);
        vec![
            row("accepted", got.accepted, want.accepted),
            row("rejected", got.rejected, 0),
            row("duplicates", got.duplicates, want.duplicates),
            row("folded into profiles", got.projected, want.distinct),
            row("profiles", got.profiles, want.profiles),
            row("events delivered", got.arrived.events, want.distinct),
            row("with a wrong signature", got.arrived.unverified, 0),
            row("events of the profile below", self.profile.events, want.example.events),
        ]
    }

    fn identifiers_agree(&self) -> bool {
        let want: BTreeSet<(String, String)> = self
            .want
            .example
            .identifiers
            .iter()
            .map(|(namespace, value)| ((*namespace).to_owned(), value.clone()))
            .collect();
        want == self.profile.identifiers
    }

    fn traits_agree(&self) -> bool {
        self.want.example.traits == self.profile.traits
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels: Vec<String> = Channel::ALL
            .iter()
            .zip(self.posted.by_channel)
            .map(|(channel, count)| format!("{} {}", channel.name(), grouped(count)))
            .collect();
        writeln!(
            out,
            "  {} in {} requests, {} of them late",
            channels.join(", "),
            self.posted.requests,
            self.want.late
        )?;
        writeln!(out, "\n{:30}{:>10}{:>10}", "", "happened", "expected")?;
        for row in self.rows() {
            let mark = mark(row.got == row.want);
            writeln!(out, "  {:28}{:>10}{:>10}  {mark}", row.name, grouped(row.got), grouped(row.want))?;
        }
        let id = self.profile.metadata.get("profile_id").and_then(|id| id.as_str()).unwrap_or_default();
        writeln!(out, "\nA merged profile, {id}")?;
        writeln!(out, "  identifiers  {}", mark(self.identifiers_agree()))?;
        for (namespace, value) in &self.profile.identifiers {
            writeln!(out, "    {namespace:16}{value}")?;
        }
        if !self.identifiers_agree() {
            writeln!(out, "    expected: {:?}", self.want.example.identifiers)?;
        }
        writeln!(out, "  traits  {}", mark(self.traits_agree()))?;
        for (name, value) in &self.profile.traits {
            writeln!(out, "    {name:16}{value}")?;
        }
        if !self.traits_agree() {
            writeln!(out, "    expected: {:?}", self.want.example.traits)?;
        }
        Ok(())
    }
}

pub(super) fn mark(agree: bool) -> char {
    if agree { '✓' } else { '✗' }
}

/// A number with its thousands set apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
