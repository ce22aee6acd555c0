//! How requests show who sends them: headers, HTTP Basic, tokens of OAuth 2.0, signatures by Standard Webhooks.

use super::oauth::{Credentials, Oauth};
use super::request::basic;
use crate::connect::OutboundRequest;
use crate::definition::{AuthenticationSpec, RawSettings, SettingsError};
use crate::failure::{Failure, Reason};
use crate::transport::TransportParts;
use reqwest::header::HeaderValue;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use std::time::Duration;
use tributary_model::Timestamp;

/// What secrets of Standard Webhooks begin with.
const SECRET_PREFIX: &str = "whsec_";

/// Headers that hold nothing but what shows who the sender is, whoever set them.
const ALWAYS_HIDDEN: [&str; 4] = ["authorization", "cookie", "proxy-authorization", HEADER_WEBHOOK_SIGNATURE];

/// How the requests of a destination show who sends them.
#[derive(Default)]
pub(super) struct Authentication {
    headers: Vec<(String, String)>,
    signer: Option<Webhook>,
    /// Tokens, which are got where they are needed.
    pub(super) oauth: Option<Oauth>,
    /// What has to be hidden beside the settings: what was made of them.
    pub(super) secrets: Vec<String>,
}

impl Authentication {
    /// Of what a definition says and the settings give, defaults filled in.
    ///
    /// # Errors
    /// The first setting that can't be used.
    pub(super) fn new(
        specs: &[AuthenticationSpec],
        settings: &RawSettings,
        parts: &TransportParts,
        timeout: Duration,
    ) -> Result<Self, SettingsError> {
        let given = |name: &str| settings.get(name).and_then(serde_json::Value::as_str);
        let mut made = Self::default();
        for spec in specs {
            match spec {
                AuthenticationSpec::Headers { setting } => {
                    let headers = settings.get(setting).and_then(serde_json::Value::as_object);
                    for (name, value) in headers.into_iter().flatten() {
                        let field = format!("{setting}.{name}");
                        made.set(&name.to_ascii_lowercase(), value.as_str().unwrap_or_default(), &field)?;
                    }
                }
                AuthenticationSpec::Header { name, prefix, setting } => {
                    if let Some(value) = given(setting) {
                        made.set(name, &format!("{prefix}{value}"), setting)?;
                    }
                }
                AuthenticationSpec::Basic { user, password } => {
                    if let Some(name) = given(user) {
                        if name.contains(':') {
                            return Err(SettingsError::new(user, "can't hold a colon"));
                        }
                        let header = basic(name, given(password).unwrap_or_default());
                        made.secrets.extend(header.strip_prefix("Basic ").map(str::to_owned));
                        made.set("authorization", &header, user)?;
                    }
                }
                AuthenticationSpec::Oauth2 {
                    grant,
                    token_url,
                    client_id,
                    client_secret,
                    refresh_token,
                    scope,
                } => {
                    let of = |name: &Option<String>| name.as_deref().and_then(given);
                    let all = (given(token_url), given(client_id), given(client_secret));
                    let is_complete = refresh_token.is_none() || of(refresh_token).is_some();
                    if let (Some(url), Some(id), Some(secret), true) = (all.0, all.1, all.2, is_complete) {
                        let client =
                            Credentials { id, secret, refresh_token: of(refresh_token), scope: of(scope) };
                        let oauth = Oauth::new(*grant, url, &client, parts, timeout);
                        made.oauth = Some(oauth.map_err(|why| SettingsError::new(token_url, why))?);
                    }
                }
                AuthenticationSpec::StandardWebhooks { secret } => {
                    if let Some(value) = given(secret) {
                        made.signer = Some(parse_secret(secret, value)?);
                        made.secrets.extend(value.strip_prefix(SECRET_PREFIX).map(str::to_owned));
                    }
                }
            }
        }
        Ok(made)
    }

    fn set(&mut self, name: &str, value: &str, field: &str) -> Result<(), SettingsError> {
        if HeaderValue::from_str(value).is_err() {
            let message = "can't stand in a header: write text without line breaks and letters beyond ASCII";
            return Err(SettingsError::new(field, message));
        }
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Whether the header holds nothing but what shows who the sender is.
    pub(super) fn is_secret(&self, name: &str) -> bool {
        ALWAYS_HIDDEN.contains(&name) || self.headers.iter().any(|(known, _)| known == name)
    }

    /// Makes the request show who sends it, but for a token. The signature is over the id that the request names in its
    /// header, over `id` without one.
    ///
    /// # Errors
    /// The body can't be signed.
    pub(super) fn apply(
        &self,
        request: &mut OutboundRequest,
        id: &str,
        at: Timestamp,
    ) -> Result<(), Failure> {
        for (name, value) in &self.headers {
            request.set_header(name, value.clone());
        }
        let Some(signer) = &self.signer else { return Ok(()) };
        let id = request.header(HEADER_WEBHOOK_ID).unwrap_or(id).to_owned();
        let seconds = at.as_micros().div_euclid(1_000_000);
        let signature = signer.sign(&id, seconds, &request.body);
        let signature = signature
            .map_err(|_| Failure::new(Reason::InvalidRequest, "the body can't be signed: it is not UTF-8"))?;
        request.set_header(HEADER_WEBHOOK_ID, id);
        request.set_header(HEADER_WEBHOOK_TIMESTAMP, seconds.to_string());
        request.set_header(HEADER_WEBHOOK_SIGNATURE, signature);
        Ok(())
    }
}

fn parse_secret(setting: &str, secret: &str) -> Result<Webhook, SettingsError> {
    let expected = || SettingsError::new(setting, "must be whsec_ followed by base64 of the signing key");
    let key = secret.strip_prefix(SECRET_PREFIX).filter(|key| !key.is_empty()).ok_or_else(expected)?;
    Webhook::new(key).map_err(|_| expected())
}

#[cfg(test)]
mod tests;
