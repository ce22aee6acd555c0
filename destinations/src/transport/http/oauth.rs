//! Tokens of OAuth 2.0: got by the client's own credentials or by a refresh token, kept in memory until shortly before they
//! run out, thrown away when a receiver refuses one.
//!
//! A server that gives a new refresh token with an access token may take the old one no longer. The new one is kept before the
//! access token is used, and where that can't be used as well, see [`crate::tokens`].
//!
//! Without a token nothing can be sent. So whatever is wrong at the token endpoint, but for a refusal of the credentials, is
//! an outage: the deliveries wait for its end.

mod answer;

use super::request::USER_AGENT;
use crate::connect::{InboundResponse, Masker, Outbound, OutboundRequest};
use crate::definition::OauthGrant;
use crate::exchange::Verdict;
use crate::failure::{Failure, Reason};
use crate::tokens::{Fingerprint, Tokens};
use crate::transport::TransportParts;
use answer::TokenAnswer;
use futures_util::future::BoxFuture;
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    RefreshToken, RequestTokenError, Scope, StandardRevocableToken, TokenResponse, TokenUrl,
};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tributary_model::Timestamp;
use url::Url;

/// So long before its end a token is used no more, so that it does not run out on the way.
const MARGIN: Duration = Duration::from_secs(60);

/// A token that lives for less than twice the margin is used for half of its life.
const MARGIN_PART: u32 = 2;

/// Bytes of the token endpoint's answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A client that reads tokens as [`TokenAnswer`] does.
type Client<HasTokenUrl = EndpointNotSet> = oauth2::Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    HasTokenUrl,
>;

/// Who asks for tokens.
pub(super) struct Credentials<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    pub(super) refresh_token: Option<&'a str>,
    /// Scopes, parted by spaces.
    pub(super) scope: Option<&'a str>,
}

/// The tokens of one destination.
pub(super) struct Oauth {
    kind: OauthGrant,
    client: Client<EndpointSet>,
    scopes: Vec<Scope>,
    way: Way,
    /// The refresh token of the settings.
    given: Option<RefreshToken>,
    /// Where refresh tokens are kept, and for which credentials.
    kept: Option<(Tokens, Fingerprint)>,
    grant: Arc<Grant>,
    /// The masker of the newest token that was used, and its number.
    masker: std::sync::Mutex<Option<(u64, Arc<Masker>)>>,
}

/// What the same credentials share, however often they are made.
pub(crate) struct Grant {
    /// Held while a token is fetched: whoever needs one meanwhile waits, and takes what came of it.
    state: Mutex<State>,
    /// How often the token endpoint was asked.
    asked: AtomicU64,
}

struct State {
    token: Option<Token>,
    /// What came of asking the last time, if it was no token.
    refused: Option<Verdict>,
    refresh_token: Option<RefreshToken>,
    /// Whether the refresh token in memory is newer than the kept one, as that could not be written.
    is_unkept: bool,
}

impl Grant {
    fn new(refresh_token: Option<&str>) -> Self {
        let refresh_token = refresh_token.map(|token| RefreshToken::new(token.to_owned()));
        let state = State { token: None, refused: None, refresh_token, is_unkept: false };
        Self { state: Mutex::new(state), asked: AtomicU64::new(0) }
    }
}

/// A token.
#[derive(Clone)]
pub(super) struct Token {
    /// The header that shows it.
    pub(super) header: String,
    /// What has to be hidden because of it: itself.
    secrets: Vec<String>,
    /// Which one it is.
    number: u64,
    /// From when on it is used no more.
    until: Option<Timestamp>,
}

impl Oauth {
    /// Tokens by that grant; none is got yet.
    ///
    /// # Errors
    /// What is wrong with the token endpoint's URL, to be read after the setting's name.
    pub(super) fn new(
        kind: OauthGrant,
        token_url: &str,
        credentials: &Credentials<'_>,
        parts: &TransportParts,
        timeout: Duration,
    ) -> Result<Self, String> {
        let url = TokenUrl::new(token_url.to_owned())
            .map_err(|_| "must be an absolute URL with https".to_owned())?;
        let client = Client::new(ClientId::new(credentials.id.to_owned()))
            .set_client_secret(ClientSecret::new(credentials.secret.to_owned()))
            .set_token_uri(url);
        let scopes = credentials.scope.unwrap_or_default().split_ascii_whitespace();
        let of_person = [token_url, credentials.id, credentials.refresh_token.unwrap_or_default()];
        let rest = [credentials.secret, credentials.scope.unwrap_or_default()];
        let all: Vec<&str> = of_person.into_iter().chain(rest).collect();
        let new = || Grant::new(credentials.refresh_token);
        let grant = match &parts.tokens {
            Some(tokens) => tokens.grant(fingerprint(&all), new),
            None => Arc::new(new()),
        };
        let is_kept = matches!(kind, OauthGrant::RefreshToken);
        let kept = parts.tokens.clone().filter(|_| is_kept);
        Ok(Self {
            kind,
            client,
            scopes: scopes.map(|scope| Scope::new(scope.to_owned())).collect(),
            way: Way { outbound: Arc::clone(&parts.outbound), timeout, now: Timestamp::MIN },
            given: credentials.refresh_token.map(|token| RefreshToken::new(token.to_owned())),
            kept: kept.map(|tokens| (tokens, fingerprint(&of_person))),
            grant,
            masker: std::sync::Mutex::default(),
        })
    }

    /// A token to be used at that time: the one there is, or a new one.
    ///
    /// # Errors
    /// What it means for the deliveries that there is none.
    pub(super) async fn token(&self, at: Timestamp) -> Result<Token, Verdict> {
        let asked = self.grant.asked.load(Ordering::SeqCst);
        let mut state = self.grant.state.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| token.until.is_none_or(|until| at < until)) {
            return Ok(token.clone());
        }
        // Somebody asked while this one waited, and was refused: asking once more would only press the endpoint.
        if let Some(refused) =
            state.refused.as_ref().filter(|_| asked != self.grant.asked.load(Ordering::SeqCst))
        {
            return Err(refused.clone());
        }
        state.token = None;
        // Others with the same refresh token, such as a test with another scope, may have got a newer one.
        if !state.is_unkept
            && let Some(kept) = self.read_kept().await
        {
            state.refresh_token = Some(RefreshToken::new(kept));
        }
        let mut fetched = self.fetch(state.refresh_token.as_ref(), at).await;
        // What was kept may have run out while the one in the settings did not.
        if matches!(fetched, Err(Verdict::Credentials(_)))
            && let (Some(given), Some(used)) = (&self.given, &state.refresh_token)
            && given.secret() != used.secret()
        {
            fetched = self.fetch(Some(given), at).await;
        }
        let number = self.grant.asked.fetch_add(1, Ordering::SeqCst);
        // First of all the refresh token: whatever becomes of the other one, the old one may do no longer.
        if let Some(new) = fetched.as_ref().ok().and_then(TokenAnswer::refresh_token) {
            if state.refresh_token.as_ref().is_none_or(|old| old.secret() != new.secret()) {
                state.is_unkept = !self.keep(new).await;
            }
            state.refresh_token = Some(new.clone());
        }
        match fetched.and_then(|answer| read(&answer, number, at)) {
            Ok(token) => {
                state.refused = None;
                state.token = Some(token.clone());
                Ok(token)
            }
            Err(verdict) => {
                state.refused = Some(verdict.clone());
                Err(verdict)
            }
        }
    }

    /// The destination's masker, hiding that token, too. It is made once for each token.
    pub(super) fn masker(&self, token: &Token, masker: &Masker) -> Arc<Masker> {
        let mut newest = self.masker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = newest.as_ref().filter(|(number, _)| *number == token.number) {
            return Arc::clone(known);
        }
        let made = Arc::new(masker.with(token.secrets.iter().map(String::as_str)));
        // An answer to an older token may come late.
        if newest.as_ref().is_none_or(|(number, _)| *number < token.number) {
            *newest = Some((token.number, Arc::clone(&made)));
        }
        made
    }

    /// Uses that token no more: a receiver refused it.
    pub(super) async fn throw_away(&self, token: &Token) {
        let mut state = self.grant.state.lock().await;
        if state.token.as_ref().is_some_and(|known| known.number == token.number) {
            state.token = None;
        }
    }

    /// The refresh token that was kept when there was a new one.
    async fn read_kept(&self) -> Option<String> {
        let (tokens, fingerprint) = self.kept.clone()?;
        match tokio::task::spawn_blocking(move || tokens.kept(fingerprint)).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(why)) => {
                let error = &why as &dyn Error;
                tracing::error!(
                    error,
                    "a kept refresh token can't be read: the last one that is known is used"
                );
                None
            }
            Err(_) => None,
        }
    }

    /// Keeps a new refresh token. Where that fails it is used nevertheless: the old one may do no longer. False then.
    async fn keep(&self, token: &RefreshToken) -> bool {
        let Some((tokens, fingerprint)) = self.kept.clone() else { return false };
        let token = token.secret().clone();
        match tokio::task::spawn_blocking(move || tokens.keep(fingerprint, &token)).await {
            Ok(Ok(())) => true,
            Ok(Err(why)) => {
                let error = &why as &dyn Error;
                tracing::error!(
                    error,
                    "a new refresh token can't be kept: a restart begins with one that may do no longer"
                );
                false
            }
            Err(_) => false,
        }
    }

    async fn fetch(
        &self,
        refresh_token: Option<&RefreshToken>,
        at: Timestamp,
    ) -> Result<TokenAnswer, Verdict> {
        let way = Way { now: at, ..self.way.clone() };
        let scopes = self.scopes.iter().cloned();
        let answer = match (self.kind, refresh_token) {
            (OauthGrant::RefreshToken, Some(token)) => {
                self.client.exchange_refresh_token(token).add_scopes(scopes).request_async(&way).await
            }
            (OauthGrant::RefreshToken, None) => {
                let text = "there is no refresh token in the settings";
                return Err(Verdict::Credentials(Failure::new(Reason::Unauthorized, text)));
            }
            (OauthGrant::ClientCredentials, _) => {
                self.client.exchange_client_credentials().add_scopes(scopes).request_async(&way).await
            }
        };
        answer.map_err(|why| match why {
            RequestTokenError::Request(Unanswered(verdict)) => verdict,
            RequestTokenError::ServerResponse(_)
            | RequestTokenError::Parse(..)
            | RequestTokenError::Other(_) => unusable("it is no JSON object"),
        })
    }
}

/// Of texts of any length, so that no two lists have the same.
fn fingerprint(texts: &[&str]) -> Fingerprint {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize()
}

fn read(answer: &TokenAnswer, number: u64, at: Timestamp) -> Result<Token, Verdict> {
    if let Some(wrong) = answer.wrong() {
        return Err(unusable(wrong));
    }
    let secret = answer.access_token().secret();
    let header = format!("Bearer {secret}");
    let until = answer.expires_in().map(|life| {
        let used = life.saturating_sub(MARGIN).max(life / MARGIN_PART);
        at.plus_micros(i64::try_from(used.as_micros()).unwrap_or(i64::MAX))
    });
    let refresh_token = answer.refresh_token().map(|token| token.secret().clone());
    let secrets = refresh_token.into_iter().chain([secret.clone()]).collect();
    Ok(Token { header, secrets, number, until })
}

/// What the token endpoint's own words mean. Those that RFC 6749 §5.2 knows say that the credentials, or what the settings ask
/// for with them, will never do.
fn refused(refusal: &BasicErrorResponse, response: &InboundResponse) -> Verdict {
    let known = match refusal.error() {
        BasicErrorResponseType::InvalidClient => "invalid_client",
        BasicErrorResponseType::InvalidGrant => "invalid_grant",
        BasicErrorResponseType::InvalidRequest => "invalid_request",
        BasicErrorResponseType::InvalidScope => "invalid_scope",
        BasicErrorResponseType::UnauthorizedClient => "unauthorized_client",
        BasicErrorResponseType::UnsupportedGrantType => "unsupported_grant_type",
        BasicErrorResponseType::Extension(_) => return of_status(response),
    };
    let text = format!("the token endpoint refused the credentials ({known}): check the settings for OAuth");
    Verdict::Credentials(Failure::new(Reason::Unauthorized, text))
}

/// What an answer without a token, and without words that are known, means.
fn of_status(response: &InboundResponse) -> Verdict {
    let text = format!("the token endpoint answered {} without a token", response.status);
    match response.status {
        401 | 403 => Verdict::Credentials(Failure::answered(response.status, text)),
        _ => trouble(text, response.retry_after),
    }
}

/// The token endpoint is out, or does not do what it is there for.
fn trouble(text: impl Into<String>, after: Option<Duration>) -> Verdict {
    Verdict::Retry { failure: Failure::outage(Reason::TokenEndpoint, text).unsent(), after }
}

/// There is an answer, but no token in it that does.
fn unusable(why: &str) -> Verdict {
    trouble(format!("the token endpoint's answer holds no token that can be used: {why}"), None)
}

/// What it means that there is no answer.
fn unanswered(failure: Failure) -> Verdict {
    let text = format!("the token endpoint can't be asked: {}", failure.text);
    if failure.reason == Reason::InvalidRequest {
        return Verdict::Credentials(failure.in_words(text));
    }
    if failure.reason == Reason::AddressRefused {
        // It is counted under that name, wherever it was met.
        return Verdict::Retry { failure: failure.in_words(text), after: None };
    }
    trouble(text, None)
}

/// The way to the token endpoint.
#[derive(Clone)]
struct Way {
    outbound: Arc<Outbound>,
    timeout: Duration,
    now: Timestamp,
}

/// Why there is no answer that could hold a token or a reason.
#[derive(Debug, thiserror::Error)]
#[error("the token endpoint gave no answer that can be used")]
struct Unanswered(Verdict);

impl<'c> AsyncHttpClient<'c> for Way {
    type Error = Unanswered;
    type Future = BoxFuture<'c, Result<HttpResponse, Unanswered>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

impl Way {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
        let (parts, body) = request.into_parts();
        let invalid =
            |text: &str| Unanswered(Verdict::Credentials(Failure::new(Reason::InvalidRequest, text)));
        let url =
            Url::parse(&parts.uri.to_string()).map_err(|_| invalid("the token endpoint's URL is none"))?;
        let mut outbound =
            OutboundRequest { method: parts.method.to_string(), url, headers: Vec::new(), body: body.into() };
        for (name, value) in &parts.headers {
            let value =
                value.to_str().map_err(|_| invalid("the client's credentials can't stand in a header"))?;
            outbound.set_header(name.as_str(), value.to_owned());
        }
        outbound.set_header("user-agent", USER_AGENT.to_owned());
        let sent = self.outbound.send(outbound, self.timeout, ANSWER_BYTES_MAX, self.now).await;
        let response = sent.map_err(|failure| Unanswered(unanswered(failure)))?;
        Ok(HttpResponse::new(judge(&response).map_err(Unanswered)?))
    }
}

/// What may hold a token.
///
/// # Errors
/// What it means that nothing does.
fn judge(response: &InboundResponse) -> Result<Vec<u8>, Verdict> {
    let refusal = || serde_json::from_slice::<BasicErrorResponse>(&response.body).ok();
    match response.status {
        200 | 201 => {
            let answer = serde_json::from_slice(&response.body);
            let has_token = answer.is_ok_and(|answer: TokenAnswer| answer.has_token());
            // Some refuse with a status of success.
            match refusal().filter(|_| !has_token) {
                Some(refusal) => Err(refused(&refusal, response)),
                None => Ok(response.body.to_vec()),
            }
        }
        400 | 401 | 403 => match refusal() {
            Some(refusal) => Err(refused(&refusal, response)),
            None => Err(of_status(response)),
        },
        _ => Err(of_status(response)),
    }
}

#[cfg(test)]
mod tests;
