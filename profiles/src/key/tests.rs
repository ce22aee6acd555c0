//! Keys name what they were made of, and sort as they promise.

use super::*;
use proptest::prelude::*;
use tributary_model::identity_rules::Normalization;
use tributary_model::{Identifier, Namespace};

const WORKSPACE: WorkspaceId = WorkspaceId(7);
const ID: ProfileId = ProfileId([9; 16]);

fn node(namespace: &str, value: &str, epoch: u32) -> NodeKey {
    let identifier = Identifier::normalized(Namespace::new(namespace), value, &Normalization::Exact);
    NodeKey { identifier: identifier.expect("an identifier"), epoch }
}

#[test]
fn keys_tell_what_they_name() {
    // An e-mail address in a form that the namespace does not have by default.
    let (one, other) = (node("email", "Not@An e-mail", 0), node("loyalty", "\u{e9}:~/", 3));
    let edge = EdgeKey { anchor: one.clone(), other: other.clone() };
    for key in [Key::edge(WORKSPACE, &edge), Key::refusal(WORKSPACE, &edge)] {
        assert_eq!((key.edge_named(), key.node_named()), (Some(edge.clone()), None));
    }
    let word = Key::refused_by(WORKSPACE, &edge);
    assert_eq!(word.edge_named().as_ref(), Some(&edge));
    assert!(word.rest().starts_with(&node_prefix(&other)));
    for key in [Key::node(WORKSPACE, &one), Key::fragment(WORKSPACE, &one), Key::tally(WORKSPACE, &one)] {
        assert_eq!((key.node_named(), key.edge_named()), (Some(one.clone()), None));
    }
    assert_eq!(Key::profile(WORKSPACE, ID).profile_named(), Some(ID));
    assert_eq!(Key::history(WORKSPACE, ID, 1, 0).profile_named(), None);
    assert_eq!(Key::alarm(WORKSPACE, 5).number_named(), Some(5));
    assert_eq!(Key::partition(WORKSPACE, 6).number_named(), Some(6));
    assert_eq!(Key::workspace(WORKSPACE).number_named(), None);
    assert_eq!(Key::checkpoint().workspace_id(), Some(WorkspaceId(0)));
}

#[test]
fn keys_of_audiences_tell_what_they_name() {
    let audience = AudienceId(300);
    let standing = Key::standing(WORKSPACE, ID);
    assert_eq!((standing.standing_named(), standing.profile_named()), (Some(ID), None));
    let member = Key::member(WORKSPACE, audience, ID);
    assert_eq!((member.member_named(), member.size_named()), (Some((audience, ID)), None));
    for micros in [i64::MIN, -1, 0, 1, 1_790_000_000_000_000, i64::MAX] {
        let due = Timestamp::from_micros(micros);
        assert_eq!(Key::timer(WORKSPACE, due, ID).timer_named(), Some((due, ID)));
        let size = Key::size(WORKSPACE, audience, micros);
        assert_eq!((size.size_named(), size.timer_named()), (Some((audience, micros)), None));
    }
    for key in [&member, &Key::size(WORKSPACE, audience, 1)] {
        assert!(key.rest().starts_with(&audience_prefix(audience)));
        assert!(!key.rest().starts_with(&audience_prefix(AudienceId(301))));
    }
}

#[test]
fn keys_of_accounts_tell_what_they_name() {
    let known = node("user_id", "u", 2);
    let groups: [&str; 5] = ["acme", "", "\u{0}", "Gr\u{f6}\u{df}e \u{1f600}", &"g".repeat(512)];
    for group in groups {
        let account = Key::account(WORKSPACE, group);
        assert_eq!((account.account_named(), account.account_member_named()), (Some(group), None));
        let member = Key::account_member(WORKSPACE, group, &known);
        assert_eq!(member.account_member_named(), Some((group, known.clone())));
        assert!(member.rest().starts_with(&account_members_prefix(group)));
        let longer = Key::account_member(WORKSPACE, &format!("{group}x"), &known);
        assert!(!longer.rest().starts_with(&account_members_prefix(group)));
    }
}

#[test]
fn every_tag_has_its_own_byte() {
    for tag in Tag::ALL {
        assert_eq!(Tag::of(&start(WorkspaceId(1), tag)), Some(tag));
        assert_ne!(tag.byte(), b'~', "it is that of parts");
    }
}

#[test]
fn values_are_brought_into_the_form_for_searches() {
    let long = "\u{e9}".repeat(60);
    let cases: [(&str, &str); 8] = [
        ("Ada", "ada"),
        ("", ""),
        ("a\0b", "a b"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
        ("İ", "i\u{307}"),
        (&long, &"\u{e9}".repeat(50)),
        (&"x".repeat(101), &"x".repeat(SEARCHED_BYTES_MAX)),
        // A character that does not fit as a whole is left away, and with it all that follows.
        (&format!("{}\u{e9}y", "x".repeat(99)), &"x".repeat(99)),
    ];
    for (value, want) in cases {
        assert_eq!(searched_form(value), want, "{value}");
    }
    let known = node("user_id", "u", 0);
    let key = Key::search(WORKSPACE, "name", "A\0da", &known);
    assert_eq!(key.search_named(), Some(("name", "a da", known.clone())));
    assert!(!key.rest().starts_with(&search_prefix("nam", "")), "a name is whole");
    assert!(!key.rest().starts_with(&search_prefix("name", "a d\0")), "a zero byte is none in a value");
}

proptest! {
    /// Every beginning of a value finds it, and nothing else does.
    #[test]
    fn a_search_finds_what_begins_so(
        value in "\\PC{0,40}|[ -~\u{0}\u{e9}\u{130}\u{3a3}]{0,150}",
        other in "\\PC{0,10}|[a-c\u{0}]{0,3}",
        cut in 0usize..60,
    ) {
        let known = node("user_id", "u", 0);
        let key = Key::search(WORKSPACE, "name", &value, &known);
        let form = searched_form(&value);
        prop_assert!(form.len() <= SEARCHED_BYTES_MAX && !form.contains('\0'));
        prop_assert_eq!(searched_form(&form), form.as_str());
        prop_assert_eq!(key.search_named(), Some(("name", form.as_str(), known)));
        let beginning: String = value.chars().take(cut).collect();
        prop_assert!(key.rest().starts_with(&search_prefix("name", &beginning)));
        let is_found = key.rest().starts_with(&search_prefix("name", &other));
        prop_assert_eq!(is_found, form.starts_with(&searched_form(&other)));
    }

    /// Keys of one kind sort by what they promise to sort by.
    #[test]
    fn keys_sort_by_their_parts(
        one in (any::<i64>(), any::<[u8; 16]>(), any::<u32>()),
        other in (any::<i64>(), any::<[u8; 16]>(), any::<u32>()),
        values in ("\\PC{0,10}", "\\PC{0,10}"),
    ) {
        let timer = |(at, id, _)| Key::timer(WORKSPACE, Timestamp::from_micros(at), ProfileId(id));
        prop_assert_eq!(timer(one).cmp(&timer(other)), (one.0, one.1).cmp(&(other.0, other.1)));
        let member = |(_, id, audience)| Key::member(WORKSPACE, AudienceId(audience), ProfileId(id));
        prop_assert_eq!(member(one).cmp(&member(other)), (one.2, one.1).cmp(&(other.2, other.1)));
        let size = |(hour, _, audience)| Key::size(WORKSPACE, AudienceId(audience), hour);
        prop_assert_eq!(size(one).cmp(&size(other)), (one.2, one.0).cmp(&(other.2, other.0)));
        let known = node("user_id", "u", 0);
        let search = |value: &str| Key::search(WORKSPACE, "name", value, &known);
        let (left, right) = (searched_form(&values.0), searched_form(&values.1));
        prop_assert_eq!(search(&values.0).cmp(&search(&values.1)), left.cmp(&right));
    }
}
