//! What is shown of a long text: its beginning, and a mark, so that nobody takes it for the whole.
//!
//! A mark is words at the text's end, and among the bytes that it may have. Where there is no room for more than the mark, the
//! text is cut without one. Secrets are hidden before anything is cut.

use super::Masker;

/// How a mark begins, before the number of bytes.
const MARK: &str = "… (cut: the whole has ";

/// How it ends where that is known to be all.
const END: &str = " bytes)";

/// How it ends where there may be more.
const END_OR_MORE: &str = " bytes or more)";

/// What there is beside the bytes of which something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    /// Nothing: these are all.
    Given,
    /// More: so many bytes in all.
    Bytes(u64),
    /// It was longer, or broke off behind them: more was not read.
    Unread,
}

impl Masker {
    /// The beginning of a body as text, without secrets, at most so many bytes with the mark that says that it is not all.
    pub(crate) fn beginning(&self, bytes: &[u8], whole: Whole, most: usize) -> String {
        let length = bytes.len() as u64;
        let mark = match whole {
            Whole::Given if bytes.len() <= most => {
                let shown = self.body(bytes, usize::MAX);
                if shown.len() <= most {
                    return shown;
                }
                mark(length, END)
            }
            Whole::Given => mark(length, END),
            Whole::Bytes(all) => mark(all, END),
            Whole::Unread => mark(length, END_OR_MORE),
        };
        match room(&mark, most) {
            Some(room) => self.body(bytes, room) + &mark,
            None => self.body(bytes, most),
        }
    }
}

/// The beginning of a text without secrets, at most so many bytes with its mark. Of one that was cut before, the mark stays:
/// it knows how long the whole is.
pub(crate) fn shortened(mut text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let mark = match place_of_mark(&text) {
        Some(place) => text.split_off(place),
        None => mark(text.len() as u64, END),
    };
    let kept = room(&mark, most);
    text.truncate(text.floor_char_boundary(kept.unwrap_or(most)));
    if kept.is_some() {
        text.push_str(&mark);
    }
    text
}

fn mark(bytes: u64, end: &str) -> String {
    format!("{MARK}{bytes}{end}")
}

/// What is left for the text itself, if anything is.
fn room(mark: &str, most: usize) -> Option<usize> {
    most.checked_sub(mark.len()).filter(|room| *room > 0)
}

/// Where the mark begins that the text ends with.
fn place_of_mark(text: &str) -> Option<usize> {
    let place = text.rfind(MARK)?;
    let rest = &text[place + MARK.len()..];
    let number = rest.strip_suffix(END).or_else(|| rest.strip_suffix(END_OR_MORE))?;
    number.parse::<u64>().is_ok().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker() -> Masker {
        Masker::new(["hunter2"].into_iter())
    }

    #[test]
    fn what_is_cut_says_so_and_how_long_the_whole_is() {
        let long = "x".repeat(70_000);
        let wide = "é".repeat(100);
        let cases = [
            ("all of it", "short", Whole::Given, 5, "short".to_owned()),
            ("nothing", "", Whole::Given, 5, String::new()),
            (
                "long",
                &*long,
                Whole::Given,
                50,
                format!("{}… (cut: the whole has 70000 bytes)", "x".repeat(14)),
            ),
            ("of more", "short", Whole::Bytes(800), 50, "short… (cut: the whole has 800 bytes)".to_owned()),
            (
                "not read to its end",
                &*long,
                Whole::Unread,
                50,
                format!("{}… (cut: the whole has 70000 bytes or more)", "x".repeat(6)),
            ),
            ("broken off", "sho", Whole::Unread, 50, "sho… (cut: the whole has 3 bytes or more)".to_owned()),
            ("at a character", &*wide, Whole::Given, 39, "éé… (cut: the whole has 200 bytes)".to_owned()),
            ("too short for a mark", &*long, Whole::Given, 7, "xxxxxxx".to_owned()),
            ("no room at all", &*long, Whole::Given, 0, String::new()),
        ];
        for (name, text, whole, most, want) in cases {
            let shown = masker().beginning(text.as_bytes(), whole, most);
            assert_eq!(shown, want, "{name}");
            assert!(shown.len() <= most, "{name}");
        }
    }

    #[test]
    fn secrets_are_hidden_before_anything_is_cut() {
        let text = format!("{}hunter2 and more", "x".repeat(14));
        let shown = masker().beginning(text.as_bytes(), Whole::Bytes(70_000), 50);
        assert_eq!(shown, format!("{}… (cut: the whole has 70000 bytes)", "x".repeat(14)));
        let shown = masker().beginning(text.as_bytes(), Whole::Bytes(70_000), 54);
        assert_eq!(shown, format!("{}****… (cut: the whole has 70000 bytes)", "x".repeat(14)));
        // A mask is longer than what it hides.
        let secrets = "hunter2 ".repeat(8);
        let shown = masker().beginning(secrets.as_bytes(), Whole::Given, 64);
        assert_eq!(shown, "******** ******** ******** ****… (cut: the whole has 64 bytes)");
    }

    #[test]
    fn what_is_cut_again_keeps_its_mark() {
        let once = |whole: Whole| masker().beginning("x".repeat(3_000).as_bytes(), whole, 2_000);
        let cases = [
            ("short enough", "short".to_owned(), "short".to_owned()),
            ("whole till now", "é".repeat(50), format!("{}… (cut: the whole has 100 bytes)", "é".repeat(13))),
            (
                "cut before",
                once(Whole::Bytes(70_000)),
                format!("{}… (cut: the whole has 70000 bytes)", "x".repeat(24)),
            ),
            (
                "not read to its end",
                once(Whole::Unread),
                format!("{}… (cut: the whole has 3000 bytes or more)", "x".repeat(17)),
            ),
            (
                "like a mark",
                format!("{}… (cut: the whole has a lot of bytes)", "x".repeat(100)),
                format!("{}… (cut: the whole has 139 bytes)", "x".repeat(26)),
            ),
        ];
        for (name, text, want) in cases {
            let shown = shortened(text, 60);
            assert_eq!(shown, want, "{name}");
            assert!(shown.len() <= 60, "{name}");
        }
        assert_eq!(shortened("é".repeat(50), 5), "éé", "without room for a mark");
    }
}
