//! Profiles over gRPC, for a client that is generated from the proto: reads, and watches that break and go on.

use crate::harness::{PATIENCE, Server, TOKEN, data_dir};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tributary_proto::grpc::v1::profiles_client::ProfilesClient;
use tributary_proto::grpc::v1::{
    BatchGetRequest, BatchGetStatus, Change, ChangeKind, GetRequest, Identifier, Profile, ProfilePart,
    WatchRequest, watch_request,
};

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).expect("an address");
    endpoint.connect().await.expect("the server listens")
}

async fn client(server: &Server) -> ProfilesClient<Channel> {
    ProfilesClient::new(channel(server).await)
}

fn authorized<T>(message: T) -> Request<T> {
    authorized_as(TOKEN, message)
}

fn authorized_as<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("visible ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

fn identifier(text: &str) -> Identifier {
    let (namespace, value) = text.split_once(':').expect("an identifier's text");
    Identifier { namespace: namespace.to_owned(), value: value.to_owned() }
}

fn request(who: &str) -> GetRequest {
    GetRequest { workspace: "default".to_owned(), identifier: Some(identifier(who)), ..GetRequest::default() }
}

async fn get(server: &Server, request: GetRequest) -> Result<Profile, Status> {
    client(server).await.get(authorized(request)).await.map(tonic::Response::into_inner)
}

/// Sends events, and answers with the position of the last.
async fn send(server: &Server, events: &[Value]) -> String {
    let body = json!({"batch": events}).to_string();
    let (status, answer) = server.post("/v1/batch?position=true", body).await;
    assert_eq!(status, 200, "{answer}");
    answer["position"].as_str().expect("a position").to_owned()
}

fn identify(id: &str, who: Value, traits: Value) -> Value {
    let mut event = who;
    event["type"] = "identify".into();
    event["messageId"] = id.into();
    event["traits"] = traits;
    event
}

fn track(id: &str, user: &str) -> Value {
    json!({"type": "track", "messageId": id, "userId": user, "event": "Seen"})
}

async fn create_audience(server: &Server, key: &str, definition: &str) {
    let body = json!({"key": key, "name": key, "definition": definition, "include_anonymous": true});
    let (status, answer) = server.call(Method::POST, "/admin/v1/audiences", Some(body)).await;
    assert_eq!(status, 201, "{answer}");
    server
        .until("the audience is live", async || {
            let (_, answer) = server.get(&format!("/admin/v1/audiences/{key}")).await;
            answer["status"]["stage"] == "live"
        })
        .await;
}

/// An open watch, and the token of the last message that was read.
struct Watch {
    changes: Streaming<Change>,
    token: String,
}

impl Watch {
    async fn open(server: &Server, subject: watch_request::Subject, resume_token: &str) -> Self {
        Self::try_open(server, subject, resume_token).await.expect("opened")
    }

    async fn try_open(
        server: &Server,
        subject: watch_request::Subject,
        resume_token: &str,
    ) -> Result<Self, Status> {
        let resume_token = resume_token.to_owned();
        let request = WatchRequest { workspace: "default".to_owned(), subject: Some(subject), resume_token };
        let answer = client(server).await.watch(authorized(request)).await?;
        let mut watch = Self { changes: answer.into_inner(), token: String::new() };
        let first = watch.message().await?;
        assert_eq!(first.kind(), ChangeKind::Progress);
        Ok(watch)
    }

    async fn message(&mut self) -> Result<Change, Status> {
        let message = tokio::time::timeout(PATIENCE, self.changes.message()).await.expect("in time")?;
        let change = message.ok_or_else(|| Status::unknown("the watch ended well, which it never does"))?;
        change.resume_token.clone_into(&mut self.token);
        Ok(change)
    }

    /// How it ends, whatever it tells before.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.message().await {
                return status;
            }
        }
    }

    /// The next changes that are more than progress: kind, and message id or audience.
    async fn next(&mut self, count: usize) -> Vec<(ChangeKind, String)> {
        let mut told = Vec::new();
        while told.len() < count {
            let change = self.message().await.expect("it goes on");
            if change.kind() != ChangeKind::Progress {
                told.push((change.kind(), name_of(&change)));
            }
        }
        told
    }
}

fn name_of(change: &Change) -> String {
    let event: Value = serde_json::from_slice(&change.event).expect("JSON");
    let audience = &event["properties"]["audience_key"];
    let name = if audience.is_string() { audience } else { &event["messageId"] };
    match change.kind() {
        // Their message ids are made of positions.
        ChangeKind::Merged | ChangeKind::Split => event["event"].as_str().expect("a name").to_owned(),
        ChangeKind::Unspecified
        | ChangeKind::Progress
        | ChangeKind::Event
        | ChangeKind::AudienceEntered
        | ChangeKind::AudienceExited => name.as_str().expect("a name").to_owned(),
    }
}

fn who(text: &str) -> watch_request::Subject {
    watch_request::Subject::Identifier(identifier(text))
}

fn event(id: &str) -> (ChangeKind, String) {
    (ChangeKind::Event, id.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_shown_with_all_its_parts() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let body = json!({"key": "visits", "name": "Visits", "definition": "count(event(\"Seen\"))"});
    assert_eq!(server.call(Method::POST, "/admin/v1/computed-traits", Some(body)).await.0, 201);
    create_audience(&server, "vip", "traits.plan = \"vip\"").await;
    let ids = json!({"userId": "ada", "anonymousId": "browser"});
    // As text: a parser would round the number.
    let exact =
        r#"{"type":"identify","messageId":"m1","userId":"ada","traits":{"n":12345678901234567890123.10}}"#;
    assert_eq!(server.post("/v1/identify", exact).await.0, 200);
    let mut consenting = track("m5", "ada");
    consenting["context"] = json!({"consent": {"categoryPreferences": {"ads": false, "mail": true}}});
    let position = send(
        &server,
        &[
            // Nobody can pass for a member, or set what is computed.
            identify(
                "m2",
                ids,
                json!({"email": "Ada@Example.com", "plan": "vip", "gone": null, "visits": 99, "vip": "yes"}),
            ),
            json!({"type": "group", "messageId": "m3", "userId": "ada", "groupId": "acme"}),
            track("m4", "ada"),
            consenting,
        ],
    )
    .await;
    let asked = GetRequest { wait_for: position.clone(), ..request("email:ADA@example.com") };
    let profile = get(&server, asked).await.expect("found");
    let (_, metadata) = server.profile("user_id:ada", "metadata").await;
    assert_eq!(metadata["profile_id"], profile.profile_id.as_str());
    let identifiers: Vec<String> =
        profile.identifiers.iter().map(|it| format!("{}:{}", it.namespace, it.value)).collect();
    assert_eq!(identifiers, ["anonymous_id:browser", "email:ada@example.com", "user_id:ada"]);
    let names: Vec<&str> = profile.traits.keys().map(String::as_str).collect();
    assert_eq!(names, ["email", "n", "plan"]);
    assert_eq!(profile.traits["n"].json, b"12345678901234567890123.10");
    assert_eq!(profile.traits["plan"].message_id, "m2");
    assert!(profile.traits["plan"].source_id.starts_with("src_"), "{}", profile.traits["plan"].source_id);
    assert_eq!(profile.computed_traits["visits"].json, b"2");
    assert_eq!(profile.audiences.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["vip"]);
    assert_eq!(profile.accounts.iter().map(|it| it.group_id.as_str()).collect::<Vec<_>>(), ["acme"]);
    let consent: Vec<(&str, bool, &str)> =
        profile.consent.iter().map(|it| (it.category.as_str(), it.granted, it.message_id.as_str())).collect();
    assert_eq!(consent, [("ads", false, "m5"), ("mail", true, "m5")]);
    let counts = profile.metadata.as_ref().expect("it was asked for");
    assert_eq!((counts.event_count, counts.event_counts["track"]), (5, 2));

    let parts = vec![ProfilePart::Traits.into(), ProfilePart::Accounts.into()];
    let some = get(&server, GetRequest { include: parts, ..request("user_id:ada") }).await.expect("found");
    let want = Profile {
        profile_id: profile.profile_id.clone(),
        traits: profile.traits.clone(),
        accounts: profile.accounts.clone(),
        ..Profile::default()
    };
    assert_eq!(some, want);
    let by_id = get(&server, request(&format!("profile_id:{}", profile.profile_id))).await.expect("found");
    assert_eq!(by_id, profile);

    let identifiers = ["user_id:ada", "user_id:nobody", "profile_id:xyz"].map(identifier).to_vec();
    let batch = BatchGetRequest {
        workspace: "default".to_owned(),
        identifiers: identifiers.clone(),
        include: vec![ProfilePart::Metadata.into()],
        wait_for: position,
    };
    let results =
        client(&server).await.batch_get(authorized(batch)).await.expect("an answer").into_inner().results;
    let statuses: Vec<BatchGetStatus> = results.iter().map(|result| result.status()).collect();
    assert_eq!(statuses, [BatchGetStatus::Found, BatchGetStatus::NotFound, BatchGetStatus::Invalid]);
    let named: Vec<Identifier> = results.iter().filter_map(|result| result.identifier.clone()).collect();
    assert_eq!(named, identifiers);
    let found = results[0].profile.as_ref().expect("found");
    assert_eq!((&found.metadata, found.traits.len()), (&profile.metadata, 0));
    assert!(results[2].message.contains("32 hexadecimal digits"), "{}", results[2].message);
    let counted = r#"tributary_profile_requests_total{endpoint="grpc_batch_get",status="200"}"#;
    assert_eq!(server.metric(counted).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_are_refused() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let weak = json!({"name": "weak", "scopes": ["admin:read"]});
    let (_, weak) = server.call(Method::POST, "/admin/v1/tokens", Some(weak)).await;
    let weak = weak["token"].as_str().expect("a token");
    let good = || request("user_id:ada");
    let elsewhere = GetRequest { workspace: "other".to_owned(), ..good() };
    let of_nobody = GetRequest { identifier: None, ..good() };
    let cases = [
        ("no token", Request::new(good()), Code::Unauthenticated, "an API token is needed"),
        ("unknown", authorized_as("nobody", good()), Code::Unauthenticated, "an API token is needed"),
        ("weak", authorized_as(weak, good()), Code::PermissionDenied, "this token may not read"),
        ("elsewhere", authorized(elsewhere), Code::PermissionDenied, "this token may not read"),
        ("unknown person", authorized(good()), Code::NotFound, "no profile has this identifier"),
        ("nobody", authorized(of_nobody), Code::InvalidArgument, "`identifier` is missing"),
        ("no value", authorized(request("user_id:")), Code::InvalidArgument, "`identifier`: give"),
        (
            "part",
            authorized(GetRequest { include: vec![77], ..good() }),
            Code::InvalidArgument,
            "`include`: there is no part 77",
        ),
        (
            "position",
            authorized(GetRequest { wait_for: "12".to_owned(), ..good() }),
            Code::InvalidArgument,
            "wait_for is not a position",
        ),
    ];
    for (name, request, code, want) in cases {
        let status = client(&server).await.get(request).await.expect_err(name);
        assert_eq!(status.code(), code, "{name}: {status}");
        assert!(status.message().starts_with(want), "{name}: {status}");
    }
    for count in [0, 101] {
        let identifiers = vec![identifier("user_id:ada"); count];
        let workspace = "default".to_owned();
        let batch = BatchGetRequest { workspace, identifiers, ..BatchGetRequest::default() };
        let status = client(&server).await.batch_get(authorized(batch)).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let large = GetRequest { wait_for: "x".repeat(300 << 10), ..good() };
    let status = client(&server).await.get(authorized(large)).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");

    let cases = [
        (who("user_id:nobody"), "", Code::NotFound),
        (watch_request::Subject::Audience("nobody".to_owned()), "", Code::NotFound),
        (who("user_id:nobody"), "garbage", Code::InvalidArgument),
        (who("profile_id:7"), "", Code::InvalidArgument),
    ];
    for (subject, token, code) in cases {
        let status = Watch::try_open(&server, subject, token).await.err().expect("refused");
        assert_eq!(status.code(), code, "{status}");
    }
    let mut health = HealthClient::new(channel(&server).await);
    let asked = HealthCheckRequest { service: "tributary.v1.Profiles".to_owned() };
    let answer = health.check(asked).await.expect("an answer").into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_over_reconnects_and_restarts() {
    let (_directory, path) = data_dir();
    let mut server = Server::start(&path, &[]);
    server.ready().await;
    let device = json!({"anonymousId": "browser"});
    send(&server, &[track("m1", "ada"), identify("m2", device.clone(), json!({}))]).await;
    // A watch that is opened then is told what comes behind them.
    server.activated(2).await;
    let mut watch = Watch::open(&server, who("anonymous_id:browser"), "").await;
    send(&server, &[track("m3", "ada"), identify("m4", device.clone(), json!({}))]).await;
    assert_eq!(watch.next(1).await, [event("m4")]);

    // The client leaves, and comes back. Meanwhile the device turns out to be an older profile's.
    let token = watch.token.clone();
    drop(watch);
    let both = json!({"userId": "ada", "anonymousId": "browser"});
    send(&server, &[identify("m5", device.clone(), json!({})), identify("m6", both, json!({}))]).await;
    let mut watch = Watch::open(&server, who("anonymous_id:browser"), &token).await;
    let merged = (ChangeKind::Merged, "Profile Merged".to_owned());
    assert_eq!(watch.next(3).await, [event("m5"), event("m6"), merged]);

    // The server stops, and then is killed, with something that the client has not read.
    for (number, kills) in [(7, false), (10, true)] {
        let [one, other, last] = [0, 1, 2].map(|more| format!("m{}", number + more));
        send(&server, &[track(&one, "ada")]).await;
        assert_eq!(watch.next(1).await, [event(&one)]);
        let token = watch.token.clone();
        let position = send(&server, &[track(&other, "ada"), track(&format!("x{number}"), "bob")]).await;
        get(&server, GetRequest { wait_for: position, ..request("user_id:ada") })
            .await
            .expect("it is visible");
        if kills {
            drop(server);
        } else {
            assert!(server.stop().success(), "an open watch does not hold up the stop");
            assert_eq!(watch.end().await.code(), Code::Unavailable);
        }
        server = Server::start(&path, &[]);
        server.ready().await;
        // By the identifier of somebody else's, which the token overrules.
        watch = Watch::open(&server, who("user_id:bob"), &token).await;
        send(&server, &[track(&last, "ada")]).await;
        assert_eq!(watch.next(2).await, [event(&other), event(&last)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_is_watched() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    create_audience(&server, "vip", "traits.plan = \"vip\"").await;
    create_audience(&server, "free", "traits.plan = \"free\"").await;
    let subject = || watch_request::Subject::Audience("vip".to_owned());
    let mut watch = Watch::open(&server, subject(), "").await;
    let plan =
        |id: &str, user: &str, plan: &str| identify(id, json!({"userId": user}), json!({"plan": plan}));
    send(&server, &[plan("m1", "ada", "vip"), plan("m2", "bob", "free"), plan("m3", "ada", "free")]).await;
    let entered = watch.message().await.expect("it goes on");
    assert_eq!(entered.kind(), ChangeKind::AudienceEntered);
    assert_eq!(entered.identifiers, [identifier("user_id:ada")]);
    let profile = get(&server, request("user_id:ada")).await.expect("found");
    assert_eq!(entered.profile_id, profile.profile_id);
    let event: Value = serde_json::from_slice(&entered.event).expect("JSON");
    assert_eq!((&event["event"], &event["properties"]["vip"]), (&json!("Audience Entered"), &json!(true)));
    let token = watch.token.clone();
    assert_eq!(watch.next(1).await, [(ChangeKind::AudienceExited, "vip".to_owned())]);

    assert!(server.stop().success());
    let server = Server::start(&path, &[]);
    server.ready().await;
    send(&server, &[plan("m4", "bob", "vip")]).await;
    let mut watch = Watch::open(&server, subject(), &token).await;
    let want = [ChangeKind::AudienceExited, ChangeKind::AudienceEntered].map(|kind| (kind, "vip".to_owned()));
    assert_eq!(watch.next(2).await, want);
    let other = Watch::try_open(&server, who("user_id:ada"), &watch.token).await.err().expect("refused");
    assert_eq!(other.code(), Code::InvalidArgument, "{other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_are_limited() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    send(&server, &[track("m1", "ada")]).await;
    server.activated(1).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(Watch::open(&server, who("user_id:ada"), "").await);
    }
    let status = Watch::try_open(&server, who("user_id:ada"), "").await.err().expect("refused");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.metadata().get("retry-after").expect("a wait"), "1");
    assert_eq!(server.metric("tributary_profile_watches").await, 100.0);
    send(&server, &[track("m2", "ada")]).await;
    for watch in &mut open {
        assert_eq!(watch.next(1).await, [event("m2")]);
    }
    drop(open.pop());
    server
        .until("there is room again", async || Watch::try_open(&server, who("user_id:ada"), "").await.is_ok())
        .await;
}
