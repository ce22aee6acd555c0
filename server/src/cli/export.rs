//! `tributary profiles export`: members of an audience, or everybody, as a file.

use super::progress::{LOG, Progress};
use super::running::RunningServer;
use super::serve;
use crate::bulk::Format;
use crate::config::{Config, Environment, ServeArgs};
use crate::telemetry;
use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The flags of `tributary profiles`.
#[derive(Debug, clap::Args)]
pub(super) struct ProfilesArgs {
    #[command(subcommand)]
    command: ProfilesCommand,
}

#[derive(Debug, Subcommand)]
enum ProfilesCommand {
    /// Write all profiles of a running server, or the members of an audience, to a file
    Export(ExportArgs),
}

/// The flags of `tributary profiles export`.
#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// Only the members of the audience of this key
    #[arg(long, value_name = "KEY")]
    audience: Option<String>,
    /// How it is written [default: what the name of --out ends with, else ndjson]
    #[arg(long, value_name = "ndjson|csv|parquet")]
    format: Option<Format>,
    /// Only these traits, with commas between
    #[arg(long, value_name = "NAME,…")]
    traits: Option<String>,
    /// For spreadsheets: CSV with an apostrophe before every text that one would take for a formula
    #[arg(long)]
    spreadsheet: bool,
    /// Write to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the admin API is, such as http://127.0.0.1:8081 [default: the configured API]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A token with admin:read and profiles:read [environment: TRIBUTARY_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Does what the arguments say.
pub(super) fn run(args: ProfilesArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    telemetry::start_logging(environment.log_directives().unwrap_or(LOG));
    match args.command {
        ProfilesCommand::Export(args) => super::runtime()?.block_on(export(args, environment)),
    }
}

async fn export(args: ExportArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.serve, environment)?;
    let server = RunningServer::at(&config, args.url, args.token)?;
    let of_name = || args.out.as_deref().and_then(Format::of_path);
    let format = args.format.or_else(of_name).unwrap_or(Format::Ndjson);
    if args.spreadsheet && format != Format::Csv {
        bail!("--spreadsheet is for CSV: add --format csv, or leave it out");
    }
    let path = path(args.audience.as_deref(), format, args.traits.as_deref(), args.spreadsheet);
    let mut answer = server.open(&path).await?;
    let mut place = Place::open(args.out.as_deref())?;
    let told = serve::told_to_stop()?.wait();
    tokio::pin!(told);
    let bar = bar(format)?;
    let _progress = Progress::of(&bar, |bar| format!("exporting: {}", HumanBytes(bar.position())));
    loop {
        let chunk = tokio::select! {
            chunk = answer.chunk() => chunk,
            () = &mut told => bail!("told to stop before everything was there"),
        };
        match chunk.context("the answer breaks off: what is there is not whole")? {
            Some(bytes) => {
                place.write(&bytes)?;
                bar.inc(bytes.len() as u64);
            }
            None => break,
        }
    }
    bar.finish_and_clear();
    let bytes = bar.position();
    if let Some(file) = place.finish()? {
        println!("{}: {}", file.display(), HumanBytes(bytes));
    }
    Ok(ExitCode::SUCCESS)
}

fn path(audience: Option<&str>, format: Format, traits: Option<&str>, spreadsheet: bool) -> String {
    let who = match audience {
        Some(key) => format!("/audiences/{}", encoded(key)),
        None => "/profiles".to_owned(),
    };
    let traits = traits.map_or(String::new(), |traits| format!("&traits={}", encoded(traits)));
    let formulas = if spreadsheet { "&formulas=escape" } else { "" };
    format!("{who}/export?format={format}{traits}{formulas}")
}

/// Percent-encoded, for a path or a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Where an export goes. A file has its name only once all of it is there.
enum Place {
    Standard(io::Stdout),
    File { name: PathBuf, part: PathBuf, file: BufWriter<File> },
}

impl Place {
    fn open(name: Option<&Path>) -> anyhow::Result<Self> {
        let Some(name) = name else { return Ok(Self::Standard(io::stdout())) };
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("{} can't be written", part.display()))?;
        Ok(Self::File { name: name.to_owned(), part, file: BufWriter::new(file) })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Standard(out) => out.write_all(bytes).context("nothing more can be written"),
            Self::File { part, file, .. } => {
                file.write_all(bytes).with_context(|| format!("{} can't be written", part.display()))
            }
        }
    }

    /// Ends it, and tells the file that it is in.
    fn finish(self) -> anyhow::Result<Option<PathBuf>> {
        match self {
            Self::Standard(mut out) => {
                out.flush().context("nothing more can be written")?;
                Ok(None)
            }
            Self::File { name, part, file } => {
                let said = || format!("{} can't be written", name.display());
                let file = file.into_inner().map_err(io::Error::from).with_context(said)?;
                file.sync_all().with_context(said)?;
                std::fs::rename(&part, &name).with_context(said)?;
                Ok(Some(name))
            }
        }
    }
}

/// Shown on a terminal only. How much there will be is not known before.
fn bar(format: Format) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("  exporting {msg} {spinner} {bytes} {bytes_per_sec} {elapsed}");
    let bar = ProgressBar::new_spinner().with_style(style.context("the progress bar's template")?);
    Ok(bar.with_message(format.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_in_the_path() {
        let cases = [
            (None, Format::Ndjson, None, false, "/profiles/export?format=ndjson"),
            (
                Some("lapsed"),
                Format::Csv,
                Some("plan,a b"),
                true,
                "/audiences/lapsed/export?format=csv&traits=plan%2Ca%20b&formulas=escape",
            ),
            (Some("a/b"), Format::Parquet, None, false, "/audiences/a%2Fb/export?format=parquet"),
        ];
        for (audience, format, traits, spreadsheet, want) in cases {
            assert_eq!(path(audience, format, traits, spreadsheet), want);
        }
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let name = directory.path().join("people.csv");
        let mut place = Place::open(Some(&name)).expect("opened");
        place.write(b"a,b\n").expect("written");
        assert!(!name.exists());
        assert_eq!(place.finish().expect("ended").as_deref(), Some(name.as_path()));
        assert_eq!(std::fs::read(&name).expect("readable"), b"a,b\n");
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 1);
    }
}
