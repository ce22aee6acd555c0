//! What the answers of a server mean, and what is told of them, without a database.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;

/// A server that answers the first message of each connection so, and hangs up, or says nothing.
fn saying(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut message = [0; 1024];
        let _ = stream.read(&mut message);
        let _ = stream.write_all(&answer);
        if answer.is_empty() {
            // Until the other side gives up.
            let _ = stream.read(&mut message);
        }
    });
    port
}

fn error(code: &str) -> Vec<u8> {
    error_saying(code, "what it says")
}

fn error_saying(code: &str, words: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0C{code}\0M{words}\0\0");
    let length = u32::try_from(fields.len() + 4).expect("a short message");
    [&b"E"[..], &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

/// What becomes of a delivery at such a server.
async fn verdict(answer: Vec<u8>, encryption: &str) -> Verdict {
    // Only silence is waited out.
    let timeout = if answer.is_empty() { Duration::from_millis(500) } else { Duration::from_secs(60) };
    let over = json!({"port": saying(answer), "encryption": encryption});
    let database = database(over, timeout).expect("good settings");
    let body = json!({"table": "t", "key": "k", "row": {"k": "1"}});
    let exchange = database.send(&[payload("msg_1", "events", &body)], at()).await;
    exchange.verdicts.into_iter().next().expect("one for each payload")
}

#[tokio::test]
async fn errors_retry_or_stand_still() {
    let cases = [
        (error("28P01"), "none", "credentials", Reason::Unauthorized, false),
        (error("3D000"), "none", "credentials", Reason::NotFound, false),
        (error("42501"), "none", "credentials", Reason::PermissionDenied, false),
        (error("53100"), "none", "retry", Reason::ServerError, true),
        (error("53300"), "none", "retry", Reason::ServerError, true),
        (error("58030"), "none", "retry", Reason::ServerError, true),
        (error("40001"), "none", "retry", Reason::ServerError, false),
        (error("55P03"), "none", "retry", Reason::Timeout, false),
        (error("57P03"), "none", "retry", Reason::Connection, true),
        (error("08006"), "none", "retry", Reason::Connection, true),
        (error("25006"), "none", "retry", Reason::ServerError, true),
        (error("22P02"), "none", "rejected", Reason::DataRefused, false),
        (b"N".to_vec(), "verify_full", "retry", Reason::Tls, true),
        (b"S\x15\x03\x03\x00\x02\x02\x28".to_vec(), "verify_full", "retry", Reason::Tls, true),
        (Vec::new(), "none", "retry", Reason::Timeout, true),
    ];
    for (answer, encryption, want, reason, outage) in cases {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let (kind, failure) = match verdict(answer, encryption).await {
            Verdict::Delivered => panic!("{shown}: nothing was stored"),
            Verdict::Retry { failure, .. } => ("retry", failure),
            Verdict::Rejected(failure) => ("rejected", failure),
            Verdict::Credentials(failure) => ("credentials", failure),
        };
        assert_eq!(
            (kind, failure.reason, failure.outage),
            (want, reason, outage),
            "{shown}: {}",
            failure.text
        );
        assert!(!failure.text.contains("hunter2"));
        assert!(!shown.contains("C22") || !failure.text.contains("what it says"), "values could be quoted");
    }
}

/// The failure of a delivery, and of a test, at a server that answers so; and what is told of the answers.
async fn told(answer: &[u8]) -> [(Failure, String); 2] {
    let failure_of = |verdict: Verdict| match verdict {
        Verdict::Delivered => panic!("nothing was stored"),
        Verdict::Retry { failure, .. } | Verdict::Rejected(failure) | Verdict::Credentials(failure) => {
            failure
        }
    };
    let body = |response: Option<ResponseRecord>| response.expect("there was one").body;
    let at_server = || {
        database(json!({"port": saying(answer.to_vec())}), Duration::from_secs(10)).expect("good settings")
    };
    let row = json!({"table": "t", "key": "k", "row": {"k": "1"}});
    let exchange = at_server().send(&[payload("msg_1", "events", &row)], at()).await;
    let verdict = exchange.verdicts.into_iter().next().expect("one for each payload");
    let tested = at_server().test(at()).expect("there is a test").await;
    [(failure_of(verdict), body(exchange.response)), (failure_of(tested.verdict), body(tested.response))]
}

#[tokio::test]
async fn what_a_server_says_is_bounded_and_without_secrets() {
    let long = "é".repeat(100_000);
    let before = "x".repeat(295);
    let cases = [
        (
            "a secret",
            error_saying("28P01", "bad password hunter2"),
            "bad password ******** (SQLSTATE 28P01)".to_owned(),
        ),
        ("a secret as code", error_saying("hunter2", "no"), "no (SQLSTATE *****)".to_owned()),
        ("a long code", error_saying(&long, "no"), "no (SQLSTATE éé)".to_owned()),
        ("long", error_saying("28P01", &long), format!("{} (SQLSTATE 28P01)", "é".repeat(150))),
        (
            "cut within a secret",
            error_saying("28P01", &format!("{before}hunter2")),
            format!("{before}***** (SQLSTATE 28P01)"),
        ),
    ];
    for (name, answer, want) in cases {
        for (failure, response) in told(&answer).await {
            assert_eq!((&failure.text, &response), (&want, &want), "{name}");
        }
    }
    // Of names there may be many, and long ones.
    let names = format!("no\0t{long}\0chunter2\0n{long}");
    for (failure, _) in told(&error_saying("28P01", &names)).await {
        assert!(failure.text.starts_with("no, table éé") && failure.text.len() < 400, "{}", failure.text);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let long = error_saying("28P01", &"x".repeat(bounded::ANSWER_BYTES_MAX + 1));
    let want = "the server's answer is longer than 16 MiB, which is not read";
    for (failure, response) in told(&long).await {
        assert_eq!((failure.reason, failure.outage), (Reason::UnreadableAnswer, true));
        assert_eq!((failure.text.as_str(), response.as_str()), (want, want));
    }
}

/// A login that is good, and that statements are waited for.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// What comes of a statement at a server that answers it so, in the library's words.
async fn error_of(statement: &str, answer: Vec<u8>) -> (Postgresql, tokio_postgres::Error) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut message = [0; 1024];
        for said in [WELCOME.to_vec(), [&answer[..], &b"Z\0\0\0\x05E"[..]].concat()] {
            let _ = stream.read(&mut message);
            let _ = stream.write_all(&said);
        }
        // Until the other side is done.
        let _ = stream.read(&mut message);
    });
    let database = database(json!({"port": port}), Duration::from_secs(10)).expect("good settings");
    let session = database.connections.take().await.expect("a connection");
    let error = session.client.batch_execute(statement).await.expect_err("it is refused");
    drop(session);
    (database, error)
}

#[tokio::test]
async fn rows_are_tried_one_by_one_where_one_may_be_at_fault() {
    use errors::Remedy;
    let policy = error_saying("42501", "no\0RExecWithCheckOptions");
    let cases = [
        ("a value", error("22P02"), Remedy::EachRow, "rejected"),
        ("a limit", error("54000"), Remedy::EachRow, "rejected"),
        ("a trigger", error("P0001"), Remedy::EachRow, "rejected"),
        ("a trigger, by its own code", error("AB123"), Remedy::EachRow, "retry"),
        ("a type of an extension", error("XX000"), Remedy::EachRow, "retry"),
        ("a policy", policy, Remedy::EachRow, "credentials"),
        ("rights", error("42501"), Remedy::None, "credentials"),
        ("a damaged table", error("XX001"), Remedy::None, "retry"),
        ("a deadlock", error("40P01"), Remedy::None, "retry"),
        ("no room", error("53100"), Remedy::None, "retry"),
        ("no time", error("57014"), Remedy::None, "retry"),
        ("another table", error("42P01"), Remedy::ReadSchema, "rejected"),
        ("the end", error("57P01"), Remedy::Reconnect, "retry"),
    ];
    for (name, answer, remedy, want) in cases {
        let (database, error) = error_of("SELECT 1", answer).await;
        assert_eq!(errors::remedy(&error), remedy, "{name}");
        let kind = match errors::Trouble::of("t", error).verdict(&database.masker) {
            Verdict::Delivered => "delivered",
            Verdict::Retry { .. } => "retry",
            Verdict::Rejected(_) => "rejected",
            Verdict::Credentials(_) => "credentials",
        };
        assert_eq!(kind, want, "{name}");
    }
}

#[tokio::test]
async fn what_is_said_of_a_row_quotes_no_value() {
    for code in ["22P02", "23505", "P0001", "AB123", "XX000"] {
        let (database, error) = error_of("SELECT 1", error_saying(code, "no ada@example.com")).await;
        let of_table = errors::text(&errors::Trouble::of("t", error).verdict(&database.masker));
        assert!(of_table.contains(code) && !of_table.contains("ada"), "{of_table}");
        // As a deferred trigger says it, at the end of the transaction.
        let (database, error) = error_of("COMMIT", error_saying(code, "no ada@example.com")).await;
        let at_end = errors::text(&errors::Trouble::at_end(error).verdict(&database.masker));
        assert!(at_end.contains(code) && !at_end.contains("ada"), "{at_end}");
    }
}

#[tokio::test]
async fn what_the_library_can_not_send_fails_its_row_and_is_no_outage() {
    let (database, error) = error_of("a\0b", Vec::new()).await;
    assert_eq!(errors::remedy(&error), errors::Remedy::EachRow);
    let verdict = errors::Trouble::of("t", error).verdict(&database.masker);
    let Verdict::Rejected(failure) = &verdict else { panic!("{verdict:?}") };
    assert_eq!((failure.reason, failure.outage), (Reason::DataRefused, false));
}

#[tokio::test]
async fn a_deletion_leaves_out_what_no_row_can_hold() {
    let over = json!({"port": saying(error("53300"))});
    let database = database(over, Duration::from_secs(10)).expect("good settings");
    let person = Person::from([
        ("user_id".to_owned(), vec!["u1".to_owned(), "u\0".to_owned()]),
        ("email".to_owned(), vec!["\0".to_owned()]),
    ]);
    let called = database.delete(&person, at()).expect("it can delete").await;
    assert!(called.request.body.contains("values of user_id: 1"), "{}", called.request.body);
    assert!(!called.request.body.contains("email"), "{}", called.request.body);
}
