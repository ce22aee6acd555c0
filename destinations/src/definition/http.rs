//! How requests over HTTP are made, as data.
//!
//! URL, headers, query and body are directives (see `mapping`), evaluated on one object:
//!
//! ```text
//! { "settings": {name: value, …},        settings as given, defaults filled in, secrets in the clear
//!   "payloads": [payload, …],            what the mapping made of each delivery of the request
//!   "first":    payload,                 the first of them
//!   "id":       "msg_…",                 the request's own: of a delivery alone its id, of several "batch_…", by all their ids
//!   "ids":      ["msg_…", …],            the ids of the deliveries
//!   "items":    [{"id": …, "payload": …}, …],
//!   "at":       {"seconds": …, "micros": …, "text": "2026-…Z"},
//!   "person":   {"ids": {namespace: [value, …], …}} }    in a deletion only, which has no payloads
//! ```

use super::ResponseSpec;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How requests over HTTP are made.
#[derive(Debug, Deserialize)]
pub struct HttpSpec {
    /// The request that carries payloads.
    pub request: RequestSpec,
    /// The same where deliveries may share a request, if that has another form. It is used even for a single payload, when
    /// `batch.events_setting` is given; without such a setting, whenever there is more than one payload.
    #[serde(default)]
    pub batch_request: Option<RequestSpec>,
    /// How the caller shows who it is. Each is used where the settings that it names are given.
    #[serde(default)]
    pub authentication: Vec<AuthenticationSpec>,
    /// How an answer is read.
    #[serde(default)]
    pub response: ResponseSpec,
    /// The request that deletes a person at the vendor.
    #[serde(default)]
    pub delete: Option<RequestSpec>,
    /// A request that does no harm and tells whether the settings are good.
    #[serde(default)]
    pub test: Option<RequestSpec>,
}

/// A request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestSpec {
    /// The method; `POST` where nothing is said. A directive.
    #[serde(default = "post")]
    pub method: serde_json::Value,
    /// The URL. A directive.
    pub url: serde_json::Value,
    /// What is added to the query, in order of names: directives; what is missing is left out.
    #[serde(default)]
    pub query: BTreeMap<String, serde_json::Value>,
    /// Headers, names in lower case: directives; what is missing is left out.
    #[serde(default)]
    pub headers: BTreeMap<String, serde_json::Value>,
    /// The JSON body: a directive; no body without it.
    #[serde(default)]
    pub body: Option<serde_json::Value>,
    /// How its answer is read, where that differs from what the transport says.
    #[serde(default)]
    pub response: Option<ResponseSpec>,
}

fn post() -> serde_json::Value {
    "POST".into()
}

/// How the caller shows who it is. Texts are names of settings, but for those in `scopes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthenticationSpec {
    /// Headers: the ones in a setting of the kind `headers`.
    Headers {
        /// The setting.
        setting: String,
    },
    /// One header, such as `authorization: Bearer …`.
    Header {
        /// Its name, in lower case.
        name: String,
        /// What stands before the value, `Bearer ` for instance.
        #[serde(default)]
        prefix: String,
        /// The setting with the value.
        setting: String,
    },
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The setting with the name.
        user: String,
        /// The setting with the password; an empty one if that is not given.
        password: String,
    },
    /// A token by OAuth 2.0 (RFC 6749), sent as RFC 6750 says, renewed when it runs out or is refused.
    Oauth2 {
        /// How a token is got.
        grant: OauthGrant,
        /// The setting with the URL of the token endpoint.
        token_url: String,
        /// The setting with the client's id.
        client_id: String,
        /// The setting with the client's secret.
        client_secret: String,
        /// The setting with the refresh token, for that grant.
        #[serde(default)]
        refresh_token: Option<String>,
        /// The setting with the scopes, parted by spaces.
        #[serde(default)]
        scope: Option<String>,
    },
    /// A signature over id, time and body by the Standard Webhooks scheme.
    StandardWebhooks {
        /// The setting with the secret: `whsec_` and base64.
        secret: String,
    },
}

/// How a token of OAuth 2.0 is got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthGrant {
    /// By the client's own credentials (RFC 6749 §4.4).
    ClientCredentials,
    /// By a refresh token (RFC 6749 §6).
    RefreshToken,
}
