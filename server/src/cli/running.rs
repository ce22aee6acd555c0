//! A server that runs, as commands talk to it: over the admin API, with a token.

use crate::config::{Config, Environment, ServeArgs};
use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// The running server of a configuration.
pub(super) struct RunningServer {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl RunningServer {
    /// The server at the configured API address. The token that was given wins over the configured one.
    ///
    /// # Errors
    /// If there is no token.
    pub(super) fn new(config: &Config, token: Option<String>) -> anyhow::Result<Self> {
        Self::at(config, None, token)
    }

    /// The server at a URL; at the configured API address, if none is given.
    ///
    /// # Errors
    /// If there is no token.
    pub(super) fn at(config: &Config, url: Option<String>, token: Option<String>) -> anyhow::Result<Self> {
        let known = Self::if_known(config, url, token)?;
        known.context("the running server asks for a token: give it with --token or TRIBUTARY_ADMIN_TOKEN")
    }

    /// As [`RunningServer::at`]; `None` if there is no token.
    ///
    /// # Errors
    /// If no client can be made.
    pub(super) fn if_known(
        config: &Config,
        url: Option<String>,
        token: Option<String>,
    ) -> anyhow::Result<Option<Self>> {
        crate::tls::install();
        let configured = || config.admin_token.as_ref().map(|token| token.expose().to_owned());
        let Some(token) = token.or_else(configured) else { return Ok(None) };
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = url.unwrap_or_else(|| format!("http://{}", config.api));
        Ok(Some(Self { client, base: format!("{}/admin/v1", url.trim_end_matches('/')), token }))
    }

    /// As [`RunningServer::new`], from flags, environment and file.
    ///
    /// # Errors
    /// If the configuration is wrong, or there is no token.
    pub(super) fn configured(
        args: &ServeArgs,
        environment: &Environment,
        token: Option<String>,
    ) -> anyhow::Result<Self> {
        Self::new(&Config::load(args, environment)?, token)
    }

    /// Sends a request, and reads the answer; one without a body is null.
    ///
    /// # Errors
    /// If nobody answers, or the server refuses; the text is its reason.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let body = json(answer).await?;
        if !status.is_success() {
            bail!("the server refused: {} ({status})", reason(&body));
        }
        Ok((status, body))
    }

    /// Begins to read an answer that may be long.
    ///
    /// # Errors
    /// If nobody answers, or the server refuses; the text is its reason.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let answer = self.send(Method::GET, path, None).await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the server refused: {} ({status})", reason(&json(answer).await?));
        }
        Ok(answer)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await;
        answer.with_context(|| format!("the running server does not answer at {url} (--api)"))
    }
}

async fn json(answer: reqwest::Response) -> anyhow::Result<Value> {
    let bytes = answer.bytes().await.context("the server's answer breaks off")?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).context("the server's answer is not JSON")
}

fn reason(body: &Value) -> &str {
    body["error"]["message"].as_str().unwrap_or("no reason")
}
