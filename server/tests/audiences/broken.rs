//! What a deletion breaks stands still, and goes on once it is mended.

use super::receiver::Receiver;
use super::*;
use crate::harness::data_dir;

const SPENT: &str = r#"sum(event("Order Completed").properties.total)"#;

async fn computed(server: &Server, key: &str, definition: &str) {
    let body = json!({"key": key, "definition": definition});
    let (status, made) = server.call(Method::POST, COMPUTED, Some(body)).await;
    assert_eq!(status, 201, "{made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_without_its_computed_trait_stands_still() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let receiver = Receiver::start(&server).await;
    server.seen(&[ordered("m1", "ada", 150), ordered("m2", "bob", 30)]).await;
    computed(&server, "spent", SPENT).await;
    server
        .until("it has a value", async || {
            server.profile("user_id:ada", "traits").await.1["traits"]["spent"] == 150
        })
        .await;
    filled(&server, "rich", "computed.spent > 100").await;
    filled(&server, "vip", r#"audience("rich") and not event("Complained")"#).await;
    assert_eq!(members(&server, "rich", 20).await, users(["ada"]));
    receiver.after(4).await;

    let at = format!("{COMPUTED}/spent");
    let (status, refused) = server.call(Method::DELETE, &at, None).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("conflict")), "{refused}");
    assert!(
        refused["error"]["message"].as_str().is_some_and(|text| text.contains("audience rich")),
        "{refused}"
    );
    let (status, _) = server.call(Method::DELETE, &format!("{at}?force=true"), None).await;
    assert_eq!(status, 204);
    for key in ["rich", "vip"] {
        let broken = reaches(&server, key, "broken").await;
        let problem = broken["status"]["problem"].as_str().unwrap_or_default();
        assert!(problem.contains("spent"), "{broken}");
    }
    server
        .seen(&[
            ordered("m3", "bob", 500),
            json!({"type": "track", "event": "Complained", "messageId": "m4", "userId": "ada"}),
        ])
        .await;
    for key in ["rich", "vip"] {
        assert_eq!(members(&server, key, 20).await, users(["ada"]), "nobody enters or leaves {key}");
    }
    assert_eq!(receiver.all().len(), 4, "nobody is told anything: {:#?}", receiver.told());

    computed(&server, "spent", SPENT).await;
    for (key, want) in [("rich", users(["ada", "bob"])), ("vip", users(["bob"]))] {
        reaches(&server, key, "live").await;
        assert_eq!(members(&server, key, 20).await, want, "what was missed is made up for in {key}");
    }
    receiver.after(10).await;
    assert!(server.stop().success());
}
