//! Stacks as a picture: threads at the bottom, each function above its caller, as wide as its share of samples. A
//! pointer that rests on a box shows its whole name and share. No script, so that it can be shown anywhere.

use super::stacks::{Node, Stacks};
use crate::population::mix;
use std::fmt::Write;

const WIDTH: f64 = 1_200.0;
const ROW: f64 = 17.0;
const TOP: f64 = 40.0;
/// Narrower boxes are left out.
const BOX_WIDTH_MIN: f64 = 2.0;
/// Longer names are cut: those of generic functions fill pages.
const TITLE_LETTERS: usize = 160;
/// About how wide a letter is.
const LETTER: f64 = 6.6;
/// Deeper calls are left out.
const DEPTH_MAX: usize = 120;

/// Draws them.
pub(super) fn draw(stacks: &Stacks, title: &str) -> String {
    let depth = depth_of(&stacks.root, WIDTH);
    let height = TOP + ROW * (depth + 1) as f64;
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"monospace\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fffdf8\"/>\n\
             <text x=\"{}\" y=\"24\" font-size=\"16\" text-anchor=\"middle\">{} ({} samples)</text>\n",
            WIDTH / 2.0,
            escaped(title),
            stacks.samples(),
        ),
    );
    let picture = Picture { samples: stacks.samples().max(1), height };
    picture.row(&stacks.root, 0.0, 1, &mut out);
    out.push_str("</svg>\n");
    out
}

struct Picture {
    samples: u64,
    height: f64,
}

impl Picture {
    /// Draws what a function calls, above it.
    fn row(&self, node: &Node, left: f64, level: usize, out: &mut String) {
        let mut x = left;
        for (name, below) in &node.calls {
            let width = WIDTH * below.samples as f64 / self.samples as f64;
            if width >= BOX_WIDTH_MIN && level <= DEPTH_MAX {
                self.one(name, below.samples, x, width, level, out);
                self.row(below, x, level + 1, out);
            }
            x += width;
        }
    }

    fn one(&self, name: &str, samples: u64, x: f64, width: f64, level: usize, out: &mut String) {
        let y = self.height - ROW * level as f64 - ROW / 2.0;
        let percent = 100.0 * samples as f64 / self.samples as f64;
        let name = escaped(name);
        put(
            out,
            format_args!(
                "<g><title>{}: {percent:.2} %, {samples} samples</title>\
                 <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"1\" fill=\"{}\"/>",
                shown(&name, TITLE_LETTERS),
                (width - 0.3).max(0.1),
                ROW - 1.0,
                colour(&name),
            ),
        );
        let letters = (width / LETTER) as usize;
        if letters >= 4 {
            put(
                out,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    x + 2.0,
                    y + 12.0,
                    shown(&name, letters)
                ),
            );
        }
        out.push_str("</g>\n");
    }
}

/// How many levels are drawn.
fn depth_of(node: &Node, width: f64) -> usize {
    let deepest = node.calls.values().map(|below| {
        let width = width * below.samples as f64 / node.samples.max(1) as f64;
        if width >= BOX_WIDTH_MIN { 1 + depth_of(below, width) } else { 0 }
    });
    deepest.max().unwrap_or(0).min(DEPTH_MAX)
}

/// As much of an escaped name as fits; an entity counts as one letter and is never cut.
fn shown(name: &str, letters: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    let mut in_entity = false;
    for letter in name.chars() {
        if !in_entity {
            if count == letters {
                break;
            }
            count += 1;
        }
        in_entity = (in_entity || letter == '&') && letter != ';';
        shown.push(letter);
    }
    shown
}

/// A warm colour that is always the same for a name.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
    format!("hsl({},{}%,{}%)", 5 + hash % 50, 65 + hash / 64 % 20, 62 + hash / 4096 % 14)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks() -> Stacks {
        let script = "one \n\t1 <a as b>::c\n\t1 main\n\none \n\t1 main\n\ntwo \n\t1 idle\n\n";
        Stacks::read(script.as_bytes()).expect("readable")
    }

    #[test]
    fn each_function_is_a_box_as_wide_as_its_share() {
        let picture = draw(&stacks(), "a & b");
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
        assert!(picture.contains(">a &amp; b (3 samples)</text>"), "{picture}");
        for (title, x, width) in [
            ("one: 66.67 %, 2 samples", "0.0", "799.7"),
            ("main: 66.67 %, 2 samples", "0.0", "799.7"),
            ("&lt;a as b&gt;::c: 33.33 %, 1 samples", "0.0", "399.7"),
            ("two: 33.33 %, 1 samples", "800.0", "399.7"),
        ] {
            let rest = picture.split(&format!("<title>{title}</title>")).nth(1).expect(title);
            assert!(rest.starts_with(&format!("<rect x=\"{x}\"")), "{title}: {rest}");
            assert!(
                rest.split('/').next().is_some_and(|first| first.contains(&format!("width=\"{width}\"")))
            );
        }
        assert_eq!(picture.matches("<g>").count(), picture.matches("</g>").count());
    }

    #[test]
    fn rows_fit_into_the_picture() {
        assert_eq!(depth_of(&stacks().root, WIDTH), 3);
        assert_eq!(depth_of(&Node::default(), WIDTH), 0);
    }

    #[test]
    fn names_are_cut_between_letters() {
        let cases = [("abc", 2, "ab"), ("abc", 9, "abc"), ("a&lt;b", 2, "a&lt;"), ("a&lt;b", 3, "a&lt;b")];
        for (name, letters, want) in cases {
            assert_eq!(shown(name, letters), want, "{name} {letters}");
        }
    }
}
