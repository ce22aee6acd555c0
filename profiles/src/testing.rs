//! What tests of this crate share: definitions, and views made of a few calls.

use crate::state::View;
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_identity::{Evidence, LiveProfile, Partitions};
use tributary_model::catalog::{Catalog, Defined};
use tributary_model::condition::{Scope, parse_aggregate, parse_condition};
use tributary_model::fragment::Sighting;
use tributary_model::identity_rules::IdentityRules;
use tributary_model::keeper::KeeperSpec;
use tributary_model::workspace::{Audience, ComputedTrait, TraitRules};
use tributary_model::{
    AudienceId, ComputedTraitId, EventView, Fragment, Identifier, IdentifierReader, MessageId, Namespace,
    NodeKey, Position, SourceId, Timestamp, Workspace, WorkspaceId,
};

/// A workspace that defines nothing.
pub(crate) fn workspace() -> Workspace {
    Workspace {
        id: WorkspaceId(1),
        name: Workspace::DEFAULT_NAME.to_owned(),
        version: 1,
        created_at: Timestamp::default(),
        next_id: 1,
        sources: Vec::new(),
        destinations: Vec::new(),
        tokens: Vec::new(),
        identity: IdentityRules::default(),
        computed_traits: Vec::new(),
        audiences: Vec::new(),
        traits: TraitRules::default(),
    }
}

/// A computed trait of this key.
pub(crate) fn computed(id: u32, key: &str, definition: &str) -> ComputedTrait {
    ComputedTrait {
        id: ComputedTraitId(id),
        key: key.to_owned(),
        name: format!("The {key}"),
        definition: parse_aggregate(definition).expect("an aggregate"),
        created_at: Timestamp::from_millis(0),
    }
}

/// An audience of this key, of everybody for whom the condition holds.
pub(crate) fn audience(id: u32, key: &str, definition: &str) -> Audience {
    Audience {
        id: AudienceId(id),
        key: key.to_owned(),
        name: format!("The {key}"),
        definition: parse_condition(definition, Scope::Profile).expect("a condition"),
        include_anonymous: true,
        created_at: Timestamp::from_millis(0),
    }
}

/// Definitions compiled, their keepers numbered from 1.
pub(crate) fn catalog(defined: &Defined) -> Arc<Catalog> {
    let wanted = Catalog::wanted(defined);
    let numbers: BTreeMap<[u8; 16], u32> = wanted.iter().map(KeeperSpec::hash).zip(1..).collect();
    Arc::new(Catalog::compile(defined, &numbers))
}

pub(crate) fn node(text: &str) -> NodeKey {
    let (namespace, value) = text.split_once(':').expect("an identifier's text");
    NodeKey::first_epoch(Identifier::parse(Namespace::new(namespace), value).expect("an identifier"))
}

/// A profile with these identifiers.
pub(crate) fn profile(members: &[&str]) -> LiveProfile {
    let mut members: Vec<NodeKey> = members.iter().map(|text| node(text)).collect();
    members.sort();
    let created = Evidence {
        position: Position::at(1),
        message_id: MessageId::parse("m1").expect("an id"),
        source: SourceId(1),
        received_at: Timestamp::from_millis(0),
        event_time: Timestamp::from_millis(0),
    };
    let (merged, former, parted) = (Vec::new(), Vec::new(), Vec::new());
    LiveProfile { created, members: members.into(), merged, former, parted }
}

/// One call: when in milliseconds, by which source, and its members as JSON. Its message id is `m` and the time.
pub(crate) type Call<'a> = (i64, u32, &'a str);

/// The fragment that these calls amount to, kept as the catalog wants it.
pub(crate) fn fragment(calls: &[Call<'_>], catalog: &Catalog) -> Fragment {
    let mut fragment = Fragment::default();
    for (at, source, payload) in calls {
        let event = EventView::parse(payload.as_bytes()).expect("an event");
        let sighting = Sighting {
            at: Timestamp::from_millis(*at),
            message_id: MessageId::parse(&format!("m{at}")).expect("an id"),
            source: SourceId(*source),
        };
        fragment.fold(&event, &sighting);
        let _ = catalog.keepers().fold(&mut fragment, &event, &sighting, sighting.at);
    }
    fragment
}

/// The view of `user_id:u1` with this fragment.
pub(crate) fn view(merged: Fragment, catalog: &Arc<Catalog>, partitions: &Partitions) -> View {
    let rules = IdentifierReader::new(&IdentityRules::default()).expect("the default rules work");
    let live = Arc::new(profile(&["user_id:u1"]));
    View::new(live, merged, partitions, Arc::new(rules), Arc::clone(catalog))
}
