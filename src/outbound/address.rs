//! Which IP addresses may be reached.
//!
//! Every address with a special purpose is refused (the IANA special-purpose registries of RFC
//! 6890, which succeeded RFC 5735), unless a network in the allow-list opens it. An IPv6 address
//! that carries an IPv4 address is judged by what it carries: a translator or a tunnel would
//! deliver it there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// An address that must not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address {ip} is refused: {class}")]
pub struct AddressRefused {
    /// The address as it was given or resolved.
    pub ip: IpAddr,
    /// What it, or the IPv4 address it carries, is reserved for.
    pub class: &'static str,
}

/// The networks that may be reached: the public ones and those in the allow-list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    allow: Vec<IpNet>,
}

impl Policy {
    /// Public addresses and these networks. `::/0` doesn't open IPv4 in any of its disguises.
    pub fn new(allow_nets: impl IntoIterator<Item = IpNet>) -> Self {
        let allow = allow_nets.into_iter().map(unmap).collect();
        Self { allow }
    }

    /// Public addresses and loopback, for `serve --dev`.
    pub fn dev() -> Self {
        Self::default().open_loopback()
    }

    /// Opens `127.0.0.0/8` and `::1` too.
    #[must_use]
    pub fn open_loopback(mut self) -> Self {
        self.allow.extend([IpNet::V4(v4(127, 0, 0, 0, 8)), IpNet::V6(Ipv6Net::from(Ipv6Addr::LOCALHOST))]);
        self
    }

    /// Whether an address may be reached.
    pub fn permits(&self, ip: IpAddr) -> bool {
        self.judge(ip).is_ok()
    }

    /// Like [`Policy::permits`], with the reason.
    pub fn judge(&self, ip: IpAddr) -> Result<(), AddressRefused> {
        let class = match ip {
            IpAddr::V4(ip) => self.refuses_v4(ip),
            IpAddr::V6(ip) => self.refuses_v6(ip),
        };
        class.map_or(Ok(()), |class| Err(AddressRefused { ip, class }))
    }

    fn refuses_v4(&self, ip: Ipv4Addr) -> Option<&'static str> {
        if self.allows(ip.into()) {
            return None;
        }
        class_of(&SPECIAL_V4, |net| net.contains(&ip))
    }

    fn refuses_v6(&self, ip: Ipv6Addr) -> Option<&'static str> {
        match Carrier::of(ip) {
            Carrier::None => self.refuses_outer(ip),
            Carrier::Transparent(carried) => self.refuses_v4(carried),
            Carrier::Teredo { server, client } => self.refuses_v4(server).or_else(|| self.refuses_v4(client)),
            Carrier::LocalTranslation(carried) => self
                .refuses_outer(ip)
                .or_else(|| carried.into_iter().flatten().find_map(|carried| self.refuses_v4(carried))),
        }
    }

    fn refuses_outer(&self, ip: Ipv6Addr) -> Option<&'static str> {
        if self.allows(ip.into()) {
            return None;
        }
        class_of(&SPECIAL_V6, |net| net.contains(&ip)).or_else(|| {
            // RFC 4291, section 2.4, and the IANA registry: nothing outside 2000::/3 is assigned
            // as global unicast, and what may be some day isn't worth a hole today.
            let global = v6(0x2000, 0, 0, 3).contains(&ip);
            (!global).then_some("not global unicast")
        })
    }

    fn allows(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(&ip))
    }
}

/// How an IPv6 address carries an IPv4 address.
enum Carrier {
    None,
    /// The address means the carried one, nothing more.
    Transparent(Ipv4Addr),
    /// RFC 4380, section 4: packets go by the server to the client.
    Teredo {
        server: Ipv4Addr,
        client: Ipv4Addr,
    },
    /// RFC 8215: for translators inside a network, which divide the prefix as they like. Both
    /// places that RFC 6052 would put the address in a /48 and in a /96 are looked at, as far as
    /// something is there.
    LocalTranslation([Option<Ipv4Addr>; 2]),
}

impl Carrier {
    fn of(ip: Ipv6Addr) -> Self {
        let o = ip.octets();
        let last = Ipv4Addr::new(o[12], o[13], o[14], o[15]);
        match ip.segments() {
            // `::` and `::1` look IPv4-compatible and are addresses of their own.
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Self::None,
            // RFC 4291, sections 2.5.5.1 (IPv4-compatible) and 2.5.5.2 (IPv4-mapped); RFC 6052,
            // section 2.1 (the well-known NAT64 prefix).
            [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Self::Transparent(last),
            // RFC 3056, section 2: 6to4.
            [0x2002, ..] => Self::Transparent(Ipv4Addr::new(o[2], o[3], o[4], o[5])),
            [0x2001, 0, ..] => Self::Teredo {
                server: Ipv4Addr::new(o[4], o[5], o[6], o[7]),
                // Obfuscated by inverting each bit, against translators that rewrite addresses.
                client: Ipv4Addr::from_bits(!last.to_bits()),
            },
            // RFC 6052, section 2.2: in a /48 the address goes around octet 8.
            [0x64, 0xff9b, 1, ..] => {
                let middle = Ipv4Addr::new(o[6], o[7], o[9], o[10]);
                Self::LocalTranslation(
                    [middle, last].map(|carried| Some(carried).filter(|ip| !ip.is_unspecified())),
                )
            }
            _ => Self::None,
        }
    }
}

/// An IPv4 network written as an IPv4-mapped one is that IPv4 network.
fn unmap(net: IpNet) -> IpNet {
    if let IpNet::V6(mapped) = net
        && let Some(ip) = mapped.network().to_ipv4_mapped()
        && let Some(length) = mapped.prefix_len().checked_sub(96)
        && let Ok(net) = Ipv4Net::new(ip, length)
    {
        return net.into();
    }
    net
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// A network by its first three groups and its length.
const fn v6(a: u16, b: u16, c: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

fn class_of<N>(table: &[(N, &'static str)], contains: impl Fn(&N) -> bool) -> Option<&'static str> {
    let found = table.iter().find(|(net, _)| contains(net));
    found.map(|(_, class)| *class)
}

/// IANA IPv4 Special-Purpose Address Registry, and multicast. The first match names the class.
const SPECIAL_V4: [(Ipv4Net, &str); 19] = [
    (v4(0, 0, 0, 0, 32), "unspecified (RFC 1122)"),
    (v4(0, 0, 0, 0, 8), "this network (RFC 791)"),
    (v4(10, 0, 0, 0, 8), "private (RFC 1918)"),
    (v4(100, 64, 0, 0, 10), "shared by carriers (RFC 6598)"),
    (v4(127, 0, 0, 0, 8), "loopback (RFC 1122)"),
    (v4(169, 254, 0, 0, 16), "link-local (RFC 3927)"),
    (v4(172, 16, 0, 0, 12), "private (RFC 1918)"),
    (v4(192, 0, 0, 0, 24), "protocol assignments (RFC 6890)"),
    (v4(192, 0, 2, 0, 24), "documentation (RFC 5737)"),
    (v4(192, 31, 196, 0, 24), "AS112 (RFC 7535)"),
    (v4(192, 52, 193, 0, 24), "AMT relays (RFC 7450)"),
    (v4(192, 88, 99, 0, 24), "6to4 relay anycast (RFC 7526)"),
    (v4(192, 168, 0, 0, 16), "private (RFC 1918)"),
    (v4(192, 175, 48, 0, 24), "AS112 (RFC 7534)"),
    (v4(198, 18, 0, 0, 15), "benchmarking (RFC 2544)"),
    (v4(198, 51, 100, 0, 24), "documentation (RFC 5737)"),
    (v4(203, 0, 113, 0, 24), "documentation (RFC 5737)"),
    (v4(224, 0, 0, 0, 4), "multicast (RFC 5771)"),
    (v4(240, 0, 0, 0, 4), "reserved or broadcast (RFC 1112)"),
];

/// IANA IPv6 Special-Purpose Address Registry without what [`Carrier`] handles, and multicast.
/// What lies outside 2000::/3 is refused anyway and stands here for its name.
const SPECIAL_V6: [(Ipv6Net, &str); 17] = [
    (v6(0, 0, 0, 128), "unspecified (RFC 4291)"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback (RFC 4291)"),
    (v6(0x64, 0xff9b, 1, 48), "local translation (RFC 8215)"),
    (v6(0x100, 0, 0, 64), "discard-only (RFC 6666)"),
    (v6(0x2001, 2, 0, 48), "benchmarking (RFC 5180)"),
    (v6(0x2001, 0x10, 0, 28), "ORCHID (RFC 4843)"),
    (v6(0x2001, 0x20, 0, 28), "ORCHID (RFC 7343)"),
    (v6(0x2001, 0, 0, 23), "protocol assignments (RFC 2928)"),
    (v6(0x2001, 0xdb8, 0, 32), "documentation (RFC 3849)"),
    (v6(0x2620, 0x4f, 0x8000, 48), "AS112 (RFC 7534)"),
    (v6(0x3fff, 0, 0, 20), "documentation (RFC 9637)"),
    (v6(0x5f00, 0, 0, 16), "segment routing (RFC 9602)"),
    (v6(0xfc00, 0, 0, 7), "unique local (RFC 4193)"),
    (v6(0xfe80, 0, 0, 10), "link-local (RFC 4291)"),
    (v6(0xfec0, 0, 0, 10), "site-local (RFC 3879)"),
    (v6(0xff00, 0, 0, 8), "multicast (RFC 4291)"),
    (v6(0, 0, 0, 8), "reserved (RFC 4291)"),
];
