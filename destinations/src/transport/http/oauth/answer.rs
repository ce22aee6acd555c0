//! What a token endpoint says where it gives a token. Pure.
//!
//! RFC 6749 §5.1 wants a type and whole seconds, and not all endpoints give them, so what can be done without is read as far as
//! it goes. Whatever is wrong with one member, the others are still read: a new refresh token may be the only one that does.
//! Texts about what is wrong hold nothing of the answer but a type that is a short word.

use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// The type of tokens that can be sent, as RFC 6750 calls it, in lower case.
const TOKEN_TYPE: &str = "bearer";

/// The longest type that is shown where it is another one, in bytes: something longer may be a token in the wrong place.
const TYPE_BYTES_SHOWN: usize = 12;

/// The answer's members as JSON text. Numbers that nothing holds are in nobody's way.
type Members = BTreeMap<String, Box<RawValue>>;

/// An answer that may hold a token.
#[derive(Debug, Deserialize, Serialize)]
#[serde(from = "Members")]
pub(super) struct TokenAnswer {
    /// Empty if there is none that can be sent.
    access_token: AccessToken,
    token_type: BasicTokenType,
    /// `None`: it is used until it is refused.
    expires_in: Option<Duration>,
    refresh_token: Option<RefreshToken>,
    /// Which member is wrong, and in which way.
    wrong: Option<String>,
}

impl TokenAnswer {
    /// Whether there is a token, of whatever type.
    pub(super) fn has_token(&self) -> bool {
        !self.access_token.secret().is_empty()
    }

    /// Why its token can't be used, in words that begin with the member that is wrong.
    pub(super) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }
}

impl TokenResponse for TokenAnswer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// Not read: what a token is good for shows where it is used.
    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

impl From<Members> for TokenAnswer {
    fn from(members: Members) -> Self {
        let access_token = access_token(member(&members, "access_token"));
        let token_type = token_type(member(&members, "token_type"));
        let refresh_token = refresh_token(member(&members, "refresh_token"));
        let wrong = access_token.as_ref().err().or(token_type.as_ref().err()).cloned();
        Self {
            access_token: AccessToken::new(access_token.unwrap_or_default()),
            token_type: token_type.unwrap_or(BasicTokenType::Extension(String::new())),
            expires_in: members.get("expires_in").and_then(|json| life(json.get())),
            refresh_token,
            wrong,
        }
    }
}

/// A member that should be a text.
enum Member {
    /// It is not there, or null.
    Missing,
    Text(String),
    /// It is something else.
    Other,
}

fn member(members: &Members, name: &str) -> Member {
    match members.get(name).map(|json| json.get()) {
        None | Some("null") => Member::Missing,
        Some(json) => serde_json::from_str(json).map_or(Member::Other, Member::Text),
    }
}

fn access_token(member: Member) -> Result<String, String> {
    let why = match member {
        Member::Missing => "is missing",
        Member::Text(token) if token.is_empty() => "is empty",
        Member::Text(token) if HeaderValue::from_str(&token).is_err() => "can't stand in a header",
        Member::Text(token) => return Ok(token),
        Member::Other => "is no text",
    };
    Err(format!("access_token {why}"))
}

/// The type of the token. One that is not told is bearer: RFC 6749 §7.1 forbids to use one that is not understood, and no
/// other is in use.
fn token_type(member: Member) -> Result<BasicTokenType, String> {
    let told = match member {
        Member::Missing => return Ok(BasicTokenType::Bearer),
        Member::Text(told) => told,
        Member::Other => return Err("token_type is no text".to_owned()),
    };
    let told = told.trim();
    // Some write more behind the word.
    if told.is_empty() || told.to_ascii_lowercase().starts_with(TOKEN_TYPE) {
        return Ok(BasicTokenType::Bearer);
    }
    let is_word = told.len() <= TYPE_BYTES_SHOWN && told.bytes().all(|byte| byte.is_ascii_alphabetic());
    let shown = if is_word { told } else { "something else" };
    Err(format!("token_type is {shown}, and only bearer can be sent"))
}

/// A new refresh token, if there is one.
/// The new one, if it is one: the access token beside it is as good without.
fn refresh_token(member: Member) -> Option<RefreshToken> {
    match member {
        Member::Text(token) if !token.is_empty() => Some(RefreshToken::new(token)),
        Member::Missing | Member::Text(_) | Member::Other => None,
    }
}

/// A life in seconds, given as a number or as the text of one, rounded down; `None` of what is neither, and of one that is
/// over before it begins.
fn life(json: &str) -> Option<Duration> {
    let text = serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), Cow::Owned);
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds.floor()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn answer(json: &str) -> TokenAnswer {
        serde_json::from_str(json).expect("an object")
    }

    /// A good answer with these members in it.
    fn with(more: &Json) -> TokenAnswer {
        let mut members = json!({"access_token": "hidden", "refresh_token": "fresh", "token_type": "Bearer"});
        members.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        answer(&members.to_string())
    }

    #[test]
    fn lives_are_read_as_far_as_they_go() {
        let cases = [
            ("3600", Some(3600)),
            ("3599.5", Some(3599)),
            ("3.6e3", Some(3600)),
            ("0.5", Some(0)),
            ("0", Some(0)),
            (r#"" 3599.5 ""#, Some(3599)),
            (r#""3600""#, Some(3600)),
            ("-5", None),
            ("-0.5", None),
            (r#""-5""#, None),
            (r#""x""#, None),
            (r#""""#, None),
            (r#""NaN""#, None),
            (r#""inf""#, None),
            ("1e999", None),
            ("1e30", None),
            ("null", None),
            ("true", None),
            ("[3600]", None),
            (r#"{"seconds":3600}"#, None),
        ];
        for (json, want) in cases {
            let answer = answer(&format!(r#"{{"access_token":"hidden","expires_in": {json} }}"#));
            assert_eq!(answer.expires_in(), want.map(Duration::from_secs), "{json}");
            assert_eq!((answer.has_token(), answer.wrong()), (true, None), "{json}");
        }
    }

    #[test]
    fn what_can_be_done_without_is_in_nobodys_way() {
        let cases = [
            json!({"token_type": null}),
            json!({"token_type": ""}),
            json!({"token_type": "BEARER"}),
            json!({"token_type": "BearerToken"}),
            json!({"scope": ["read", "write"]}),
            json!({"scope": 7}),
            json!({"scope": {"read": true}}),
            json!({"more": [{}]}),
        ];
        for more in cases {
            let answer = with(&more);
            assert_eq!((answer.access_token().secret().as_str(), answer.wrong()), ("hidden", None), "{more}");
            assert_eq!(answer.token_type(), &BasicTokenType::Bearer, "{more}");
        }
        for none in [json!(null), json!(""), json!(7), json!(false)] {
            let none = json!({ "refresh_token": none });
            assert!(with(&none).refresh_token().is_none() && with(&none).wrong().is_none(), "{none}");
        }
    }

    #[test]
    fn the_member_that_is_wrong_is_named_and_the_refresh_token_read() {
        let cases = [
            (json!({"access_token": null}), "access_token is missing"),
            (json!({"access_token": ""}), "access_token is empty"),
            (json!({"access_token": 7}), "access_token is no text"),
            (json!({"access_token": "hid\nden"}), "access_token can't stand in a header"),
            (json!({"token_type": "mac"}), "token_type is mac, and only bearer can be sent"),
            (json!({"token_type": "hidden-7"}), "token_type is something else, and only bearer can be sent"),
            (json!({"token_type": ["bearer"]}), "token_type is no text"),
            (json!({"access_token": 7, "token_type": "mac"}), "access_token is no text"),
        ];
        for (more, want) in cases {
            let answer = with(&more);
            assert_eq!(answer.wrong(), Some(want), "{more}");
            assert_eq!(answer.refresh_token().map(|token| token.secret().as_str()), Some("fresh"), "{more}");
        }
    }
}
