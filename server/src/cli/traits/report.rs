//! What became of an import.

use super::feed::Batch;
use crate::bulk::Format;
use crate::bulk::read::Problem;
use indicatif::HumanCount;
use std::fmt;
use std::path::PathBuf;

/// How many rejected rows are shown.
const SHOWN_MAX: usize = 20;

/// Why an import ended before its file did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was told to stop.
    Told,
    /// It could not go on.
    Failed(String),
}

/// What the collector set aside.
#[derive(Debug, PartialEq, Eq)]
enum SetAside {
    /// Nobody could ask.
    NotAsked,
    /// What there was is among the rejected rows.
    Known,
    /// It could not be found out.
    Unknown(String),
}

/// The rows of an import, counted.
pub(super) struct Report {
    file: PathBuf,
    format: Format,
    rows: u64,
    rejected: u64,
    /// The first of the rejected ones.
    shown: Vec<Problem>,
    /// Where to go on; everything before is settled.
    next: Option<u64>,
    ending: Option<Ending>,
    set_aside: SetAside,
}

impl Report {
    pub(super) fn new(file: PathBuf, format: Format) -> Self {
        Self {
            file,
            format,
            rows: 0,
            rejected: 0,
            shown: Vec::new(),
            next: None,
            ending: None,
            set_aside: SetAside::NotAsked,
        }
    }

    /// Takes in a batch that was posted, and the rows of it that were refused.
    pub(super) fn take(&mut self, batch: &Batch, refused: Vec<Problem>) {
        self.rows += (batch.events.len() + batch.problems.len()) as u64;
        self.next = Some(batch.next);
        self.reject(batch.problems.iter().cloned());
        self.reject(refused);
    }

    /// Takes in why there is no more.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    /// Takes in what was set aside, if that could be found out.
    pub(super) fn take_set_aside(&mut self, found: anyhow::Result<Vec<Problem>>) {
        match found {
            Ok(problems) => {
                self.set_aside = SetAside::Known;
                self.reject(problems);
            }
            Err(error) => self.set_aside = SetAside::Unknown(format!("{error:#}")),
        }
    }

    /// How many rows the collector has.
    pub(super) fn accepted(&self) -> u64 {
        self.rows.saturating_sub(self.rejected)
    }

    /// Whether all is well, as far as is known.
    pub(super) fn is_clean(&self) -> bool {
        let is_known = match self.set_aside {
            SetAside::NotAsked | SetAside::Known => true,
            SetAside::Unknown(_) => false,
        };
        self.rejected == 0 && self.ending.is_none() && is_known
    }

    fn reject(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.rejected += 1;
            self.shown.push(problem);
        }
        self.shown.sort_by_key(|problem| problem.place);
        self.shown.truncate(SHOWN_MAX);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: u64| HumanCount(number).to_string();
        let place = self.format.place();
        writeln!(
            out,
            "{}: {} rows read, {} accepted, {} rejected",
            self.file.display(),
            count(self.rows),
            count(self.accepted()),
            count(self.rejected)
        )?;
        for problem in &self.shown {
            writeln!(out, "  {place} {}: {}", problem.place, problem.reason)?;
        }
        match self.rejected.saturating_sub(self.shown.len() as u64) {
            0 => {}
            more => writeln!(out, "  … and {} more", count(more))?,
        }
        match &self.set_aside {
            SetAside::NotAsked => {
                writeln!(out, "Whether the collector set rows aside was not asked: give a token to know.")?;
            }
            SetAside::Known => {}
            SetAside::Unknown(why) => {
                writeln!(out, "Whether the collector set rows aside is not known: {why}.")?;
            }
        }
        let why = match &self.ending {
            None => return Ok(()),
            Some(Ending::Told) => "told to stop",
            Some(Ending::Failed(why)) => why,
        };
        writeln!(out, "Not all of the file was read: {why}.")?;
        let next = self.next.unwrap_or(1);
        writeln!(
            out,
            "Run the same command again: rows that arrived are known and count once. --resume-from {next} saves sending \
             them again."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::Event;
    use super::*;

    fn batch(events: u64, problems: &[u64], next: u64) -> Batch {
        let events = (0..events).map(|place| Event { place, json: String::new() }).collect();
        let problems =
            problems.iter().map(|place| Problem { place: *place, reason: "no id".to_owned() }).collect();
        Batch { events, problems, next, ..Batch::default() }
    }

    #[test]
    fn rows_are_counted_and_the_first_bad_ones_shown() {
        let mut report = Report::new("scores.csv".into(), Format::Csv);
        report.take(&batch(1_000, &[], 1_001), Vec::new());
        assert!(report.is_clean());
        let many: Vec<u64> = (1_001..1_031).collect();
        report.take(&batch(9, &many, 1_041), vec![Problem { place: 1_000, reason: "too large".to_owned() }]);
        report.take_set_aside(Ok(vec![Problem { place: 3, reason: "too deep".to_owned() }]));
        let text = report.to_string();
        for part in [
            "scores.csv: 1,039 rows read, 1,007 accepted, 32 rejected\n  row 3: too deep\n  row 1000: too large\n  row 1001: no id\n",
            "  … and 12 more\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("not asked") && !text.contains("resume") && !report.is_clean(), "{text}");
    }

    #[test]
    fn an_import_that_broke_off_says_how_to_go_on() {
        for (ending, part) in [
            (Ending::Told, "told to stop."),
            (Ending::Failed("the collector is gone".to_owned()), "read: the collector is gone."),
        ] {
            let mut report = Report::new("scores.ndjson".into(), Format::Ndjson);
            report.take(&batch(500, &[], 501), Vec::new());
            report.end(ending);
            let text = report.to_string();
            assert!(text.contains(part) && text.contains("--resume-from 501"), "{text}");
            assert!(text.contains("was not asked") && !report.is_clean(), "{text}");
        }
        let mut report = Report::new("scores.ndjson".into(), Format::Ndjson);
        report.take_set_aside(Err(anyhow::anyhow!("nobody answers")));
        assert!(report.to_string().contains("is not known: nobody answers."), "{report}");
        assert!(!report.is_clean());
    }
}
