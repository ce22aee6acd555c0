//! The network: the one way out of the process, and the addresses that it refuses.
//!
//! A host is refused when the connection is made, by the address that it really goes to: names are resolved by a
//! resolver that lets no refused address pass, and what passed is what is dialled; hosts that are addresses themselves
//! (in any spelling that URLs allow: the parser has brought them to one) are checked before they are used. Redirects
//! are not followed, and no proxy is taken from the environment, so neither can lead elsewhere.
//!
//! What goes to a public address is encrypted, always. Private addresses are reached, encrypted or not, only where the
//! configuration lets them be used.
//!
//! Texts of errors name no URL: paths, queries and credentials in it are secrets. Answers are read up to a limit, as
//! they come over the network: nothing is decompressed, so a small answer can't become a large one. Receivers are asked
//! not to compress; who does nevertheless has said nothing but a status.

mod address;
mod cut;
mod mask;
mod resolve;

pub(crate) use address::{AddressRule, Addresses, RefusedAddress};
pub(crate) use cut::{Whole, shortened};
pub(crate) use mask::{MASK, Masker};

use crate::failure::{Failure, Reason};
use crate::retry::parse_retry_after;
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method};
use resolve::{Resolver, Unresolved, resolve};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tributary_model::Timestamp;
use url::Url;

/// Connections without a request that are kept for later ones, for each host.
const IDLE_CONNECTIONS_PER_HOST: usize = 32;

/// How HTTP calls a body that is encoded in no way.
const AS_IT_IS: &str = "identity";

/// Headers that every request has, but for those that it sets itself: any kind of answer will do, encoded in no way.
const HEADERS_OF_ALL: [(&str, &str); 2] = [("accept", "*/*"), ("accept-encoding", AS_IT_IS)];

/// Why there is no way out at all.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The HTTP client can't be made.
    #[error("the HTTP client can't be made: {0}")]
    Client(String),
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// By TLS.
    Tls,
    /// It is not; private addresses only.
    None,
}

/// What goes over the network.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OutboundRequest {
    /// The method.
    pub(crate) method: String,
    /// Where to.
    pub(crate) url: Url,
    /// Names in lower case, each once; see [`OutboundRequest::headers_sent`].
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Bytes,
}

impl OutboundRequest {
    /// The header of that name, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every header that it goes with, its own and those that all requests have, but for the host and the length of the body,
    /// which HTTP adds.
    pub(crate) fn headers_sent(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        own.chain(HEADERS_OF_ALL.into_iter().filter(move |(name, _)| self.header(name).is_none()))
    }

    /// Sets a header, in the place of the one of that name if there is one.
    pub(crate) fn set_header(&mut self, name: &str, value: String) {
        match self.headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }
}

/// Shows the host only: paths, queries, headers and bodies hold credentials and personal data.
impl fmt::Debug for OutboundRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(out, "OutboundRequest({} {host}, {} bytes)", self.method, self.body.len())
    }
}

/// What came back.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct InboundResponse {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What `Retry-After` asks for, a date already turned into a span from now.
    pub(crate) retry_after: Option<Duration>,
    /// The beginning of the body, as much as was asked for.
    pub(crate) body: Bytes,
    /// Whether that is all of it: false of one that was longer, or broke off.
    pub(crate) is_whole: bool,
    /// Whether it is compressed, or encoded in another way: then it can't be read.
    pub(crate) is_encoded: bool,
}

impl fmt::Debug for InboundResponse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "InboundResponse({}, {} bytes)", self.status, self.body.len())
    }
}

/// The way out. One for the whole engine: destinations share its connections.
pub(crate) struct Outbound {
    https: Client,
    /// For private addresses only.
    http: Client,
    tls: ClientConfig,
    addresses: Addresses,
    connect_timeout: Duration,
}

impl Outbound {
    /// A way out without connections yet. Certificates are judged as the platform does.
    ///
    /// # Errors
    /// The HTTP client can't be made.
    pub(crate) fn new(addresses: Addresses, connect_timeout: Duration) -> Result<Self, SendError> {
        let tls = tls_config();
        let client = |encryption: Encryption| {
            Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(connect_timeout)
                .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Resolver(AddressRule { addresses, encryption }))
                .build()
                .map_err(|why| SendError::Client(cause(&why)))
        };
        let (https, http) = (client(Encryption::Tls)?, client(Encryption::None)?);
        Ok(Self { https, http, tls, addresses, connect_timeout })
    }

    /// Sends a request and reads the answer, its body as far as `response_bytes`. All of it may take `timeout`. `now` is
    /// what a `Retry-After` with a date counts from.
    ///
    /// # Errors
    /// Why no answer came.
    pub(crate) async fn send(
        &self,
        request: OutboundRequest,
        timeout: Duration,
        response_bytes: usize,
        now: Timestamp,
    ) -> Result<InboundResponse, Failure> {
        let client = self.client(&request.url)?;
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|_| invalid("the method is none of HTTP"))?;
        let headers = header_map(&request)?;
        let outbound = client.request(method, request.url).timeout(timeout).headers(headers);
        let response = outbound.body(request.body).send().await.map_err(|why| classify(&why))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| parse_retry_after(value, now));
        let is_encoded = is_encoded(response.headers());
        let (body, is_whole) = read_body(response, response_bytes).await;
        Ok(InboundResponse {
            status,
            retry_after,
            is_encoded: is_encoded && !body.is_empty(),
            body,
            is_whole,
        })
    }

    /// A connection for a protocol that is not HTTP. Names are resolved, and what is dialled is one of the addresses that
    /// passed. With [`Encryption::Tls`] the caller encrypts what goes over it.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) async fn stream(
        &self,
        host: &str,
        port: u16,
        encryption: Encryption,
    ) -> Result<TcpStream, Failure> {
        let rule = AddressRule { addresses: self.addresses, encryption };
        // An IPv6 address may stand in brackets, as it does in URLs.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match tokio::time::timeout(self.connect_timeout, dial(rule, host, port)).await {
            Ok(dialled) => dialled,
            Err(_) => Err(timed_out()),
        }
    }

    /// How encrypted connections are made.
    pub(crate) fn tls(&self) -> ClientConfig {
        self.tls.clone()
    }

    fn client(&self, url: &Url) -> Result<&Client, Failure> {
        let (client, encryption) = match url.scheme() {
            "https" => (&self.https, Encryption::Tls),
            "http" => (&self.http, Encryption::None),
            _ => return Err(invalid("the URL is neither https nor http")),
        };
        let rule = AddressRule { addresses: self.addresses, encryption };
        rule.check_host(url).map_err(refused)?;
        Ok(client)
    }
}

/// TLS 1.2 and 1.3 with ring's cryptography and the platform's root certificates.
fn tls_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has what both versions of TLS need")
    };
    match builder().with_platform_verifier() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(why) => {
            // What needs no encryption still works; everything else fails at the handshake.
            tracing::warn!(error = %why, "no root certificates: encrypted connections will fail");
            builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    }
}

async fn dial(rule: AddressRule, host: &str, port: u16) -> Result<TcpStream, Failure> {
    let addresses = resolve(rule, host, port).await.map_err(|why| unresolved(&why))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it small messages wait for each other; with it failing they are late, not lost.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(why) => last = Some(why),
        }
    }
    let why = last.map_or_else(|| "the host has no address".to_owned(), |why| why.to_string());
    Err(no_connection(&why))
}

/// The headers that a request goes with.
///
/// # Errors
/// One that HTTP does not take.
fn header_map(request: &OutboundRequest) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers_sent() {
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|_| invalid(&format!("the header {name} takes no such value")))?;
        let known = HeaderName::from_bytes(name.as_bytes());
        headers.insert(known.map_err(|_| invalid("a header's name is none of HTTP"))?, value);
    }
    Ok(headers)
}

/// Whether the body comes in another way than as it is.
fn is_encoded(headers: &HeaderMap) -> bool {
    let as_it_is =
        |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(AS_IT_IS.as_bytes());
    !headers.get_all(CONTENT_ENCODING).iter().all(as_it_is)
}

/// The beginning of the body, and whether that is all of it. One that breaks off is no error: the status has been said.
async fn read_body(mut response: reqwest::Response, bytes_max: usize) -> (Bytes, bool) {
    let mut body = BytesMut::new();
    let is_whole = loop {
        let Ok(chunk) = response.chunk().await else { break false };
        let Some(chunk) = chunk else { break true };
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            break false;
        }
    };
    (body.freeze(), is_whole)
}

fn classify(why: &reqwest::Error) -> Failure {
    let mut error: &(dyn Error + 'static) = why;
    loop {
        if let Some(why) = error.downcast_ref::<Unresolved>() {
            return unresolved(why);
        }
        if let Some(why) = error.downcast_ref::<rustls::Error>() {
            let text = format!("the encrypted connection could not be made: {why}");
            return Failure::outage(Reason::Tls, text).unsent();
        }
        match beneath(error) {
            Some(inner) => error = inner,
            None => break,
        }
    }
    let failure = if why.is_timeout() {
        timed_out()
    } else if why.is_builder() {
        invalid(&cause(why))
    } else {
        no_connection(&cause(why))
    };
    if why.is_connect() { failure.unsent() } else { failure }
}

/// The cause of an error. An I/O error that wraps another one names that one's cause as its own, so that one has to be
/// asked for by other means.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The innermost cause: the outer ones only say that a request failed, and name its URL.
fn cause(why: &reqwest::Error) -> String {
    let Some(mut innermost) = beneath(why) else { return "unknown cause".to_owned() };
    while let Some(inner) = beneath(innermost) {
        innermost = inner;
    }
    innermost.to_string()
}

fn unresolved(why: &Unresolved) -> Failure {
    match why {
        Unresolved::Refused(why) => refused(*why),
        Unresolved::Unknown(_) => Failure::outage(Reason::Connection, why.to_string()).unsent(),
    }
}

fn refused(why: RefusedAddress) -> Failure {
    Failure::outage(Reason::AddressRefused, why.to_string()).unsent()
}

fn timed_out() -> Failure {
    Failure::outage(Reason::Timeout, "no answer in time")
}

fn no_connection(why: &str) -> Failure {
    Failure::outage(Reason::Connection, format!("no connection: {why}"))
}

fn invalid(why: &str) -> Failure {
    Failure::new(Reason::InvalidRequest, format!("the request can't be sent: {why}"))
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
