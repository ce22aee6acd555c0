use super::*;
use crate::testing::{audience, computed};
use tributary_model::keeper::KeeperSpec;
use tributary_model::workspace::{Audience, MergePolicy, TraitRules};

/// Puts definitions into force as the machine does.
fn define(state: &mut DefinitionsState, sequence: u64, audiences: Vec<Audience>) -> Catalog {
    define_with(state, sequence, audiences, TraitRules::default())
}

fn define_with(
    state: &mut DefinitionsState,
    sequence: u64,
    audiences: Vec<Audience>,
    traits: TraitRules,
) -> Catalog {
    let computed_traits = vec![computed(1, "seen", "count(event(\"Seen\"))")];
    let defined = Defined { version: sequence, computed_traits, audiences, traits };
    let changed = state.take_keepers(defined, sequence, sequence > 10);
    let catalog = Catalog::compile(&state.defined, &state.numbers());
    state.take_audiences(&catalog, &changed, 100);
    catalog
}

fn stages(state: &DefinitionsState) -> Vec<(u32, Stage)> {
    state.audiences.iter().map(|audience| (audience.id.0, audience.stage)).collect()
}

fn event(id: u32, name: &str) -> Audience {
    audience(id, &format!("a{id}"), &format!("event(\"{name}\")"))
}

#[test]
fn audiences_go_from_reading_to_evaluating_to_live() {
    let mut state = DefinitionsState::default();
    let catalog = define(&mut state, 5, vec![event(1, "A")]);
    assert_eq!(stages(&state), [(1, Stage::Evaluating)], "there were no events before");
    state.end_evaluating();
    assert_eq!(stages(&state), [(1, Stage::Live)]);
    drop(catalog);

    // One that needs events of old, and one that does not.
    define(&mut state, 20, vec![event(1, "A"), event(2, "B"), event(3, "A")]);
    assert_eq!(stages(&state), [(1, Stage::Live), (2, Stage::Reading), (3, Stage::Evaluating)]);
    assert_eq!(state.reading, Some(Reading { next: 0, end: 20, from: 0 }));
    // Nothing is read yet: a later one comes along.
    define(&mut state, 30, vec![event(1, "A"), event(2, "B"), event(3, "A"), event(4, "C")]);
    assert_eq!(state.reading, Some(Reading { next: 0, end: 30, from: 0 }));
    let (missing, until) = state.missing_at(19);
    assert_eq!((missing.len(), until), (2, 20));
    let (missing, until) = state.missing_at(20);
    assert_eq!((missing.len(), until), (1, 30), "from there on events were folded as they came");
    state.reading.as_mut().expect("it reads").next = 7;
    let all = || vec![event(1, "A"), event(2, "B"), event(3, "A"), event(4, "C"), event(5, "D")];
    let catalog = define(&mut state, 40, all());
    assert_eq!(state.reading, Some(Reading { next: 7, end: 30, from: 0 }));
    assert_eq!(stages(&state)[4], (5, Stage::Waiting));

    state.begin_behind(3, Timestamp::from_micros(9));
    state.end_reading();
    state.go_on(&catalog, 100);
    let (evaluating, reading) = (Stage::Evaluating, Stage::Reading);
    let want = [(1, Stage::Live), (2, evaluating), (3, evaluating), (4, evaluating), (5, reading)];
    assert_eq!(stages(&state), want);
    assert_eq!(state.reading, Some(Reading { next: 0, end: 40, from: 0 }));
    let since: Vec<Option<i64>> =
        state.audiences.iter().map(|audience| audience.since.map(Timestamp::as_micros)).collect();
    assert_eq!(since, [None, Some(9), None, Some(9), None]);
}

#[test]
fn an_evaluation_begins_anew_for_those_that_come_along() {
    let mut state = DefinitionsState::default();
    define(&mut state, 5, vec![event(1, "A")]);
    let evaluating = state.evaluating.as_mut().expect("it evaluates");
    (evaluating.after, evaluating.done) = (Some(ProfileId([1; 16])), 40);
    let before = state.evaluating;
    define(&mut state, 6, vec![Audience { name: "Another".to_owned(), ..event(1, "A") }]);
    assert_eq!(state.evaluating, before, "a name is no definition");
    define(&mut state, 7, vec![event(1, "A"), event(2, "A")]);
    assert_eq!(state.evaluating.map(|all| (all.after, all.done)), Some((None, 0)));
    define(&mut state, 8, Vec::new());
    assert_eq!((state.evaluating, state.leaving.len()), (None, 2));
}

#[test]
fn a_reading_that_is_about_nothing_any_more_is_dropped() {
    let mut state = DefinitionsState::default();
    define(&mut state, 5, Vec::new());
    define(&mut state, 20, vec![event(1, "B")]);
    state.reading.as_mut().expect("it reads").next = 7;
    define(&mut state, 30, vec![event(2, "C")]);
    assert_eq!(state.reading, Some(Reading { next: 0, end: 30, from: 0 }));
    assert_eq!(stages(&state), [(2, Stage::Reading)]);
    define(&mut state, 31, Vec::new());
    assert_eq!(state.reading, None);
    let numbers: Vec<u32> = state.keepers.iter().map(|keeper| keeper.number).collect();
    assert_eq!((numbers, state.next_keeper), (vec![0], 3), "numbers are not used again");
}

#[test]
fn a_policy_is_filled_before_its_audiences_are_evaluated() {
    let mut state = DefinitionsState::default();
    let pro = || vec![audience(1, "pro", "traits.plan = \"pro\""), event(2, "A")];
    define(&mut state, 5, pro());
    state.end_evaluating();
    let policies = BTreeMap::from([("plan".to_owned(), MergePolicy::Max)]);
    let traits = TraitRules { policies, ..TraitRules::default() };
    let catalog = define_with(&mut state, 20, pro(), traits);
    assert_eq!(stages(&state), [(1, Stage::Reading), (2, Stage::Live)]);
    let spec = KeeperSpec::Trait { name: "plan".to_owned() };
    assert!(state.keepers.iter().any(|keeper| keeper.hash == spec.hash() && !keeper.is_filled));
    state.end_reading();
    state.go_on(&catalog, 100);
    assert_eq!(stages(&state), [(1, Stage::Evaluating), (2, Stage::Live)]);
    assert_eq!(state.evaluating.map(|all| all.is_indexing), Some(false));
}

#[test]
fn profiles_are_entered_under_what_they_are_newly_searched_by() {
    let mut state = DefinitionsState::default();
    define(&mut state, 20, Vec::new());
    assert_eq!(state.evaluating, None, "nothing changed");
    let mut traits = TraitRules::default();
    traits.searched.insert("nickname".to_owned());
    define_with(&mut state, 21, Vec::new(), traits);
    assert_eq!(state.evaluating.map(|all| (all.is_indexing, all.is_reconciling)), Some((true, false)));
    state.reconcile(100);
    assert_eq!(state.evaluating.map(|all| (all.is_indexing, all.is_reconciling)), Some((true, false)));
    define(&mut state, 22, vec![event(1, "A")]);
    state.reconcile(100);
    assert_eq!(state.evaluating.map(|all| (all.is_indexing, all.is_reconciling)), Some((true, true)));
}

#[test]
fn events_from_before_there_were_definitions_are_entered_for_search() {
    assert_eq!(DefinitionsState::first(false), DefinitionsState::default());
    let mut state = DefinitionsState::first(true);
    assert_eq!(state.evaluating.map(|all| (all.is_indexing, all.is_reconciling)), Some((true, false)));
    define(&mut state, 20, vec![event(1, "A")]);
    let evaluating = state.evaluating.expect("it goes on where something is defined");
    assert!(evaluating.is_indexing);
    state.end_evaluating();
    assert_eq!(state.evaluating, None);
}

/// After an exchange of the program, what is kept may be known by other hashes.
#[test]
fn what_is_known_by_another_hash_is_kept_and_filled_anew() {
    let mut state = DefinitionsState::default();
    define(&mut state, 5, vec![event(1, "A"), audience(2, "pro", "traits.plan = \"pro\"")]);
    state.end_evaluating();
    assert!(!state.lacks_keepers());
    let numbers: Vec<u32> = state.keepers.iter().map(|keeper| keeper.number).collect();
    assert_eq!(numbers, [0, 1]);
    state.keepers[1].hash = [9; 16];
    assert!(state.lacks_keepers());

    let audiences = state.defined.audiences.clone();
    let catalog = define(&mut state, 20, audiences);
    assert!(!state.lacks_keepers());
    let keepers: Vec<(u32, u64, bool)> =
        state.keepers.iter().map(|keeper| (keeper.number, keeper.added, keeper.is_filled)).collect();
    assert_eq!(keepers, [(0, 5, true), (2, 20, false)]);
    assert_eq!(state.unfilled(), BTreeSet::from([2]));
    assert_eq!(stages(&state), [(1, Stage::Reading), (2, Stage::Live)]);
    assert_eq!(state.keeper_stage(2), Some((Stage::Reading, None)));
    state.end_reading();
    state.go_on(&catalog, 100);
    assert_eq!(stages(&state), [(1, Stage::Evaluating), (2, Stage::Live)]);
    assert_eq!(state.keeper_stage(2), Some((Stage::Live, None)));
}
