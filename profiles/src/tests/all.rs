//! Going through all profiles, against the slow reference.

use super::*;
use crate::reader::Found;

/// Pages of any size hold the live profiles, each once and in order, as a read of each by itself finds it.
pub(super) fn check_pages(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    expected: &BTreeMap<ProfileId, ExpectedProfile>,
) -> Result<(), TestCaseError> {
    for limit in [1, 3, 1000] {
        let (mut found, mut after) = (Vec::<Found>::new(), None);
        loop {
            let page = reader.profiles(workspace, after, limit).expect("readable");
            prop_assert!(page.found.len() <= limit);
            found.extend(page.found);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let ids: Vec<ProfileId> = found.iter().map(|found| found.id).collect();
        prop_assert_eq!(&ids, &expected.keys().copied().collect::<Vec<_>>(), "in pages of {}", limit);
        for found in &found {
            prop_assert_eq!(found.view.merged.counts, expected[&found.id].counts);
            let alone = reader.live(workspace, found.id).expect("readable").expect("it is live");
            prop_assert_eq!(&alone.view.profile, &found.view.profile);
        }
    }
    let nobody = ProfileId([0xff; 16]);
    prop_assert!(reader.live(workspace, nobody).expect("readable").is_none());
    Ok(())
}
