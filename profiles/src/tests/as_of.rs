//! Profiles as they stood, against the machine itself: what was read of it when it was there.

use super::sketch::{Step, event, identifier, rules, step};
use super::*;
use crate::codec::Checkpoint;
use crate::reader::{AS_OF_NODES_MAX, AsOf, Found};
use crate::store::MemoryStore;
use tributary_identity::LiveProfile;
use tributary_model::Fragment;
use tributary_model::command::{Action, UnmergeTarget, Who};
use tributary_model::workspace::IdentityRules;

const ONE: WorkspaceId = WorkspaceId(1);
/// How many identifiers the pools of sketches have.
const IDENTIFIERS: u8 = 17;

/// All that is told of a profile: its id, who it is made of, what is known, and what is shown of that.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    id: ProfileId,
    profile: LiveProfile,
    merged: Fragment,
    hidden: Vec<Identifier>,
    traits: Vec<(String, String)>,
}

fn seen(found: &Found) -> Seen {
    let traits = found.view.traits().map(|(name, json, _)| (name.to_owned(), json.into_owned()));
    Seen {
        id: found.id,
        profile: LiveProfile::clone(&found.view.profile),
        merged: found.view.merged.clone(),
        hidden: found.view.hidden.to_vec(),
        traits: traits.collect(),
    }
}

/// What was seen of everybody at a time.
struct Then {
    at: Timestamp,
    /// By workspace and number of the identifier.
    seen: BTreeMap<(WorkspaceId, u8), Option<Seen>>,
}

/// A machine's state once it has read a log, and what was seen on the way.
struct Watched {
    reader: ProfileReader,
    log: Arc<MemoryLog>,
    then: Vec<Then>,
    _directory: tempfile::TempDir,
}

/// Reads a log, and looks around behind each of these records.
fn watched(records: &[Bytes], cuts: &BTreeSet<usize>) -> Watched {
    let directory = tempfile::tempdir().expect("a directory");
    let log = Arc::new(MemoryLog::new());
    append(&*log, records.to_vec());
    let events = Arc::clone(&log) as Arc<dyn EventLog>;
    let indexes = open_indexes(directory.path());
    let state = Arc::new(State::new(Arc::new(MemoryStore::default()), CACHE, CACHE));
    let mut machine = Machine::new(
        Arc::clone(&state),
        Arc::clone(&indexes),
        Arc::clone(&events),
        hash_key(),
        Checkpoint::default(),
        CACHE,
    );
    let reader = ProfileReader::new(state, indexes, events, hash_key(), clock());
    let mut then = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let applied = machine.apply(at as u64, 0, record).expect("applied");
        assert_eq!(applied, Applied::Done, "no rebuild is among the steps");
        if cuts.contains(&at) {
            let _activations = machine.publish();
            then.push(Then { at: machine.checkpoint().log_time, seen: everybody(&reader) });
        }
    }
    let _activations = machine.publish();
    Watched { reader, log, then, _directory: directory }
}

fn everybody(reader: &ProfileReader) -> BTreeMap<(WorkspaceId, u8), Option<Seen>> {
    let mut all = BTreeMap::new();
    for workspace in WORKSPACES {
        for number in 0..IDENTIFIERS {
            let identifier = identifier(number);
            let found = reader.find(workspace, identifier.namespace().as_str(), identifier.value());
            all.insert((workspace, number), found.expect("readable").as_ref().map(seen));
        }
    }
    all
}

/// What is read back of a time: that somebody was there, or was not.
fn read_back(reader: &ProfileReader, workspace: WorkspaceId, who: &Who, at: Timestamp) -> Option<Seen> {
    match reader.as_of(workspace, who, at).expect("readable") {
        AsOf::Found(found) => Some(seen(&found)),
        AsOf::NoProfile => None,
        other @ (AsOf::Incomplete { .. } | AsOf::TooMuch) => panic!("{other:?}"),
    }
}

/// Every look around comes out again, by each identifier and by the ids that profiles had.
fn check(watched: &Watched) -> Result<(), TestCaseError> {
    for Then { at, seen } in &watched.then {
        for ((workspace, number), want) in seen {
            let who = Who::Identifier(identifier(*number));
            let got = read_back(&watched.reader, *workspace, &who, *at);
            prop_assert_eq!(&got, want, "{:?} at {}", who, at);
            if let Some(want) = want {
                let got = read_back(&watched.reader, *workspace, &Who::Profile(want.id), *at);
                prop_assert_eq!(got.as_ref(), Some(want), "by its id at {}", at);
            }
        }
    }
    Ok(())
}

/// The same steps, so many hours apart.
fn apart(steps: Vec<Step>, hours: impl Fn(i16) -> i16) -> Vec<Step> {
    let steps = steps.into_iter().map(|step| match step {
        Step::Event(sketch) => Step::Event(Sketch { later: hours(sketch.later), ..sketch }),
        Step::Order { workspace, action, later } => Step::Order { workspace, action, later: hours(later) },
        Step::Rules { workspace, rules } => Step::Rules { workspace, rules },
    });
    steps.collect()
}

fn arrival(record: &Bytes) -> Timestamp {
    Record::decode(record).expect("a record").envelope.received_at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// For any events, commands and rules: whatever merged, was parted or changed hands since, everybody is read back as
    /// they were seen.
    #[test]
    fn everybody_is_read_back(
        steps in proptest::collection::vec(step(), 1..60),
        cuts in proptest::collection::btree_set(0..60usize, 1..5),
    ) {
        let records = log(&apart(steps, |later| 1 + later.abs()));
        check(&watched(&records, &cuts))?;
    }

    /// Records that arrive at one time count together.
    #[test]
    fn what_arrives_at_one_time_is_read_back_together(
        steps in proptest::collection::vec(step(), 1..60),
        cuts in proptest::collection::btree_set(0..60usize, 1..5),
    ) {
        let records = log(&apart(steps, |later| later.abs() % 2));
        let is_last = |cut: &usize| match (records.get(*cut), records.get(cut + 1)) {
            (Some(record), Some(next)) => arrival(next) > arrival(record),
            _ => true,
        };
        let cuts = cuts.into_iter().filter(is_last).collect();
        check(&watched(&records, &cuts))?;
    }
}

fn seen_together(message: u8, user: u8, device: u8) -> Step {
    let kind = EventKind::Identify;
    Step::Event(Sketch { kind, user: Some(user), device: Some(device), ..event(message) })
}

fn user(number: u8) -> Who {
    Who::Identifier(identifier(number))
}

fn device(number: u8) -> Who {
    Who::Identifier(identifier(8 + number))
}

/// The id of the profile that an identifier created.
fn created_by(number: u8) -> ProfileId {
    hash_key().profile_id(ONE, &NodeKey::first_epoch(identifier(number)))
}

/// The time of the record that came so many hours after the first.
fn hour(hours: i64) -> Timestamp {
    START.plus_micros((1 + hours) * 3_600_000_000)
}

fn names(seen: &Seen) -> Vec<String> {
    seen.profile.identifiers().map(|node| node.identifier.to_text()).collect()
}

/// Looks around behind every record, and reads all of it back. Answers with the state.
fn check_all(steps: &[Step]) -> Watched {
    let records = log(steps);
    let watched = watched(&records, &(0..records.len()).collect());
    check(&watched).expect("everybody is read back");
    watched
}

/// An id says who created the profile, so that one which was merged away is its own again in its past.
#[test]
fn profiles_have_the_ids_that_they_had() {
    let track = |message, device| Step::Event(Sketch { device: Some(device), ..event(message) });
    let parted = UnmergeTarget::Identifier(identifier(10));
    let steps = [
        track(1, 1),
        track(2, 2),
        seen_together(3, 1, 1),
        seen_together(4, 1, 2),
        Step::Order {
            workspace: 1,
            action: Action::Unmerge { who: user(1), target: parted, retake: false },
            later: 1,
        },
        track(5, 2),
    ];
    let watched = check_all(&steps);
    let id_at = |who: &Who, hours| read_back(&watched.reader, ONE, who, hour(hours)).map(|seen| seen.id);
    let (one, two) = (created_by(9), created_by(10));
    let of_second: Vec<_> = (0..6).map(|hours| id_at(&device(2), hours)).collect();
    assert_eq!(of_second, [None, Some(two), Some(two), Some(one), Some(two), Some(two)]);
    let by_id: Vec<_> = (0..6).map(|hours| id_at(&Who::Profile(two), hours)).collect();
    assert_eq!(by_id, of_second, "the id of the second finds the profile that it was part of");
    assert_eq!(id_at(&user(1), 1), None, "nobody had signed in");
    assert_eq!(id_at(&Who::Profile(created_by(3)), 5), None);
}

/// The e-mail address is a stranger's, who is not read again. What had a lower priority than that address was left out
/// with it, and nothing else joins them until it comes alone.
#[test]
fn what_was_left_out_behind_a_stranger_stays_out() {
    let with_email =
        |message, user, email| Step::Event(Sketch { user: Some(user), email: Some(email), ..event(message) });
    let all_three = Step::Event(Sketch { user: Some(2), email: Some(1), device: Some(2), ..event(2) });
    let steps = [with_email(1, 1, 1), all_three, seen_together(3, 2, 2), seen_together(4, 3, 3)];
    let watched = check_all(&steps);
    let names_at = |hours| read_back(&watched.reader, ONE, &user(2), hour(hours)).map(|seen| names(&seen));
    assert_eq!(names_at(1), Some(vec!["user_id:u2".to_owned()]));
    assert_eq!(names_at(2), Some(vec!["anonymous_id:d2".to_owned(), "user_id:u2".to_owned()]));
}

/// The same where the device then followed the sign-in, known before or not.
#[test]
fn a_device_that_followed_a_sign_in_past_a_stranger_is_read_back() {
    for is_known in [false, true] {
        let email_of_first = Step::Event(Sketch { user: Some(1), email: Some(1), ..event(1) });
        let second = Sketch { user: Some(2), email: Some(1), device: Some(2), ..event(3) };
        let mut steps = vec![Step::Rules { workspace: 1, rules: Box::new(rules(0)) }, email_of_first];
        if is_known {
            steps.push(seen_together(2, 3, 2));
        }
        steps.extend([Step::Event(second), seen_together(4, 2, 2), seen_together(5, 0, 8)]);
        let watched = check_all(&steps);
        let at = hour(if is_known { 2 } else { 1 });
        let found = read_back(&watched.reader, ONE, &user(2), at).expect("the second had signed in");
        assert_eq!(names(&found), ["anonymous_id:d2", "user_id:u2"], "known before: {is_known}");
    }
}

/// A log from which the first records were removed. Somebody who came later is told of in full, whatever older profiles
/// were kept apart from theirs.
#[test]
fn what_the_log_has_lost_is_said() {
    let track = |message, device| Step::Event(Sketch { device: Some(device), ..event(message) });
    let steps = [
        track(1, 3),
        seen_together(2, 1, 1),
        seen_together(3, 2, 1),
        track(4, 2),
        seen_together(5, 2, 2),
        seen_together(6, 1, 1),
        track(7, 8),
    ];
    let records = log(&steps);
    let watched = watched(&records, &(0..records.len()).collect());
    watched.log.expire_before(2);
    let as_of = |who: &Who, hours| watched.reader.as_of(ONE, who, hour(hours)).expect("readable");
    let then = |number: u8, hours: usize| watched.then[hours].seen[&(ONE, number)].clone();

    for hours in 0..7 {
        let late = read_back(&watched.reader, ONE, &user(2), hour(hours as i64));
        assert_eq!(late, then(2, hours), "after {hours} hours");
    }
    assert!(matches!(as_of(&user(1), 0), AsOf::NoProfile), "it came later");
    for (who, number, first) in [(user(1), 1, 5), (device(1), 9, 5), (device(3), 11, 2)] {
        for hours in 1..7 {
            match as_of(&who, hours) {
                AsOf::Incomplete { first_possible } => {
                    assert!(hours < first, "{who:?} after {hours} hours");
                    assert_eq!(first_possible, hour(first));
                }
                AsOf::Found(found) => {
                    assert!(hours >= first, "{who:?} after {hours} hours");
                    assert_eq!(Some(seen(&found)), then(number, hours as usize));
                }
                other @ (AsOf::NoProfile | AsOf::TooMuch) => {
                    panic!("{who:?} after {hours} hours: {other:?}")
                }
            }
        }
    }
}

/// A device that went from hand to hand so often ties more people than one read looks at; today's profiles are told all
/// the same.
#[test]
fn a_kiosk_is_too_much() {
    let mut steps = vec![Step::Rules { workspace: 1, rules: Box::new(rules(0)) }];
    // A message comes again only once it counts as new.
    let events = (0..=AS_OF_NODES_MAX + 1)
        .map(|number| seen_together((number % 256) as u8, 1 + (number % 2) as u8, 1));
    steps.extend(events);
    let records = log(&steps);
    let watched = watched(&records, &BTreeSet::new());
    let as_of = |at| watched.reader.as_of(ONE, &user(1), at).expect("readable");
    assert!(matches!(as_of(hour(1000)), AsOf::TooMuch));
    let last = arrival(records.last().expect("there are some"));
    assert!(matches!(as_of(last), AsOf::Found(_)));
}

/// A rebuild in the log is done again where it comes; before it, everybody is as they were.
#[test]
fn a_rebuild_is_read_back() {
    // Of the first user and the second.
    type Names<'a> = [&'a [&'a str]; 2];
    let people = |count| {
        let mut rules = IdentityRules::default();
        for rule in rules.namespaces.iter_mut().filter(|rule| rule.name == Namespace::USER_ID) {
            rule.limit.count = count;
        }
        Step::Rules { workspace: 1, rules: Box::new(rules) }
    };
    let apart: Names<'_> = [&["anonymous_id:d1", "user_id:u1"], &["user_id:u2"]];
    let joined: Names<'_> = [&["anonymous_id:d1", "user_id:u1", "user_id:u2"]; 2];
    let cases = [("looser rules", 1, 5, apart, joined), ("tighter rules", 5, 1, joined, apart)];
    for (name, before, after, want_before, want_after) in cases {
        let steps = [
            people(before),
            seen_together(1, 1, 1),
            seen_together(2, 2, 1),
            people(after),
            Step::Order { workspace: 1, action: Action::Rebuild, later: 1 },
            // So that neither is today as they were.
            seen_together(3, 1, 1),
            seen_together(4, 2, 2),
        ];
        let directory = tempfile::tempdir().expect("a directory");
        let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        append(&*events, log(&steps));
        let (projector, reader) = running(directory.path(), &events, &written);
        for (hours, want) in [(1, want_before), (2, want_after)] {
            for (number, want) in [1, 2].into_iter().zip(want) {
                let what = format!("{name}: u{number} after {hours} hours");
                let found = read_back(&reader, ONE, &user(number), hour(hours)).expect("both were known");
                assert_eq!(names(&found), want, "{what}");
                let is_joined = want.len() == 3;
                assert_eq!(found.id, created_by(if is_joined { 1 } else { number }), "{what}");
                assert_eq!(found.merged.events(), if is_joined { 2 } else { 1 }, "{what}");
                let by_id = read_back(&reader, ONE, &Who::Profile(created_by(number)), hour(hours));
                // Under the rules that joined them at once, nobody had created the second profile yet.
                let is_unknown = is_joined && hours == 1 && number == 2;
                assert_eq!(by_id, Some(found).filter(|_| !is_unknown), "{what}");
            }
        }
        projector.stop().expect("a clean stop");
    }
}
