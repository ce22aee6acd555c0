//! The report of a preview, for people.

use crate::admin::identity::{BeforeAfter, PreviewReport};
use indicatif::HumanCount;
use std::fmt;

/// How many identifiers of a profile are named in a line.
const NAMED_MAX: usize = 5;

/// A report as text.
pub(super) struct Shown<'a>(pub(super) &'a PreviewReport);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let from = report.window.from.as_deref().map_or(String::new(), |from| format!(" from {from}"));
        let until = report.window.until.as_deref().map_or(String::new(), |until| format!(" until {until}"));
        writeln!(out, "{} events{from}{until}\n", HumanCount(report.events))?;
        writeln!(out, "{:24}{:>14}{:>14}", "", "rules now", "changed")?;
        row(out, "profiles", report.profiles)?;
        row(out, "identifiers on them", report.identifiers)?;
        row(out, "events without one", report.unidentified)?;
        writeln!(out, "\n{} profiles hold what is on several now (merged),", HumanCount(report.merges))?;
        writeln!(out, "{} profiles of now are on several then (split).", HumanCount(report.splits))?;
        for sample in &report.samples {
            writeln!(out, "\n  {}", sample.change)?;
            groups(out, "now", &sample.before)?;
            groups(out, "changed", &sample.after)?;
        }
        if !report.biggest_clusters.is_empty() {
            writeln!(out, "\nThe biggest profiles under the changed rules")?;
        }
        for cluster in &report.biggest_clusters {
            let named = named(&cluster.identifiers, cluster.size);
            writeln!(out, "  {:>10}  {}  {named}", HumanCount(cluster.size).to_string(), cluster.profile_id)?;
        }
        if !report.busiest_identifiers.is_empty() {
            writeln!(out, "\nThe identifiers that the most profiles showed")?;
        }
        for busy in &report.busiest_identifiers {
            writeln!(out, "  {:>10}  {}", HumanCount(busy.profiles).to_string(), busy.identifier)?;
        }
        Ok(())
    }
}

fn row(out: &mut fmt::Formatter<'_>, name: &str, numbers: BeforeAfter) -> fmt::Result {
    let BeforeAfter { before, after } = numbers;
    writeln!(out, "  {name:22}{:>14}{:>14}", HumanCount(before).to_string(), HumanCount(after).to_string())
}

fn groups(out: &mut fmt::Formatter<'_>, when: &str, profiles: &[Vec<String>]) -> fmt::Result {
    for (place, identifiers) in profiles.iter().enumerate() {
        let when = if place == 0 { when } else { "" };
        writeln!(out, "    {when:8}  {}", named(identifiers, identifiers.len() as u64))?;
    }
    Ok(())
}

/// The first of so many identifiers.
fn named(identifiers: &[String], size: u64) -> String {
    let shown = &identifiers[..identifiers.len().min(NAMED_MAX)];
    let names = shown.join(", ");
    match size.saturating_sub(shown.len() as u64) {
        0 => names,
        more => format!("{names} and {} more", HumanCount(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::identity::{BusyIdentifier, Cluster, PreviewWindow, Sample};

    #[test]
    fn every_part_of_a_report_is_shown() {
        let texts =
            |range: std::ops::Range<u32>| range.map(|n| format!("anonymous_id:{n}")).collect::<Vec<_>>();
        let report = PreviewReport {
            events: 12_345,
            window: PreviewWindow { from: Some("2026-11-20T10:00:00.000Z".to_owned()), until: None },
            profiles: BeforeAfter { before: 2_000, after: 1_999 },
            identifiers: BeforeAfter { before: 3_000, after: 3_001 },
            merges: 1,
            splits: 0,
            unidentified: BeforeAfter { before: 7, after: 8 },
            biggest_clusters: vec![Cluster {
                profile_id: "prf_1".to_owned(),
                size: 1_007,
                identifiers: texts(0..7),
            }],
            busiest_identifiers: vec![BusyIdentifier { identifier: "email:a@b".to_owned(), profiles: 9 }],
            samples: vec![Sample {
                change: "merged".to_owned(),
                before: vec![texts(0..1), texts(1..2)],
                after: vec![texts(0..2)],
            }],
        };
        let text = Shown(&report).to_string();
        for part in [
            "12,345 events from 2026-11-20T10:00:00.000Z\n",
            "  profiles                       2,000         1,999\n",
            "  merged\n    now       anonymous_id:0\n              anonymous_id:1\n    changed   anonymous_id:0, anonymous_id:1\n",
            "       1,007  prf_1  anonymous_id:0, anonymous_id:1, anonymous_id:2, anonymous_id:3, anonymous_id:4 and 1,002 more\n",
            "           9  email:a@b\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
