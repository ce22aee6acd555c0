//! Accounts, as conditions over them look at them.

use crate::account::Account;
use crate::columns::Settled;
use crate::state::View;
use crate::store::StoreError;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use tributary_model::ProfileId;
use tributary_model::catalog::AccountMemo;

/// How many people are kept in memory for the next who share an account with them.
const PEOPLE_MAX: usize = 5_000;

/// An account, and its people as they are looked at.
pub(super) struct Loaded {
    pub(super) account: Arc<Account>,
    pub(super) people: Vec<(ProfileId, View)>,
    /// What the condition says of it, found out for one person and good for all.
    pub(super) memo: AccountMemo,
}

/// The accounts that were looked at last.
#[derive(Default)]
pub(super) struct Accounts {
    loaded: FxHashMap<Box<str>, Arc<Loaded>>,
    people: usize,
}

impl Accounts {
    /// The accounts of a person.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn of(
        &mut self,
        settled: &Settled<'_>,
        person: &View,
    ) -> Result<Vec<Arc<Loaded>>, StoreError> {
        let mut accounts = Vec::with_capacity(person.merged.accounts.len());
        for group in person.merged.accounts.keys() {
            if let Some(known) = self.loaded.get(group) {
                accounts.push(Arc::clone(known));
                continue;
            }
            let Some(account) = settled.account(group)? else { continue };
            let mut people = Vec::new();
            for id in settled.profiles_on(&account.looked_at)? {
                if let Some(live) = settled.live(id)? {
                    people.push((id, settled.view(&live)?));
                }
            }
            if self.people + people.len() > PEOPLE_MAX {
                self.loaded.clear();
                self.people = 0;
            }
            self.people += people.len();
            let loaded = Arc::new(Loaded { account, people, memo: AccountMemo::default() });
            self.loaded.insert(group.clone(), Arc::clone(&loaded));
            accounts.push(loaded);
        }
        Ok(accounts)
    }
}

/// The people of these accounts, and those who share an account with one of these people; they themselves included.
///
/// # Errors
/// If the state can't be read.
pub(super) fn concerned(
    settled: &Settled<'_>,
    people: &[ProfileId],
    accounts: &BTreeSet<Box<str>>,
) -> Result<BTreeSet<ProfileId>, StoreError> {
    let mut groups = accounts.clone();
    for id in people {
        if let Some(live) = settled.live(*id)? {
            groups.extend(settled.view(&live)?.merged.accounts.into_keys());
        }
    }
    let mut concerned: BTreeSet<ProfileId> = people.iter().copied().collect();
    for group in &groups {
        if let Some(account) = settled.account(group)? {
            concerned.extend(settled.profiles_on(&account.looked_at)?);
        }
    }
    Ok(concerned)
}
