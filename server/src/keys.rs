//! The installation's root key, and the keys derived from it.
//!
//! `keys/root.key` holds 32 random bytes as 64 hexadecimal digits and a newline, readable by its owner only. It
//! is created once, with the first start, and never changed: profile ids and index keys are hashes under it, and
//! the secrets of destinations are sealed under it. Without it a data directory is of no use, so a copy of the
//! one needs a copy of the other. Key rotation is left out.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tributary_model::HashKey;

use crate::durable;
use crate::seal::SealingKey;

/// The root key can't be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not a root key.
    #[error("{0} does not hold a root key (64 hexadecimal digits); put the original file back")]
    Damaged(PathBuf),
    /// There are data, but the key that they were written under is gone.
    #[error("{path} is missing, but {data} was written under it; put the original file back")]
    Missing {
        /// Where the key should be.
        path: PathBuf,
        /// What is there already.
        data: PathBuf,
    },
}

/// The installation's root key.
pub struct Keys {
    root: [u8; 32],
}

impl Keys {
    /// Reads the root key of a data directory; makes it where the directory is still without data.
    ///
    /// # Errors
    /// If it can't be read or made, is damaged, or is missing although there are data.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join("keys").join("root.key");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::read(&path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(data_dir, path),
            Err(source) => Err(KeyError::Io { doing: "read", path, source }),
        }
    }

    fn read(path: &Path, text: &str) -> Result<Self, KeyError> {
        let mut root = [0; 32];
        hex::decode_to_slice(text.trim_end(), &mut root)
            .map_err(|_| KeyError::Damaged(path.to_path_buf()))?;
        let metadata = std::fs::metadata(path).map_err(|source| KeyError::Io {
            doing: "read",
            path: path.to_path_buf(),
            source,
        })?;
        if metadata.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "the root key can be read by others; run chmod 600 on it");
        }
        Ok(Self { root })
    }

    fn create(data_dir: &Path, path: PathBuf) -> Result<Self, KeyError> {
        for name in ["workspaces", "events"] {
            let data = data_dir.join(name);
            let holds_something = std::fs::read_dir(&data).is_ok_and(|mut entries| entries.next().is_some());
            if holds_something {
                return Err(KeyError::Missing { path, data });
            }
        }
        let root: [u8; 32] = rand::random();
        let text = format!("{}\n", hex::encode(root));
        durable::create_dir(&data_dir.join("keys"))
            .and_then(|()| durable::write(&path, text.as_bytes(), 0o600))
            .map_err(|source| KeyError::Io { doing: "write", path, source })?;
        Ok(Self { root })
    }

    /// The key of the hashes that stand for identifiers and make profile ids.
    pub fn hash_key(&self) -> HashKey {
        HashKey::derive(&self.root)
    }

    /// The key that seals the secrets of destinations.
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey::derive(&self.root)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Keys({})", self.hash_key().fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data_dir = dir.path().join("data");
        let first = Keys::open(&data_dir).expect("the first start makes the key");
        let again = Keys::open(&data_dir).expect("the second start reads it");
        assert_eq!(first.hash_key(), again.hash_key());
        let path = data_dir.join("keys/root.key");
        let mode = std::fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().expect("a temporary directory");
        let elsewhere = Keys::open(other.path()).expect("another installation");
        assert_ne!(first.hash_key(), elsewhere.hash_key());
        assert!(!format!("{first:?}").contains(std::fs::read_to_string(path).expect("text").trim()));
    }

    #[test]
    fn a_damaged_or_lost_key_is_an_error_and_never_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Keys::open(dir.path()).expect("the first start makes the key");
        let path = dir.path().join("keys/root.key");
        std::fs::write(&path, "not a key").expect("a write");
        assert!(matches!(Keys::open(dir.path()), Err(KeyError::Damaged(_))));
        std::fs::remove_file(&path).expect("a removal");
        std::fs::create_dir_all(dir.path().join("workspaces/1")).expect("a directory");
        assert!(matches!(Keys::open(dir.path()), Err(KeyError::Missing { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_no_key() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("keys")).expect("a directory");
        std::fs::write(dir.path().join("keys/root.key.tmp"), "12").expect("a write");
        let made = Keys::open(dir.path()).expect("a key is made");
        assert_eq!(made.hash_key(), Keys::open(dir.path()).expect("a key is read").hash_key());
    }
}
