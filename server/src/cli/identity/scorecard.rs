//! `tributary identity scorecard`: how well profiles meet people, under each policy for shared devices.
//!
//! A seeded crowd is played through the same functions that the projector uses, into a graph in memory; the crowd knows
//! whose each call really is. Nothing is started, stored or sent. What the figures mean is said in `docs/identity.md`.

mod measure;
mod play;
mod plot;
mod policy;
mod report;
#[cfg(test)]
mod tests;

use anyhow::Context;
use measure::Score;
use policy::Policy;
use report::Scorecard;
use std::path::PathBuf;
use std::process::ExitCode;
use tributary_sample::CrowdConfig;

/// The name of the plot in the directory of `--svg`.
const PLOT: &str = "scorecard.svg";

/// The flags of `tributary identity scorecard`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ScorecardArgs {
    /// How many people take part
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=200_000))]
    people: u64,
    /// Play other people
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Print every figure as JSON, and every shared identifier
    #[arg(long)]
    json: bool,
    /// Draw a plot too: scorecard.svg in this directory
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

/// Plays the crowd under each policy and prints the scores. The exit code is a failure if two user ids ended up on one
/// profile.
pub(super) fn run(args: &ScorecardArgs) -> anyhow::Result<ExitCode> {
    let scorecard = score(args.people, args.seed)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&scorecard)?);
    } else {
        print!("{scorecard}");
    }
    if let Some(directory) = &args.svg {
        let path = directory.join(PLOT);
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&path, plot::draw(&scorecard)))
            .with_context(|| format!("{} can't be written", path.display()))?;
    }
    let joins_nobody = scorecard.scores.iter().all(|score| score.joined_user_ids == 0);
    Ok(if joins_nobody { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn score(people: u64, seed: u64) -> anyhow::Result<Scorecard> {
    let first_day = jiff::Timestamp::UNIX_EPOCH;
    let config = CrowdConfig { seed, people, first_day };
    let scores = Policy::ALL.into_iter().map(|policy| -> anyhow::Result<Score> {
        let played = play::play(&policy.rules()?, config)?;
        Ok(Score::of(policy.name(), &played))
    });
    Ok(Scorecard { seed, people, scores: scores.collect::<anyhow::Result<_>>()? })
}
