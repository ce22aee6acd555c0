//! Previews of audiences through the whole server: what the indexes know, what takes a job, and what is refused.

use crate::harness::{Server, data_dir};
use reqwest::Method;
use serde_json::{Value, json};

const PREVIEW: &str = "/admin/v1/audiences/preview";

fn identify(id: &str, user: &str, plan: &str) -> Value {
    json!({"type": "identify", "messageId": id, "userId": user, "traits": {"plan": plan}})
}

fn ordered(id: &str, user: &str, total: u32) -> Value {
    json!({"type": "track", "event": "Order Completed", "messageId": id, "userId": user,
        "properties": {"total": total}})
}

async fn preview(server: &Server, definition: &str) -> Value {
    let body = json!({"definition": definition, "wait_seconds": 60});
    let (status, answer) = server.call(Method::POST, PREVIEW, Some(body)).await;
    assert_eq!(status, 200, "{definition}: {answer}");
    answer
}

#[tokio::test]
async fn a_preview_says_who_would_be_in() {
    let (_directory, data) = data_dir();
    let server = Server::start(&data, &[]);
    server.ready().await;
    let events = [
        identify("i1", "u1", "pro"),
        ordered("o1", "u1", 500),
        ordered("o2", "u1", 7),
        ordered("o3", "u2", 9),
    ];
    server.seen(&events).await;
    let anybody =
        json!({"type": "track", "messageId": "a1", "anonymousId": "d1", "event": "Order Completed"});
    server.batch(&[anybody]).await;

    let answer = preview(&server, r#"traits.plan = "pro""#).await;
    assert_eq!((&answer["size"], &answer["answered_by"]), (&json!(1), &json!("columns")));
    assert_eq!(answer["members"][0]["identifiers"], json!(["user_id:u1"]));
    assert_eq!(answer["members"][0]["traits"], json!({"plan": "pro"}));
    let cases = [
        (r#"event("Order Completed") within 1h"#, 2, "columns"),
        (r#"count(event("Order Completed")) >= 2 and not event("App Opened")"#, 1, "columns"),
        (r#"event("Order Completed") where properties.total > 100"#, 1, "scan"),
        (r#"sum(event("Order Completed").properties.total within 1d) < 10"#, 1, "scan"),
    ];
    for (definition, size, by) in cases {
        let answer = preview(&server, definition).await;
        assert_eq!((&answer["size"], &answer["answered_by"]), (&json!(size), &json!(by)), "{definition}");
    }

    let (status, answer) =
        server.call(Method::POST, PREVIEW, Some(json!({"definition": "traits.plan ="}))).await;
    assert_eq!((status, &answer["error"]["line"]), (400, &json!(1)), "{answer}");
    let body = json!({"definition": {"audience": "gone"}});
    let (status, answer) = server.call(Method::POST, PREVIEW, Some(body)).await;
    assert_eq!((status, &answer["error"]["place"]), (400, &json!("definition.audience")), "{answer}");
    let (status, _) = server.get(&format!("{PREVIEW}/prv_99")).await;
    assert_eq!(status, 404);
    assert!(server.stop().success());
}
