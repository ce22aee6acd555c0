use super::*;
use tributary_model::identity_rules::IdentityRules;

fn rules() -> IdentifierReader {
    IdentifierReader::new(&IdentityRules::default()).expect("the default rules work")
}

fn identifier(text: &str) -> Identifier {
    address::identifier(&rules(), "test", text).expect("an identifier")
}

fn whose() -> Who {
    Who::Identifier(identifier("user_id:u1"))
}

fn parse(change: Change, body: &str) -> Result<Wanted, String> {
    Wanted::parse(change, body.as_bytes(), whose(), &rules()).map_err(|error| {
        assert_eq!(error.code(), ErrorCode::InvalidRequest, "{body}");
        error.to_string()
    })
}

#[test]
fn an_unmerge_says_in_one_way_what_is_parted() {
    let (x1, x2) = (identifier("anonymous_id:x1"), identifier("anonymous_id:x2"));
    let (u1, email) = (identifier("user_id:u1"), identifier("email:a@b"));
    let cases = [
        (r#"{"identifier":"anonymous_id:x1"}"#, UnmergeTarget::Identifier(x1.clone())),
        (r#"{"identifier":"email: A@B "}"#, UnmergeTarget::Identifier(email)),
        (r#"{"edge":["user_id:u1","anonymous_id:x1"]}"#, UnmergeTarget::Edge(u1.clone(), x1.clone())),
        (r#"{"merge":"mrg_0"}"#, UnmergeTarget::Merge(0)),
        (r#"{"merge":"mrg_7","edge":null}"#, UnmergeTarget::Merge(7)),
        (
            r#"{"sides":[["user_id:u1","anonymous_id:x2"],["anonymous_id:x1"]]}"#,
            UnmergeTarget::Sides(vec![vec![u1, x2], vec![x1]]),
        ),
    ];
    for (body, want) in cases {
        let wanted = parse(Change::Unmerge, body).unwrap_or_else(|why| panic!("{body}: {why}"));
        let action = Action::Unmerge { who: whose(), target: want, retake: false };
        assert!(wanted.action == action && !wanted.dry_run && wanted.reason.is_none(), "{body}");
    }
}

#[test]
fn an_unmerge_that_is_not_understood_is_refused_with_its_place() {
    let one_way = "exactly one of identifier, edge, merge and sides";
    let long = format!(r#"{{"merge":"mrg_7","reason":"{}"}}"#, "é".repeat(1_001));
    let cases = [
        ("", "the body: EOF"),
        ("[]", "the body: invalid length"),
        ("{}", one_way),
        (r#"{"merge":"mrg_7","identifier":"user_id:u1"}"#, one_way),
        (r#"{"merge":"mrg_7","colour":"red"}"#, "unknown field `colour`"),
        (r#"{"merge":"mrg_7","dry_run":"yes"}"#, "expected a boolean"),
        (r#"{"merge":7}"#, "expected a string"),
        (r#"{"merge":"7"}"#, "`merge`"),
        (r#"{"merge":"mrg_07"}"#, "`merge`"),
        (r#"{"merge":"mrg_+7"}"#, "`merge`"),
        (r#"{"merge":"prt_7"}"#, "`merge`"),
        (r#"{"merge":"mrg_99999999999999999999"}"#, "`merge`"),
        (r#"{"identifier":"u1"}"#, "`identifier`"),
        (r#"{"identifier":"email:u1"}"#, "`identifier`"),
        (r#"{"identifier":"profile_id:00"}"#, "`identifier`"),
        (r#"{"edge":["user_id:u1"]}"#, "array of length 2"),
        (r#"{"edge":["user_id:u1","x1"]}"#, "`edge[1]`"),
        (r#"{"sides":[]}"#, "`sides`"),
        (r#"{"sides":[["user_id:u1"]]}"#, "`sides`"),
        (r#"{"sides":[["user_id:u1"],[]]}"#, "`sides[1]`"),
        (r#"{"sides":[["user_id:u1"],["anonymous_id:x1","x2"]]}"#, "`sides[1][1]`"),
        (long.as_str(), "`reason`"),
    ];
    for (body, want) in cases {
        let got = parse(Change::Unmerge, body).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(got.contains(want), "{body}: {got}");
    }
}

#[test]
fn what_else_an_unmerge_says_is_kept() {
    let cases = [
        ("", false, false, None),
        (r#","dry_run":true"#, true, false, None),
        (r#","dry_run":false,"retake":true"#, false, true, None),
        (r#","reason":"a kiosk""#, false, false, Some("a kiosk")),
        (r#","reason":" ""#, false, false, None),
        (r#","reason":null"#, false, false, None),
    ];
    for (more, dry_run, retake, reason) in cases {
        let body = format!(r#"{{"merge":"mrg_7"{more}}}"#);
        let wanted = parse(Change::Unmerge, &body).unwrap_or_else(|why| panic!("{body}: {why}"));
        let action = Action::Unmerge { who: whose(), target: UnmergeTarget::Merge(7), retake };
        assert!(wanted.action == action, "{body}");
        assert_eq!((wanted.dry_run, wanted.reason.as_deref()), (dry_run, reason), "{body}");
    }
}

#[test]
fn identifiers_are_handed_over_by_hand() {
    let id = "00112233445566778899aabbccddeeff";
    let (who, phone) = (whose(), identifier("anonymous_id:x1"));
    let to = Who::Identifier(identifier("user_id:u2"));
    let to_profile = Who::Profile(id.parse().expect("an id"));
    let move_to = |to| Some(Action::Move { who: whose(), identifier: identifier("anonymous_id:x1"), to });
    let to_id = format!(r#"{{"identifier":"anonymous_id:x1","to":"profile_id:{id}"}}"#);
    let cases = [
        (
            Change::Link,
            r#"{"identifier":"anonymous_id:x1"}"#,
            Some(Action::Link { who: who.clone(), identifier: phone.clone() }),
        ),
        (
            Change::Remove,
            r#"{"identifier":"anonymous_id:x1","reason":"recycled"}"#,
            Some(Action::Remove { who, identifier: phone }),
        ),
        (Change::Move, r#"{"identifier":"anonymous_id:x1","to":"user_id:u2"}"#, move_to(to)),
        (Change::Move, to_id.as_str(), move_to(to_profile)),
        (Change::Link, r#"{"identifier":"anonymous_id:x1","to":"user_id:u2"}"#, None),
        (Change::Remove, r#"{"identifier":"anonymous_id:x1","dry_run":true}"#, None),
        (Change::Remove, r#"{"reason":"no identifier"}"#, None),
        (Change::Move, r#"{"identifier":"anonymous_id:x1"}"#, None),
        (Change::Move, r#"{"identifier":"anonymous_id:x1","to":"u2"}"#, None),
        (Change::Move, r#"{"identifier":"anonymous_id:x1","to":"profile_id:u2"}"#, None),
    ];
    for (change, body, want) in cases {
        let got = parse(change, body).map(|wanted| wanted.action);
        match want {
            Some(want) => assert!(got == Ok(want), "{change:?} {body}"),
            None => assert!(got.is_err(), "{change:?} {body}"),
        }
    }
}
