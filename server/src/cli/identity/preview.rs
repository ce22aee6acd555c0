//! `tributary identity preview`: rules from a file, tried by the running server, behind a progress bar.

use super::report::Shown;
use crate::admin::identity::{PreviewDone, PreviewRunning};
use crate::cli::running::RunningServer;
use crate::cli::serve;
use crate::config::{Environment, ServeArgs};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);
const PREVIEWS: &str = "/identity-rules/preview";

/// The flags of `tributary identity preview`.
#[derive(Debug, clap::Args)]
pub(super) struct PreviewArgs {
    /// The rules, in the form of `PUT /admin/v1/identity-rules`, as TOML or (`.json`) JSON
    #[arg(value_name = "RULES")]
    rules: PathBuf,
    /// Only events that arrived then or later, such as 2026-11-20T10:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only events that arrived before that
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArgs,
    /// A token with admin:read and admin:write [environment: TRIBUTARY_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Tries the rules and prints the report. Told to stop, it stops the preview too.
pub(super) async fn run(args: PreviewArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let rules = read_rules(&args.rules)?;
    let server = RunningServer::configured(&args.serve, environment, args.token)?;
    let order = json!({"rules": rules, "from": args.from, "until": args.until, "wait_seconds": 0});
    let told = serve::told_to_stop()?.wait();
    tokio::pin!(told);
    let bar = bar()?;
    let (mut status, mut answer) = server.call(Method::POST, PREVIEWS, Some(&order)).await?;
    while status == StatusCode::ACCEPTED {
        let running: PreviewRunning = read(&answer)?;
        bar.set_length(running.of);
        bar.set_position(running.read);
        let path = format!("{PREVIEWS}/{}", running.id);
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            () = &mut told => {
                server.call(Method::DELETE, &path, None).await?;
                bail!("told to stop; so is the preview");
            }
        }
        (status, answer) = server.call(Method::GET, &path, None).await?;
    }
    bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        let done: PreviewDone = read(&answer)?;
        print!("{}", Shown(&done.report));
    }
    Ok(ExitCode::SUCCESS)
}

fn read<T: DeserializeOwned>(answer: &Value) -> anyhow::Result<T> {
    <T as Deserialize>::deserialize(answer).context("the server's answer is of another form")
}

/// The rules as JSON. What they say is for the server to judge.
fn read_rules(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let read = match is_json {
        true => serde_json::from_str(&text).map_err(anyhow::Error::from),
        false => toml::from_str(&text).map_err(anyhow::Error::from),
    };
    let format = if is_json { "JSON" } else { "TOML" };
    read.with_context(|| format!("{} is no {format}", path.display()))
}

/// Shown on a terminal only.
fn bar() -> anyhow::Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("  reading the log {bar:40} {human_pos}/{human_len} {per_sec} {eta}");
    Ok(ProgressBar::new(0).with_style(style.context("the progress bar's template")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_the_same_in_toml_and_json() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let toml = file(
            "rules.toml",
            "identifiers_max = 500\n\n[[namespaces]]\nname = \"email\"\nfrom = [\"traits.email\"]\n\
             limit = { count = 5, window = \"ever\" }\nnormalize = { phone = { region = \"DE\" } }\n",
        );
        let json = file(
            "rules.JSON",
            r#"{"identifiers_max":500,"namespaces":[{"name":"email","from":["traits.email"],
                "limit":{"count":5,"window":"ever"},"normalize":{"phone":{"region":"DE"}}}]}"#,
        );
        assert_eq!(read_rules(&toml).expect("TOML"), read_rules(&json).expect("JSON"));
        for (path, part) in [
            (file("bad.toml", "namespaces = ["), "is no TOML"),
            (file("bad.json", "{"), "is no JSON"),
            (directory.path().join("missing"), "can't be read"),
        ] {
            let error = read_rules(&path).expect_err("refused");
            assert!(error.to_string().contains(part), "{error:#}");
        }
    }
}
