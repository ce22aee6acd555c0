//! Reads the file on a thread, and makes batches of its rows.

use super::event::Drafting;
use crate::bulk::Format;
use crate::bulk::read::{Problem, ReadError, ReadOptions, Rows};
use std::io;
use std::path::PathBuf;
use std::thread;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many batches are read ahead.
const AHEAD: usize = 2;
/// The events of a batch have so many bytes at most, one event apart.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A row's event, as JSON.
pub(super) struct Event {
    pub(super) place: u64,
    pub(super) json: String,
}

/// Some rows that follow one another.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    /// Rows that can't be taken.
    pub(super) problems: Vec<Problem>,
    /// The place behind the last of the rows.
    pub(super) next: u64,
    /// How far in the file that is, and how far its end is.
    pub(super) done: u64,
    pub(super) total: u64,
}

/// What comes of reading.
pub(super) enum News {
    /// More rows.
    Batch(Batch),
    /// That was all.
    End,
    /// The file can't be read on.
    Failed(ReadError),
}

/// Batches, as they are read.
pub(super) struct Feed(Receiver<News>);

impl Feed {
    /// Begins to read a file from a place on.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(
        path: PathBuf,
        format: Format,
        options: ReadOptions,
        drafting: Drafting,
        rows_max: usize,
        from: u64,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel(AHEAD);
        thread::Builder::new().name("read".to_owned()).spawn(move || {
            let reading = Reading { drafting, rows_max, from, sender };
            let last = match Rows::open(&path, format, &options).and_then(|rows| reading.read(rows)) {
                Ok(()) => News::End,
                Err(error) => News::Failed(error),
            };
            // Nobody may be interested any more.
            let _ = reading.sender.blocking_send(last);
        })?;
        Ok(Self(receiver))
    }

    /// What comes next. After the end or a failure, nothing is to be asked for.
    pub(super) async fn next(&mut self) -> News {
        let broken = || News::Failed(ReadError::Unusable("the reading broke off".to_owned()));
        self.0.recv().await.unwrap_or_else(broken)
    }
}

struct Reading {
    drafting: Drafting,
    rows_max: usize,
    from: u64,
    sender: Sender<News>,
}

impl Reading {
    /// Reads to the end, or until nobody is interested.
    fn read(&self, mut rows: Rows) -> Result<(), ReadError> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let place = match &row {
                Ok(person) => person.place,
                Err(problem) => problem.place,
            };
            if place < self.from {
                continue;
            }
            let drafted = row.and_then(|person| {
                let json = self.drafting.event(&person).map_err(|reason| Problem { place, reason })?;
                Ok(Event { place, json })
            });
            match drafted {
                Ok(event) => {
                    bytes += event.json.len();
                    batch.events.push(event);
                }
                Err(problem) => batch.problems.push(problem),
            }
            batch.next = place + 1;
            let is_full = batch.events.len() + batch.problems.len() >= self.rows_max;
            if is_full || bytes >= BATCH_BYTES_MAX {
                (batch.done, batch.total) = (rows.done(), rows.total());
                if self.sender.blocking_send(News::Batch(std::mem::take(&mut batch))).is_err() {
                    return Ok(());
                }
                bytes = 0;
            }
        }
        if batch.next > 0 {
            (batch.done, batch.total) = (rows.done(), rows.total());
            // Nobody may be interested any more.
            let _ = self.sender.blocking_send(News::Batch(batch));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::Cells;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    fn feed(file: &tempfile::NamedTempFile, rows_max: usize, from: u64) -> Feed {
        let options = ReadOptions { id_column: "user_id".to_owned(), time_column: None, cells: Cells::Typed };
        let drafting = Drafting::new("abc".to_owned(), None);
        let path = file.path().to_owned();
        Feed::start(path, Format::Ndjson, options, drafting, rows_max, from).expect("a thread")
    }

    /// The places of a batch's events and problems, and the place behind it.
    type Places = (Vec<u64>, Vec<u64>, u64);

    /// The places of each batch, and whether the end was reached.
    async fn all(mut feed: Feed) -> (Vec<Places>, bool) {
        let mut batches = Vec::new();
        loop {
            match feed.next().await {
                News::Batch(batch) => {
                    let events = batch.events.iter().map(|event| event.place).collect();
                    let problems = batch.problems.iter().map(|problem| problem.place).collect();
                    batches.push((events, problems, batch.next));
                }
                News::End => return (batches, true),
                News::Failed(_) => return (batches, false),
            }
        }
    }

    #[tokio::test]
    async fn rows_come_in_batches_and_from_a_place_on() {
        let file = file("{\"user_id\":\"a\"}\n\n[]\n{\"user_id\":\"b\"}\n{\"x\":1}\n{\"user_id\":\"c\"}\n");
        let want = vec![(vec![1], vec![3], 4), (vec![4], vec![5], 6), (vec![6], vec![], 7)];
        assert_eq!(all(feed(&file, 2, 1)).await, (want, true));
        assert_eq!(all(feed(&file, 10, 5)).await, (vec![(vec![6], vec![5], 7)], true));
        assert_eq!(all(feed(&file, 10, 7)).await, (vec![], true));
    }

    #[tokio::test]
    async fn a_batch_is_bounded_in_bytes_too() {
        let row = format!("{{\"user_id\":\"a\",\"x\":\"{}\"}}\n", "x".repeat(1 << 19));
        let file = file(&row.repeat(20));
        let (batches, is_end) = all(feed(&file, 1000, 1)).await;
        let sizes: Vec<usize> = batches.iter().map(|(events, ..)| events.len()).collect();
        assert_eq!((sizes, is_end), (vec![8, 8, 4], true));
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_told() {
        let gone = file("");
        let path = gone.path().to_owned();
        drop(gone);
        let options = ReadOptions { id_column: "user_id".to_owned(), time_column: None, cells: Cells::Typed };
        let drafting = Drafting::new("abc".to_owned(), None);
        let feed = Feed::start(path, Format::Csv, options, drafting, 1, 1).expect("a thread");
        assert_eq!(all(feed).await, (vec![], false));
    }
}
