//! The plot: how well events find their people, by circumstance and policy, as an SVG without script or fonts of its own.

use super::measure::{EventRates, Rates};
use super::report::Scorecard;
use std::fmt::Write;

const WIDTH: f64 = 820.0;
/// A name, where its bars begin, and what they show.
type Panel = (&'static str, f64, fn(Rates) -> f64);

const PANELS: [Panel; 2] =
    [("precision", 220.0, |rates| rates.precision), ("recall", 530.0, |rates| rates.recall)];
/// How long a bar of 1 is.
const LONGEST: f64 = 240.0;
const TOP: f64 = 64.0;
const BAR: f64 = 9.0;
const GAP: f64 = 8.0;
/// A colour for each policy; they differ in brightness too.
const COLOURS: [&str; 4] = ["#355c7d", "#f2a65a", "#6c9a8b", "#c06c84"];

/// Draws it.
pub(super) fn draw(scorecard: &Scorecard) -> String {
    let rows = rows(scorecard);
    let row_height = BAR * scorecard.scores.len() as f64 + GAP;
    let height = TOP + row_height * rows.len() as f64 + 28.0;
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"12\" y=\"22\" font-size=\"15\">Do events find their people? ({} people, seed {})</text>\n",
            scorecard.people, scorecard.seed
        ),
    );
    legend(scorecard, &mut out);
    for (name, left, _) in PANELS {
        axis(name, left, height, &mut out);
    }
    for (place, (name, rates)) in rows.iter().enumerate() {
        let y = TOP + row_height * place as f64 + GAP / 2.0;
        let middle = y + (row_height - GAP) / 2.0 + 4.0;
        put(&mut out, format_args!("<text x=\"208\" y=\"{middle:.1}\" text-anchor=\"end\">{name}</text>\n"));
        for (_, left, value) in PANELS {
            for (policy, rates) in rates.iter().enumerate() {
                bar(value(*rates), left, y + BAR * policy as f64, COLOURS[policy % COLOURS.len()], &mut out);
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Each row's name, and its rates by policy.
fn rows(scorecard: &Scorecard) -> Vec<(&'static str, Vec<Rates>)> {
    let of = |pick: &dyn Fn(usize) -> Option<EventRates>| {
        (0..scorecard.scores.len()).filter_map(pick).map(|events| events.rates).collect::<Vec<_>>()
    };
    let scores = &scorecard.scores;
    let mut rows = vec![
        ("all events", of(&|policy| scores.get(policy).map(|score| score.events))),
        ("on shared devices", of(&|policy| scores.get(policy).map(|score| score.events_on_shared_devices))),
    ];
    for (place, circumstance) in
        scores.iter().take(1).flat_map(|score| score.by_circumstance.iter().enumerate())
    {
        let rates = of(&|policy| scores.get(policy)?.by_circumstance.get(place).map(|row| row.events));
        rows.push((circumstance.circumstance, rates));
    }
    rows
}

fn legend(scorecard: &Scorecard, out: &mut String) {
    for (place, score) in scorecard.scores.iter().enumerate() {
        let x = 530.0 + 130.0 * place as f64;
        let colour = COLOURS[place % COLOURS.len()];
        put(
            out,
            format_args!(
                "<rect x=\"{x}\" y=\"13\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"22\">{}</text>\n",
                x + 15.0,
                score.policy
            ),
        );
    }
}

/// The lines at 0, ½ and 1.
fn axis(name: &str, left: f64, height: f64, out: &mut String) {
    put(out, format_args!("<text x=\"{left}\" y=\"46\" font-weight=\"bold\">{name}</text>\n"));
    for (part, label) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let x = left + LONGEST * part;
        put(
            out,
            format_args!(
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\" stroke=\"#cccccc\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{label}</text>\n",
                TOP - 8.0,
                height - 24.0,
                height - 9.0
            ),
        );
    }
}

fn bar(value: f64, left: f64, y: f64, colour: &str, out: &mut String) {
    put(
        out,
        format_args!(
            "<g><title>{value:.3}</title><rect x=\"{left}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"{colour}\"/></g>\n",
            LONGEST * value.clamp(0.0, 1.0),
            BAR - 1.0
        ),
    );
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}
