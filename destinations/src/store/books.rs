//! The books of destinations and how their deliveries ended, for one who asks about many deliveries: what is stored is read
//! again only when it has changed.
//!
//! Every commit writes the destination's state, and whatever ends a delivery changes the counters in it. So as long as the
//! state has the same bytes, nothing more has been said of the destination's deliveries.

use super::outcomes::{Block, place_of};
use super::{StoreError, Tables};
use crate::config::Key;
use crate::stored::StoredState;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tributary_model::outcome::Outcome;

/// Blocks of a destination's outcomes that are held; each takes 4 KiB.
const BLOCKS_MAX: usize = 64;

/// What was read.
pub(crate) struct Books<'a> {
    tables: &'a Tables,
    read: BTreeMap<Key, Read>,
}

/// What was read of one destination.
#[derive(Default)]
struct Read {
    /// The stored form of the state when the blocks were read.
    stored: Option<Vec<u8>>,
    state: Option<StoredState>,
    blocks: BTreeMap<u64, Block>,
}

impl<'a> Books<'a> {
    pub(super) fn new(tables: &'a Tables) -> Self {
        Self { tables, read: BTreeMap::new() }
    }

    /// The state of a destination (`None` if it is new), and how one of its deliveries ended, if something was said of it:
    /// both as they are now.
    pub(crate) fn of(
        &mut self,
        key: Key,
        activation: u64,
    ) -> Result<(Option<&StoredState>, Option<Outcome>), StoreError> {
        let stored = self.tables.states.get(key.prefix())?;
        let read = self.read.entry(key).or_default();
        if stored.as_deref() != read.stored.as_deref() {
            let state = stored.as_deref().map(StoredState::decode).transpose()?;
            *read = Read { stored: stored.map(|stored| stored.to_vec()), state, blocks: BTreeMap::new() };
        }
        let (block, place) = place_of(activation);
        if read.blocks.len() >= BLOCKS_MAX && !read.blocks.contains_key(&block) {
            read.blocks.clear();
        }
        let said = match read.blocks.entry(block) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(self.tables.outcomes.block(key, block)?),
        };
        Ok((read.state.as_ref(), said.get(place).copied().flatten()))
    }
}
