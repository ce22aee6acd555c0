//! Searches, against a slow look at every profile.

use super::sketch::{Step, accepted, event, step};
use super::*;
use crate::key::searched_form;
use crate::reader::{Match, PersonFound, SearchError};
use crate::state::View;
use crate::testing;
use serde_json::{Value, json};
use tributary_model::command::{Action, Command, UnmergeTarget, Who};
use tributary_model::workspace::{MergePolicy, TraitRules};
use tributary_model::{RecordKind, Workspace};

const ONE: WorkspaceId = WorkspaceId(1);
/// Of those that people are searched by where nothing is said.
const SEARCHED: [&str; 3] = ["email", "name", "phone"];

/// A value as it is sent, from a small pool in which much begins alike.
fn value(number: u8) -> Value {
    match number % 12 {
        0 => json!("Ada"),
        1 => json!("ada lovelace"),
        2 => json!("ADA"),
        3 => json!("\u{c4}da"),
        4 => json!(7),
        5 => json!(71.50),
        6 => json!(["Bo", "adam", 7]),
        7 => json!({"first": "Ada"}),
        8 => json!(true),
        9 => json!("x".repeat(150)),
        // What is parted must not be found.
        10 => json!("E1@x.y"),
        _ => Value::Null,
    }
}

const TEXTS: [&str; 16] = [
    "a",
    "Ada",
    "ada l",
    "\u{c4}",
    "7",
    "71.5",
    "bo",
    "x",
    "e",
    "E1@X.Y",
    "u1",
    "name:a",
    "name:7",
    "email:e",
    "user_id:u2",
    "nobody",
];

/// The records of these steps, whose identify calls set a name and a phone.
fn named(steps: &[Step], values: &[(u8, u8)]) -> Vec<Bytes> {
    let records = log(steps).into_iter().zip(values.iter().cycle());
    let made = records.map(|(bytes, (name, phone))| {
        let mut record = Record::decode(&bytes).expect("a record");
        if record.envelope.kind != RecordKind::Event(EventKind::Identify) {
            return bytes;
        }
        let mut body: Value = serde_json::from_slice(&record.payload).expect("an event");
        body["traits"]["name"] = value(*name);
        if phone % 2 == 0 {
            body["traits"]["phone"] = value(*phone);
        }
        record.payload = body.to_string().into();
        record.encode()
    });
    made.collect()
}

/// Everybody who is found, read in pages of so many.
fn found(reader: &ProfileReader, text: &str, limit: usize) -> Vec<PersonFound> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let Ok(page) = reader.search(ONE, text, limit, next.as_deref()) else { panic!("it can be searched") };
        assert!(page.people.len() <= limit && (page.next.is_none() || !page.people.is_empty()));
        all.extend(page.people);
        match page.next {
            Some(more) => next = Some(more),
            None => return all,
        }
    }
}

/// Whether a value begins like this, or one of its elements; the text is in the form for searches.
fn begins(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => !value.is_empty() && searched_form(value).starts_with(text),
        Value::Number(number) => number.to_string().starts_with(text),
        Value::Array(elements) => elements.iter().any(|element| !element.is_array() && begins(element, text)),
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
    }
}

/// Whether a search for the text leads to a profile, by a slow look at it.
fn leads_to(view: &View, text: &str) -> bool {
    let (traits, namespaces, text) = match text.split_once(':') {
        Some(("user_id", rest)) => (Vec::new(), vec!["user_id"], rest),
        Some(("email", rest)) => (vec!["email"], vec!["email"], rest),
        Some((name, rest)) => (vec![name], Vec::new(), rest),
        None => (SEARCHED.to_vec(), vec!["user_id", "email"], text),
    };
    let named = view.profile.identifiers().any(|node| {
        let identifier = &node.identifier;
        let text =
            if identifier.namespace().as_str() == "email" { text.to_lowercase() } else { text.to_owned() };
        namespaces.contains(&identifier.namespace().as_str()) && identifier.value() == text
    });
    let form = searched_form(text);
    named
        || traits.iter().any(|name| {
            let value = view.value(name).map(|json| serde_json::from_str(&json).expect("JSON"));
            value.is_some_and(|value: Value| begins(&value, &form))
        })
}

/// Every search finds whom a slow look at every profile finds, each once.
fn check(reader: &ProfileReader, state: &State, limit: usize) {
    let ids = stored_profiles(state, ONE).into_keys();
    let all: BTreeMap<ProfileId, Arc<View>> = ids
        .filter_map(|id| reader.find(ONE, Namespace::PROFILE_ID, &id.to_string()).expect("readable"))
        .map(|found| (found.id, found.view))
        .collect();
    for text in TEXTS {
        let people: Vec<ProfileId> = found(reader, text, limit).into_iter().map(|person| person.id).collect();
        let each: BTreeSet<ProfileId> = people.iter().copied().collect();
        assert_eq!(each.len(), people.len(), "{text}: nobody is told twice");
        let want: BTreeSet<ProfileId> =
            all.iter().filter(|(_, view)| leads_to(view, text)).map(|(id, _)| *id).collect();
        assert_eq!(each, want, "{text}");
    }
}

struct Projected {
    directory: tempfile::TempDir,
    projector: Projector,
    events: Arc<MemoryLog>,
}

impl Projected {
    fn of(records: Vec<Bytes>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (events, activations) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        append(&*events, records);
        let projector = start_projector(directory.path(), &events, &activations);
        projector.stop().expect("a clean stop");
        Self { directory, projector, events }
    }

    fn reader(&self) -> ProfileReader {
        let (state, indexes) = (Arc::clone(self.projector.state()), open_indexes(self.directory.path()));
        let events: Arc<MemoryLog> = Arc::clone(&self.events);
        ProfileReader::new(state, indexes, events, hash_key(), clock())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_whom_a_slow_look_finds(
        steps in proptest::collection::vec(step(), 1..80),
        values in proptest::collection::vec((0..12u8, 0..24u8), 1..20),
        limit in 1..5usize,
    ) {
        let projected = Projected::of(named(&steps, &values));
        check(&projected.reader(), projected.projector.state(), limit);
    }
}

/// The record of an identify call by this user, the later the larger its number.
fn identify(number: u8, user: &str, traits: Value) -> Bytes {
    let sketch = Sketch { kind: EventKind::Identify, ..event(number) };
    let body =
        json!({"type": "identify", "messageId": format!("m{number}"), "userId": user, "traits": traits});
    accepted(&sketch, START.plus_micros(i64::from(number) * 1_000_000), &body)
}

fn ids_of(reader: &ProfileReader, users: &[&str]) -> Vec<ProfileId> {
    let id = |user: &&str| reader.find(ONE, "user_id", user).expect("readable").expect("somebody").id;
    users.iter().map(id).collect()
}

fn ids_found(reader: &ProfileReader, text: &str) -> Vec<ProfileId> {
    found(reader, text, 200).into_iter().map(|person| person.id).collect()
}

#[test]
fn identifiers_come_first_and_what_is_found_is_said() {
    let projected = Projected::of(vec![
        identify(1, "zoe", json!({"name": "Zoe"})),
        identify(2, "x1", json!({"name": "zoe x", "username": "zoe"})),
        identify(3, "x2", json!({"email": "zoe@x.y"})),
        identify(4, "x3", json!({"nickname": "zoe"})),
    ]);
    let reader = projected.reader();
    let rows: Vec<(ProfileId, Match)> =
        found(&reader, "Zoe", 1).into_iter().map(|person| (person.id, person.by)).collect();
    let ids = ids_of(&reader, &["x2", "zoe", "x1"]);
    let by = |name: &str| Match::Trait(name.to_owned());
    // No identifier of that case; by trait, then value.
    let want = vec![(ids[0], by("email")), (ids[1], by("name")), (ids[2], by("name"))];
    assert_eq!(rows, want);
    let rows: Vec<Match> = found(&reader, "zoe", 1).into_iter().map(|person| person.by).collect();
    let user = Identifier::parse(Namespace::USER_ID, "zoe").expect("an identifier");
    assert_eq!(rows, [Match::Identifier(user), by("email"), by("name")]);
    assert_eq!(ids_found(&reader, "email:ZOE@x.y"), ids_of(&reader, &["x2"]));
    assert_eq!(ids_found(&reader, "username:z"), ids_of(&reader, &["x1"]));
    assert!(
        ids_found(&reader, "nickname:z").is_empty(),
        "nobody is searched by that, so the whole text counts"
    );
    let id = ids[1].to_string();
    let rows = found(&reader, &format!("profile_id:{id}"), 10);
    assert_eq!(
        rows.iter().map(|person| (person.id, &person.by)).collect::<Vec<_>>(),
        [(ids[1], &Match::Profile)]
    );

    let refused = |text: &str, next: Option<&str>| reader.search(ONE, text, 10, next).err();
    for text in ["", "email:", &"x".repeat(513)] {
        assert!(matches!(refused(text, None), Some(SearchError::Text)), "{text}");
    }
    for next in ["", "x", "t", "t!", "ix", "tAAAA"] {
        assert!(matches!(refused("zoe", Some(next)), Some(SearchError::Cursor)), "{next}");
    }
}

#[test]
fn what_was_overwritten_removed_or_parted_is_not_found() {
    let mut records = vec![
        identify(1, "u1", json!({"name": "Old"})),
        identify(2, "u1", json!({"name": "New", "phone": "123"})),
        identify(3, "u1", json!({"phone": null})),
        identify(4, "u2", json!({"username": "joint", "email": "joint@x.y"})),
    ];
    let reader_of = |records: &[Bytes]| Projected::of(records.to_vec());
    let projected = reader_of(&records);
    let reader = projected.reader();
    let ids = ids_of(&reader, &["u1", "u2"]);
    assert!(ids_found(&reader, "old").is_empty());
    assert_eq!(ids_found(&reader, "new"), [ids[0]]);
    assert!(ids_found(&reader, "phone:1").is_empty());
    assert_eq!(ids_found(&reader, "joint@"), [ids[1]]);

    let user = Identifier::parse(Namespace::USER_ID, "u2").expect("an identifier");
    let email = Identifier::parse(Namespace::EMAIL, "joint@x.y").expect("an identifier");
    let action = Action::Unmerge {
        who: Who::Identifier(user),
        target: UnmergeTarget::Identifier(email),
        retake: false,
    };
    let command = Command { by: "ada".to_owned(), reason: None, action };
    records.push(Record::of_command(ONE, 1, START.plus_micros(9_000_000), &command).encode());
    let projected = reader_of(&records);
    let reader = projected.reader();
    assert!(ids_found(&reader, "joint@").is_empty(), "the address is the other part's, which has no trait");
    assert_eq!(ids_found(&reader, "username:joint"), ids_of(&reader, &["u2"]));
    assert_eq!(ids_found(&reader, "email:joint@x.y").len(), 1, "as an identifier it finds its owner");
}

#[test]
fn a_trait_with_a_policy_is_found_by_what_the_policy_chooses() {
    let policies = [("name".to_owned(), MergePolicy::Oldest), ("title".to_owned(), MergePolicy::Union)];
    let traits = TraitRules { policies: policies.into(), ..TraitRules::default() };
    let document = Workspace { version: 1, traits, ..testing::workspace() };
    let document = serde_json::to_vec(&document).expect("a document can be written");
    let projected = Projected::of(vec![
        Record::of_workspace(ONE, 1, START, Some(document.into())).encode(),
        identify(1, "u1", json!({"name": "First", "title": "Countess"})),
        identify(2, "u1", json!({"name": "Second", "title": ["Dr.", "countess"]})),
        identify(3, "u2", json!({"name": "second"})),
    ]);
    let reader = projected.reader();
    let ids = ids_of(&reader, &["u1", "u2"]);
    assert_eq!(ids_found(&reader, "fir"), [ids[0]]);
    assert_eq!(ids_found(&reader, "sec"), [ids[1]]);
    assert_eq!(ids_found(&reader, "title:count"), [ids[0]], "once, though two elements begin so");
    assert_eq!(ids_found(&reader, "title:DR"), [ids[0]]);
}

#[test]
fn a_cursor_goes_on_while_people_come_and_go() {
    let mut records: Vec<Bytes> = (0..20)
        .map(|number| identify(number, &format!("u{number}"), json!({"name": format!("p{number:02}")})))
        .collect();
    let projected = Projected::of(records.clone());
    let Ok(first) = projected.reader().search(ONE, "p", 8, None) else { panic!("it can be searched") };
    // Somebody told already is called otherwise, somebody yet to be told goes, and somebody comes.
    records.extend([
        identify(30, "u3", json!({"name": "p99"})),
        identify(31, "u12", json!({"name": "q"})),
        identify(32, "new", json!({"name": "p10b"})),
    ]);
    let later = Projected::of(records);
    let reader = later.reader();
    let Ok(rest) = reader.search(ONE, "p", 200, first.next.as_deref()) else { panic!("it can be searched") };
    let names = |people: &[PersonFound]| -> Vec<String> {
        people.iter().map(|person| person.view.value("name").expect("a name").into_owned()).collect()
    };
    let numbered = |numbers: std::ops::Range<u8>| numbers.map(|number| format!("\"p{number:02}\""));
    assert_eq!(names(&first.people), numbered(0..8).collect::<Vec<_>>());
    let mut want: Vec<String> = numbered(8..11).collect();
    want.push("\"p10b\"".to_owned());
    want.extend(numbered(11..12).chain(numbered(13..20)));
    want.push("\"p99\"".to_owned());
    assert_eq!(names(&rest.people), want);
    assert!(rest.next.is_none());
}
