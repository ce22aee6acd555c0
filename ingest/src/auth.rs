//! Write keys: which source a request comes from.

use crate::error::IngestError;
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tributary_model::{IdentifierReader, SourceId, Workspace, WorkspaceId};

/// The source that a write key stands for, and the workspace as it was when the key was looked up.
#[derive(Clone)]
pub struct SourceRef {
    /// The workspace snapshot in force.
    pub workspace: Arc<Workspace>,
    /// The source within it.
    pub source: SourceId,
    /// Whether its events are taken.
    pub enabled: bool,
    /// The workspace's identity rules, compiled.
    pub(crate) identifiers: Arc<IdentifierReader>,
}

impl SourceRef {
    /// The workspace's id.
    pub fn workspace_id(&self) -> WorkspaceId {
        self.workspace.id
    }
}

impl fmt::Debug for SourceRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SourceRef({} {})", self.workspace.id, self.source)
    }
}

/// Every write key of every workspace. Replaced whole when a workspace changes; a request sees either all of
/// the old or all of the new.
#[derive(Default)]
pub struct WriteKeys {
    by_key: RwLock<Arc<HashMap<Box<str>, SourceRef>>>,
}

impl WriteKeys {
    /// No keys at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the write keys of these workspaces in the place of all that were there. Identity rules that changed
    /// are compiled here, once.
    ///
    /// # Panics
    /// If the identity rules of a workspace were never checked, and don't work.
    pub fn swap(&self, workspaces: &[Arc<Workspace>]) {
        let before: HashMap<WorkspaceId, Arc<IdentifierReader>> = self
            .current()
            .values()
            .map(|source| (source.workspace_id(), Arc::clone(&source.identifiers)))
            .collect();
        let mut by_key = HashMap::new();
        for workspace in workspaces {
            let same = before.get(&workspace.id).filter(|before| *before.rules() == workspace.identity);
            let identifiers = same.cloned().unwrap_or_else(|| {
                let compiled = IdentifierReader::new(&workspace.identity);
                Arc::new(compiled.expect("a workspace's identity rules are checked before they are stored"))
            });
            for source in &workspace.sources {
                let entry = SourceRef {
                    workspace: Arc::clone(workspace),
                    source: source.id,
                    enabled: source.enabled,
                    identifiers: Arc::clone(&identifiers),
                };
                by_key.insert(source.write_key.as_str().into(), entry);
            }
        }
        *self.by_key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_key);
    }

    /// The source of a write key, disabled ones included.
    pub fn lookup(&self, write_key: &str) -> Option<SourceRef> {
        self.current().get(write_key).cloned()
    }

    fn current(&self) -> Arc<HashMap<Box<str>, SourceRef>> {
        Arc::clone(&self.by_key.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The source of a write key, if its events are taken.
    ///
    /// # Errors
    /// If there is no such key, or its source is disabled.
    pub(crate) fn authenticate(&self, write_key: &str) -> Result<SourceRef, IngestError> {
        self.lookup(write_key).filter(|source| source.enabled).ok_or(IngestError::UnknownWriteKey)
    }
}

impl fmt::Debug for WriteKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "WriteKeys({})", self.current().len())
    }
}

/// Clients pad or do not, so both are read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The write key in an `Authorization` header: the user name of Basic, with or without a colon, whatever the
/// password. `None` if the user name is empty.
///
/// # Errors
/// If the header is something else.
pub(crate) fn write_key_of_header(header: &[u8]) -> Result<Option<String>, IngestError> {
    let malformed = || IngestError::MalformedAuthorization;
    let header = std::str::from_utf8(header).map_err(|_| malformed())?.trim();
    let (scheme, credentials) = header.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = BASE64.decode(credentials.trim()).map_err(|_| malformed())?;
    let mut key = String::from_utf8(decoded).map_err(|_| malformed())?;
    if let Some(colon) = key.find(':') {
        key.truncate(colon);
    }
    Ok((!key.is_empty()).then_some(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{WRITE_KEY, workspace};

    #[test]
    fn rules_are_compiled_when_they_change() {
        let keys = WriteKeys::new();
        let reader = || keys.lookup(WRITE_KEY).expect("the key is there").identifiers;
        keys.swap(&[workspace()]);
        let first = reader();
        let mut changed = Workspace::clone(&workspace());
        changed.version += 1;
        keys.swap(&[Arc::new(changed.clone())]);
        assert!(Arc::ptr_eq(&reader(), &first));
        changed.identity.namespaces.truncate(1);
        keys.swap(&[Arc::new(changed.clone())]);
        assert_eq!(*reader().rules(), changed.identity);
    }

    #[test]
    fn reads_the_user_name_of_basic() {
        let cases = [
            ("with colon", "Basic a2V5Og==", Ok(Some("key"))),
            ("without colon", "Basic a2V5", Ok(Some("key"))),
            ("with password", "Basic a2V5OnBhc3M6d29yZA==", Ok(Some("key"))),
            ("no padding", "Basic a2V5Og", Ok(Some("key"))),
            ("scheme in any case", "bAsIc  a2V5 ", Ok(Some("key"))),
            ("empty name", "Basic Og==", Ok(None)),
            ("other scheme", "Bearer a2V5", Err(())),
            ("no scheme", "a2V5", Err(())),
            ("no base64", "Basic ?", Err(())),
            ("no text", "Basic /w==", Err(())),
            ("nothing", "", Err(())),
        ];
        for (name, header, want) in cases {
            let got = write_key_of_header(header.as_bytes()).map_err(|_| ());
            assert_eq!(got.as_ref().map(Option::as_deref), want.as_ref().copied(), "{name}");
        }
    }
}
