//! Sampled stacks as a tree: how many samples went through each chain of calls, by thread.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

/// A function in the tree, with all that it called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Samples in it and in what it called.
    pub(super) samples: u64,
    pub(super) calls: BTreeMap<String, Node>,
}

/// All samples; the first level below the root are threads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stacks {
    pub(super) root: Node,
}

impl Stacks {
    /// Reads what `perf script --fields comm,ip,sym` writes: for each sample the thread's name on a line of its own,
    /// then its stack, the innermost function first, an address and a name on each line, then an empty line.
    ///
    /// # Errors
    /// If it can't be read.
    pub(super) fn read(lines: impl BufRead) -> io::Result<Self> {
        let mut stacks = Self::default();
        let mut thread: Option<String> = None;
        let mut stack: Vec<String> = Vec::new();
        for line in lines.split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if line.trim().is_empty() {
                stacks.add(thread.take(), &mut stack);
            } else if line.starts_with(char::is_whitespace) {
                stack.push(function(&line));
            } else {
                stacks.add(thread.replace(line.trim().to_owned()), &mut stack);
            }
        }
        stacks.add(thread, &mut stack);
        Ok(stacks)
    }

    /// How many samples there are.
    pub(super) fn samples(&self) -> u64 {
        self.root.samples
    }

    /// Adds a sample and empties its stack.
    fn add(&mut self, thread: Option<String>, stack: &mut Vec<String>) {
        let Some(thread) = thread else { return stack.clear() };
        let mut node = &mut self.root;
        node.samples += 1;
        for name in std::iter::once(thread).chain(stack.drain(..).rev()) {
            node = node.calls.entry(name).or_default();
            node.samples += 1;
        }
    }
}

/// The function's name of a line, without the hash that the compiler puts behind it.
fn function(line: &str) -> String {
    let name = line.trim().split_once(' ').map_or("[unknown]", |(_, name)| name.trim());
    let is_hash = |text: &str| {
        text.strip_prefix('h')
            .is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    match name.rsplit_once("::") {
        Some((path, last)) if is_hash(last) => path.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "log-events \n\
        \tffffffff816936d0 fsync\n\
        \t           98109 tributary::write::h0123456789abcdef\n\
        \t               1 main\n\
        \n\
        log-events \n\
        \t           98109 tributary::write::h0123456789abcdef\n\
        \t               1 main\n\
        \n\
        actix-server wo \n\
        \t               0 [unknown]\n\
        \n";

    fn paths(node: &Node, before: &str, out: &mut Vec<(String, u64)>) {
        for (name, below) in &node.calls {
            let path = format!("{before}/{name}");
            out.push((path.clone(), below.samples));
            paths(below, &path, out);
        }
    }

    #[test]
    fn samples_are_added_up_by_thread_and_chain_of_calls() {
        let stacks = Stacks::read(SCRIPT.as_bytes()).expect("readable");
        assert_eq!(stacks.samples(), 3);
        let mut have = Vec::new();
        paths(&stacks.root, "", &mut have);
        let want = [
            ("/actix-server wo", 1),
            ("/actix-server wo/[unknown]", 1),
            ("/log-events", 2),
            ("/log-events/main", 2),
            ("/log-events/main/tributary::write", 2),
            ("/log-events/main/tributary::write/fsync", 1),
        ];
        assert_eq!(have, want.map(|(path, samples)| (path.to_owned(), samples)));
    }

    #[test]
    fn a_recording_may_be_cut_off_anywhere() {
        let whole = Stacks::read(SCRIPT.trim_end().as_bytes()).expect("readable");
        assert_eq!(whole, Stacks::read(SCRIPT.as_bytes()).expect("readable"));
        for length in 0..SCRIPT.len() {
            let stacks = Stacks::read(&SCRIPT.as_bytes()[..length]).expect("readable");
            assert!(stacks.samples() <= 3);
        }
    }

    #[test]
    fn names_lose_their_hash_only() {
        let cases = [
            ("  1f a::b::h0123456789abcdef", "a::b"),
            ("  1f a::b::hello", "a::b::hello"),
            ("  1f <a as b>::c", "<a as b>::c"),
            ("  1f", "[unknown]"),
        ];
        for (line, want) in cases {
            assert_eq!(function(line), want, "{line}");
        }
    }
}
