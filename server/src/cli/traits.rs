//! `tributary traits import`: what was computed elsewhere becomes traits, by the road that every event takes.
//!
//! Each row of a file becomes an `identify` event of a source. Its message id follows from the file's content, the
//! options, the write key and the row's place, so an import that is run again brings nothing twice. A thread reads
//! the file, two batches ahead at most; batches are posted one after another, so rows take effect in the order of the
//! file.

mod event;
mod feed;
mod identity;
mod post;
mod report;
mod set_aside;

use super::progress::{LOG, Progress};
use super::running::RunningServer;
use super::serve;
use crate::bulk::read::{ReadOptions, Rows};
use crate::bulk::{Cells, Format};
use crate::config::{Config, Environment, ServeArgs};
use crate::telemetry;
use anyhow::Context;
use clap::Subcommand;
use event::Drafting;
use feed::{Feed, News};
use identity::Manner;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use post::Poster;
use report::{Ending, Report};
use std::path::PathBuf;
use std::process::ExitCode;

/// The flags of `tributary traits`.
#[derive(Debug, clap::Args)]
pub(super) struct TraitsArgs {
    #[command(subcommand)]
    command: TraitsCommand,
}

#[derive(Debug, Subcommand)]
enum TraitsCommand {
    /// Send the rows of a file as traits of people to a running server
    Import(ImportArgs),
}

/// The flags of `tributary traits import`.
#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The file: NDJSON, CSV or Parquet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The tracking API to post to, such as http://127.0.0.1:8080 [default: the configured one]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The write key of the source that the traits come from [environment: TRIBUTARY_WRITE_KEY]
    #[arg(long, value_name = "KEY")]
    write_key: Option<String>,
    /// How the file is written [default: what its name ends with]
    #[arg(long, value_name = "ndjson|csv|parquet")]
    format: Option<Format>,
    /// The column of user ids
    #[arg(long, value_name = "NAME", default_value = "user_id")]
    id_column: String,
    /// The column that says when a row was true; without one it is the time of the import
    #[arg(long, value_name = "NAME")]
    time_column: Option<String>,
    /// Take every cell of CSV as a text
    #[arg(long)]
    strings: bool,
    /// Let the events go to destinations, too
    #[arg(long)]
    activate: bool,
    /// Import the same once more: under another label its events are new ones
    #[arg(long, value_name = "LABEL")]
    again: Option<String>,
    /// How many rows are posted at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=2_500))]
    batch: u64,
    /// Pass over the rows before this line (CSV and Parquet: row)
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    resume_from: u64,
    /// A token with admin:read, to ask which events were set aside [environment: TRIBUTARY_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Where to ask that, such as http://127.0.0.1:8081 [default: the configured API]
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Does what the arguments say.
pub(super) fn run(args: TraitsArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    telemetry::start_logging(environment.log_directives().unwrap_or(LOG));
    match args.command {
        TraitsCommand::Import(args) => super::runtime()?.block_on(import(args, environment)),
    }
}

async fn import(args: ImportArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.serve, environment)?;
    let format = args.format.or_else(|| Format::of_path(&args.file));
    let format = format.context("the name of the file does not tell its format: give it with --format")?;
    let cells = if args.strings { Cells::Strings } else { Cells::Typed };
    let options = ReadOptions { id_column: args.id_column, time_column: args.time_column, cells };
    let file = args.file;
    let said = format!("{} can't be imported", file.display());
    let configured = || config.write_key.as_ref().map(|key| key.expose().to_owned());
    let write_key = args.write_key.or_else(configured);
    let write_key =
        write_key.context("give the write key of a source: --write-key or TRIBUTARY_WRITE_KEY")?;
    // Read once before: for what names its events, and to tell early what is wrong with its columns.
    let manner = Manner {
        format,
        options: options.clone(),
        activate: args.activate,
        write_key: write_key.clone(),
        again: args.again,
    };
    let path = file.clone();
    let name = tokio::task::spawn_blocking(move || -> anyhow::Result<String> {
        Rows::open(&path, format, &manner.options)?;
        Ok(identity::name_of(&path, &manner)?)
    });
    let name = name.await?.context(said)?;
    let url = args.url.unwrap_or_else(|| format!("http://{}", config.http));
    let mut poster = Poster::new(&url, write_key, args.activate)?;
    let drafting = Drafting::new(name.clone(), options.time_column.clone());
    let batch = usize::try_from(args.batch).unwrap_or(usize::MAX);
    let feed = Feed::start(file.clone(), format, options, drafting, batch, args.resume_from)?;

    let mut report = Report::new(file, format);
    send_all(feed, &mut poster, &mut report).await?;
    if let Some(server) = RunningServer::if_known(&config, args.api_url, args.token)? {
        let since = poster.first_answer();
        report.take_set_aside(set_aside::find(&server, &name, since).await);
    }
    print!("{report}");
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Posts what is read until the end, until something can't be mended, or until told to stop.
async fn send_all(mut feed: Feed, poster: &mut Poster, report: &mut Report) -> anyhow::Result<()> {
    let told = serve::told_to_stop()?.wait();
    tokio::pin!(told);
    let bar = bar()?;
    let _progress = Progress::of(&bar, how_far);
    loop {
        let news = tokio::select! {
            news = feed.next() => news,
            () = &mut told => {
                report.end(Ending::Told);
                break;
            }
        };
        let batch = match news {
            News::Batch(batch) => batch,
            News::End => break,
            News::Failed(error) => {
                report.end(Ending::Failed(format!("{:#}", anyhow::Error::from(error))));
                break;
            }
        };
        bar.set_length(batch.total);
        let posted = tokio::select! {
            posted = poster.post(&batch.events) => posted,
            () = &mut told => {
                report.end(Ending::Told);
                break;
            }
        };
        match posted {
            Ok(refused) => report.take(&batch, refused),
            Err(error) => {
                report.end(Ending::Failed(format!("{error:#}")));
                break;
            }
        }
        bar.set_position(batch.done);
        bar.set_message(HumanCount(report.accepted()).to_string());
    }
    bar.finish_and_clear();
    Ok(())
}

/// How far it is, in words, where the bar is not shown.
fn how_far(bar: &ProgressBar) -> String {
    let done = bar.position().saturating_mul(100).checked_div(bar.length().unwrap_or_default());
    let rows = bar.message();
    let rows = if rows.is_empty() { "0" } else { &rows };
    format!("importing: {rows} rows, {}% of the file", done.unwrap_or_default())
}

/// Shown on a terminal only.
fn bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("  importing {bar:40} {percent}% {msg} rows {eta}");
    Ok(ProgressBar::new(0).with_style(style.context("the progress bar's template")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is_can_be_told_without_a_terminal() {
        let bar = ProgressBar::hidden();
        assert_eq!(how_far(&bar), "importing: 0 rows, 0% of the file");
        bar.set_length(200);
        bar.set_position(50);
        bar.set_message("1,000");
        assert_eq!(how_far(&bar), "importing: 1,000 rows, 25% of the file");
    }
}
