//! What conditions say of an account, kept while several of its people are evaluated.

use super::plan::{Node, Verdict};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What conditions were found to say of an account: the same for everybody who belongs to it, so that it is found out
/// once. Good for as long as the account, its members, the moment and the conditions stay what they are; conditions are
/// told apart by where they are in memory.
#[derive(Debug, Default)]
pub struct AccountMemo(Mutex<HashMap<usize, Verdict>>);

impl AccountMemo {
    /// What a condition says of the account; `find` finds it out.
    pub(super) fn recall(&self, node: &Node<u32>, find: impl FnOnce() -> Verdict) -> Verdict {
        let place = std::ptr::from_ref(node).addr();
        let known = self.verdicts().get(&place).copied();
        known.unwrap_or_else(|| {
            let found = find();
            self.verdicts().insert(place, found);
            found
        })
    }

    fn verdicts(&self) -> MutexGuard<'_, HashMap<usize, Verdict>> {
        // Every entry is whole, whoever stopped while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{AccountFacts, Facts, Person};
    use super::*;
    use crate::condition::Quantifier;
    use crate::fragment::Fragment;
    use crate::time::Timestamp;
    use crate::trail::Trail;
    use std::borrow::Cow;
    use std::cell::Cell;

    /// Somebody without a user id, and how often that was asked for.
    #[derive(Default)]
    struct Asked(Cell<usize>);

    impl Person for Asked {
        fn trait_json(&self, _name: &str) -> Option<Cow<'_, str>> {
            None
        }

        fn trail(&self, _keeper: u32) -> Option<&Trail> {
            None
        }

        fn has_user_id(&self) -> bool {
            self.0.set(self.0.get() + 1);
            false
        }
    }

    fn about_members(node: Node<u32>) -> Node<u32> {
        Node::Account(Box::new(Node::Members(Quantifier::Any, Box::new(node))))
    }

    #[test]
    fn what_is_said_of_an_account_is_found_out_once_for_each_condition() {
        let people: Vec<Asked> = (0..10).map(|_| Asked::default()).collect();
        let members: Vec<&dyn Person> = people.iter().map(|person| person as &dyn Person).collect();
        let (traits, memo) = (Fragment::default(), AccountMemo::default());
        let accounts = [AccountFacts { traits: &traits, members: &members, is_cut: true, memo: &memo }];
        let some = about_members(Node::HasUserId);
        let other = about_members(Node::Not(Box::new(Node::HasUserId)));
        for person in &people {
            let facts = Facts { person, accounts: &accounts, now: Timestamp::default() };
            let verdict = some.evaluate(&facts);
            assert!(!verdict.is_true && verdict.is_approximate);
            assert!(other.evaluate(&facts).is_true);
        }
        let asked: Vec<usize> = people.iter().map(|person| person.0.get()).collect();
        // The first decides the other condition.
        assert_eq!(asked, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    }
}
