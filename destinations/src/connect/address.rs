//! Which addresses are public, which belong to the metadata services of clouds, and which of them may be connected to.

use super::Encryption;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Those of the public Internet.
    Public,
    /// Private ones too. The metadata services of clouds are still refused: whoever reads them gets the machine's own
    /// credentials, and nobody's events belong there. So is all of 169.254.0.0/16, where clouds have such services at
    /// addresses of their own.
    Any,
}

/// A refused address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedAddress {
    /// It is not of the public Internet, and only such are allowed.
    #[error(
        "the address is private, loopback, link-local or otherwise not public; \
         --allow-private-destinations lets such be used"
    )]
    NotPublic,
    /// It is of the public Internet, and the connection would not be encrypted.
    #[error(
        "the address is public, and what is sent there has to be encrypted: use https; \
         without encryption only private addresses are reached, where --allow-private-destinations lets them be used"
    )]
    Unencrypted,
    /// It is that of a cloud's metadata service, or among those that clouds have for such.
    #[error("the address is link-local, or that of a cloud's metadata service, which is never a destination")]
    Metadata,
}

/// Where the clouds' metadata services are besides 169.254.0.0/16: Azure's platform; Oracle; Alibaba.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(100, 100, 100, 200)];

/// The same in IPv6, besides fd00:ec2::/32 of AWS: GCP; Oracle; OpenStack.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// Where an IPv6 address of NAT64 has the four bytes of the IPv4 address, by the length of the prefix: 48, 56, 64 and 96
/// bits (RFC 6052, section 2.2).
const TRANSLATED: [[usize; 4]; 4] = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];

/// What may be connected to by one way of connecting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressRule {
    pub(crate) addresses: Addresses,
    pub(crate) encryption: Encryption,
}

impl AddressRule {
    /// Whether that address may be connected to.
    pub(crate) fn check(self, address: IpAddr) -> Result<(), RefusedAddress> {
        if is_metadata(address) {
            return Err(RefusedAddress::Metadata);
        }
        match (is_public(address), self.encryption, self.addresses) {
            (true, Encryption::Tls, _) | (false, _, Addresses::Any) => Ok(()),
            (true, Encryption::None, _) => Err(RefusedAddress::Unencrypted),
            (false, _, Addresses::Public) => Err(RefusedAddress::NotPublic),
        }
    }

    /// Checks the URL's host if it is an address: the parser has brought every spelling of one to the same form. Names
    /// are checked when they are resolved.
    pub(crate) fn check_host(self, url: &Url) -> Result<(), RefusedAddress> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.check(IpAddr::V6(address)),
            Some(Host::Domain(_)) => Ok(()),
            None => Err(RefusedAddress::NotPublic),
        }
    }

    /// Those of a name's addresses that may be connected to.
    pub(crate) fn only_allowed(
        self,
        resolved: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, RefusedAddress> {
        let mut refused = RefusedAddress::NotPublic;
        let allowed: Vec<SocketAddr> = resolved
            .filter(|address| match self.check(address.ip()) {
                Ok(()) => true,
                Err(why) => {
                    refused = why;
                    false
                }
            })
            .collect();
        if allowed.is_empty() { Err(refused) } else { Ok(allowed) }
    }
}

/// Whether an address is of the public Internet: in none of the blocks that the IANA registries of
/// special-purpose addresses mark as not globally reachable, and no multicast. An IPv4 address inside an IPv6
/// address (mapped, compatible, translated, NAT64, 6to4) counts as itself.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match embedded(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match embedded(address) {
        IpAddr::V4(address) => is_metadata_v4(address),
        IpAddr::V6(address) => is_metadata_v6(address),
    }
}

fn is_metadata_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || METADATA_V4.contains(&address)
}

fn is_metadata_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0xfd00, 0xec2, ..] => true,
        // NAT64 of somebody's own (RFC 8215). Which form it has only they know.
        [0x64, 0xff9b, 1, ..] => {
            let bytes = address.octets();
            let inside = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| bytes[place]));
            TRANSLATED.into_iter().any(|places| is_metadata_v4(inside(places)))
        }
        _ => METADATA_V6.contains(&address),
    }
}

/// The IPv4 address inside an IPv6 address, if there is one; else the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(whole) = address else { return address };
    let [a, b, c, d, e, f, g, h] = whole.segments();
    let (high, low) = match (a, b, c, d, e, f) {
        // `::` and `::1` are the unspecified and the loopback address of IPv6, not compatible forms.
        (0, 0, 0, 0, 0, 0) if g != 0 => (g, h),
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => (g, h),
        (0x2002, ..) => (b, c),
        _ => return address,
    };
    IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
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
    let [a, b, ..] = address.segments();
    match a {
        // All that is globally reachable lies in 2000::/3, of which protocol assignments (2001::/23, Teredo
        // among them) and the blocks for documentation are not.
        0x2001 => b >= 0x200 && b != 0xdb8,
        0x3fff => b >= 0x1000,
        _ => (0x2000..0x4000).contains(&a),
    }
}
