//! Regular expressions that people write: limited in length, and in what they take in memory when they are compiled.

use regex::{Regex, RegexBuilder};

/// The limit on the length of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;
/// The limit on what a pattern takes in memory. Its search takes time in proportion to the text whatever it says.
const PATTERN_MEMORY_MAX: usize = 256 << 10;

/// A pattern, compiled.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn compile(text: &str) -> Result<Regex, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "has {} bytes; the limit is {PATTERN_BYTES_MAX}: split it into several",
            text.len()
        ));
    }
    let built =
        RegexBuilder::new(text).size_limit(PATTERN_MEMORY_MAX).dfa_size_limit(PATTERN_MEMORY_MAX).build();
    built.map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return format!(
                "explodes to more than {} KB when it is compiled; repeat less, and write [0-9A-Za-z_] for \\w",
                PATTERN_MEMORY_MAX >> 10
            );
        }
        // The whole message draws the pattern over several lines; the reason is at its end.
        let message = error.to_string();
        let reason = message.rsplit("error: ").next().unwrap_or(&message).trim();
        format!("is no regular expression: {reason}")
    })
}
