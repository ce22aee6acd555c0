use super::*;
use tributary_model::Namespace;

const AT: Timestamp = Timestamp::from_micros(7);

fn profile(number: u8) -> ProfileId {
    ProfileId([number; 16])
}

fn ids(users: &str) -> BTreeSet<Identifier> {
    let parse = |user: &str| Identifier::parse(Namespace::USER_ID, user).expect("an identifier");
    users.split_whitespace().map(parse).collect()
}

fn membership(users: &str) -> Membership {
    let identifiers = ids(users).into_iter().collect();
    Membership { since: Timestamp::default(), sequence: 1, identifiers, is_approximate: false }
}

fn entry(identifiers: Arc<[Identifier]>) -> Membership {
    Membership { since: AT, sequence: 9, identifiers, is_approximate: false }
}

/// Live profiles with their identifiers and whether the condition holds; those that were merged, and into which.
fn sides(live: &[(u8, &str, bool)], merged: &[(u8, u8)]) -> Sides {
    let mut sides = Sides::default();
    for (number, users, holds) in live {
        let identifiers = ids(users);
        sides.owners.extend(identifiers.iter().map(|known| (known.clone(), profile(*number))));
        let held = if *holds { vec![0] } else { Vec::new() };
        sides.live.insert(profile(*number), Side { identifiers, held, ..Side::default() });
    }
    sides.heirs.extend(merged.iter().map(|(from, to)| (profile(*from), profile(*to))));
    sides
}

fn text(identifiers: &[Identifier]) -> String {
    identifiers.iter().map(Identifier::value).collect::<Vec<_>>().join(" ")
}

type Told<'a> = &'a [(u8, &'a str)];

struct Case<'a> {
    name: &'a str,
    live: &'a [(u8, &'a str, bool)],
    merged: &'a [(u8, u8)],
    before: Told<'a>,
    exits: Told<'a>,
    entries: &'a [u8],
    after: Told<'a>,
}

fn check(case: &Case<'_>) {
    let sides = sides(case.live, case.merged);
    let before: BTreeMap<ProfileId, Membership> =
        case.before.iter().map(|(number, users)| (profile(*number), membership(users))).collect();
    let got = settle(&sides, &before, |side| side.held.contains(&0), entry);
    let told = |number: &u8, users: &str| (profile(*number), users.to_owned());
    let exits: Vec<_> = got.exits.iter().map(|(id, identifiers)| (*id, text(identifiers))).collect();
    assert_eq!(
        exits,
        case.exits.iter().map(|(id, users)| told(id, users)).collect::<Vec<_>>(),
        "{}",
        case.name
    );
    let entries: Vec<ProfileId> = got.entries.iter().map(|(profile, _)| *profile).collect();
    assert_eq!(entries, case.entries.iter().copied().map(profile).collect::<Vec<_>>(), "{}", case.name);
    let after: Vec<_> = got.after.iter().map(|(id, known)| (*id, text(&known.identifiers))).collect();
    assert_eq!(
        after,
        case.after.iter().map(|(id, users)| told(id, users)).collect::<Vec<_>>(),
        "{}",
        case.name
    );
    for (id, known) in &got.after {
        assert_eq!(known.sequence == 9, entries.contains(id), "{}", case.name);
    }
}

#[test]
fn memberships_follow_their_profiles() {
    let cases = [
        Case {
            name: "two members become one",
            live: &[(1, "a b", true)],
            merged: &[(2, 1)],
            before: &[(1, "a"), (2, "b")],
            exits: &[],
            entries: &[],
            after: &[(1, "a b")],
        },
        Case {
            name: "a member becomes part of one who was none",
            live: &[(1, "a b", true)],
            merged: &[(2, 1)],
            before: &[(2, "b")],
            exits: &[],
            entries: &[1],
            after: &[(1, "a b")],
        },
        Case {
            name: "together they are none",
            live: &[(1, "a b c", false)],
            merged: &[(2, 1), (3, 1)],
            before: &[(1, "a"), (2, "b"), (3, "c")],
            exits: &[(1, "a"), (1, "b"), (1, "c")],
            entries: &[],
            after: &[],
        },
        Case {
            name: "neither part is a member",
            live: &[(1, "a", false), (2, "b", false)],
            merged: &[],
            before: &[(1, "a b")],
            exits: &[(1, "a b")],
            entries: &[],
            after: &[],
        },
        Case {
            name: "the other part is one",
            live: &[(1, "a", false), (2, "b c", true)],
            merged: &[],
            before: &[(1, "a b")],
            exits: &[(1, "a b")],
            entries: &[2],
            after: &[(2, "b c")],
        },
        Case {
            name: "the one that kept the id is one",
            live: &[(1, "a", true), (2, "b c", false)],
            merged: &[],
            before: &[(1, "a b")],
            exits: &[(2, "b")],
            entries: &[],
            after: &[(1, "a")],
        },
        Case {
            name: "the other part brought nothing that was told",
            live: &[(1, "a", true), (2, "c", false)],
            merged: &[],
            before: &[(1, "a")],
            exits: &[],
            entries: &[],
            after: &[(1, "a")],
        },
        Case {
            name: "both parts are",
            live: &[(1, "a", true), (2, "b", true)],
            merged: &[],
            before: &[(1, "a b")],
            exits: &[],
            entries: &[2],
            after: &[(1, "a"), (2, "b")],
        },
        Case {
            name: "an identifier is handed to a member",
            live: &[(1, "a", true), (2, "b c", true)],
            merged: &[],
            before: &[(1, "a b"), (2, "c")],
            exits: &[],
            entries: &[],
            after: &[(1, "a"), (2, "b c")],
        },
        Case {
            name: "an identifier is taken from all",
            live: &[(1, "a", true)],
            merged: &[],
            before: &[(1, "a b")],
            exits: &[],
            entries: &[],
            after: &[(1, "a b")],
        },
        Case {
            name: "a profile is no more",
            live: &[(1, "a", true)],
            merged: &[],
            before: &[(1, "a"), (3, "c")],
            exits: &[(3, "c")],
            entries: &[],
            after: &[(1, "a")],
        },
    ];
    for case in &cases {
        check(case);
    }
}

#[test]
fn what_is_not_evaluated_stands_still() {
    let sides = sides(&[(1, "a", false), (2, "b", true)], &[(3, 2), (4, 2)]);
    let before = [(1, "a x"), (3, "c"), (4, "d"), (5, "e")];
    let before: BTreeMap<ProfileId, Membership> =
        before.into_iter().map(|(number, users)| (profile(number), membership(users))).collect();
    let got = stand_still(&sides, &before);
    let after: Vec<_> = got.after.iter().map(|(id, known)| (*id, text(&known.identifiers))).collect();
    let want = [(1, "a x"), (2, "c d"), (5, "e")].map(|(id, users)| (profile(id), users.to_owned()));
    assert_eq!(after, want);
    assert!(got.exits.is_empty() && got.entries.is_empty());
}

/// Whoever has what was told of a member is in it, also if the member is no more.
#[test]
fn what_stands_still_is_parted() {
    let sides = sides(&[(1, "a", false), (2, "b", false), (3, "c d", false)], &[]);
    let before = [(1, "a b c"), (3, "d"), (4, "b e")];
    let before: BTreeMap<ProfileId, Membership> =
        before.into_iter().map(|(number, users)| (profile(number), membership(users))).collect();
    let got = stand_still(&sides, &before);
    let after: Vec<_> = got.after.iter().map(|(id, known)| (*id, text(&known.identifiers))).collect();
    let want = [(1, "a"), (2, "b"), (3, "c d"), (4, "e")].map(|(id, users)| (profile(id), users.to_owned()));
    assert_eq!(after, want);
    assert!(got.exits.is_empty() && got.entries.is_empty());
}

/// An event met a profile before the pass that settles those that were made again: what it entered with stays told.
#[test]
fn an_exit_leaves_out_what_another_entered_with() {
    let mut sides = sides(&[(1, "a", false), (2, "b c", true)], &[]);
    sides.are_made_again = true;
    let before = [(1, "a b"), (2, "b c"), (3, "c")];
    let before: BTreeMap<ProfileId, Membership> =
        before.into_iter().map(|(number, users)| (profile(number), membership(users))).collect();
    let got = settle(&sides, &before, |side| side.held.contains(&0), entry);
    let exits: Vec<_> = got.exits.iter().map(|(id, told)| (*id, text(told))).collect();
    assert_eq!(exits, [(profile(1), "a".to_owned())]);
    assert_eq!((got.ended, got.entries.len(), got.after.len()), (2, 0, 1));
}
