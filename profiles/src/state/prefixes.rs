//! Which keys a scan is for.

use crate::key::{Key, Tag, start};
use tributary_model::WorkspaceId;

/// The beginnings of keys, none of them the beginning of another; sorted.
#[derive(Debug)]
pub(crate) struct Prefixes(Vec<Vec<u8>>);

impl Prefixes {
    /// The keys of a workspace's entries under a tag that go on with one of these.
    pub(crate) fn new(workspace: WorkspaceId, tag: Tag, prefixes: &[Vec<u8>]) -> Self {
        let start = start(workspace, tag);
        let mut whole: Vec<Vec<u8>> =
            prefixes.iter().map(|prefix| [start.as_slice(), prefix].concat()).collect();
        whole.sort_unstable();
        whole.dedup();
        Self(whole)
    }

    /// Whether a key begins with one of them.
    pub(crate) fn fit(&self, key: &Key) -> bool {
        let key = key.as_bytes();
        // Whatever sorts between a prefix and the key begins with that prefix too, and there is no such one.
        let behind = self.0.partition_point(|prefix| prefix.as_slice() <= key);
        behind > 0 && self.0.get(behind - 1).is_some_and(|prefix| key.starts_with(prefix))
    }

    /// Each of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_one_of_the_prefixes_or_none() {
        let workspace = WorkspaceId(2);
        let whole =
            |tag: Tag, rest: &[u8]| Key::from_stored(&[start(workspace, tag).as_slice(), rest].concat());
        let wanted = Prefixes::new(workspace, Tag::Edge, &[b"bb".to_vec(), b"a".to_vec(), b"bb".to_vec()]);
        assert_eq!(wanted.iter().count(), 2);
        let cases: [(&[u8], bool); 6] =
            [(b"a", true), (b"azz", true), (b"b", false), (b"bb", true), (b"bbz", true), (b"c", false)];
        for (rest, want) in cases {
            assert_eq!(wanted.fit(&whole(Tag::Edge, rest)), want, "{rest:?}");
            assert!(!wanted.fit(&whole(Tag::Refusal, rest)));
        }
        let all = Prefixes::new(workspace, Tag::Edge, &[Vec::new()]);
        assert!(all.fit(&whole(Tag::Edge, b"")) && all.fit(&whole(Tag::Edge, b"x")));
        assert!(!all.fit(&Key::workspace(WorkspaceId(1))) && !all.fit(&Key::workspace(workspace)));
        assert!(!Prefixes::new(workspace, Tag::Edge, &[]).fit(&whole(Tag::Edge, b"x")));
    }
}
