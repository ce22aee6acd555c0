use super::*;
use crate::connect::testing::{Answer, Receiver, Seen};
use crate::connect::{Addresses, MASK};
use serde_json::{Value as Json, json};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
}

fn oauth(receiver: &Receiver, refresh_token: Option<&str>) -> Oauth {
    let outbound = Arc::new(Outbound::new(Addresses::Any, 10 * SECOND).expect("a way out"));
    let parts = TransportParts { outbound, timeout: 10 * SECOND, response_bytes: 100, tokens: None };
    let credentials = Credentials { id: "ada", secret: "l?ve", refresh_token, scope: Some("read  write") };
    let grant =
        if refresh_token.is_some() { OauthGrant::RefreshToken } else { OauthGrant::ClientCredentials };
    Oauth::new(grant, &receiver.url("/token"), &credentials, &parts, 10 * SECOND).expect("a URL")
}

/// An endpoint that answers with one token after the other: `token-1`, `token-2` …
fn endpoint(mut more: impl FnMut(&Seen) -> Json + Send + 'static) -> Receiver {
    let mut number = 0;
    Receiver::start(move |seen| {
        number += 1;
        let mut answer = json!({"access_token": format!("token-{number}"), "token_type": "Bearer"});
        let more = more(seen);
        answer.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        Answer::json(200, &answer)
    })
}

async fn header(oauth: &Oauth, seconds: i64) -> String {
    oauth.token(at(seconds)).await.map(|token| token.header).expect("a token")
}

fn form(seen: &Seen) -> Vec<(String, String)> {
    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    let receiver = endpoint(|_| json!({"expires_in": 3600}));
    let oauth = oauth(&receiver, None);
    for (second, want) in [(0, 1), (10, 1), (3539, 1), (3540, 2), (3600, 2), (7079, 2), (7080, 3)] {
        assert_eq!(header(&oauth, second).await, format!("Bearer token-{want}"), "{second}");
    }
    let seen = receiver.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!((&*seen[0].method, &*seen[0].target), ("POST", "/token"));
    // RFC 6749 §2.3.1: name and password are encoded as in forms before they are encoded for HTTP Basic.
    assert_eq!(seen[0].header("authorization"), super::super::request::basic("ada", "l%3Fve"));
    assert_eq!(seen[0].header("user-agent"), USER_AGENT);
    assert_eq!(form(&seen[0]), pairs(&[("grant_type", "client_credentials"), ("scope", "read write")]));
}

#[tokio::test]
async fn a_token_that_lives_shortly_or_for_ever_is_used() {
    let short = endpoint(|_| json!({"expires_in": 60}));
    let short = (oauth(&short, None), short);
    for (second, want) in [(0, 1), (29, 1), (30, 2)] {
        assert_eq!(header(&short.0, second).await, format!("Bearer token-{want}"), "{second}");
    }
    let endless = endpoint(|_| json!({}));
    let endless = (oauth(&endless, None), endless);
    for second in [0, 1_000_000_000] {
        assert_eq!(header(&endless.0, second).await, "Bearer token-1", "{second}");
    }
}

#[tokio::test]
async fn tokens_are_taken_in_all_forms_that_are_in_use() {
    let token = |more: Json| {
        let mut answer = json!({"access_token": "token-1", "token_type": "Bearer"});
        answer.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        answer
    };
    let cases = [
        (200, token(json!({"expires_in": "3600"})), true),
        (200, token(json!({"expires_in": " 3600 ", "token_type": "BearerToken"})), true),
        (201, token(json!({"expires_in": 3600})), true),
        (200, token(json!({"error": ""})), false),
        (200, token(json!({"expires_in": null})), false),
        (200, json!({"access_token": "token-1"}), false),
        (200, token(json!({"token_type": null, "expires_in": 3600.5})), true),
        (200, token(json!({"expires_in": -5})), false),
        (200, token(json!({"expires_in": "x"})), false),
        (200, token(json!({"scope": ["read", "write"]})), false),
    ];
    for (status, body, ends) in cases {
        let answer = Answer::json(status, &body);
        let receiver = Receiver::start(move |_| answer.clone());
        let oauth = oauth(&receiver, None);
        for (second, asked) in [(0, 1), (3539, 1), (3540, 1 + usize::from(ends))] {
            assert_eq!(header(&oauth, second).await, "Bearer token-1", "{body}");
            assert_eq!(receiver.seen().len(), asked, "{body}");
        }
    }
}

#[tokio::test]
async fn a_new_refresh_token_takes_the_place_of_the_old_one() {
    let mut given = 0;
    let receiver = endpoint(move |_| {
        given += 1;
        if given == 2 {
            json!({"expires_in": 60})
        } else {
            json!({"expires_in": 60, "refresh_token": format!("new-{given}")})
        }
    });
    let oauth = oauth(&receiver, Some("first"));
    for second in [0, 100, 200, 300] {
        header(&oauth, second).await;
    }
    let tokens: Vec<_> = receiver.seen().iter().map(form).collect();
    let want = ["first", "new-1", "new-1", "new-3"].map(|token| {
        pairs(&[("grant_type", "refresh_token"), ("refresh_token", token), ("scope", "read write")])
    });
    assert_eq!(tokens, want);
}

#[tokio::test]
async fn a_new_refresh_token_is_used_whatever_else_the_answer_holds() {
    let mut asked = 0;
    let receiver = Receiver::start(move |_| {
        asked += 1;
        let mut answer = json!({"refresh_token": format!("new-{asked}")});
        match asked {
            1 => answer["token_type"] = "bearer".into(),
            2 => answer["access_token"] = 7.into(),
            _ => answer["access_token"] = "token-1".into(),
        }
        if asked == 3 {
            answer["token_type"] = "mac".into();
        }
        Answer::json(200, &answer)
    });
    let oauth = oauth(&receiver, Some("first"));
    for second in [0, 1, 2] {
        assert!(oauth.token(at(second)).await.is_err(), "{second}");
    }
    assert_eq!(header(&oauth, 3).await, "Bearer token-1");
    let shown = receiver.seen().iter().map(|seen| form(seen)[1].1.clone()).collect::<Vec<_>>();
    assert_eq!(shown, ["first", "new-1", "new-2", "new-3"]);
}

#[tokio::test]
async fn a_token_that_was_refused_is_thrown_away_once() {
    let receiver = endpoint(|_| json!({}));
    let oauth = oauth(&receiver, None);
    let first = oauth.token(at(0)).await.expect("a token");
    oauth.throw_away(&first).await;
    let second = oauth.token(at(0)).await.expect("a token");
    // Another request was refused with the first one, too: the second is not to blame.
    oauth.throw_away(&first).await;
    assert_eq!(header(&oauth, 0).await, second.header);
    assert_eq!(second.header, "Bearer token-2");
}

#[tokio::test]
async fn many_who_need_a_token_ask_once() {
    let receiver = endpoint(|_| json!({}));
    let oauth = oauth(&receiver, None);
    let headers = futures_util::future::join_all((0..20).map(|_| header(&oauth, 0))).await;
    assert!(headers.iter().all(|header| header == "Bearer token-1"), "{headers:?}");
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn many_who_wait_for_a_token_are_refused_together() {
    let receiver = Receiver::start(|_| Answer::status(503));
    let oauth = oauth(&receiver, None);
    let tokens = futures_util::future::join_all((0..20).map(|_| oauth.token(at(0)))).await;
    assert!(tokens.iter().all(Result::is_err));
    assert_eq!(receiver.seen().len(), 1);
    assert!(oauth.token(at(1)).await.is_err());
    assert_eq!(receiver.seen().len(), 2, "who comes later asks again");
}

#[tokio::test]
async fn refusals_of_the_endpoint_are_told_apart() {
    let error = |status: u16, code: &str| {
        Answer::json(status, &json!({"error": code, "error_description": "hidden ada@example.com"}))
    };
    let retry_later = Answer::full(429, "retry-after: 7\r\n", "");
    let cases = [
        (error(401, "invalid_client"), "credentials unauthorized: (invalid_client)"),
        (error(400, "invalid_grant"), "credentials unauthorized: (invalid_grant)"),
        (error(400, "invalid_scope"), "credentials unauthorized: (invalid_scope)"),
        (error(400, "invalid_request"), "credentials unauthorized: (invalid_request)"),
        (error(403, "unauthorized_client"), "credentials unauthorized: (unauthorized_client)"),
        (error(400, "unsupported_grant_type"), "credentials unauthorized: (unsupported_grant_type)"),
        (error(200, "invalid_grant"), "credentials unauthorized: (invalid_grant)"),
        (error(401, "hidden_trouble"), "credentials unauthorized: answered 401"),
        (error(400, "temporarily_unavailable"), "retry token_endpoint outage: answered 400"),
        (error(200, "hidden_trouble"), "retry token_endpoint outage: answered 200"),
        (error(503, "invalid_client"), "retry token_endpoint outage: answered 503"),
        (Answer::full(401, "", "hidden"), "credentials unauthorized: answered 401"),
        (Answer::status(403), "credentials forbidden: answered 403"),
        (Answer::full(400, "", "hidden"), "retry token_endpoint outage: answered 400"),
        (Answer::status(404), "retry token_endpoint outage: answered 404"),
        (Answer::status(503), "retry token_endpoint outage: answered 503"),
        (Answer::full(503, "retry-after: 9\r\n", ""), "retry token_endpoint outage after 9: answered 503"),
        (retry_later, "retry token_endpoint outage after 7: answered 429"),
        (Answer::status(302), "retry token_endpoint outage: answered 302"),
        (Answer::full(200, "", "hidden"), "retry token_endpoint outage: no JSON object"),
        (
            Answer::json(200, &json!({"token_type": "bearer"})),
            "retry token_endpoint outage: access_token is missing",
        ),
        (
            Answer::json(200, &json!({"token_type": "bearer", "access_token": "hidden\n"})),
            "retry token_endpoint outage: access_token can't stand in a header",
        ),
        (
            Answer::json(200, &json!({"token_type": "mac", "access_token": "hidden"})),
            "retry token_endpoint outage: token_type is mac",
        ),
        (Answer::HangUp, "retry token_endpoint outage: can't be asked"),
    ];
    for (answer, want) in cases {
        let shown = format!("{answer:?}");
        let receiver = Receiver::start(move |_| answer.clone());
        let verdict =
            oauth(&receiver, None).token(at(0)).await.err().unwrap_or_else(|| panic!("{shown} is a token"));
        let (kind, failure, after) = match &verdict {
            Verdict::Retry { failure, after } => ("retry", failure, *after),
            Verdict::Credentials(failure) => ("credentials", failure, None),
            Verdict::Delivered | Verdict::Rejected(_) => panic!("{shown}: {verdict:?}"),
        };
        let outage = if failure.outage { " outage" } else { "" };
        let after = after.map_or_else(String::new, |after| format!(" after {}", after.as_secs()));
        let (head, words) = want.split_once(": ").expect("a head");
        assert_eq!(format!("{kind} {}{outage}{after}", failure.reason.name()), head, "{shown}");
        assert!(failure.text.contains(words), "{shown}: {failure:?}");
        assert!(!failure.text.contains("hidden") && !failure.text.contains("ada"), "{shown}: {failure:?}");
    }
}

#[tokio::test]
async fn tokens_are_hidden() {
    let receiver = endpoint(|_| json!({"refresh_token": "fresh-one"}));
    let oauth = oauth(&receiver, Some("first"));
    let token = oauth.token(at(0)).await.expect("a token");
    let masker = oauth.masker(&token, &Masker::new(["other-secret"].into_iter()));
    assert_eq!(masker.text("token-1 fresh-one other-secret"), format!("{MASK} {MASK} {MASK}"));
}

#[tokio::test]
async fn the_masker_of_a_token_is_made_once() {
    let receiver = endpoint(|_| json!({"expires_in": 3600}));
    let oauth = oauth(&receiver, None);
    let own = Masker::new(["other-secret"].into_iter());
    let (first, second) =
        (oauth.token(at(0)).await.expect("a token"), oauth.token(at(3600)).await.expect("another"));
    let of_first = oauth.masker(&first, &own);
    assert!(Arc::ptr_eq(&of_first, &oauth.masker(&first, &own)));
    let of_second = oauth.masker(&second, &own);
    // What still comes for the older one does not put the newer one out.
    assert_eq!(oauth.masker(&first, &own).text("token-1 other-secret"), format!("{MASK} {MASK}"));
    assert!(Arc::ptr_eq(&of_second, &oauth.masker(&second, &own)));
    assert_eq!(of_second.text("token-2 other-secret"), format!("{MASK} {MASK}"));
}
