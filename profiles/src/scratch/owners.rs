//! The identifiers of a workspace with the profiles that they are on, as a sorted stream.

use crate::codec::{CodecError, Value};
use crate::key::{Key, Tag, start};
use crate::store::{Entries, Store, StoreError};
use std::iter::Peekable;
use std::sync::Arc;
use tributary_identity::Node;
use tributary_model::{ProfileId, WorkspaceId};

/// Where the parts begin that name an entry: behind workspace and tag.
const NAME_AT: usize = 5;
/// The epoch stands last in a node's key.
const EPOCH_BYTES: usize = 4;

/// An identifier that is on a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    /// Its namespace and value as keys hold them: what sorts the stream, and is the same in every workspace.
    pub(crate) name: Box<[u8]>,
    /// The profile.
    pub(crate) profile: ProfileId,
}

/// The name of an identifier, and the profile that it is on, if it is on one.
type Group = (Box<[u8]>, Option<ProfileId>);

/// Every identifier that is on a profile, in the order of their names; only in the epoch that it is in now.
pub(crate) struct Owners<'a> {
    entries: Peekable<Entries<'a>>,
}

impl<'a> Owners<'a> {
    /// Those of a workspace.
    pub(crate) fn of(store: &'a dyn Store, workspace: WorkspaceId) -> Self {
        Self { entries: store.entries(&start(workspace, Tag::Node)).peekable() }
    }

    /// The next identifier's node in its current epoch, if it has one there.
    fn group(&mut self) -> Result<Option<Group>, StoreError> {
        let Some(first) = self.entries.next() else { return Ok(None) };
        let (key, value) = first?;
        let (name, epoch) = split(&key)?;
        let name: Box<[u8]> = name.into();
        let node = read(&value)?;
        let current = if epoch == 0 { node.current_epoch } else { 0 };
        let mut found = (epoch == current).then_some(node.profile);
        while let Some(next) = self.entries.next_if(|entry| is_named(entry, &name)) {
            let (key, value) = next?;
            if split(&key)?.1 == current {
                found = Some(read(&value)?.profile);
            }
        }
        Ok(Some((name, found)))
    }
}

impl Iterator for Owners<'_> {
    type Item = Result<Owned, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.group() {
                Ok(Some((name, Some(profile)))) => return Some(Ok(Owned { name, profile })),
                // Nobody has it now: it was taken away by hand.
                Ok(Some((_, None))) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The name and the epoch in a node's key.
fn split(key: &Key) -> Result<(&[u8], u32), StoreError> {
    let bytes = key.as_bytes();
    let at = bytes.len().checked_sub(EPOCH_BYTES).filter(|at| *at >= NAME_AT).ok_or(CodecError::Damaged)?;
    let (name, epoch) = bytes.split_at(at);
    let epoch = epoch.try_into().map_err(|_| CodecError::Damaged)?;
    Ok((name.get(NAME_AT..).ok_or(CodecError::Damaged)?, u32::from_be_bytes(epoch)))
}

/// Whether it is of that name; an error is taken, so that it is met.
fn is_named(entry: &Result<(Key, Vec<u8>), StoreError>, name: &[u8]) -> bool {
    entry.as_ref().map_or(true, |(key, _)| split(key).is_ok_and(|(other, _)| other == name))
}

fn read(value: &[u8]) -> Result<Arc<Node>, StoreError> {
    let Value::Node(node) = Value::decode(Tag::Node, value)? else { return Err(CodecError::Damaged.into()) };
    Ok(node)
}
