//! Headers and queries, as strangers send them.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, IF_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use task_inbox::http::fuzzing;

/// Parameters that a query of the test may have.
const KNOWN: [&str; 3] = ["schema", "state", "limit"];

/// The input is a request's query on the first line and a header on each further one.
pub fn headers(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    if let Ok(text) = std::str::from_utf8(lines.next().unwrap_or_default()) {
        query(text);
    }
    let mut headers = HeaderMap::new();
    // As many as the server takes.
    for line in lines.take(100) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    key(&headers);
    version(&headers);
    idempotency_key(&headers);
    origin(&headers);
    accepted(&headers);
}

/// What is read is what was meant: written again it is the same, and nothing unknown passes.
fn query(text: &str) {
    match fuzzing::query(text, &KNOWN) {
        Ok(read) => {
            assert!(read.iter().all(|(_, value)| !value.contains(['\0', char::REPLACEMENT_CHARACTER])));
            let again = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&read).finish();
            assert_eq!(fuzzing::query(&again, &KNOWN), Ok(read));
        }
        Err(status) => assert_eq!(status, 400),
    }
}

/// One key or a refusal; whichever header it came in, it is the same.
fn key(headers: &HeaderMap) {
    match fuzzing::presented_key(headers) {
        Ok(key) => {
            assert!(!key.is_empty() && key.trim_ascii() == key, "{key:?}");
            let bearer = HeaderValue::from_str(&format!("bEARER {key}"));
            for (name, value) in [("api-key", HeaderValue::from_str(key)), (AUTHORIZATION.as_str(), bearer)] {
                let Ok(value) = value else { continue };
                let name = HeaderName::from_static(name);
                let mut one = HeaderMap::from_iter([(name, value)]);
                assert_eq!(fuzzing::presented_key(&one), Ok(key));
                one.append("api-key", HeaderValue::from_static("another"));
                assert_eq!(fuzzing::presented_key(&one).is_err(), key != "another");
            }
        }
        Err(status) => assert!([400, 401].contains(&status), "{status}"),
    }
}

/// A version is read in one way: quoted and not negative.
fn version(headers: &HeaderMap) {
    match fuzzing::if_match(headers) {
        Ok(Some(version)) => {
            assert!(version >= 0);
            let value = HeaderValue::from_str(&format!("\"{version}\"")).expect("digits");
            let again = HeaderMap::from_iter([(IF_MATCH, value)]);
            assert_eq!(fuzzing::if_match(&again), Ok(Some(version)));
        }
        Ok(None) => assert!(headers.get(IF_MATCH).is_none_or(|value| value.as_bytes().trim_ascii() == b"*")),
        Err(status) => assert_eq!(status, 400),
    }
}

fn idempotency_key(headers: &HeaderMap) {
    let sent = headers.get_all("idempotency-key").iter().collect::<Vec<_>>();
    match fuzzing::idempotency_key(headers) {
        Ok(None) => assert!(sent.is_empty()),
        Ok(Some(key)) => assert!(sent.len() == 1 && sent[0] == key && (1..=255).contains(&key.len())),
        Err(status) => assert!(status == 400 && !sent.is_empty()),
    }
}

/// Whom nobody trusts to speak for others speaks for itself.
fn origin(headers: &HeaderMap) {
    let net = |text: &str| text.parse::<IpNet>().expect("a net");
    let trusted = [net("10.0.0.0/8"), net("fd00::/8"), net("127.0.0.1/32")];
    let stranger: SocketAddr = "192.0.2.7:443".parse().expect("an address");
    let host = headers.get(HOST).cloned();
    let bare: HeaderMap = host.map(|host| (HOST, host)).into_iter().collect();
    let told = fuzzing::origin(stranger, headers, &trusted);
    assert_eq!(told, fuzzing::origin(stranger, &bare, &trusted));
    assert_eq!(told.0, stranger.ip());

    let proxy: SocketAddr = "10.0.0.1:80".parse().expect("an address");
    let (client, url) = fuzzing::origin(proxy, headers, &trusted);
    assert_eq!(client, client.to_canonical(), "an address has one form");
    assert!(url.starts_with("http://") || url.starts_with("https://"), "{url}");
    // Trusting nobody, or everybody, changes whom is believed and nothing else.
    let everybody = [net("0.0.0.0/0"), net("::/0")];
    let (first, _) = fuzzing::origin(proxy, headers, &everybody);
    assert_eq!(fuzzing::origin(proxy, headers, &[]).0, proxy.ip());
    assert!(matches!(first, IpAddr::V4(_) | IpAddr::V6(_)) && first == first.to_canonical());
}

/// Without `Accept`, JSON is accepted; and what is accepted stays so beside another range.
fn accepted(headers: &HeaderMap) {
    let accepts = fuzzing::accepts_json(headers);
    if !headers.contains_key("accept") {
        assert!(accepts);
    } else if accepts {
        let mut more = headers.clone();
        more.append("accept", HeaderValue::from_static("image/png"));
        assert!(fuzzing::accepts_json(&more));
    }
}
