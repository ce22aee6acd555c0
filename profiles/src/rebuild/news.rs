//! What a rebuild did to profiles, for their history and for destinations.

use super::{Rebuild, RebuildError, read_profile};
use crate::announce::Told;
use crate::key::Key;
use crate::scratch::{Moves, Scratch};
use std::sync::Arc;
use tributary_identity::{
    Evidence, GraphStore, Happened, HistoryEntry, Inconsistent, LiveProfile, ProfileRecord,
};
use tributary_model::{Activation, MessageId, Position, ProfileId, SourceId};

/// Something that happened to a profile of the new graph.
struct News {
    profile: ProfileId,
    what: What,
}

enum What {
    /// These profiles are no more; it has identifiers of each.
    TookIn(Vec<ProfileId>),
    /// It has some of the identifiers of that profile, which are on all of these now.
    CameOf(ProfileId, Vec<ProfileId>),
}

impl Rebuild {
    /// Writes into the history of profiles what becomes of them.
    pub(super) fn tell(&self, scratch: &mut Scratch, moves: &Moves) -> Result<(), RebuildError> {
        let id = format!("tributary-{}", self.sequence);
        let evidence = Evidence {
            position: Position::at(self.sequence),
            message_id: MessageId::parse(&id).expect("a short text is a message id"),
            source: SourceId(0),
            received_at: self.received_at,
            event_time: self.received_at,
        };
        for news in self.news(moves) {
            let News { profile, what } = news?;
            let what = match what {
                What::TookIn(merged) => Happened::Merged {
                    survivor: profile,
                    merged,
                    // What ties them is older than the rebuild, each link with an event of its own.
                    links: Vec::new(),
                    evidence: evidence.clone(),
                },
                What::CameOf(from, into) => Happened::Parted { partition: self.sequence, from, into },
            };
            let entry = HistoryEntry {
                at: self.received_at,
                position: Position::at(self.sequence),
                what,
                by: Some(self.by.clone()),
                reason: self.reason.clone(),
            };
            scratch.graph().put_history(self.workspace, profile, entry)?;
            self.step(scratch)?;
        }
        Ok(())
    }

    /// What destinations are told, in the order of the log. The new state has to be filled.
    pub(crate) fn activations<'a>(
        &'a self,
        moves: &'a Moves,
    ) -> impl Iterator<Item = Result<Activation, RebuildError>> + 'a {
        let tell = move |(ordinal, news): (u32, Result<News, RebuildError>)| {
            let News { profile, what } = news?;
            let live = self.live(profile)?.ok_or(Inconsistent::NoProfile(profile))?;
            let told = Told {
                workspace: self.workspace,
                position: Position::at(self.sequence),
                ordinal,
                at: self.received_at,
                source: SourceId(0),
                profile,
            };
            Ok::<_, RebuildError>(match what {
                What::TookIn(merged) => told.merged(&live, &merged),
                What::CameOf(from, all) => {
                    let others: Vec<ProfileId> = all.into_iter().filter(|other| *other != profile).collect();
                    told.split(&live, from, &others)
                }
            })
        };
        (0..).zip(self.news(moves)).map(tell)
    }

    /// Everything that happened: what was taken in first, by profile, then what was parted.
    fn news<'a>(&'a self, moves: &'a Moves) -> impl Iterator<Item = Result<News, RebuildError>> + 'a {
        let merges = moves.after().filter_map(move |(profile, from)| match self.gone(profile, from) {
            Ok(gone) if gone.is_empty() => None,
            Ok(gone) => Some(Ok(News { profile, what: What::TookIn(gone) })),
            Err(error) => Some(Err(error)),
        });
        let splits = moves.splits().flat_map(|(from, into)| {
            let parts = into.clone();
            let came_of = move |profile| News { profile, what: What::CameOf(from, into.clone()) };
            parts.into_iter().map(move |profile| Ok::<_, RebuildError>(came_of(profile)))
        });
        merges.chain(splits)
    }

    /// Those that are no profile any more.
    fn gone(&self, profile: ProfileId, from: Vec<ProfileId>) -> Result<Vec<ProfileId>, RebuildError> {
        let mut gone = Vec::new();
        for id in from {
            if id != profile && self.live(id)?.is_none() {
                gone.push(id);
            }
        }
        Ok(gone)
    }

    /// A live profile of the new graph.
    fn live(&self, id: ProfileId) -> Result<Option<Arc<LiveProfile>>, RebuildError> {
        let stored = self.new.get(&Key::profile(self.workspace, id))?;
        Ok(match stored.map(|stored| read_profile(&stored)).transpose()? {
            Some(ProfileRecord::Live(live)) => Some(live),
            Some(ProfileRecord::MergedInto(_)) | None => None,
        })
    }
}
