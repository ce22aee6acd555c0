//! Resolving names, so that only addresses which may be connected to come of it. Whoever asks dials exactly these.

use super::address::{AddressRule, RefusedAddress};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::SocketAddr;

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unresolved {
    /// It has addresses, but none that may be connected to.
    #[error(transparent)]
    Refused(#[from] RefusedAddress),
    /// It has none.
    #[error("the host's name can't be resolved: {0}")]
    Unknown(#[source] io::Error),
}

/// The addresses of a name, or of a host that is an address in whatever spelling, that may be connected to. Resolves as
/// the system does.
pub(crate) async fn resolve(rule: AddressRule, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    let resolved = tokio::net::lookup_host((host, port)).await.map_err(Unresolved::Unknown)?;
    Ok(rule.only_allowed(resolved)?)
}

/// The same for an HTTP client.
pub(crate) struct Resolver(pub(crate) AddressRule);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.0;
        Box::pin(async move {
            // The port is replaced by the URL's.
            let allowed = resolve(rule, name.as_str(), 0).await?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
