//! Pages of entries against a plain map, whatever is in memory, on its way into the store, or there.

use super::*;
use crate::alarms::Tally;
use crate::standing::SizeRow;
use crate::state::Views;
use crate::store::{Change, Entries, MemoryStore, Store};
use proptest::prelude::*;
use std::sync::Mutex;
use tributary_model::identity_rules::Normalization;
use tributary_model::{AudienceId, Identifier, Namespace, NodeKey, Timestamp};

const WORKSPACE: WorkspaceId = WorkspaceId(2);
const CACHE: u64 = 1 << 20;

/// Entries whose keys are kept in order, and some whose are not; a few of another workspace.
fn key(number: u8) -> Key {
    let workspace = if number.is_multiple_of(16) { WorkspaceId(3) } else { WORKSPACE };
    if number.is_multiple_of(2) {
        return Key::size(workspace, AudienceId(u32::from(number % 3)), i64::from(number) - 20);
    }
    let value = format!("{}{number}", ["a", "b", "bb"][usize::from(number % 3)]);
    let identifier = Identifier::normalized(Namespace::USER_ID, &value, &Normalization::Exact);
    Key::tally(workspace, &NodeKey::first_epoch(identifier.expect("an identifier")))
}

fn value(key: &Key, number: u8) -> Value {
    if Tag::of(key.as_bytes()) == Some(Tag::Size) {
        Value::Size(SizeRow { size: u64::from(number), ..SizeRow::default() })
    } else {
        Value::Tally(Tally { day: 1, count: u32::from(number) })
    }
}

fn changes(sketch: &[(u8, Option<u8>)]) -> Changes {
    let entry = |(at, number): &(u8, Option<u8>)| {
        let key = key(*at);
        let value = number.map(|number| value(&key, number));
        (key, value)
    };
    sketch.iter().map(entry).collect()
}

fn change(model: &mut BTreeMap<Key, Value>, changes: &Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
}

fn encoded(changes: &Changes) -> Vec<Change> {
    changes.iter().map(|(key, value)| (key.clone(), value.as_ref().map(Value::encode))).collect()
}

fn publish(state: &State, changes: Changes) {
    state.publish(changes, Views::default(), &[], Timestamp::default());
}

#[derive(Debug, Clone)]
enum Step {
    Publish(Vec<(u8, Option<u8>)>),
    /// A checkpoint begins, and a part of it comes into the store.
    Begin(prop::sample::Index),
    /// The rest of it comes there.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => sketch().prop_map(Step::Publish),
        2 => any::<prop::sample::Index>().prop_map(Step::Begin),
        2 => Just(Step::End),
    ]
}

fn sketch() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
    prop::collection::vec((0u8..40, prop_oneof![2 => any::<u8>().prop_map(Some), 1 => Just(None)]), 0..12)
}

/// What is asked for: keys and how much of what is behind their tag counts, as the prefix and as the bound.
#[derive(Debug, Clone)]
struct Asked {
    prefix: (u8, prop::sample::Index),
    from: (u8, prop::sample::Index, u8),
    limit: usize,
    over: Vec<(u8, Option<u8>)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let place = any::<prop::sample::Index>;
    ((0u8..40, place()), (0u8..40, place(), 0u8..4), 0usize..25, sketch())
        .prop_map(|(prefix, from, limit, over)| Asked { prefix, from, limit, over })
}

/// The beginning of what comes behind the tag; often nothing, often all of it.
fn beginning(key: &Key, cut: &prop::sample::Index) -> Vec<u8> {
    let rest = key.rest();
    let length = cut.index(3 * rest.len()).saturating_sub(rest.len()).min(rest.len());
    rest[..length].to_vec()
}

fn check(state: &State, model: &BTreeMap<Key, Value>, asked: &Asked) -> Result<(), TestCaseError> {
    let named = key(asked.prefix.0);
    let tag = Tag::of(named.as_bytes()).expect("keys have a tag");
    let prefix = beginning(&named, &asked.prefix.1);
    let rest = beginning(&key(asked.from.0), &asked.from.1);
    let from = match asked.from.2 {
        0 => Bound::Unbounded,
        1 => Bound::Included(rest.clone()),
        _ => Bound::Excluded(rest.clone()),
    };
    let over = changes(&asked.over);
    let found = state.range_over(&over, WORKSPACE, tag, from.clone(), &prefix, asked.limit).expect("memory");
    let mut with_over = model.clone();
    change(&mut with_over, &over);
    let start = start(WORKSPACE, tag);
    let wanted = with_over.into_iter().filter(|(key, _)| {
        let is_behind = match &from {
            Bound::Included(from) => key.rest() >= from.as_slice(),
            Bound::Excluded(from) => key.rest() > from.as_slice(),
            Bound::Unbounded => true,
        };
        key.as_bytes().starts_with(&start) && key.rest().starts_with(&prefix) && is_behind
    });
    prop_assert_eq!(found, wanted.take(asked.limit).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #[test]
    fn a_page_is_that_of_a_plain_map(
        steps in prop::collection::vec((step(), prop::collection::vec(asked(), 1..4)), 1..20),
    ) {
        let store = Arc::new(MemoryStore::default());
        let state = State::new(Arc::<MemoryStore>::clone(&store), CACHE, CACHE);
        let mut model = BTreeMap::new();
        let mut applying: Option<Arc<Changes>> = None;
        for (step, questions) in steps {
            match step {
                Step::Publish(sketch) => {
                    let changes = changes(&sketch);
                    change(&mut model, &changes);
                    publish(&state, changes);
                }
                Step::Begin(part) if applying.is_none() => {
                    let begun = state.begin_checkpoint();
                    let encoded = encoded(&begun);
                    store.apply(&encoded[..part.index(encoded.len() + 1)]).expect("memory");
                    applying = Some(begun);
                }
                Step::Begin(_) | Step::End => {
                    if let Some(begun) = applying.take() {
                        store.apply(&encoded(&begun)).expect("memory");
                        state.end_checkpoint();
                    }
                }
            }
            for asked in &questions {
                check(&state, &model, asked)?;
            }
        }
    }
}

/// A store in which something happens whenever it is read from.
#[derive(Default)]
struct Meddling {
    inner: MemoryStore,
    happens: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl Store for Meddling {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.inner.apply(changes)
    }

    fn entries_from(&self, prefix: &[u8], from: Bound<&[u8]>) -> Entries<'_> {
        // Taken out: what happens may read from the store, too.
        let happens = self.happens.lock().expect("unbroken").take();
        if let Some(mut happens) = happens {
            happens();
            *self.happens.lock().expect("unbroken") = Some(happens);
        }
        self.inner.entries_from(prefix, from)
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn what_stays_is_met_once_whatever_changes_meanwhile() {
    let size = |hour: u8| Key::size(WORKSPACE, AudienceId(1), i64::from(hour));
    let row = |hour: u8| Value::Size(SizeRow { size: u64::from(hour), ..SizeRow::default() });
    let store = Arc::new(Meddling::default());
    let state = Arc::new(State::new(Arc::<Meddling>::clone(&store), CACHE, CACHE));
    let checkpoint = |state: &State, store: &Meddling| {
        let begun = state.begin_checkpoint();
        store.apply(&encoded(&begun)).expect("memory");
        state.end_checkpoint();
    };
    // Those of even hours stay: one half in the store already, the other one in memory.
    publish(&state, (0..50).step_by(2).map(|hour| (size(hour), Some(row(hour)))).collect());
    checkpoint(&state, &store);
    publish(&state, (50..100).step_by(2).map(|hour| (size(hour), Some(row(hour)))).collect());
    let mut calls: u8 = 0;
    let meddler = (Arc::downgrade(&state), Arc::downgrade(&store));
    *store.happens.lock().expect("unbroken") = Some(Box::new(move || {
        let (Some(state), Some(store)) = (meddler.0.upgrade(), meddler.1.upgrade()) else { return };
        calls += 1;
        let of_odd = (1..100).step_by(2).map(|hour| {
            let is_there = (hour / 2 + calls).is_multiple_of(2);
            (size(hour), is_there.then(|| row(hour)))
        });
        publish(&state, of_odd.collect());
        checkpoint(&state, &store);
    }));
    let mut met = Vec::new();
    let mut from = Bound::Unbounded;
    loop {
        let page =
            state.range(WORKSPACE, Tag::Size, from, &AudienceId(1).0.to_be_bytes(), 7).expect("memory");
        let Some((last, _)) = page.last() else { break };
        from = Bound::Excluded(last.rest().to_vec());
        met.extend(page.iter().filter_map(|(key, _)| key.size_named()).map(|(_, hour)| hour));
    }
    assert!(met.is_sorted_by(|one, next| one < next), "in order, and none twice: {met:?}");
    let even: Vec<i64> = met.iter().copied().filter(|hour| hour % 2 == 0).collect();
    assert_eq!(even, (0..100).step_by(2).collect::<Vec<i64>>());
    assert!(met.len() > even.len(), "some of the others were met");
}
