use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use tributary_eventlog::{AppendError, MemoryLog};
use tributary_model::clock::ManualClock;
use tributary_model::workspace::Source;
use tributary_model::{Record, RecordKind, SourceId, Workspace};

use super::*;
use crate::credentials::token_hash;

struct Setup {
    dir: tempfile::TempDir,
    log: Arc<MemoryLog>,
    runtime: tokio::runtime::Runtime,
}

const FULL: AppendError = AppendError::NoSpace { free_bytes: 1, mark_bytes: 2 };

impl Setup {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            log: Arc::new(MemoryLog::new()),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        }
    }

    fn try_open(&self, given: Given) -> Result<(WorkspaceStore, Option<Credentials>), StoreError> {
        let options = StoreOptions {
            log: Arc::<MemoryLog>::clone(&self.log),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_000))),
            fatal: Arc::new(|why| panic!("fatal: {why}")),
            given,
            workspaces_max: 5,
            in_force: Arc::new(|_| ()),
        };
        WorkspaceStore::open(self.dir.path(), options)
    }

    fn open(&self) -> WorkspaceStore {
        self.try_open(Given::default()).expect("the store opens").0
    }

    fn path(&self, workspace: u32, version: u64, extension: &str) -> PathBuf {
        self.dir.path().join(format!("workspaces/{workspace}/{version:020}.{extension}"))
    }

    fn add(&self, store: &WorkspaceStore, name: &str) -> Result<Changed<SourceId>, StoreError> {
        self.runtime.block_on(store.change(order(FIRST), add(name.to_owned())))
    }

    fn create(&self, store: &WorkspaceStore, name: &str) -> Result<Changed<Credentials>, StoreError> {
        self.runtime.block_on(store.create(Author::Environment, name.to_owned()))
    }

    fn delete(&self, store: &WorkspaceStore, workspace: WorkspaceId) -> Result<(), StoreError> {
        self.runtime.block_on(store.delete(order(workspace)))
    }

    /// What the log says: kind, workspace, version, and the document.
    fn records(&self) -> Vec<(u32, u64, Option<Workspace>)> {
        let entries = self.log.read(0, usize::MAX).expect("a readable log");
        let read = |entry: tributary_eventlog::Entry| {
            let record = Record::decode(&entry.bytes).expect("a record");
            let document = match record.envelope.kind {
                RecordKind::WorkspaceVersion => {
                    Some(serde_json::from_slice(&record.payload).expect("a document"))
                }
                RecordKind::WorkspaceDeleted => None,
                RecordKind::Event(_) | RecordKind::Command | RecordKind::Tick => {
                    panic!("unexpected {:?}", record.envelope.kind)
                }
            };
            (record.envelope.workspace.0, record.envelope.workspace_version, document)
        };
        entries.into_iter().map(read).collect()
    }
}

fn order(workspace: WorkspaceId) -> Order {
    Order { workspace, by: Author::Environment, expected: None }
}

fn add(name: String) -> impl FnOnce(&mut Draft) -> Result<(SourceId, String), Refusal> + Send + 'static {
    move |draft| {
        let id = SourceId(draft.take_id());
        let (write_key, created_at) = (format!("{}-{name}-{id}", draft.workspace.id), draft.at);
        draft.workspace.sources.push(Source { id, name, write_key, enabled: true, created_at });
        Ok((id, format!("source {id} created")))
    }
}

fn in_force(store: &WorkspaceStore) -> Vec<Workspace> {
    store.snapshot().workspaces().iter().map(|workspace| Workspace::clone(workspace)).collect()
}

#[test]
fn the_first_start_creates_the_default_workspace_and_tells_its_credentials_once() {
    let setup = Setup::new();
    let (store, credentials) = setup.try_open(Given::default()).expect("opens");
    let credentials = credentials.expect("the first start tells them");
    let snapshot = store.snapshot();
    let (workspace, token) = snapshot.token(credentials.token.expose()).expect("the token is known");
    assert_eq!((workspace.id, workspace.name.as_str(), workspace.version), (FIRST, "default", 1));
    assert_eq!(token.scopes, Scope::ALL);
    assert_eq!(workspace.sources[0].write_key, credentials.write_key);
    assert_eq!(store.position_of(FIRST, 1).expect("a position"), Position::at(0));
    assert_eq!(setup.records(), [(1, 1, Some(Workspace::clone(workspace)))]);
    let before = in_force(&store);
    drop(store);
    let (again, none) = setup.try_open(Given::default()).expect("opens again");
    assert_eq!(none, None);
    assert_eq!(in_force(&again), before);
    assert_eq!(setup.records().len(), 1, "a restart without a change writes nothing");
}

#[test]
fn credentials_of_the_environment_are_taken_and_later_replaced() {
    let setup = Setup::new();
    let given = |token: &str, key: &str| Given {
        admin_token: Some(Secret::new(token)),
        write_key: Some(Secret::new(key)),
    };
    let (_, credentials) = setup.try_open(given("token-1", "key-1")).expect("opens");
    let credentials = credentials.expect("the first start tells them");
    assert_eq!((credentials.token.expose(), credentials.write_key.as_str()), ("token-1", "key-1"));
    let (store, _) = setup.try_open(given("token-1", "key-1")).expect("opens");
    assert_eq!(in_force(&store)[0].version, 1, "the same credentials change nothing");
    let (store, _) = setup.try_open(given("token-2", "key-2")).expect("opens");
    let snapshot = store.snapshot();
    assert!(snapshot.token("token-1").is_none() && snapshot.token("token-2").is_some());
    let workspace = snapshot.workspace(FIRST).expect("it is there");
    assert_eq!((workspace.version, workspace.sources[0].write_key.as_str()), (3, "key-2"));
    assert_eq!(store.versions(FIRST, None, 1).expect("history")[0].by, Author::Environment);

    let other = setup.create(&store, "other").expect("created").value;
    drop(store);
    let error = setup.try_open(given("token-2", &other.write_key)).expect_err("it belongs to another");
    assert_eq!(error.code(), ErrorCode::Conflict);
    let error = setup.try_open(given(other.token.expose(), "key-2")).expect_err("it belongs to another");
    assert_eq!(error.code(), ErrorCode::Conflict);
}

#[test]
fn a_change_is_durable_in_force_and_in_the_history() {
    let setup = Setup::new();
    let store = setup.open();
    let mut watch = store.watch();
    watch.mark_unchanged();
    let made = setup.add(&store, "shop").expect("made");
    assert!(watch.has_changed().expect("open"));
    assert_eq!(made.workspace.version, 2);
    assert_eq!(in_force(&store)[0], *made.workspace);
    assert_eq!(store.position_of(FIRST, 2).expect("a position"), Position::at(1));
    let stale = Order { expected: Some(1), ..order(FIRST) };
    let error = setup.runtime.block_on(store.change(stale, add("x".to_owned()))).expect_err("stale");
    assert_eq!(error.code(), ErrorCode::PreconditionFailed);
    let nothing = |draft: &mut Draft| Ok((draft.workspace.version, "nothing".to_owned()));
    let made = setup.runtime.block_on(store.change(order(FIRST), nothing)).expect("fine");
    assert_eq!((made.value, made.workspace.version), (3, 2), "what changes nothing makes no version");
    let history = store.versions(FIRST, None, 10).expect("history");
    let rows: Vec<_> = history.iter().map(|row| (row.version, row.change.as_str())).collect();
    assert_eq!(rows, [(2, "source src_3 created"), (1, "workspace default created by the first start")]);
    assert_eq!(store.versions(FIRST, Some(2), 10).expect("history")[0].version, 1);
}

#[test]
fn write_keys_names_and_tokens_are_unique_over_all_workspaces() {
    let setup = Setup::new();
    let store = setup.open();
    let other = setup.create(&store, "other").expect("created");
    type Break = fn(&mut Workspace, Credentials);
    let cases: [(&str, Break); 3] = [
        ("write key", |workspace, other| workspace.sources[0].write_key = other.write_key),
        ("name", |workspace, _| workspace.name = "other".to_owned()),
        ("token", |workspace, other| workspace.tokens[0].hash = token_hash(other.token.expose())),
    ];
    for (name, break_rule) in cases {
        let other = other.value.clone();
        let change = move |draft: &mut Draft| {
            break_rule(&mut draft.workspace, other);
            Ok(((), "break".to_owned()))
        };
        let error = setup.runtime.block_on(store.change(order(FIRST), change)).expect_err(name);
        assert_eq!(error.code(), ErrorCode::Conflict, "{name}");
    }
    for name in ["", "-x", "Upper", "a b", "ws_7", "x".repeat(65).as_str()] {
        let error = setup.create(&store, name).expect_err(name);
        assert_eq!(error.code(), ErrorCode::InvalidRequest, "{name}");
    }
    assert_eq!(setup.create(&store, "other").expect_err("in use").code(), ErrorCode::Conflict);
    for name in ["a", "b", "c"] {
        setup.create(&store, name).expect("within the limit");
    }
    assert_eq!(setup.create(&store, "d").expect_err("the limit").code(), ErrorCode::Conflict);
}

#[test]
fn what_the_log_refuses_leaves_nothing() {
    let setup = Setup::new();
    let store = setup.open();
    let before = in_force(&store);
    setup.log.set_refusal(Some(FULL));
    let error = setup.add(&store, "shop").expect_err("refused");
    assert_eq!((error.code(), error.retry_after_seconds()), (ErrorCode::Unavailable, Some(10)));
    assert_eq!(in_force(&store), before);
    assert!(!setup.path(1, 2, "json").exists());
    assert_eq!(setup.create(&store, "other").expect_err("refused").code(), ErrorCode::Unavailable);
    drop(store);
    let store = setup.open();
    assert_eq!(in_force(&store), before);
    setup.log.set_refusal(None);
    assert_eq!(setup.add(&store, "shop").expect("made").workspace.version, 2);
    assert_eq!(setup.create(&store, "other").expect("created").workspace.id, WorkspaceId(2));
}

#[test]
fn a_crash_at_any_point_of_a_change_is_safe() {
    /// What is left of the change to version 2: its file, its position, and whether its record is in the log.
    enum Left {
        PartOfFile,
        File,
        FileAndRecord,
        PartOfPosition,
        Everything,
    }
    let cases = [
        ("part of the file", Left::PartOfFile, 1, 2),
        ("the file", Left::File, 2, 2),
        ("the file and the record", Left::FileAndRecord, 2, 3),
        ("part of the position", Left::PartOfPosition, 2, 3),
        ("everything", Left::Everything, 2, 2),
    ];
    for (name, left, version, records) in cases {
        let setup = Setup::new();
        drop(setup.open());
        let first = setup.log.read(0, usize::MAX).expect("readable");
        let store = setup.open();
        let changed = setup.add(&store, "shop").expect("made").workspace;
        drop(store);
        let (file, position) = (setup.path(1, 2, "json"), setup.path(1, 2, "position"));
        let log = Arc::new(MemoryLog::new());
        let keep_record = !matches!(left, Left::PartOfFile | Left::File);
        let kept = if keep_record { setup.log.read(0, usize::MAX).expect("readable") } else { first };
        let bytes = kept.into_iter().map(|entry| entry.bytes).collect();
        setup.runtime.block_on(log.append(bytes)).expect("appended");
        let setup = Setup { log, ..setup };
        match left {
            Left::PartOfFile => {
                std::fs::rename(&file, file.with_extension("json.tmp")).expect("renamed");
                std::fs::remove_file(&position).expect("removed");
            }
            Left::File | Left::FileAndRecord => std::fs::remove_file(&position).expect("removed"),
            Left::PartOfPosition => {
                std::fs::rename(&position, position.with_extension("position.tmp")).expect("renamed");
            }
            Left::Everything => {}
        }
        let store = setup.open();
        assert_eq!(in_force(&store)[0].version, version, "{name}");
        if version == 2 {
            assert_eq!(in_force(&store)[0], *changed, "{name}");
            let at = store.position_of(FIRST, 2).expect("a position").sequence;
            assert_eq!(setup.records()[at as usize].2.as_ref(), Some(&*changed), "{name}");
        }
        let made = setup.add(&store, "next").expect("made").workspace;
        assert_eq!(made.version, version + 1, "{name}");
        let versions: Vec<u64> = setup.records().iter().map(|(_, version, _)| *version).collect();
        assert_eq!(versions.len(), records + usize::from(version == 2), "{name}: {versions:?}");
        assert!(
            versions.windows(2).all(|two| two[1] == two[0] || two[1] == two[0] + 1),
            "{name}: {versions:?}"
        );
        drop(store);
        assert_eq!(in_force(&setup.open())[0], *made, "{name}");
    }
}

#[test]
fn a_version_on_its_way_waits_for_a_log_that_refuses_at_start() {
    let setup = Setup::new();
    let store = setup.open();
    let changed = setup.add(&store, "shop").expect("made").workspace;
    drop(store);
    std::fs::remove_file(setup.path(1, 2, "position")).expect("removed");
    setup.log.set_refusal(Some(FULL));
    let store = setup.open();
    assert_eq!(in_force(&store)[0].version, 1);
    assert_eq!(setup.add(&store, "x").expect_err("it waits").code(), ErrorCode::Unavailable);
    setup.log.set_refusal(None);
    assert_eq!(setup.add(&store, "x").expect("made").workspace.version, 3);
    assert!(in_force(&store)[0].sources.contains(&changed.sources[1]));
}

#[test]
fn a_change_without_an_answer_is_settled_before_any_other_and_never_made_differently() {
    for restarts in [false, true] {
        let setup = Setup::new();
        let mut store = setup.open();
        // The record is stored, but nobody says so.
        setup.log.lose_answers(true);
        let error = setup.add(&store, "shop").expect_err("no answer");
        assert_eq!((error.code(), error.retry_after_seconds()), (ErrorCode::Unavailable, Some(5)));
        assert_eq!(in_force(&store)[0].version, 1, "it is not in force before it is settled");
        assert!(setup.path(1, 2, "json").exists(), "what may be in the log is not taken back");
        let error = setup.create(&store, "other").expect_err("one is on its way");
        assert_eq!(error.code(), ErrorCode::Unavailable);
        setup.log.lose_answers(false);
        if restarts {
            drop(store);
            store = setup.open();
        }
        assert_eq!(setup.add(&store, "next").expect("made").workspace.version, 3);
        let of_two: Vec<_> = setup
            .records()
            .into_iter()
            .filter(|(_, version, _)| *version == 2)
            .map(|(.., made)| made)
            .collect();
        assert!(of_two.len() >= 2 && of_two.windows(2).all(|two| two[0] == two[1]), "the same, every time");
        let names: Vec<_> = in_force(&store)[0].sources.iter().map(|source| source.name.clone()).collect();
        assert_eq!(names, ["default", "shop", "next"]);
        let at = store.position_of(FIRST, 2).expect("a position").sequence;
        assert_eq!(setup.records()[at as usize].1, 2);
    }
}

#[test]
fn a_workspace_that_may_come_to_be_keeps_its_number_and_its_name() {
    let setup = Setup::new();
    let store = setup.open();
    setup.log.lose_answers(true);
    setup.create(&store, "other").expect_err("no answer");
    setup.log.lose_answers(false);
    assert_eq!(setup.create(&store, "other").expect_err("it came to be").code(), ErrorCode::Conflict);
    assert_eq!(setup.create(&store, "third").expect("created").workspace.id, WorkspaceId(3));
    assert_eq!(in_force(&store).len(), 3);
}

#[test]
fn a_crash_in_the_very_first_start_starts_anew() {
    let setup = Setup::new();
    std::fs::create_dir_all(setup.dir.path().join("workspaces/1")).expect("created");
    std::fs::write(setup.path(1, 1, "json.tmp"), "{\"ver").expect("written");
    let (store, credentials) = setup.try_open(Given::default()).expect("opens");
    assert!(credentials.is_some());
    assert_eq!(in_force(&store)[0].id, FIRST);
}

#[test]
fn a_deleted_workspace_frees_its_name_but_not_its_number() {
    let setup = Setup::new();
    let store = setup.open();
    let made = setup.create(&store, "other").expect("created");
    setup.delete(&store, made.workspace.id).expect("deleted");
    assert!(store.snapshot().token(made.value.token.expose()).is_none());
    assert_eq!(setup.records().last().expect("a record"), &(2, 2, None));
    assert_eq!(setup.delete(&store, made.workspace.id).expect_err("gone").code(), ErrorCode::NotFound);
    assert_eq!(setup.delete(&store, FIRST).expect_err("it is the first").code(), ErrorCode::Conflict);
    drop(store);
    let store = setup.open();
    assert_eq!(in_force(&store).len(), 1);
    assert_eq!(setup.create(&store, "other").expect("created").workspace.id, WorkspaceId(3));
}

#[test]
fn damage_is_an_error_that_names_the_file() {
    type Damage = fn(&Setup);
    let cases: [(&str, Damage); 5] = [
        ("is missing", |setup| std::fs::remove_file(setup.path(1, 1, "json")).expect("removed")),
        ("position", |setup| std::fs::remove_file(setup.path(1, 1, "position")).expect("removed")),
        ("json", |setup| std::fs::write(setup.path(1, 2, "json"), "{").expect("written")),
        ("does not belong", |setup| std::fs::write(setup.path(1, 2, "txt"), "").expect("written")),
        ("another format", |setup| {
            std::fs::copy(setup.path(1, 1, "json"), setup.path(1, 2, "json")).map(drop).expect("copied");
        }),
    ];
    for (part, damage) in cases {
        let setup = Setup::new();
        let store = setup.open();
        setup.add(&store, "shop").expect("made");
        drop(store);
        damage(&setup);
        let error = setup.try_open(Given::default()).expect_err(part).to_string();
        assert!(error.contains(part) && error.contains("workspaces/1"), "{part}: {error}");
    }
}

#[test]
fn files_of_versions_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let setup = Setup::new();
    drop(setup.open());
    let mode = std::fs::metadata(setup.path(1, 1, "json")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[derive(Debug, Clone)]
enum Step {
    Add(u32),
    Create(u32),
    Delete(u32),
    Refused(u32),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..5u32).prop_map(Step::Add),
        2 => (0..4u32).prop_map(Step::Create),
        1 => (2..5u32).prop_map(Step::Delete),
        1 => (1..5u32).prop_map(Step::Refused),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn versions_have_no_gaps_and_reopening_gives_the_same(steps in steps()) {
        let setup = Setup::new();
        let mut store = setup.open();
        // The model: the versions of each workspace ever made, and whether it is there.
        let mut model: BTreeMap<u32, (u64, bool)> = BTreeMap::from([(1, (1, true))]);
        for step in steps {
            match step {
                Step::Add(number) => {
                    let change = store.change(order(WorkspaceId(number)), add("s".to_owned()));
                    let made = setup.runtime.block_on(change);
                    match model.get_mut(&number) {
                        Some((version, true)) => {
                            *version += 1;
                            prop_assert_eq!(made.expect("it is there").workspace.version, *version);
                        }
                        _ => prop_assert!(made.is_err()),
                    }
                }
                Step::Create(name) => {
                    if let Ok(made) = setup.create(&store, &format!("w{name}")) {
                        let number = made.workspace.id.0;
                        prop_assert_eq!(number as usize, model.len() + 1, "numbers are never used again");
                        model.insert(number, (1, true));
                    }
                }
                Step::Delete(number) => {
                    let deleted = setup.delete(&store, WorkspaceId(number));
                    match model.get_mut(&number) {
                        Some((version, there @ true)) => {
                            deleted.expect("it is there");
                            (*version, *there) = (*version + 1, false);
                        }
                        _ => prop_assert!(deleted.is_err()),
                    }
                }
                Step::Refused(number) => {
                    setup.log.set_refusal(Some(FULL));
                    let change = store.change(order(WorkspaceId(number)), add("r".to_owned()));
                    prop_assert!(setup.runtime.block_on(change).is_err());
                    setup.log.set_refusal(None);
                }
                Step::Reopen => {
                    let before = in_force(&store);
                    drop(store);
                    store = setup.open();
                    prop_assert_eq!(in_force(&store), before);
                }
            }
        }
        let now = in_force(&store);
        let there: Vec<_> =
            model.iter().filter(|(_, (_, there))| *there).map(|(id, (version, _))| (*id, *version)).collect();
        prop_assert_eq!(now.iter().map(|one| (one.id.0, one.version)).collect::<Vec<_>>(), there);
        for (number, (newest, _)) in &model {
            let of_log: Vec<u64> =
                setup.records().iter().filter(|(id, ..)| id == number).map(|(_, version, _)| *version).collect();
            prop_assert_eq!(of_log, (1..=*newest).collect::<Vec<_>>(), "no version is missing or twice");
        }
        drop(store);
        prop_assert_eq!(in_force(&setup.open()), now);
    }
}
