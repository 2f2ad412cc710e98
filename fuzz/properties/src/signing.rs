//! Secrets and signatures: ours, and those of a receiver that knows nothing of us.

use http::HeaderName;
use task_inbox_domain::webhook::signing::{HeadKey, HmacKey, check_header_name, sign, verify};

use crate::verify::{self as receiver, Refusal, Signed};

/// The input is a secret, an id, a timestamp and a header of signatures, each on a line; the rest is
/// the body.
pub fn signing(data: &[u8]) {
    let mut parts = data.splitn(5, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let (secret, id, timestamp, header) = (text(), text(), text(), text());
    let body = parts.next().unwrap_or_default();
    head_key(secret);
    header_name(id);
    let read = HmacKey::parse(secret);
    assert_eq!(read.is_ok(), receiver::Secret::parse(secret).is_ok(), "only one side takes {secret:?}");
    // What the fuzzer rarely finds by itself: a secret that is one.
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(secret.bytes()).for_each(|(byte, given)| *byte = given);
    let key = read.inspect(|key| assert_eq!(key.expose(), secret));
    let key = key.unwrap_or_else(|_| HmacKey::from_bytes(&bytes).expect("32 bytes are a key"));
    signed(&key, id, timestamp.parse().unwrap_or(0), header, body);
}

/// A signature holds for what was signed, on both sides, and for nothing else.
fn signed(key: &HmacKey, id: &str, timestamp: i64, header: &str, body: &[u8]) {
    let ours = sign(key, id, timestamp, body);
    let theirs = [receiver::Secret::parse(key.expose()).expect("a secret that was read once")];
    let holds = |id: &str, at: i64, body: &[u8], header: &str| {
        let timestamp = at.to_string();
        let signed = Signed { id, timestamp: &timestamp, signatures: header };
        let received = receiver::verify(&theirs, signed, body, at);
        assert!(matches!(received, Ok(()) | Err(Refusal::Signature)), "{received:?}");
        let here = verify([key], id, at, body, header);
        // The receiver splits at spaces alone.
        assert!(here == received.is_ok() || header.contains(['\t', '\r', '\x0c']), "{header:?}");
        here
    };
    assert!(holds(id, timestamp, body, &ours));
    assert!(holds(id, timestamp, body, &format!("v1,AAAA {ours} v2,x")));
    assert!(!holds(id, timestamp, &[body, b"\0"].concat(), &ours));
    assert!(!holds(&format!("{id}x"), timestamp, body, &ours));
    assert!(!holds(id, timestamp.wrapping_add(1), body, &ours));
    if holds(id, timestamp, body, header) {
        assert!(header.split_ascii_whitespace().any(|entry| entry == ours), "{header:?} is no {ours:?}");
    }
}

fn head_key(text: &str) {
    if let Ok(key) = HeadKey::parse(text) {
        assert_eq!(key.expose(), text);
        assert!(http::HeaderValue::from_str(text).is_ok());
    }
}

fn header_name(text: &str) {
    if check_header_name(text).is_ok() {
        assert!(HeaderName::from_bytes(text.as_bytes()).is_ok(), "{text:?}");
    }
}
