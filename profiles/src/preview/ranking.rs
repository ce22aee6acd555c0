//! The largest of something in a graph, found by reading it from one end to the other.

use super::report::{BusyIdentifier, Cluster, IDENTIFIERS_SHOWN_MAX, SHOWN_MAX};
use crate::codec::{CodecError, Value};
use crate::key::{Key, Tag, start};
use crate::store::{Entries, Store, StoreError};
use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hasher};
use std::iter::Peekable;
use std::sync::Arc;
use tributary_identity::{LiveProfile, ProfileRecord};
use tributary_model::{ProfileId, WorkspaceId};

/// Where the parts begin that name an entry: behind workspace and tag.
const NAME_AT: usize = 5;
/// An epoch in a key.
const EPOCH_BYTES: usize = 4;
/// How many identifiers are counted in one reading of the links: what bounds the memory.
const COUNTED_MAX: u64 = 4 << 20;

/// The live profiles of a workspace.
pub(super) struct Profiles {
    /// How many there are.
    pub(super) count: u64,
    /// Those with the most identifiers.
    pub(super) biggest: Vec<Cluster>,
}

impl Profiles {
    pub(super) fn of(store: &dyn Store, workspace: WorkspaceId) -> Result<Self, StoreError> {
        let mut count = 0;
        let mut biggest = Top::default();
        for entry in store.entries(&start(workspace, Tag::Profile)) {
            let (key, value) = entry?;
            let Some(live) = live(&value)? else { continue };
            count += 1;
            let id = key.profile_named().ok_or(CodecError::Damaged)?;
            let size = live.identifiers().count() as u64;
            biggest.offer(size, || Cluster { profile_id: id.to_string(), size, identifiers: texts(&live) });
        }
        Ok(Self { count, biggest: biggest.into_entries() })
    }
}

/// Some identifiers of a live profile.
pub(super) fn identifiers_shown(
    store: &dyn Store,
    workspace: WorkspaceId,
    id: ProfileId,
) -> Result<Vec<String>, StoreError> {
    match store.get(&Key::profile(workspace, id))? {
        Some(value) => Ok(live(&value)?.map(|live| texts(&live)).unwrap_or_default()),
        None => Ok(Vec::new()),
    }
}

fn live(value: &[u8]) -> Result<Option<Arc<LiveProfile>>, StoreError> {
    let Value::Profile(record) = Value::decode(Tag::Profile, value)? else {
        return Err(CodecError::Damaged.into());
    };
    Ok(match &*record {
        ProfileRecord::Live(live) => Some(Arc::clone(live)),
        ProfileRecord::MergedInto(_) => None,
    })
}

fn texts(live: &LiveProfile) -> Vec<String> {
    live.identifiers().take(IDENTIFIERS_SHOWN_MAX).map(|node| node.identifier.to_text()).collect()
}

/// The largest few of many; of equal ones those that were offered first.
struct Top<T>(Vec<(u64, T)>);

impl<T> Default for Top<T> {
    fn default() -> Self {
        Self(Vec::with_capacity(SHOWN_MAX + 1))
    }
}

impl<T> Top<T> {
    fn offer(&mut self, size: u64, entry: impl FnOnce() -> T) {
        let place = self.0.partition_point(|(have, _)| *have >= size);
        if place < SHOWN_MAX {
            self.0.insert(place, (size, entry()));
            self.0.truncate(SHOWN_MAX);
        }
    }

    fn into_entries(self) -> Vec<T> {
        self.0.into_iter().map(|(_, entry)| entry).collect()
    }
}

/// The identifiers that were seen with the most others, one of the two being the event's anchor, whether they were tied
/// or refused; none that was seen with one alone.
///
/// They are counted by 64-bit hashes, so many at a time as memory allows.
pub(super) fn busiest(store: &dyn Store, workspace: WorkspaceId) -> Result<Vec<BusyIdentifier>, StoreError> {
    let mut links = 0;
    for link in Links::of(store, workspace) {
        link?;
        links += 1;
    }
    let turns = u64::div_ceil(links, COUNTED_MAX).max(1);
    let mut top: Vec<(u64, u64)> = Vec::new();
    for turn in 0..turns {
        let mut hashes = Vec::new();
        for link in Links::of(store, workspace) {
            let link = link?;
            hashes.extend(ends_of(&link)?.map(hash).into_iter().filter(|hash| hash % turns == turn));
        }
        hashes.sort_unstable();
        let runs = hashes.chunk_by(|left, right| left == right).filter(|run| run.len() > 1);
        top.extend(runs.filter_map(|run| Some((run.len() as u64, *run.first()?))));
        top.sort_unstable_by_key(|(count, hash)| (Reverse(*count), *hash));
        top.truncate(SHOWN_MAX);
    }
    named(store, workspace, &top)
}

/// The identifiers with these hashes.
fn named(
    store: &dyn Store,
    workspace: WorkspaceId,
    top: &[(u64, u64)],
) -> Result<Vec<BusyIdentifier>, StoreError> {
    let mut found: Vec<BusyIdentifier> = Vec::with_capacity(top.len());
    let mut missing: Vec<(u64, u64)> = top.to_vec();
    for link in Links::of(store, workspace) {
        if missing.is_empty() {
            break;
        }
        let name = link?;
        for (end, wanted) in ends_of(&name)?.map(hash).into_iter().enumerate() {
            let Some(place) = missing.iter().position(|(_, hash)| *hash == wanted) else { continue };
            let (profiles, _) = missing.swap_remove(place);
            let identifier = texts_of(workspace, &name)?[end].clone();
            found.push(BusyIdentifier { identifier, profiles });
        }
    }
    found.sort_by(|a, b| b.profiles.cmp(&a.profiles).then_with(|| a.identifier.cmp(&b.identifier)));
    Ok(found)
}

/// Every anchor with every identifier that it was seen with, each once, in the order of keys: edges and refused links
/// side by side. An item is what the keys of both have in common: all but the epoch of the other.
struct Links<'a> {
    edges: Peekable<Entries<'a>>,
    refusals: Peekable<Entries<'a>>,
    last: Box<[u8]>,
}

impl<'a> Links<'a> {
    fn of(store: &'a dyn Store, workspace: WorkspaceId) -> Self {
        let entries = |tag| store.entries(&start(workspace, tag)).peekable();
        Self { edges: entries(Tag::Edge), refusals: entries(Tag::Refusal), last: Box::default() }
    }

    fn step(&mut self) -> Result<Option<Box<[u8]>>, StoreError> {
        let is_refusal_next = match (self.edges.peek(), self.refusals.peek()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(Ok((edge, _))), Some(Ok((refusal, _)))) => name(edge)? > name(refusal)?,
            // An error comes first.
            (Some(edge), Some(_)) => edge.is_ok(),
        };
        let next = if is_refusal_next { self.refusals.next() } else { self.edges.next() };
        let Some(entry) = next else { return Ok(None) };
        Ok(Some(name(&entry?.0)?.into()))
    }
}

impl Iterator for Links<'_> {
    type Item = Result<Box<[u8]>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step().transpose()? {
                Ok(name) if name == self.last => {}
                Ok(name) => {
                    self.last.clone_from(&name);
                    return Some(Ok(name));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Anchor and other identifier as the keys of links hold them.
fn name(key: &Key) -> Result<&[u8], CodecError> {
    let bytes = key.as_bytes();
    let end = bytes.len().checked_sub(EPOCH_BYTES).ok_or(CodecError::Damaged)?;
    bytes.get(NAME_AT..end).ok_or(CodecError::Damaged)
}

/// The anchor and the other identifier in the name of a link, without their epochs.
fn ends_of(name: &[u8]) -> Result<[&[u8]; 2], CodecError> {
    let anchor_end = || {
        let value_at = text_end(name)?;
        Some(value_at + text_end(name.get(value_at..)?)?)
    };
    let ends = || {
        let end = anchor_end()?;
        Some([name.get(..end)?, name.get(end + EPOCH_BYTES..)?])
    };
    ends().ok_or(CodecError::Damaged)
}

/// Where a text ends that stands first, behind its length.
fn text_end(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk::<2>()?;
    Some(2 + usize::from(u16::from_be_bytes(*length)))
}

/// The anchor and the other identifier in the name of a link, as texts.
fn texts_of(workspace: WorkspaceId, name: &[u8]) -> Result<[String; 2], CodecError> {
    let mut bytes = start(workspace, Tag::Edge);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&[0; EPOCH_BYTES]);
    let link = Key::from_stored(&bytes).edge_named().ok_or(CodecError::Damaged)?;
    Ok([link.anchor.identifier.to_text(), link.other.identifier.to_text()])
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
