//! The admin API and the profile API, as any client uses them.

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// A client with a token.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// How an audience has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) entered: u64,
    pub(super) left: u64,
    pub(super) members: u64,
}

/// A profile, read whole.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) identifiers: BTreeSet<(String, String)>,
    pub(super) traits: BTreeMap<String, Value>,
    pub(super) metadata: Map<String, Value>,
    pub(super) events: u64,
}

impl Api {
    pub(super) fn new(client: reqwest::Client, address: SocketAddr, token: String) -> Self {
        Self { client, base: format!("http://{address}"), token }
    }

    /// Creates a webhook destination that is switched on and gets events and changes of audiences: how profiles merge is
    /// shown by their number.
    pub(super) async fn create_webhook(&self, url: &str, secret: &str) -> anyhow::Result<()> {
        let body = json!({
            "definition": "webhook",
            "name": "demo receiver",
            "enabled": true,
            "settings": {"url": url, "secret": secret, "send": ["events", "audience_changes"]},
        });
        self.create("destinations", &body).await
    }

    /// Creates an audience.
    pub(super) async fn create_audience(&self, key: &str, definition: &str) -> anyhow::Result<()> {
        self.create("audiences", &json!({"key": key, "definition": definition})).await
    }

    /// Whether an audience follows the events as they come.
    pub(super) async fn is_live(&self, key: &str) -> anyhow::Result<bool> {
        let audience = self.get(&format!("/admin/v1/audiences/{key}")).await?;
        let status = audience.get("status").and_then(|status| status.get("stage"));
        Ok(status.and_then(Value::as_str) == Some("live"))
    }

    /// How many entered and left an audience, and how many are in it.
    pub(super) async fn audience(&self, key: &str) -> anyhow::Result<Counts> {
        let history = self.get(&format!("/admin/v1/audiences/{key}/size")).await?;
        let hours = history.get("data").and_then(Value::as_array).context("an answer without data")?;
        let sum = |name: &str| hours.iter().filter_map(|hour| hour.get(name)?.as_u64()).sum::<u64>();
        let members = history.get("size").and_then(Value::as_u64).context("an answer without a size")?;
        Ok(Counts { entered: sum("entered"), left: sum("exited"), members })
    }

    async fn create(&self, what: &str, body: &Value) -> anyhow::Result<()> {
        let request = self.client.post(format!("{}/admin/v1/{what}", self.base));
        let response = request.bearer_auth(&self.token).json(body).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(
            status == reqwest::StatusCode::CREATED,
            "the admin API refused one of {what}: {status} {text}"
        );
        Ok(())
    }

    /// Reads everything that the profile API tells about the profile of a `user_id`.
    pub(super) async fn profile(&self, user_id: &str) -> anyhow::Result<Profile> {
        let path = format!("/v1/spaces/default/collections/users/profiles/user_id:{user_id}");
        let mut profile =
            Profile { metadata: self.get(&format!("{path}/metadata")).await?, ..Profile::default() };
        for row in self.rows(&format!("{path}/external_ids")).await? {
            let text = |name| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            profile.identifiers.insert((text("type"), text("id")));
        }
        profile.events = self.rows(&format!("{path}/events")).await?.len() as u64;
        for page in self.pages(&format!("{path}/traits"), "&class=custom").await? {
            let traits = page.get("traits").and_then(Value::as_object).cloned();
            profile.traits.extend(traits.context("an answer without traits")?);
        }
        Ok(profile)
    }

    async fn rows(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        for page in self.pages(path, "").await? {
            let data = page.get("data").and_then(Value::as_array).cloned();
            rows.extend(data.context("an answer without data")?);
        }
        Ok(rows)
    }

    /// Every page of a list, with these further parameters.
    async fn pages(&self, path: &str, more: &str) -> anyhow::Result<Vec<Map<String, Value>>> {
        let mut pages = Vec::new();
        let mut next = String::new();
        loop {
            let query = if next.is_empty() { String::new() } else { format!("&next={}", encoded(&next)) };
            let page = self.get(&format!("{path}?limit=200{more}{query}")).await?;
            let cursor = page.get("cursor").and_then(Value::as_object).cloned().unwrap_or_default();
            pages.push(page);
            match cursor.get("next").and_then(Value::as_str) {
                Some(beyond) if cursor.get("has_more") == Some(&Value::Bool(true)) => {
                    beyond.clone_into(&mut next)
                }
                _ => return Ok(pages),
            }
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Map<String, Value>> {
        let request = self.client.get(format!("{}{path}", self.base));
        let response = request.bearer_auth(&self.token).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path} was answered with {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{path} was not answered with a JSON object"))
    }
}

/// Percent-encoded for a query string.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
