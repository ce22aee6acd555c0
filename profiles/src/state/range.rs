//! Reads of many entries: all under some prefixes, or a page of them in the order of their keys.
//!
//! What is changed in memory is put together with what the store has: a changed entry hides the stored one, a removed
//! one too. Memory is looked at first, at one moment: what a checkpoint brings into the store meanwhile would be
//! missed the other way round.

#[cfg(test)]
mod tests;

use super::{Changes, Layers, Prefixes, State};
use crate::codec::Value;
use crate::key::{Key, Tag, start};
use crate::store::{StoreError, first_of};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::ops::Bound;
use std::sync::Arc;
use tributary_model::WorkspaceId;

/// How often a scan is begun anew that met a value of several parts while a checkpoint replaced it.
const SCANS_MAX: usize = 8;

/// The keys of changed entries that are read in order.
pub(super) type KeysInOrder = BTreeSet<Key>;

/// Whether entries under a tag are read in order so often that the keys of those which await a checkpoint are kept so.
pub(super) const fn is_read_in_order(tag: Tag) -> bool {
    matches!(tag, Tag::AccountMember | Tag::Member | Tag::Profile | Tag::Search | Tag::Size | Tag::Timer)
}

/// Which entries are asked for.
struct Wanted {
    tag: Tag,
    /// How their keys begin.
    prefix: Vec<u8>,
    /// Where they begin, as a whole key with that prefix.
    from: Bound<Vec<u8>>,
    /// How many at most.
    limit: usize,
}

impl Wanted {
    fn has(&self, key: &Key) -> bool {
        key.as_bytes().starts_with(&self.prefix) && !self.is_before(key)
    }

    fn is_before(&self, key: &Key) -> bool {
        match &self.from {
            Bound::Included(from) => key.as_bytes() < from.as_slice(),
            Bound::Excluded(from) => key.as_bytes() <= from.as_slice(),
            Bound::Unbounded => false,
        }
    }

    fn first(&self) -> Bound<&[u8]> {
        self.from.as_ref().map(Vec::as_slice)
    }
}

impl State {
    /// Every key of a workspace, in any layer.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn keys_of(&self, workspace: WorkspaceId) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        let collect = &mut |key, _| {
            keys.push(key);
            Ok(())
        };
        self.store().scan(&workspace.0.to_be_bytes(), collect)?;
        let layers = self.read();
        let in_memory = layers.dirty.keys().chain(layers.applying.keys());
        keys.extend(in_memory.filter(|key| key.is_of(workspace)).cloned());
        Ok(keys)
    }

    /// The entries of a workspace under a tag whose keys go on with one of these prefixes, in the order of keys. No
    /// prefix may be the beginning of another; an empty one alone finds all.
    ///
    /// It walks over everything that awaits a checkpoint, so this is nothing to be done for each event.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn entries_with(
        &self,
        workspace: WorkspaceId,
        tag: Tag,
        prefixes: &[Vec<u8>],
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        let wanted = Prefixes::new(workspace, tag, prefixes);
        let mut scans = 1;
        loop {
            match self.scan(tag, &wanted) {
                // A value of several parts was met while a checkpoint replaced it.
                Err(StoreError::Incomplete | StoreError::Codec(_)) if scans < SCANS_MAX => scans += 1,
                found => return found,
            }
        }
    }

    fn scan(&self, tag: Tag, wanted: &Prefixes) -> Result<Vec<(Key, Value)>, StoreError> {
        // Memory first: what a checkpoint brings into the store meanwhile would be missed the other way round.
        let mut found: BTreeMap<Key, Option<Value>> = BTreeMap::new();
        let store = {
            let layers = self.read();
            for (key, value) in layers.applying.iter().chain(&layers.dirty) {
                if wanted.fit(key) {
                    found.insert(key.clone(), value.clone());
                }
            }
            Arc::clone(&layers.store)
        };
        for prefix in wanted.iter() {
            store.scan(prefix, &mut |key, bytes| {
                if let Entry::Vacant(place) = found.entry(key) {
                    place.insert(Some(Value::decode(tag, &bytes)?));
                }
                Ok(())
            })?;
        }
        Ok(found.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }

    /// A page of the entries of a workspace under a tag whose keys go on with `prefix`, in the order of keys: the first
    /// `limit` from `from` on, which is what comes behind the tag in a key ([`Key::rest`]), prefix included.
    ///
    /// Each call sees what was published at one moment, or later; what is there all the time is neither skipped nor
    /// met twice.
    ///
    /// # Errors
    /// If the store fails.
    pub fn range(
        &self,
        workspace: WorkspaceId,
        tag: Tag,
        from: Bound<Vec<u8>>,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.range_over(&Changes::default(), workspace, tag, from, prefix, limit)
    }

    /// The same with changes that are not published yet.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn range_over(
        &self,
        changes: &Changes,
        workspace: WorkspaceId,
        tag: Tag,
        from: Bound<Vec<u8>>,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        let start = start(workspace, tag);
        let whole = |rest: &[u8]| [start.as_slice(), rest].concat();
        let prefix = whole(prefix);
        let from = from.map(|rest| whole(&rest));
        let from = first_of(&prefix, from.as_ref().map(Vec::as_slice)).map(<[u8]>::to_vec);
        let wanted = Wanted { tag, prefix, from, limit };
        let mut scans = 1;
        loop {
            match self.page(changes, &wanted) {
                // A value of several parts was met while a checkpoint replaced it.
                Err(StoreError::Incomplete | StoreError::Codec(_)) if scans < SCANS_MAX => scans += 1,
                found => return found,
            }
        }
    }

    fn page(&self, changes: &Changes, wanted: &Wanted) -> Result<Vec<(Key, Value)>, StoreError> {
        let (changed, store) = {
            let layers = self.read();
            (layers.changed(changes, wanted), Arc::clone(&layers.store))
        };
        let mut changed = changed.into_iter().peekable();
        let mut stored = store.entries_from(&wanted.prefix, wanted.first());
        let mut next_stored = stored.next().transpose()?;
        let mut found = Vec::new();
        while found.len() < wanted.limit {
            let (key, value) = match (changed.peek(), next_stored) {
                (Some((changed_key, _)), Some((key, bytes))) if key < *changed_key => {
                    next_stored = stored.next().transpose()?;
                    (key, Some(Value::decode(wanted.tag, &bytes)?))
                }
                (Some((changed_key, _)), after) => {
                    // A changed entry hides the stored one.
                    next_stored = match after {
                        Some((key, _)) if key == *changed_key => stored.next().transpose()?,
                        after => after,
                    };
                    changed.next().expect("it was just looked at")
                }
                (None, Some((key, bytes))) => {
                    next_stored = stored.next().transpose()?;
                    (key, Some(Value::decode(wanted.tag, &bytes)?))
                }
                (None, None) => break,
            };
            found.extend(value.map(|value| (key, value)));
        }
        Ok(found)
    }
}

impl Layers {
    /// What changed of the entries that are wanted, in the order of keys: up to the last that is needed if nothing in
    /// the store comes between, removed entries included.
    fn changed(&self, over: &Changes, wanted: &Wanted) -> Vec<(Key, Option<Value>)> {
        let fitting = |changes: &Changes| -> KeysInOrder {
            changes.keys().filter(|key| wanted.has(key)).cloned().collect()
        };
        let over_keys = fitting(over);
        let of_layers: [KeysInOrder; 2];
        // The keys of tags that are seldom read in order are put in order now.
        let (dirty, applying) = if is_read_in_order(wanted.tag) {
            (&self.dirty_keys, &self.applying_keys)
        } else {
            of_layers = [fitting(&self.dirty), fitting(&self.applying)];
            (&of_layers[0], &of_layers[1])
        };
        let first = wanted.first().map(Key::from_stored);
        let range = || (first.clone(), Bound::<Key>::Unbounded);
        let keys = merged(merged(dirty.range(range()), applying.range(range())), over_keys.iter());
        let mut found = Vec::new();
        let mut left = wanted.limit;
        for key in keys.take_while(|key| key.as_bytes().starts_with(&wanted.prefix)) {
            if left == 0 {
                break;
            }
            let newest = over.get(key).or_else(|| self.dirty.get(key)).or_else(|| self.applying.get(key));
            let value = newest.expect("a key in order is that of a change").clone();
            left -= usize::from(value.is_some());
            found.push((key.clone(), value));
        }
        found
    }
}

/// Two ascending runs as one, in which what is in both is there once.
fn merged<'a>(
    one: impl Iterator<Item = &'a Key>,
    other: impl Iterator<Item = &'a Key>,
) -> impl Iterator<Item = &'a Key> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(left), Some(right)) if left > right => other.next(),
        (Some(left), Some(right)) => {
            if left == right {
                other.next();
            }
            one.next()
        }
        (Some(_), None) => one.next(),
        (None, _) => other.next(),
    })
}
