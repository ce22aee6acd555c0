//! Rows as lines of JSON.

use super::layout::{Draft, Given, Role, is_export};
use super::{Person, Problem, ROW_BYTES_MAX, ReadError, ReadOptions};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use tributary_model::json::Members;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads a JSON object from each line that is not empty.
pub(crate) struct NdjsonRows {
    options: ReadOptions,
    file: BufReader<File>,
    line: u64,
    done: u64,
    total: u64,
    buffer: Vec<u8>,
}

impl NdjsonRows {
    pub(super) fn open(path: &Path, options: ReadOptions) -> Result<Self, ReadError> {
        let file = File::open(path)?;
        let total = file.metadata()?.len();
        Ok(Self { options, file: BufReader::new(file), line: 0, done: 0, total, buffer: Vec::new() })
    }

    pub(super) fn next(&mut self) -> Result<Option<Result<Person, Problem>>, ReadError> {
        loop {
            self.buffer.clear();
            let read = self.file.by_ref().take(ROW_BYTES_MAX + 1).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.done += read as u64;
            if self.buffer.len() as u64 > ROW_BYTES_MAX {
                if !self.buffer.ends_with(b"\n") {
                    self.done += pass_line(&mut self.file)?;
                }
                return Ok(Some(Err(self.problem(format!("the line has more than {ROW_BYTES_MAX} bytes")))));
            }
            let mut bytes = self.buffer.as_slice();
            if self.line == 1 {
                bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            return Ok(Some(match person(bytes, &self.options) {
                Ok(draft) => Ok(draft.person(self.line)),
                Err(reason) => Err(self.problem(reason)),
            }));
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    fn problem(&self, reason: String) -> Problem {
        Problem { place: self.line, reason }
    }
}

fn person(line: &[u8], options: &ReadOptions) -> Result<Draft, String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is no UTF-8".to_owned())?;
    // What the parser says may show values.
    let members = Members::parse(line)
        .map_err(|error| format!("the line is no JSON object (see column {})", error.column()))?;
    let is_export = is_export(members.iter().map(|(name, _)| name));
    let mut draft = Draft::default();
    for (name, value) in members.iter() {
        let role = Role::of(name, options, is_export)?;
        draft.take(role, name, Given::Json(Cow::Borrowed(value.get())))?;
    }
    Ok(draft)
}

/// Reads on to the end of a line, and keeps nothing of it. How many bytes that were.
fn pass_line(file: &mut impl BufRead) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let available = file.fill_buf()?;
        if available.is_empty() {
            return Ok(passed);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(available.len(), |at| at + 1);
        file.consume(count);
        passed += count as u64;
        if end.is_some() {
            return Ok(passed);
        }
    }
}
