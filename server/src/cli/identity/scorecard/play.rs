//! Plays a crowd's calls through resolution, and keeps the truth beside what came of it.

use anyhow::Context as _;
use std::collections::{BTreeSet, HashMap};
use tributary_identity::{Context, Evidence, GraphRead, MemoryGraph, current_node, resolve};
use tributary_model::identity_rules::{IdentifierReader, IdentityRules};
use tributary_model::{
    EventView, HashKey, Identifier, MessageId, NodeKey, Position, ProfileId, SourceId, Timestamp, WorkspaceId,
};
use tributary_sample::{Circumstance, Crowd, CrowdCall, CrowdConfig};

const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// What playing a crowd left.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// The events that were resolved, in order.
    pub(super) events: Vec<PlayedEvent>,
    /// Every identifier that they carried.
    pub(super) identifiers: Vec<PlayedIdentifier>,
    /// Events that carried no identifier.
    pub(super) unidentified: u64,
    /// How many profiles there are.
    pub(super) profiles: i64,
}

/// An event, where it ended up, and the truth.
#[derive(Debug, Clone)]
pub(super) struct PlayedEvent {
    /// Whose it is.
    pub(super) person: u64,
    /// Why that may be hard to tell.
    pub(super) circumstance: Circumstance,
    /// Whether several people use the device.
    pub(super) shared_device: bool,
    /// The profile that it is on in the end.
    pub(super) profile: ProfileId,
    /// The identifiers on it, by their places in [`Played::identifiers`].
    pub(super) identifiers: Vec<usize>,
}

/// An identifier, where it ended up, and the truth.
#[derive(Debug, Clone)]
pub(super) struct PlayedIdentifier {
    /// The identifier.
    pub(super) identifier: Identifier,
    /// Whose calls carried it: one person's if it is theirs alone.
    pub(super) people: BTreeSet<u64>,
    /// How many calls carried it.
    pub(super) calls: u64,
    /// The circumstance of those calls.
    pub(super) circumstance: Circumstance,
    /// The profile that it is on in the end; `None` if it never got on one.
    pub(super) profile: Option<ProfileId>,
}

/// Plays the crowd of `config` under `rules`.
pub(super) fn play(rules: &IdentityRules, config: CrowdConfig) -> anyhow::Result<Played> {
    let mut player = Player {
        rules,
        reader: IdentifierReader::new(rules)?,
        hash_key: HashKey::derive(b"the scorecard's people are made up"),
        graph: MemoryGraph::new(),
        places: HashMap::new(),
        anchors: Vec::new(),
        played: Played::default(),
    };
    for (sequence, call) in (0..).zip(Crowd::new(config)) {
        player.take(sequence, &call)?;
    }
    player.finish()
}

struct Player<'a> {
    rules: &'a IdentityRules,
    reader: IdentifierReader,
    hash_key: HashKey,
    graph: MemoryGraph,
    places: HashMap<Identifier, usize>,
    /// The anchor of each event: its fragment goes where the anchor's node is.
    anchors: Vec<NodeKey>,
    played: Played,
}

impl Player<'_> {
    fn take(&mut self, sequence: u64, call: &CrowdCall) -> anyhow::Result<()> {
        let event = EventView::parse(call.call.body.as_bytes())?;
        let read = self.reader.read(&event);
        let message_id = event.members().text("messageId").context("a call has a message id")?;
        let posted_at = Timestamp::from_millis(call.posted_at.as_millisecond());
        let evidence = Evidence {
            position: Position::at(sequence),
            message_id: MessageId::parse(&message_id)?,
            source: SourceId(1),
            received_at: posted_at,
            event_time: posted_at.plus_micros(-1_000 * call.call.late_ms),
        };
        let context = Context {
            workspace: WORKSPACE,
            rules: self.rules,
            hash_key: &self.hash_key,
            log_time: posted_at,
        };
        let Some(resolution) = resolve(&mut self.graph, &context, &read, &evidence)? else {
            self.played.unidentified += 1;
            return Ok(());
        };
        let identifiers = read.identifiers.iter().map(|identifier| self.note(identifier, call)).collect();
        self.played.profiles += resolution.profiles_delta;
        self.played.events.push(PlayedEvent {
            person: call.call.person,
            circumstance: call.circumstance,
            shared_device: call.shared_device,
            profile: resolution.profile,
            identifiers,
        });
        self.anchors.push(resolution.anchor);
        Ok(())
    }

    /// Notes that a call carries an identifier; its place.
    fn note(&mut self, identifier: &Identifier, call: &CrowdCall) -> usize {
        let place = match self.places.get(identifier) {
            Some(place) => *place,
            None => {
                let place = self.played.identifiers.len();
                self.places.insert(identifier.clone(), place);
                self.played.identifiers.push(PlayedIdentifier {
                    identifier: identifier.clone(),
                    people: BTreeSet::new(),
                    calls: 0,
                    circumstance: call.circumstance,
                    profile: None,
                });
                place
            }
        };
        if let Some(known) = self.played.identifiers.get_mut(place) {
            known.people.insert(call.call.person);
            known.calls += 1;
        }
        place
    }

    /// Looks up where everything is in the end: profiles have merged since, and devices changed hands.
    fn finish(mut self) -> anyhow::Result<Played> {
        for (event, anchor) in self.played.events.iter_mut().zip(&self.anchors) {
            let node = self.graph.node(WORKSPACE, anchor)?.context("an anchor has a node")?;
            event.profile = node.profile;
        }
        for played in &mut self.played.identifiers {
            let key = current_node(&mut self.graph, WORKSPACE, &played.identifier)?;
            played.profile = self.graph.node(WORKSPACE, &key)?.map(|node| node.profile);
        }
        Ok(self.played)
    }
}
