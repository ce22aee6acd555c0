//! What an import is: the same file, read in the same way. Its events are named after it.

use crate::bulk::read::ReadOptions;
use crate::bulk::{Cells, Format};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How many hexadecimal digits the name has.
const DIGITS: usize = 32;
const BUFFER_BYTES: usize = 1 << 20;

/// What changes what the rows of a file say, or to whom they are said.
#[derive(Clone)]
pub(super) struct Manner {
    /// How the file is written.
    pub(super) format: Format,
    /// How it is read.
    pub(super) options: ReadOptions,
    /// Whether the events go to destinations.
    pub(super) activate: bool,
    /// The write key: another source is told the same anew.
    pub(super) write_key: String,
    /// What tells this import from one that is the same in all else.
    pub(super) again: Option<String>,
}

/// The name of an import: it follows from the content of the file and the manner. Anything else (a mended id column,
/// say) is another import, whose events are new ones.
pub(super) fn name_of(path: &Path, manner: &Manner) -> io::Result<String> {
    let Manner { format, options, activate, write_key, again } = manner;
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let ReadOptions { id_column, time_column, cells } = options;
    let cells = match cells {
        Cells::Typed => "typed",
        Cells::Strings => "strings",
    };
    let said = serde_json::json!([format.name(), id_column, time_column, cells, activate, write_key, again]);
    // Two steps: what is hashed beside the file has one length.
    hasher.update(blake3::hash(said.to_string().as_bytes()).as_bytes());
    let mut name = hasher.finalize().to_hex().to_string();
    name.truncate(DIGITS);
    Ok(name)
}

/// The message id of a row's event.
pub(super) fn message_id(import: &str, place: u64) -> String {
    format!("{}{place}", prefix(import))
}

/// The place of the row whose event has this message id; `None` if it is not of this import.
pub(super) fn place_in(import: &str, message_id: &str) -> Option<u64> {
    message_id.strip_prefix(&prefix(import))?.parse().ok()
}

fn prefix(import: &str) -> String {
    format!("imp-{import}-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_import_is_its_file_and_what_changes_its_rows() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).expect("written");
            path
        };
        let options = |id: &str, time: Option<&str>, cells| ReadOptions {
            id_column: id.to_owned(),
            time_column: time.map(str::to_owned),
            cells,
        };
        let (one, other) = (file("one.csv", "id,x\n1,2\n"), file("other.csv", "id,x\n1,3\n"));
        let copy = file("copy.csv", "id,x\n1,2\n");
        let plain = Manner {
            format: Format::Csv,
            options: options("id", None, Cells::Typed),
            activate: false,
            write_key: "one".to_owned(),
            again: None,
        };
        let name = |path: &Path, manner: &Manner| name_of(path, manner).expect("readable");
        let read = |options| name(&one, &Manner { options, ..plain.clone() });
        let again = |label: &str| name(&one, &Manner { again: Some(label.to_owned()), ..plain.clone() });
        let first = name(&one, &plain);
        assert_eq!((first.len(), &name(&copy, &plain)), (DIGITS, &first));
        assert_eq!(again("May"), again("May"));
        let others = [
            name(&other, &plain),
            name(&one, &Manner { activate: true, ..plain.clone() }),
            read(options("x", None, Cells::Typed)),
            read(options("id", Some("x"), Cells::Typed)),
            read(options("id", None, Cells::Strings)),
            name(&one, &Manner { format: Format::Ndjson, ..plain.clone() }),
            name(&one, &Manner { write_key: "two".to_owned(), ..plain.clone() }),
            again("May"),
            again("June"),
        ];
        let distinct: BTreeSet<&String> = others.iter().chain([&first]).collect();
        assert_eq!(distinct.len(), 10);
    }

    #[test]
    fn a_message_id_tells_its_row() {
        let id = message_id("abc", 17);
        assert_eq!(
            (place_in("abc", &id), place_in("ab", &id), place_in("abc", "m1")),
            (Some(17), None, None)
        );
    }
}
