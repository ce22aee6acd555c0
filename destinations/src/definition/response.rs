//! How an answer over HTTP is read, as data.

use serde::Deserialize;

/// How an answer is read: by the first rule that fits, else by the status. 2xx is delivered; 408, 425, 429 and 5xx but
/// 501 may pass; 401 is a refusal of the credentials; whatever else is final.
///
/// A 2xx about which the first rule looks into the body may pass, too, where the body breaks off, is longer than is read, or
/// lies in more than 64 levels: what can't be read may say that it was no success.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseSpec {
    /// The rules, in their order.
    pub rules: Vec<ResponseRule>,
    /// How the results of single deliveries are read from an answer to several, where the rules say `items`.
    pub items: Option<ItemsSpec>,
    /// Where in a JSON body the vendor says in words what was wrong: paths, of which the first that is there is taken.
    pub message: Vec<String>,
}

/// A rule about answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseRule {
    /// Which statuses it is about; all without it.
    #[serde(default)]
    pub status: Option<Statuses>,
    /// What else has to hold of the body.
    #[serde(default)]
    pub body: Option<BodyTest>,
    /// What it means.
    pub verdict: RuleVerdict,
    /// What it means in words, for people.
    #[serde(default)]
    pub text: Option<String>,
}

/// Some statuses: `200`, `"2xx"`, or a list of such.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Statuses {
    /// One status.
    One(u16),
    /// A class of statuses, such as `2xx`.
    Class(String),
    /// Any of these.
    Any(Vec<Statuses>),
}

/// What has to hold of an answer's body. Exactly one of `path` and `text` is given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyTest {
    /// There is something at this path of the JSON body that is neither null nor false nor empty …
    #[serde(default)]
    pub path: Option<String>,
    /// … and it equals this, if that is given.
    #[serde(default)]
    pub equals: Option<serde_json::Value>,
    /// The body contains this text.
    #[serde(default)]
    pub text: Option<String>,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleVerdict {
    /// All deliveries of the request were taken.
    Delivered,
    /// None was, but they may be later.
    Retry,
    /// None will ever be.
    Reject,
    /// The credentials or the address were refused: nothing will be taken before somebody changes the settings.
    Credentials,
    /// The body says of each delivery what became of it.
    Items,
}

/// How the results of single deliveries are read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemsSpec {
    /// Where the list of results is.
    pub path: String,
    /// Where in a result the delivery's id is; without it results are in the order of the deliveries.
    #[serde(default)]
    pub id: Option<String>,
    /// Where in a result the status is: a number that is judged as an HTTP status, or a boolean. Where it is neither, it can't
    /// be told what became of the delivery, and it is tried again.
    pub status: String,
    /// Where in a result it is said in words what was wrong.
    #[serde(default)]
    pub message: Option<String>,
    /// What became of deliveries that no result is about.
    pub missing: RuleVerdict,
}
