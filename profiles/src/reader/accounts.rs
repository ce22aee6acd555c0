//! Reads of accounts: what is known about one, whose it is, and who its people are.

use super::{LookupError, ProfileReader};
use crate::account::{ACCOUNT_ID_BYTES_MAX, Account};
use crate::codec::Value;
use crate::key::{Key, Tag, account_members_prefix};
use crate::state::View;
use std::ops::Bound;
use std::sync::Arc;
use tributary_model::fragment::Sighting;
use tributary_model::{NodeKey, ProfileId, WorkspaceId};

/// How many links are read at a time.
const PAGE: usize = 256;

/// A person of an account.
#[derive(Debug, Clone)]
pub struct AccountMember {
    /// The anchor by which the person was found: reading goes on behind it.
    pub anchor: NodeKey,
    /// The profile's id.
    pub id: ProfileId,
    /// The profile and its merged fragments.
    pub view: Arc<View>,
}

/// Some of an account's people.
#[derive(Debug, Clone, Default)]
pub struct AccountMembers {
    /// The people, each once, in the order of their first anchors.
    pub people: Vec<AccountMember>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

impl ProfileReader {
    /// An account; `None` if no group call ever named it.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn account(&self, workspace: WorkspaceId, group: &str) -> Result<Option<Arc<Account>>, LookupError> {
        if group.len() > ACCOUNT_ID_BYTES_MAX {
            return Ok(None);
        }
        Ok(match self.state.get(&Key::account(workspace, group))? {
            Some(Value::Account(account)) => Some(account),
            _ => None,
        })
    }

    /// The accounts of a person with the first group call that named each, by their ids.
    pub fn accounts_of(&self, _workspace: WorkspaceId, view: &View) -> Vec<(String, Sighting)> {
        let accounts = view.merged.accounts.iter();
        accounts.map(|(group, first)| (group.to_string(), first.clone())).collect()
    }

    /// The people of an account behind an anchor. What a merge or an unmerge changes meanwhile may be met twice or not
    /// at all.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn members_of(
        &self,
        workspace: WorkspaceId,
        group: &str,
        after: Option<&NodeKey>,
        limit: usize,
    ) -> Result<AccountMembers, LookupError> {
        let mut found = AccountMembers::default();
        if group.len() > ACCOUNT_ID_BYTES_MAX {
            return Ok(found);
        }
        let prefix = account_members_prefix(group);
        let mut from = match after {
            Some(anchor) => Bound::Excluded(Key::account_member(workspace, group, anchor)),
            None => Bound::Unbounded,
        };
        loop {
            let begin = from.as_ref().map(|key| key.rest().to_vec());
            let links = self.state.range(workspace, Tag::AccountMember, begin, &prefix, PAGE)?;
            for (link, _) in &links {
                let Some((_, anchor)) = link.account_member_named() else { continue };
                let Some(person) = self.person_at(workspace, group, link, anchor)? else { continue };
                if found.people.len() == limit {
                    found.has_more = true;
                    return Ok(found);
                }
                found.people.push(person);
            }
            match links.into_iter().next_back() {
                Some((last, _)) => from = Bound::Excluded(last),
                None => return Ok(found),
            }
        }
    }

    /// The person whose first link with the account this is, in the order of keys; `None` if it is nobody's first.
    fn person_at(
        &self,
        workspace: WorkspaceId,
        group: &str,
        link: &Key,
        anchor: NodeKey,
    ) -> Result<Option<AccountMember>, LookupError> {
        // A rebuild leaves an identifier on no profile that the rules don't declare any more.
        let Some(node) = self.node(workspace, &anchor)? else { return Ok(None) };
        let Some(found) = self.follow(workspace, node.profile)? else { return Ok(None) };
        for member in found.view.profile.members.iter() {
            let earlier = Key::account_member(workspace, group, member);
            if earlier < *link && self.state.get(&earlier)?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(AccountMember { anchor, id: found.id, view: found.view }))
    }
}
