//! The network: one HTTP client for each destination, and the addresses that it refuses.
//!
//! A host is refused when the connection is made, by the address that it really goes to: names are resolved by a
//! resolver that lets no refused address pass, and hosts that are addresses themselves (in any spelling that
//! URLs allow: the parser has brought them to one) are checked before they are used. Redirects are not
//! followed, and no proxy is taken from the environment, so neither can lead elsewhere.
//!
//! Texts of errors name no URL: paths, queries and credentials in it are secrets.

use crate::config::Limits;
use crate::definition::{InboundResponse, OutboundRequest};
use crate::retry::parse_retry_after;
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderName, HeaderValue, RETRY_AFTER};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tributary_model::Timestamp;
use url::{Host, Url};

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Those of the public Internet.
    Public,
    /// Any, private ones too.
    Any,
}

/// A refused address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address is private, loopback, link-local or otherwise not public; \
     --allow-private-destinations lets such be used"
)]
pub struct RefusedAddress;

/// Why no response came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The receiver's address is refused.
    #[error(transparent)]
    Refused(#[from] RefusedAddress),
    /// There was no answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection could not be made, or broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// The request can't be put into the form of HTTP.
    #[error("the request can't be sent: {0}")]
    Request(String),
}

/// The HTTP client of one destination.
pub(crate) struct Client {
    http: reqwest::Client,
    addresses: Addresses,
    response_bytes: usize,
}

impl Client {
    /// A client of its own, with no connections yet.
    pub(crate) fn new(addresses: Addresses, limits: &Limits) -> Result<Self, SendError> {
        install_crypto();
        let builder = || {
            let builder = reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(limits.connect_timeout)
                .timeout(limits.request_timeout)
                .pool_max_idle_per_host(limits.concurrency);
            match addresses {
                Addresses::Public => builder.dns_resolver(PublicResolver),
                Addresses::Any => builder,
            }
        };
        let http = builder().build().or_else(|why| {
            // Without root certificates on the machine, plain HTTP still works; HTTPS fails at the handshake.
            tracing::warn!(error = %cause(&why), "no root certificates: https destinations will fail");
            builder().tls_certs_only([]).build()
        });
        let http = http.map_err(|why| SendError::Request(cause(&why)))?;
        Ok(Self { http, addresses, response_bytes: limits.response_bytes })
    }

    /// Sends a request and reads the response, its body as far as the limit.
    pub(crate) async fn send(
        &self,
        request: OutboundRequest,
        now: Timestamp,
    ) -> Result<InboundResponse, SendError> {
        if self.addresses == Addresses::Public {
            check_host(&request.url)?;
        }
        let mut outbound = self.http.post(request.url);
        for (name, value) in request.headers {
            let value = HeaderValue::from_str(&value).map_err(|why| SendError::Request(why.to_string()))?;
            outbound = outbound.header(HeaderName::from_static(name), value);
        }
        let response = outbound.body(request.body).send().await.map_err(|why| classify(&why))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| parse_retry_after(value, now));
        let body = read_body(response, self.response_bytes).await;
        Ok(InboundResponse { status, retry_after, body })
    }
}

/// The status says what became of the delivery; a body that breaks off changes nothing about that.
async fn read_body(mut response: reqwest::Response, bytes_max: usize) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == bytes_max {
            break;
        }
    }
    body.freeze()
}

/// Installs the process's cryptography for TLS, unless one is installed already.
fn install_crypto() {
    // An error says that there is one, and that one serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn classify(why: &reqwest::Error) -> SendError {
    let mut source: Option<&(dyn Error + 'static)> = Some(why);
    while let Some(error) = source {
        if error.is::<RefusedAddress>() {
            return SendError::Refused(RefusedAddress);
        }
        source = error.source();
    }
    if why.is_timeout() {
        SendError::Timeout
    } else if why.is_builder() {
        SendError::Request(cause(why))
    } else {
        SendError::Connection(cause(why))
    }
}

/// The innermost cause: the outer ones only say that a request failed, and name its URL.
fn cause(why: &reqwest::Error) -> String {
    let mut innermost: &(dyn Error + 'static) = match why.source() {
        Some(source) => source,
        None => return "unknown cause".to_owned(),
    };
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn check_host(url: &Url) -> Result<(), RefusedAddress> {
    let public = match url.host() {
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
        Some(Host::Domain(_)) => true,
        None => false,
    };
    if public { Ok(()) } else { Err(RefusedAddress) }
}

/// Resolves names as the system does, and lets public addresses pass.
struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is replaced by the URL's.
            let resolved = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(only_public(resolved)?)
        })
    }
}

fn only_public(resolved: impl Iterator<Item = SocketAddr>) -> Result<Addrs, RefusedAddress> {
    let public: Vec<SocketAddr> = resolved.filter(|address| is_public(address.ip())).collect();
    if public.is_empty() { Err(RefusedAddress) } else { Ok(Box::new(public.into_iter())) }
}

/// Whether an address is of the public Internet: in none of the blocks that the IANA registries of
/// special-purpose addresses mark as not globally reachable, and no multicast. An IPv4 address inside an IPv6
/// address (mapped, compatible, translated, NAT64, 6to4) counts as itself.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match a {
        0 | 10 | 127 => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        224.. => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0) => g != 0 && v4(g, h),
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0x2002, ..) => v4(b, c),
        // All that is globally reachable lies in 2000::/3, of which protocol assignments (2001::/23, Teredo
        // among them) and the blocks for documentation are not.
        (0x2001, ..) => b >= 0x200 && b != 0xdb8,
        (0x3fff, ..) => b >= 0x1000,
        _ => (0x2000..0x4000).contains(&a),
    }
}

#[cfg(test)]
mod tests;
