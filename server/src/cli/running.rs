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
        crate::tls::install();
        let configured = || config.admin_token.as_ref().map(|token| token.expose().to_owned());
        let token = token.or_else(configured);
        let token = token
            .context("the running server asks for a token: give it with --token or TRIBUTARY_ADMIN_TOKEN")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, base: format!("http://{}/admin/v1", config.api), token })
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
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await;
        let answer =
            answer.with_context(|| format!("the running server does not answer at {url} (--api)"))?;
        let status = answer.status();
        let bytes = answer.bytes().await.context("the server's answer breaks off")?;
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).context("the server's answer is not JSON")?,
        };
        if !status.is_success() {
            let reason = body["error"]["message"].as_str().unwrap_or("no reason");
            bail!("the server refused: {reason} ({status})");
        }
        Ok((status, body))
    }
}
