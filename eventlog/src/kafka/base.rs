//! What the data directory remembers of a topic, so that another topic, or one that lost entries, is never taken
//! for it.
//!
//! ```text
//! kafka-<log>.json   {"version":1, "cluster":…, "topic":…, "base":…, "end":…, "witness":{"sequence":…, "crc32":…}}
//! ```
//!
//! `base` is what turns an offset into a sequence; it never changes. `end` is how far the log reached when the file
//! was last written (at an interval, and when the log is closed), and the witness is the checksum of one entry near
//! it: a topic that was deleted and made again is known by the one or the other. The file is written aside, synced
//! and renamed. It holds nothing personal: a checksum of 32 bits tells nothing about an entry.

use super::error::KafkaOpenError;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The form of the file that this version writes.
const VERSION: u32 = 1;

/// What is remembered of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    version: u32,
    /// The cluster's id, where it tells one.
    pub(super) cluster: Option<String>,
    pub(super) topic: String,
    /// The sequence of offset 0.
    pub(super) base: u64,
    /// One past the last sequence known.
    pub(super) end: u64,
    pub(super) witness: Option<Witness>,
}

/// One entry, by its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Witness {
    pub(super) sequence: u64,
    pub(super) crc32: u32,
}

impl Witness {
    pub(super) fn of(sequence: u64, entry: &[u8]) -> Self {
        Self { sequence, crc32: crc32fast::hash(entry) }
    }
}

/// The file of one log.
#[derive(Debug, Clone)]
pub(super) struct MemoryFile {
    path: PathBuf,
}

impl MemoryFile {
    pub(super) fn new(directory: &Path, log: &str) -> Self {
        Self { path: directory.join(file_name(log)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds; `None` if there is none.
    pub(super) fn read(&self) -> Result<Option<Memory>, KafkaOpenError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.problem(error.to_string())),
        };
        let memory: Memory = serde_json::from_slice(&text)
            .map_err(|error| self.problem(format!("it is damaged ({error}); restore it from a backup")))?;
        if memory.version != VERSION {
            let found = memory.version;
            return Err(
                self.problem(format!("it has form {found}, which this version of the program does not know"))
            );
        }
        Ok(Some(memory))
    }

    /// Puts `memory` into the file, durably.
    pub(super) fn write(&self, memory: &Memory) -> io::Result<()> {
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".tmp");
        let aside = PathBuf::from(aside);
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(memory).map_err(io::Error::other)?)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&aside, &self.path)?;
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }

    /// What is known of the topic before anything is read from it: the memory to go on with, or why the topic is
    /// not the one remembered. `end` is one past the topic's last offset.
    pub(super) fn check(
        &self,
        topic: &str,
        cluster: Option<&str>,
        end: u64,
    ) -> Result<Memory, KafkaOpenError> {
        let other = |problem: String| KafkaOpenError::OtherTopic {
            topic: topic.to_owned(),
            file: self.path.clone(),
            problem,
        };
        let Some(memory) = self.read()? else {
            if end > 0 {
                return Err(KafkaOpenError::Topic {
                    topic: topic.to_owned(),
                    problem: format!(
                        "{end} entries were written to it, but this data directory knows nothing of them; restore \
                         the data directory that belongs to it, choose another kafka.topic_prefix, or delete the \
                         topic"
                    ),
                });
            }
            return Ok(Memory {
                version: VERSION,
                cluster: cluster.map(str::to_owned),
                topic: topic.to_owned(),
                base: 0,
                end: 0,
                witness: None,
            });
        };
        if memory.topic != topic {
            let was = &memory.topic;
            return Err(other(format!(
                "it was {was}; set kafka.topic_prefix back, or use another data directory"
            )));
        }
        if let (Some(was), Some(is)) = (&memory.cluster, cluster)
            && was != is
        {
            return Err(other(format!(
                "it was in cluster {was}, this one is {is}; correct kafka.brokers, or use another data directory"
            )));
        }
        if memory.base + end < memory.end {
            return Err(other(format!(
                "it ends at offset {end}, entries up to {} had been acknowledged: the cluster lost data, or the topic \
                 was made again; restore the topic, or begin anew with another data directory and topic prefix",
                memory.end - memory.base
            )));
        }
        Ok(memory)
    }

    /// The error for a witness that is not what it was.
    pub(super) fn other_witness(&self, topic: &str, sequence: u64) -> KafkaOpenError {
        KafkaOpenError::OtherTopic {
            topic: topic.to_owned(),
            file: self.path.clone(),
            problem: format!(
                "entry {sequence} is not the one that was written there: the topic was made again, or the cluster \
                 lost data; restore the topic, or begin anew with another data directory and topic prefix"
            ),
        }
    }

    fn problem(&self, problem: String) -> KafkaOpenError {
        KafkaOpenError::Memory { file: self.path.clone(), problem }
    }
}

/// The name of the file that remembers the topic of a log.
pub(super) fn file_name(log: &str) -> String {
    format!("kafka-{log}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_topic_remembered_is_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = MemoryFile::new(directory.path(), "events");
        assert!(file.check("t", Some("c"), 1).is_err(), "a used topic is not a new one");
        let new = file.check("t", Some("c"), 0).expect("a new topic");
        let known = Memory { end: 10, witness: Some(Witness::of(9, b"an entry")), ..new };
        file.write(&known).expect("written");
        assert_eq!(file.read().expect("readable"), Some(known.clone()));
        let cases = [
            ("the same", "t", Some("c"), 10, None),
            ("grown", "t", Some("c"), 11, None),
            ("a cluster without an id", "t", None, 10, None),
            ("another topic", "u", Some("c"), 10, Some("topic_prefix")),
            ("another cluster", "t", Some("d"), 10, Some("kafka.brokers")),
            ("shorter", "t", Some("c"), 9, Some("lost data")),
            ("empty", "t", Some("c"), 0, Some("lost data")),
        ];
        for (name, topic, cluster, end, problem) in cases {
            match (file.check(topic, cluster, end), problem) {
                (Ok(memory), None) => assert_eq!(memory, known, "{name}"),
                (Err(error), Some(problem)) => {
                    assert!(error.to_string().contains(problem), "{name}: {error}")
                }
                (result, _) => panic!("{name}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_file_written_by_an_earlier_version_is_still_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = MemoryFile::new(directory.path(), "events");
        let text = r#"{"version":1,"cluster":"c","topic":"t","base":7,"end":12,"witness":{"sequence":11,"crc32":5}}"#;
        fs::write(file.path(), text).expect("written");
        let memory = file.read().expect("readable").expect("it is there");
        assert_eq!((memory.base, memory.end), (7, 12));
        assert_eq!(memory.witness, Some(Witness { sequence: 11, crc32: 5 }));
        for (text, problem) in
            [(text.replace("\"version\":1", "\"version\":2"), "form 2"), ("{".into(), "damaged")]
        {
            fs::write(file.path(), text).expect("written");
            let error = file.read().expect_err(problem).to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
