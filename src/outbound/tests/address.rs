use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use url::Url;

use crate::outbound::{AddressRefused, Policy, UrlError, check_url};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn allowing(nets: &[&str]) -> Policy {
    Policy::new(nets.iter().map(|net| net.parse().unwrap()))
}

/// The first and the last address of each network, and what they are called.
const SPECIAL: &[(&str, &str, &str)] = &[
    ("0.0.0.0", "0.0.0.0", "unspecified"),
    ("0.0.0.1", "0.255.255.255", "this network"),
    ("10.0.0.0", "10.255.255.255", "private"),
    ("100.64.0.0", "100.127.255.255", "shared"),
    ("127.0.0.0", "127.255.255.255", "loopback"),
    ("169.254.0.0", "169.254.255.255", "link-local"),
    ("169.254.169.254", "169.254.169.254", "link-local"),
    ("172.16.0.0", "172.31.255.255", "private"),
    ("192.0.0.0", "192.0.0.255", "protocol"),
    ("192.0.2.0", "192.0.2.255", "documentation"),
    ("192.31.196.0", "192.31.196.255", "AS112"),
    ("192.52.193.0", "192.52.193.255", "AMT"),
    ("192.88.99.0", "192.88.99.255", "6to4 relay"),
    ("192.168.0.0", "192.168.255.255", "private"),
    ("192.175.48.0", "192.175.48.255", "AS112"),
    ("198.18.0.0", "198.19.255.255", "benchmarking"),
    ("198.51.100.0", "198.51.100.255", "documentation"),
    ("203.0.113.0", "203.0.113.255", "documentation"),
    ("224.0.0.0", "239.255.255.255", "multicast"),
    ("240.0.0.0", "255.255.255.254", "reserved"),
    ("255.255.255.255", "255.255.255.255", "broadcast"),
    ("::", "::", "unspecified"),
    ("::1", "::1", "loopback"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local"),
    ("100::", "100::ffff:ffff:ffff:ffff", "discard-only"),
    ("100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "not global"),
    ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "benchm"),
    ("2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "ORCHID"),
    ("2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "ORCHID"),
    ("2001:1::1", "2001:1ff:ffff::", "protocol"),
    ("2001:db8::", "2001:db8:ffff::", "documentation"),
    ("2620:4f:8000::", "2620:4f:8000:ffff::", "AS112"),
    ("3fff::", "3fff:fff:ffff::", "documentation"),
    ("4000::", "5eff:ffff::", "not global"),
    ("5f00::", "5f00:ffff::", "segment routing"),
    ("fc00::", "fdff:ffff::", "unique local"),
    ("fd00:ec2::254", "fd00:ec2::254", "unique local"),
    ("fe80::", "febf:ffff::", "link-local"),
    ("fec0::", "feff:ffff::", "site-local"),
    ("ff00::", "ffff:ffff::", "multicast"),
    ("64:ff9b:0:0:0:1::", "64:ff9b:0:ffff::", "reserved"),
];

#[test]
fn special_addresses_are_refused_by_name() {
    let policy = Policy::default();
    for (first, last, class) in SPECIAL {
        for text in [first, last] {
            let refused = policy.judge(ip(text)).unwrap_err();
            assert!(refused.class.contains(class), "{refused}, not {class}");
            assert_eq!(refused.ip, ip(text));
        }
    }
}

#[test]
fn public_addresses_are_permitted() {
    // Where a network ends on a public one, the neighbours of the special ones.
    for text in [
        "1.0.0.0",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::",
        "2001:4860:4860::8888",
        "2001:db7:ffff::",
        "2001:db9::",
        "2606:4700:4700::1111",
        "3ffe:ffff::",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ] {
        assert_eq!(Policy::default().judge(ip(text)), Ok(()));
    }
}

#[test]
fn an_allow_list_opens_its_networks_and_no_others() {
    let policy = allowing(&["10.1.0.0/16", "fd00:1::/32"]);
    assert!(policy.permits(ip("10.1.2.3")));
    assert!(policy.permits(ip("fd00:1::5")));
    for other in ["10.2.0.0", "127.0.0.1", "fd00:2::", "::1"] {
        assert!(!policy.permits(ip(other)), "{other}");
    }
    assert!(policy.permits(ip("8.8.8.8")));
}

#[test]
fn dev_opens_loopback_only() {
    let policy = allowing(&["10.0.0.0/8"]).open_loopback();
    for open in ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(Policy::dev().permits(ip(open)), "{open}");
        assert!(policy.permits(ip(open)), "{open}");
    }
    for other in ["10.0.0.1", "0.0.0.0", "::", "169.254.169.254", "::2"] {
        assert!(!Policy::dev().permits(ip(other)), "{other}");
    }
    assert!(policy.permits(ip("10.0.0.1")));
}

#[test]
fn opening_all_of_ipv6_opens_no_ipv4() {
    let policy = allowing(&["::/0"]);
    assert!(policy.permits(ip("fe80::1")));
    for disguised in [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::127.0.0.1",
        "2002:7f00:1::",
    ] {
        assert!(!policy.permits(ip(disguised)), "{disguised}");
    }
}

#[test]
fn a_mapped_network_opens_the_network_it_means() {
    let policy = allowing(&["::ffff:10.0.0.0/104"]);
    assert!(policy.permits(ip("10.255.0.1")));
    assert!(policy.permits(ip("::ffff:10.255.0.1")));
    assert!(!policy.permits(ip("192.168.0.1")));
}

#[test]
fn teredo_needs_both_ends() {
    // The last group pair is the client with all bits inverted: 247.247.247.247 is 8.8.8.8,
    // 128.255.255.254 is 127.0.0.1.
    for (text, permitted) in [
        ("2001:0:808:808::f7f7:f7f7", true),
        ("2001:0:808:808::80ff:fffe", false),
        ("2001:0:7f00:1::f7f7:f7f7", false),
        ("2001:0:7f00:1::80ff:fffe", false),
        ("2001::", false),
    ] {
        assert_eq!(Policy::default().permits(ip(text)), permitted, "{text}");
    }
    assert!(Policy::dev().permits(ip("2001:0:7f00:1::80ff:fffe")));
}

#[test]
fn local_translation_needs_the_prefix_and_what_it_carries() {
    let policy = allowing(&["64:ff9b:1::/48"]);
    for (text, permitted) in [
        ("64:ff9b:1::8.8.8.8", true),
        ("64:ff9b:1::127.0.0.1", false),
        ("64:ff9b:1:808:8:800::", true),
        ("64:ff9b:1:7f00:0:100::", false),
        // A /96 of the prefix: read either way, something local comes out.
        ("64:ff9b:1:808:8:800:7f00:1", false),
    ] {
        assert_eq!(policy.permits(ip(text)), permitted, "{text}");
        assert!(!Policy::default().permits(ip(text)), "{text}");
    }
}

/// The forms that mean an IPv4 address and nothing else.
fn disguises(v4: Ipv4Addr, noise: u64) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets().map(u16::from);
    let (high, low) = ((a << 8) | b, (c << 8) | d);
    let [n1, n2, n3, n4] = [noise >> 48, noise >> 32, noise >> 16, noise].map(|n| n as u16);
    let mut forms = vec![
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, n1, n2, n3, n4, n1),
        Ipv6Addr::new(0x2001, 0, high, low, n1, n2, !high, !low),
    ];
    // `::` and `::1` are themselves.
    if u32::from(v4) > 1 {
        forms.push(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low));
    }
    forms
}

/// Any address, and often enough a special one.
fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    let edge = SPECIAL.iter().flat_map(|(first, last, _)| [*first, *last]);
    let edges: Vec<Ipv4Addr> = edge.filter_map(|text| text.parse().ok()).collect();
    prop_oneof![
        any::<u32>().prop_map(Ipv4Addr::from),
        (proptest::sample::select(edges), 0..3_u32)
            .prop_map(|(ip, more)| Ipv4Addr::from(u32::from(ip).wrapping_add(more))),
    ]
}

proptest! {
    #[test]
    fn a_disguised_address_is_judged_like_itself(v4 in any_v4(), noise: u64) {
        for policy in [Policy::default(), Policy::dev(), allowing(&["10.0.0.0/8", "1.0.0.0/8"])] {
            let expected = policy.judge(v4.into()).map_err(|refused| refused.class);
            for form in disguises(v4, noise) {
                let judged = policy.judge(form.into()).map_err(|refused| refused.class);
                prop_assert_eq!(judged, expected, "{} in {}", v4, form);
            }
        }
    }

    #[test]
    fn local_translation_is_never_kinder_than_what_it_carries(v4 in any_v4(), noise: u16) {
        let policy = allowing(&["64:ff9b:1::/48"]);
        let [a, b, c, d] = v4.octets().map(u16::from);
        let forms = [
            Ipv6Addr::new(0x64, 0xff9b, 1, noise, 0, 0, (a << 8) | b, (c << 8) | d),
            Ipv6Addr::new(0x64, 0xff9b, 1, (a << 8) | b, c, d << 8, 0, 0),
        ];
        for form in forms {
            // 0.0.0.0 in one place is an address in the other, or the bare prefix.
            let as_kind = v4.is_unspecified() || policy.permits(v4.into());
            prop_assert!(as_kind || !policy.permits(form.into()), "{}", form);
        }
    }

    #[test]
    fn outside_global_unicast_nothing_is_permitted(bits: u128) {
        let ip = Ipv6Addr::from(bits);
        let translated = bits >> 32 == 0x64_ff9b << 64 || bits >> 32 == 0 || bits >> 32 == 0xffff;
        if bits >> 125 != 1 && !translated {
            prop_assert!(!Policy::default().permits(ip.into()));
        }
    }
}

fn check(policy: &Policy, url: &str) -> Result<(), UrlError> {
    check_url(policy, &Url::parse(url).unwrap())
}

#[test]
fn every_spelling_of_loopback_is_judged() {
    for url in [
        "http://127.0.0.1",
        "http://127.0.0.1.",
        "http://127.1",
        "http://127.0.1:8080/x",
        "http://2130706433",
        "http://0x7f.1",
        "http://0x7f000001",
        "http://017700000001",
        "http://0177.0.0.1",
        "http://%31%32%37.0.0.1",
        "http://１２７.0.0.1",
        "http://127。0。0。1",
        "http://[::1]",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::ffff:127.0.0.1]",
        "http://[::ffff:7f00:1]",
        "http://[64:ff9b::7f00:1]",
        "http://[2002:7f00:1::]",
        "https://127.0.0.1",
    ] {
        let refused = check(&Policy::default(), url);
        assert!(
            matches!(refused, Err(UrlError::Address(AddressRefused { class, .. })) if class.contains("loopback")),
            "{url}: {refused:?}"
        );
        assert_eq!(check(&Policy::dev(), url), Ok(()), "{url}");
    }
}

#[test]
fn only_plain_http_urls_are_requested() {
    let check = |url| check(&Policy::default(), url);
    assert_eq!(check("https://example.com:8443/hook?x=1#y"), Ok(()));
    // A name: what it resolves to is judged on connecting.
    assert_eq!(check("http://localhost/"), Ok(()));
    for url in ["http://u@example.com", "http://:p@example.com"] {
        assert_eq!(check(url), Err(UrlError::Userinfo), "{url}");
    }
    for url in ["ftp://example.com", "file:///etc/passwd", "data:,x"] {
        assert!(matches!(check(url), Err(UrlError::Scheme(_))), "{url}");
    }
    assert_eq!(check("http://expected.example@169.254.169.254/"), Err(UrlError::Userinfo));
}
