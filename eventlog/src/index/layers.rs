//! What is held in memory: the layer being recorded into, and those being written.

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The layers of one index. A layer goes from recording to writing as a whole, and away once it is stored.
pub(super) struct Layers<L>(RwLock<Held<L>>);

struct Held<L> {
    recent: L,
    /// More than one only after a flush has failed.
    writing: Vec<Arc<L>>,
}

/// What is recorded between two flushes.
pub(super) trait Layer: Default {
    /// How many entries it holds.
    fn len(&self) -> usize;
}

impl<L: Layer> Layers<L> {
    pub(super) fn new() -> Self {
        Self(RwLock::new(Held { recent: L::default(), writing: Vec::new() }))
    }

    /// Lets `change` add to the recent layer.
    pub(super) fn record(&self, change: impl FnOnce(&mut L)) {
        change(&mut self.write().recent);
    }

    /// Shows every layer, all as of one moment.
    pub(super) fn visit(&self, mut look: impl FnMut(&L)) {
        let held = self.read();
        look(&held.recent);
        held.writing.iter().for_each(|layer| look(layer));
    }

    /// The size of the recent layer.
    pub(super) fn recent_len(&self) -> usize {
        self.read().recent.len()
    }

    /// Closes the recent layer and hands out everything that is to be written, oldest first.
    pub(super) fn seal(&self) -> Vec<Arc<L>> {
        let mut held = self.write();
        if held.recent.len() > 0 {
            let sealed = std::mem::take(&mut held.recent);
            held.writing.push(Arc::new(sealed));
        }
        held.writing.clone()
    }

    /// Lets go of what [`Self::seal`] handed out: it can be read from the store now.
    pub(super) fn release(&self) {
        let written = std::mem::take(&mut self.write().writing);
        // Freeing a large layer takes milliseconds, which nobody should wait for behind the lock.
        drop(written);
    }

    fn read(&self) -> RwLockReadGuard<'_, Held<L>> {
        self.0.read().expect("nothing panics while it holds this lock")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held<L>> {
        self.0.write().expect("nothing panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Layer for Vec<u8> {
        fn len(&self) -> usize {
            Self::len(self)
        }
    }

    #[test]
    fn a_sealed_layer_stays_until_it_is_released() {
        let layers = Layers::<Vec<u8>>::new();
        let all = || {
            let mut all = Vec::new();
            layers.visit(|layer| all.extend_from_slice(layer));
            all.sort_unstable();
            all
        };
        layers.record(|layer| layer.push(1));
        assert_eq!((layers.seal().len(), layers.recent_len(), all()), (1, 0, vec![1]));
        layers.record(|layer| layer.push(2));
        assert_eq!(
            (layers.recent_len(), all()),
            (1, vec![1, 2]),
            "recorded while the first is being written"
        );
        assert_eq!(layers.seal().len(), 2, "the first was never written");
        layers.record(|layer| layer.push(3));
        layers.release();
        assert_eq!(all(), vec![3]);
        layers.seal();
        assert_eq!(layers.seal().len(), 1, "nothing was recorded in between");
    }
}
