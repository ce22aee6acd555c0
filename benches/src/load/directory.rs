//! Data directories: made, copied, weighed, and known by a stamp to hold a population.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Says which population a data directory holds.
const STAMP: &str = "bench-population.json";

/// Where a server's data goes.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

/// Which population a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) seed: u64,
    pub(crate) people: u64,
}

impl Place {
    /// A directory to keep.
    pub(crate) fn kept(path: &Path) -> Self {
        Self { path: path.to_owned(), _temporary: None }
    }

    /// A directory that goes away with this value, below `scratch` or where the system puts such.
    ///
    /// # Errors
    /// If it can't be made.
    pub(crate) fn temporary(scratch: Option<&Path>) -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("tributary-bench-");
        let made = match scratch {
            Some(scratch) => {
                fs::create_dir_all(scratch).with_context(|| {
                    format!("{} can't be made; choose another --scratch", scratch.display())
                })?;
                builder.tempdir_in(scratch)
            }
            None => builder.tempdir(),
        };
        let made = made.context("no temporary directory can be made; choose one with --scratch")?;
        Ok(Self { path: made.path().join("data"), _temporary: Some(made) })
    }

    /// The same with a copy of another data directory in it.
    ///
    /// # Errors
    /// If it can't be copied.
    pub(crate) fn copy_of(original: &Path, scratch: Option<&Path>) -> anyhow::Result<Self> {
        let place = Self::temporary(scratch)?;
        copy(original, &place.path)
            .with_context(|| format!("{} can't be copied to {}", original.display(), place.path.display()))?;
        Ok(place)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Stamp {
    /// The stamp of a directory; `None` if it has none.
    ///
    /// # Errors
    /// If there is one that can't be read.
    pub(crate) fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(STAMP);
        match fs::read(&path) {
            Ok(bytes) => {
                let stamp = serde_json::from_slice(&bytes);
                Ok(Some(stamp.with_context(|| format!("{} is no stamp of this tool", path.display()))?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
        }
    }

    /// Stamps a directory.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = data_dir.join(STAMP);
        let text = serde_json::to_vec(self)?;
        fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))
    }

    /// Whom a load is about: those of the stamp if there is one, which nobody may contradict.
    ///
    /// # Errors
    /// If somebody does.
    pub(crate) fn settle(
        stamp: Option<Self>,
        people: Option<u64>,
        seed: Option<u64>,
    ) -> anyhow::Result<Self> {
        let Some(stamp) = stamp else {
            return Ok(Self { seed: seed.unwrap_or(1), people: people.unwrap_or(200_000) });
        };
        let agrees = people.is_none_or(|people| people == stamp.people);
        if !agrees || seed.is_some_and(|seed| seed != stamp.seed) {
            bail!(
                "the data directory holds {} people of seed {}; leave --people and --seed out, or take another",
                stamp.people,
                stamp.seed
            );
        }
        Ok(stamp)
    }
}

/// Bytes on disk by the entries of a directory, whatever is below them.
///
/// # Errors
/// If the directory can't be read; files that go away meanwhile are no error.
pub(crate) fn weigh(directory: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut weights = BTreeMap::new();
    let list = fs::read_dir(directory).with_context(|| format!("{} can't be read", directory.display()))?;
    for entry in list.flatten() {
        let bytes = weight_of(&entry.path()).unwrap_or(0);
        weights.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    Ok(weights)
}

fn weight_of(path: &Path) -> io::Result<u64> {
    let about = fs::symlink_metadata(path)?;
    // Blocks are of 512 bytes, whatever the file system's own are.
    let mut bytes = about.blocks() * 512;
    if about.is_dir() {
        for entry in fs::read_dir(path)?.flatten() {
            bytes += weight_of(&entry.path()).unwrap_or(0);
        }
    }
    Ok(bytes)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_everything_and_goes_away() {
        let original = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(original.path().join("state/deep")).expect("made");
        fs::write(original.path().join("state/deep/file"), [7; 100_000]).expect("written");
        fs::write(original.path().join("lock"), "").expect("written");
        let copy = Place::copy_of(original.path(), None).expect("copied");
        assert_eq!(fs::read(copy.path().join("state/deep/file")).expect("there").len(), 100_000);
        let weights = weigh(copy.path()).expect("weighed");
        assert_eq!(weights.keys().collect::<Vec<_>>(), ["lock", "state"]);
        assert!(weights["state"] >= 100_000, "{weights:?}");
        let path = copy.path().to_owned();
        drop(copy);
        assert!(!path.exists());
    }

    #[test]
    fn a_stamp_says_whom_a_directory_holds() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(Stamp::read(directory.path()).expect("readable"), None);
        let stamp = Stamp { seed: 3, people: 500 };
        stamp.write(directory.path()).expect("written");
        assert_eq!(Stamp::read(directory.path()).expect("readable"), Some(stamp));
        fs::write(directory.path().join(STAMP), "{}").expect("written");
        assert!(Stamp::read(directory.path()).is_err());
    }

    #[test]
    fn nobody_contradicts_a_stamp() {
        let stamp = Stamp { seed: 3, people: 500 };
        let cases = [
            (None, None, None, Some(Stamp { seed: 1, people: 200_000 })),
            (None, Some(10), Some(4), Some(Stamp { seed: 4, people: 10 })),
            (Some(stamp), None, None, Some(stamp)),
            (Some(stamp), Some(500), Some(3), Some(stamp)),
            (Some(stamp), Some(501), None, None),
            (Some(stamp), None, Some(4), None),
        ];
        for (stamp, people, seed, want) in cases {
            assert_eq!(Stamp::settle(stamp, people, seed).ok(), want, "{people:?} {seed:?}");
        }
    }
}
