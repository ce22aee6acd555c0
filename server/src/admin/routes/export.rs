//! Exports of people, streamed. They are about people, so they need `profiles:read` too.
//!
//! A thread reads and writes rows; what it wrote goes through channels of a few chunks to the answer's body, so memory
//! is bounded whatever the client's speed. The body ends as it should only once the thread has said that all is written:
//! whatever else happens breaks the answer off, and no client takes a part for the whole.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, rt};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tributary_model::Workspace;
use tributary_model::workspace::Scope;

use super::audiences::{find, key};
use super::{Answer, blocking, caller};
use crate::admin::error::ApiError;
use crate::admin::exports::{ExportRows, Exported};
use crate::admin::outside::OutsideError;
use crate::admin::{Admin, request};
use crate::bulk::write::RowWriter;
use crate::bulk::{Asked, COLUMNS_MAX, Columns, Format, Formulas, Row};

/// The columns of traits are those of so many first rows.
const FIRST_ROWS: usize = 1_000;
/// The size of a chunk of the body.
const CHUNK_BYTES: usize = 64 << 10;
/// How many chunks wait in each of the two channels.
const CHUNKS_MAX: usize = 2;
/// A client that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(60);

/// How it is exported.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    format: Option<String>,
    traits: Option<String>,
    formulas: Option<String>,
}

/// Export the members of an audience
///
/// All of them, in the order of their profiles' ids, each as it is when its turn comes: who is a member all the time is
/// there once. An answer that breaks off is not whole.
#[utoipa::path(get, path = "/admin/v1/audiences/{key}/export", tag = "exports",
    params(
        ("key" = String, Path, description = "Its key", example = "lapsed"),
        ("format" = Option<String>, Query, description = "`ndjson` (the default), `csv` or `parquet`"),
        ("traits" = Option<String>, Query, description = "Only these traits, with commas between"),
        ("formulas" = Option<String>, Query,
            description = "`escape`: CSV has an apostrophe before texts that a spreadsheet takes for formulas"),
    ),
    responses((status = 200, description = "The members", body = String, content_type = "application/x-ndjson")))]
pub(in crate::admin) async fn members(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = reader(&admin, &http)?;
    let audience = find(&workspace, key(&http))?;
    export(&admin, &http, &workspace, Exported::Members(audience.id), &audience.key).await
}

/// Export all profiles
///
/// Every live profile, in the order of their ids, each as it is when its turn comes. An answer that breaks off is not
/// whole.
#[utoipa::path(get, path = "/admin/v1/profiles/export", tag = "exports",
    params(
        ("format" = Option<String>, Query, description = "`ndjson` (the default), `csv` or `parquet`"),
        ("traits" = Option<String>, Query, description = "Only these traits, with commas between"),
        ("formulas" = Option<String>, Query,
            description = "`escape`: CSV has an apostrophe before texts that a spreadsheet takes for formulas"),
    ),
    responses((status = 200, description = "The profiles", body = String, content_type = "application/x-ndjson")))]
pub(in crate::admin) async fn profiles(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = reader(&admin, &http)?;
    export(&admin, &http, &workspace, Exported::Everybody, "profiles").await
}

async fn export(
    admin: &Admin,
    http: &HttpRequest,
    workspace: &Workspace,
    who: Exported,
    name: &str,
) -> Answer {
    let query: ExportQuery = request::query(http)?;
    let format = match query.format {
        Some(name) => {
            name.parse::<Format>().map_err(|error| ApiError::invalid(format!("`format`: {error}")))?
        }
        None => Format::Ndjson,
    };
    let formulas = formulas(query.formulas.as_deref(), format)?;
    let asked = query.traits.as_deref().map(asked).transpose()?;
    let asked = asked.map(|names| {
        let is_computed = |name: &String| workspace.computed_traits.iter().any(|one| one.key == *name);
        let (computed, sent) = names.into_iter().partition(is_computed);
        Asked { sent, computed }
    });
    let (part, id) = (Arc::clone(&admin.outside.exports), workspace.id);
    // What fails here is answered as it should be; later, the answer can only break off.
    let (rows, first) = blocking(move || {
        let mut rows = part.begin(id, who)?;
        let first = first(&mut *rows)?;
        Ok::<_, OutsideError>((rows, first))
    })
    .await?;
    let has_since = matches!(who, Exported::Members(_));
    let columns = Columns::of(&first[..first.len().min(FIRST_ROWS)], asked.as_ref(), has_since);
    let (sender, written) = channel(CHUNKS_MAX);
    thread::Builder::new()
        .name("export".to_owned())
        .spawn(move || run(rows, &first, (format, formulas), columns, sender))
        .map_err(|error| ApiError::internal(&error))?;
    let (to_body, body) = channel(CHUNKS_MAX);
    rt::spawn(forward(written, to_body));
    let file = format!("attachment; filename=\"{name}.{format}\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, format.media_type()))
        .insert_header((CONTENT_DISPOSITION, file))
        .streaming(pieces(body)))
}

/// What is to be done with texts that a spreadsheet takes for formulas.
fn formulas(text: Option<&str>, format: Format) -> Result<Formulas, ApiError> {
    match text {
        None => Ok(Formulas::Plain),
        Some("escape") if format == Format::Csv => Ok(Formulas::Escape),
        Some(_) => Err(ApiError::invalid("`formulas`: give `escape`, with `format=csv`, or leave it out")),
    }
}

/// The traits that are asked for.
fn asked(text: &str) -> Result<BTreeSet<String>, ApiError> {
    let names: BTreeSet<String> = text.split(',').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) || names.len() > COLUMNS_MAX {
        let advice = format!("`traits`: give 1 to {COLUMNS_MAX} names of traits with commas between");
        return Err(ApiError::invalid(advice));
    }
    Ok(names)
}

/// The first rows, as many as columns are made of if there are so many.
fn first(rows: &mut dyn ExportRows) -> Result<Vec<Row>, OutsideError> {
    let mut first = Vec::new();
    while first.len() < FIRST_ROWS {
        let more = rows.next()?;
        if more.is_empty() {
            break;
        }
        first.extend(more);
    }
    Ok(first)
}

/// A part of a body.
enum Piece {
    Bytes(Bytes),
    /// There is nothing behind it.
    End,
}

/// Writes all rows. Nothing is said of the end unless it was reached.
fn run(
    mut rows: Box<dyn ExportRows>,
    first: &[Row],
    manner: (Format, Formulas),
    columns: Columns,
    sender: Sender<Piece>,
) {
    let mut sink = Sink { sender, chunk: Vec::with_capacity(CHUNK_BYTES), is_taken: true };
    let written = write_all(&mut *rows, first, manner, columns, &mut sink);
    let written = written.and_then(|()| sink.end().map_err(ExportError::from));
    if let Err(error) = written
        && sink.is_taken
    {
        tracing::error!(error = &error as &dyn std::error::Error, "an export breaks off");
    }
}

/// Rows that could not be read, or not be written.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Rows(#[from] OutsideError),
    #[error("rows can't be written")]
    Write(#[from] io::Error),
}

fn write_all(
    rows: &mut dyn ExportRows,
    first: &[Row],
    (format, formulas): (Format, Formulas),
    columns: Columns,
    sink: &mut Sink,
) -> Result<(), ExportError> {
    let mut writer = RowWriter::new(format, formulas, columns, sink)?;
    for row in first {
        writer.write(row)?;
    }
    loop {
        let more = rows.next()?;
        if more.is_empty() {
            writer.finish()?;
            return Ok(());
        }
        for row in &more {
            writer.write(row)?;
        }
    }
}

/// What is written, in chunks for the body.
struct Sink {
    sender: Sender<Piece>,
    chunk: Vec<u8>,
    /// Whether somebody still takes it.
    is_taken: bool,
}

impl Sink {
    fn send(&mut self, piece: Piece) -> io::Result<()> {
        self.sender.blocking_send(piece).map_err(|_| {
            self.is_taken = false;
            io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")
        })
    }

    /// Sends what is left, and that this is the end.
    fn end(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        if !chunk.is_empty() {
            self.send(Piece::Bytes(chunk.into()))?;
        }
        self.send(Piece::End)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() >= CHUNK_BYTES {
            let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
            self.send(Piece::Bytes(chunk.into()))?;
        }
        let taken = bytes.len().min(CHUNK_BYTES);
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Chunks go when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands pieces on for as long as the client takes them.
async fn forward(mut written: Receiver<Piece>, to_body: Sender<Piece>) {
    while let Some(piece) = written.recv().await {
        match tokio::time::timeout(STALLED, to_body.send(piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// The pieces as a body. It fails if they end without saying so.
fn pieces(body: Receiver<Piece>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        match body.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(body))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::from(io::ErrorKind::UnexpectedEof)), None)),
        }
    })
}

/// The workspace of a caller who may read configuration and profiles.
fn reader(admin: &Admin, http: &HttpRequest) -> Result<Arc<Workspace>, ApiError> {
    let caller = caller(admin, http, Scope::AdminRead)?;
    caller.require(Scope::ProfilesRead)?;
    Ok(caller.workspace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;

    /// Rows that fail after some.
    struct Failing(usize);

    impl ExportRows for Failing {
        fn next(&mut self) -> Result<Vec<Row>, OutsideError> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Ok(vec![Row::default()])
                }
                None => Err(OutsideError::NotReady("the rows")),
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_was_not_written_to_its_end_fails() {
        let (sender, body) = channel(CHUNKS_MAX);
        let thread = thread::spawn(move || {
            let manner = (Format::Ndjson, Formulas::Plain);
            run(Box::new(Failing(3)), &[], manner, Columns::of(&[], None, false), sender);
        });
        let all: Vec<io::Result<Bytes>> = pieces(body).collect().await;
        thread.join().expect("no panic");
        assert!(all.last().is_some_and(Result::is_err), "{all:?}");
    }

    #[tokio::test]
    async fn a_sink_is_written_in_chunks() {
        let (sender, body) = channel(CHUNKS_MAX);
        let thread = thread::spawn(move || {
            let mut sink = Sink { sender, chunk: Vec::new(), is_taken: true };
            sink.write_all(&[7; 3 * CHUNK_BYTES + 1]).and_then(|()| sink.end())
        });
        let all: Vec<io::Result<Bytes>> = pieces(body).collect().await;
        thread.join().expect("no panic").expect("written");
        let sizes: Vec<usize> = all.into_iter().map(|bytes| bytes.expect("whole").len()).collect();
        assert_eq!(sizes, [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 1]);
    }

    #[tokio::test]
    async fn a_client_that_went_away_ends_the_writing() {
        let (sender, body) = channel(CHUNKS_MAX);
        drop(body);
        let mut sink = Sink { sender, chunk: Vec::new(), is_taken: true };
        let ended = thread::spawn(move || (sink.end(), sink.is_taken)).join().expect("no panic");
        assert!(matches!(ended, (Err(_), false)));
    }

    #[test]
    fn names_of_traits_stand_between_commas() {
        let names = |text| asked(text).ok().map(|names| names.into_iter().collect::<Vec<_>>());
        assert_eq!(names("plan,age,plan"), Some(vec!["age".to_owned(), "plan".to_owned()]));
        for text in ["", "a,,b", ","] {
            assert_eq!(names(text), None, "{text:?}");
        }
        let many: Vec<String> = (0..=COLUMNS_MAX).map(|number| number.to_string()).collect();
        assert_eq!(names(&many.join(",")), None);
    }
}
