//! Search for people: by an identifier as a whole, or by how the value of a trait begins.
//!
//! The entries that a search walks over are hints: each was true of one fragment once. What is answered is looked up in
//! the profile as it is, so what was overwritten, or is kept back, finds nobody. A profile that several entries lead to
//! is told at the first of them, whatever page that is on.

use super::{Found, LookupError, ProfileReader};
use crate::key::{Key, Tag, search_prefix, searched_form, start};
use crate::searched::forms;
use crate::state::View;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustc_hash::FxHashMap;
use std::ops::Bound;
use std::sync::Arc;
use tributary_model::command::Who;
use tributary_model::{Identifier, Namespace, NodeKey, ProfileId, WorkspaceId};

/// The longest text that is searched for, in bytes. Of values of traits, the first
/// [`SEARCHED_BYTES_MAX`](crate::key::SEARCHED_BYTES_MAX) count.
pub const QUERY_BYTES_MAX: usize = Identifier::BYTES_MAX;
/// How many entries are looked at for a page, those of the profiles that they lead to included; one that has met so
/// many ends early.
const SCAN_MAX: usize = 5000;
/// How many entries are read at a time.
const PAGE: usize = 256;

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The state can't be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// There is nothing to search for, or too much.
    #[error("a search takes 1 to {max} bytes of text", max = QUERY_BYTES_MAX)]
    Text,
    /// The place to go on from is none that a search gave.
    #[error("the cursor can't be read")]
    Cursor,
}

/// What somebody was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The profile's own id.
    Profile,
    /// An identifier, as a whole.
    Identifier(Identifier),
    /// The beginning of a trait's value.
    Trait(String),
}

/// Somebody who was found.
#[derive(Debug, Clone)]
pub struct PersonFound {
    /// The profile's id.
    pub id: ProfileId,
    /// The profile and its merged fragments.
    pub view: Arc<View>,
    /// What was found.
    pub by: Match,
}

/// Some of those who were found.
#[derive(Default)]
pub struct People {
    /// Those found by an identifier first, then by trait and value.
    pub people: Vec<PersonFound>,
    /// Where the next ones begin; `None` if there are no more.
    pub next: Option<String>,
}

/// What is searched for.
struct Search {
    /// Namespaces in which the text is looked for as a whole, and the text.
    identifiers: Vec<(String, String)>,
    /// Traits whose values are looked at, by name.
    traits: Vec<String>,
    /// The beginning of their values, in the form for searches.
    beginning: String,
}

/// Where a page begins.
enum Place {
    /// With the identifiers, behind so many of them.
    Identifiers(usize),
    /// Behind this entry.
    Behind(Key),
}

impl ProfileReader {
    /// People with an identifier, or a trait whose value begins like the text, whatever its case. `name:text` looks in
    /// that namespace or trait alone, if there is one of that name; else in `user_id`, `email` and every trait that
    /// people are searched by. `next` is where an earlier page says that the next one begins. A page may have fewer
    /// than `limit` rows, or none, though there are more.
    ///
    /// # Errors
    /// If there is nothing to search for, or the state can't be read.
    pub fn search(
        &self,
        workspace: WorkspaceId,
        text: &str,
        limit: usize,
        next: Option<&str>,
    ) -> Result<People, SearchError> {
        let search = self.read_search(workspace, text)?;
        let place = match next {
            Some(next) => parse_place(workspace, next).ok_or(SearchError::Cursor)?,
            None => Place::Identifiers(0),
        };
        // Traits lead to them, too; they were told before.
        let named = self.named(workspace, &search.identifiers)?;
        let mut page = Page { limit, rows: Vec::new(), stopped: None, has_more: false };
        let behind = match place {
            Place::Identifiers(behind) => {
                for (at, person) in named.iter().enumerate().skip(behind) {
                    if !page.take(person.clone(), format!("i{}", at + 1)) {
                        return Ok(page.end());
                    }
                }
                None
            }
            Place::Behind(key) => Some(key),
        };
        let named: Vec<ProfileId> = named.iter().map(|person| person.id).collect();
        self.walk(workspace, &search, behind, &named, &mut page)?;
        Ok(page.end())
    }

    fn read_search(&self, workspace: WorkspaceId, text: &str) -> Result<Search, SearchError> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(SearchError::Text);
        }
        let catalog = self.catalog(workspace)?;
        let rules = self.rules(workspace)?;
        if let Some((name, rest)) = text.split_once(':') {
            let is_trait = catalog.searched().contains(name);
            let is_namespace =
                name == Namespace::PROFILE_ID || rules.rules().rule(&Namespace::new(name)).is_some();
            if is_trait || is_namespace {
                let identifiers = is_namespace.then(|| (name.to_owned(), rest.to_owned()));
                let traits = is_trait.then(|| name.to_owned());
                return Search::new(identifiers, traits, rest);
            }
        }
        let identifiers = [Namespace::USER_ID, Namespace::EMAIL];
        let identifiers =
            identifiers.iter().map(|namespace| (namespace.as_str().to_owned(), text.to_owned()));
        let traits = catalog.searched().clone();
        Search::new(identifiers, traits, text)
    }

    /// Who has one of the identifiers.
    fn named(
        &self,
        workspace: WorkspaceId,
        identifiers: &[(String, String)],
    ) -> Result<Vec<PersonFound>, LookupError> {
        let mut named: Vec<PersonFound> = Vec::new();
        for (namespace, value) in identifiers {
            let Some(who) = self.who(workspace, namespace, value)? else { continue };
            let Some(Found { id, view }) = self.find(workspace, namespace, value)? else { continue };
            if named.iter().all(|person| person.id != id) {
                let by = match who {
                    Who::Profile(_) => Match::Profile,
                    Who::Identifier(identifier) => Match::Identifier(identifier),
                };
                named.push(PersonFound { id, view, by });
            }
        }
        Ok(named)
    }

    /// Walks over the entries behind one of them until the page is full.
    fn walk(
        &self,
        workspace: WorkspaceId,
        search: &Search,
        behind: Option<Key>,
        named: &[ProfileId],
        page: &mut Page,
    ) -> Result<(), LookupError> {
        let begun = behind.as_ref().and_then(|key| key.search_named()).map(|(name, _, _)| name.to_owned());
        let mut walked = Walked::default();
        for name in &search.traits {
            if begun.as_ref().is_some_and(|begun| name < begun) {
                continue;
            }
            let prefix = search_prefix(name, &search.beginning);
            let mut from = match &behind {
                Some(key) if begun.as_ref() == Some(name) => Bound::Excluded(key.rest().to_vec()),
                _ => Bound::Unbounded,
            };
            loop {
                let entries = self.state.range(workspace, Tag::Search, from, &prefix, PAGE)?;
                for (key, _) in &entries {
                    walked.entries += 1;
                    let person = self.led_to(workspace, search, key, &mut walked)?;
                    if let Some(person) = person.filter(|person| !named.contains(&person.id))
                        && !page.take(person, cursor_of(key))
                    {
                        return Ok(());
                    }
                    if walked.entries >= SCAN_MAX {
                        page.stop(cursor_of(key));
                        return Ok(());
                    }
                }
                match entries.last() {
                    Some((key, _)) if entries.len() == PAGE => from = Bound::Excluded(key.rest().to_vec()),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// The profile that an entry leads to, if it is as the entry says, and no entry before leads there.
    fn led_to(
        &self,
        workspace: WorkspaceId,
        search: &Search,
        key: &Key,
        walked: &mut Walked,
    ) -> Result<Option<PersonFound>, LookupError> {
        let Some((name, _, node)) = key.search_named() else { return Ok(None) };
        let Some(found) = self.owner(workspace, &node)? else { return Ok(None) };
        let by = Match::Trait(name.to_owned());
        let is_first = match walked.firsts.get(&found.id) {
            Some(first) => first.as_ref() == Some(key),
            None => {
                let first = self.first_entry(workspace, search, &found.view, walked)?;
                let is_first = first.as_ref() == Some(key);
                walked.firsts.insert(found.id, first);
                is_first
            }
        };
        Ok(is_first.then(|| PersonFound { id: found.id, view: found.view, by }))
    }

    /// The profile that has a fragment.
    fn owner(&self, workspace: WorkspaceId, node: &NodeKey) -> Result<Option<Found>, LookupError> {
        // A rebuild leaves an identifier on no profile that the rules don't declare any more.
        let Some(stored) = self.node(workspace, node)? else { return Ok(None) };
        let found = self.follow(workspace, stored.profile)?;
        Ok(found.filter(|found| found.view.profile.members.binary_search(node).is_ok()))
    }

    /// The first of the entries that lead to a profile and say of it what is so.
    fn first_entry(
        &self,
        workspace: WorkspaceId,
        search: &Search,
        view: &View,
        walked: &mut Walked,
    ) -> Result<Option<Key>, LookupError> {
        for name in &search.traits {
            let Some(value) = view.value(name) else { continue };
            for form in forms(&value).iter().filter(|form| form.starts_with(&search.beginning)) {
                let members = view.profile.members.iter();
                let mut entries: Vec<Key> =
                    members.map(|member| Key::search(workspace, name, form, member)).collect();
                entries.sort_unstable();
                walked.entries += entries.len();
                for entry in entries {
                    if self.state.get(&entry)?.is_some() {
                        return Ok(Some(entry));
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Search {
    fn new(
        identifiers: impl IntoIterator<Item = (String, String)>,
        traits: impl IntoIterator<Item = String>,
        text: &str,
    ) -> Result<Self, SearchError> {
        if text.is_empty() {
            return Err(SearchError::Text);
        }
        let (identifiers, traits) = (identifiers.into_iter().collect(), traits.into_iter().collect());
        Ok(Self { identifiers, traits, beginning: searched_form(text) })
    }
}

/// What was looked at for a page.
#[derive(Default)]
struct Walked {
    /// How many entries, those included that a profile was asked about.
    entries: usize,
    /// The first entry of each profile that was met.
    firsts: FxHashMap<ProfileId, Option<Key>>,
}

/// A page that is being filled.
struct Page {
    limit: usize,
    /// Each with the cursor behind it.
    rows: Vec<(PersonFound, String)>,
    /// Where the next one begins, if it is not behind the last row.
    stopped: Option<String>,
    has_more: bool,
}

impl Page {
    /// Takes a row; false if the page was full without it.
    fn take(&mut self, person: PersonFound, cursor: String) -> bool {
        self.has_more = self.rows.len() == self.limit;
        if !self.has_more {
            self.rows.push((person, cursor));
        }
        !self.has_more
    }

    /// Ends the page behind what was looked at last.
    fn stop(&mut self, cursor: String) {
        self.stopped = Some(cursor);
    }

    fn end(self) -> People {
        let last = self.rows.last().map(|(_, cursor)| cursor.clone());
        let next = self.stopped.or(last.filter(|_| self.has_more));
        People { people: self.rows.into_iter().map(|(person, _)| person).collect(), next }
    }
}

fn cursor_of(key: &Key) -> String {
    format!("t{}", URL_SAFE_NO_PAD.encode(key.rest()))
}

fn parse_place(workspace: WorkspaceId, text: &str) -> Option<Place> {
    if let Some(behind) = text.strip_prefix('i') {
        return Some(Place::Identifiers(behind.parse().ok()?));
    }
    let rest = URL_SAFE_NO_PAD.decode(text.strip_prefix('t')?).ok()?;
    let key = Key::from_stored(&[start(workspace, Tag::Search), rest].concat());
    key.search_named()?;
    Some(Place::Behind(key))
}
