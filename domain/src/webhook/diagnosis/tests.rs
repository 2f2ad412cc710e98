use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::webhook::signing::{self, SecretError};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const EVENT: &str = "01950000-0000-7000-8000-000000000001";
const SENT: i64 = 1_614_265_330;
const BODY: &str = r#"{"type":"task.state_changed","timestamp":"2021-02-25T15:02:10.000000Z","data":{"event_id":"01950000-0000-7000-8000-000000000001","task":{"meta":{"text":"a \"quoted\", Zoë: 20 €"}}}}"#;

/// A webhook as it was sent, each part to be spoilt.
#[derive(Clone)]
struct Webhook {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

impl Webhook {
    fn sent() -> Self {
        Self::signed(SECRET, BODY.as_bytes())
    }

    fn signed(secret: &str, body: &[u8]) -> Self {
        let id = signing::webhook_id(Uuid::parse_str(EVENT).expect("an id"));
        let signature = signing::sign(&HmacKey::parse(secret).expect("a key"), &id, SENT, body);
        Self { id, timestamp: SENT.to_string(), signature, body: body.to_vec() }
    }

    /// Signed with these bytes over these texts.
    fn with_mac(self, key: &[u8], id: &str, timestamp: &str) -> Self {
        let tag = tag(&key.to_vec(), id, timestamp, &self.body);
        Self { signature: format!("v1,{}", BASE64_STANDARD.encode(tag)), ..self }
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn signature(self, signature: impl Into<String>) -> Self {
        Self { signature: signature.into(), ..self }
    }

    fn under(&self, secrets: &[&str], age: i64) -> Diagnosis {
        let held = Held {
            id: Some(&self.id),
            timestamp: Some(&self.timestamp),
            signature: Some(&self.signature),
            body: &self.body,
        };
        let now = Timestamp::from_micros((SENT + age) * 1_000_000);
        diagnose(secrets, &held, now, Duration::from_mins(5))
    }

    fn faults(&self) -> Vec<Fault> {
        self.under(&[SECRET], 0).faults
    }

    fn mistakes(&self) -> Vec<Mistake> {
        mistakes(self.faults())
    }
}

fn mistakes(faults: Vec<Fault>) -> Vec<Mistake> {
    let told = |fault| match fault {
        Fault::Mistake(mistake) => mistake,
        other => panic!("{other:?}"),
    };
    faults.into_iter().map(told).collect()
}

#[test]
fn what_is_right_is_right() {
    let sent = Webhook::sent();
    let right = Diagnosis { signed_with: Some(0), age: Some(12), faults: Vec::new() };
    assert_eq!(sent.under(&[SECRET], 12), right);
    assert!(right.is_ok());
    assert_eq!(sent.under(&[OTHER, SECRET], 0).signed_with, Some(1));
    // Spaces around a copied secret are none of it, and later versions may stand beside ours.
    assert!(sent.under(&[&format!(" {SECRET}\n")], 0).is_ok());
    for signature in [format!("v1a,AAAA v1,AAAA {}", sent.signature), format!("{}  v2,x", sent.signature)] {
        assert_eq!(sent.clone().signature(signature).faults(), []);
    }
}

#[test]
fn the_clock_is_judged_apart_from_the_signature() {
    let sent = Webhook::sent();
    for age in [-300, 0, 300] {
        assert!(sent.under(&[SECRET], age).is_ok(), "{age}");
    }
    let tolerance = Duration::from_mins(5);
    for (age, code, said) in [
        (301, "too_old", "sent 5 min ago, where 5 min"),
        (-301, "from_the_future", "5 min ahead"),
        (8_000, "too_old", "2 h ago"),
        (400_000, "too_old", "4 days ago"),
    ] {
        let diagnosis = sent.under(&[SECRET], age);
        assert_eq!(diagnosis.faults, [Fault::Clock { age, tolerance }]);
        assert_eq!((diagnosis.signed_with, diagnosis.age), (Some(0), Some(age)));
        assert_eq!(diagnosis.faults[0].code(), code);
        assert!(diagnosis.faults[0].to_string().contains(said), "{}", diagnosis.faults[0]);
    }
    let both = sent.under(&[OTHER], 301).faults;
    assert_eq!(both, [Fault::Mismatch(Evidence::Whole), Fault::Clock { age: 301, tolerance }]);
}

#[test]
fn missing_and_malformed_headers_are_named() {
    let now = Timestamp::from_micros(SENT * 1_000_000);
    let nothing = Held { id: None, timestamp: None, signature: Some(" "), body: b"" };
    let faults = diagnose(&[SECRET], &nothing, now, Duration::from_mins(5)).faults;
    assert_eq!(faults, [Part::Id, Part::Timestamp, Part::Signature].map(Fault::Missing));
    assert!(faults[2].to_string().contains("hook_auth"));
    let with = |signature: &str| Webhook::sent().signature(signature).faults();
    assert_eq!(with("v1a,AAAA v2,AAAA"), [Fault::Version(vec!["v1a".to_owned(), "v2".to_owned()])]);
    assert_eq!(with("v1,%%%"), [Fault::NotBase64]);
    assert_eq!(with("v1,"), [Fault::NotBase64]);
    let cut = Webhook::sent().signature;
    assert_eq!(with(&cut[..cut.len() - 4]), [Fault::Length(30)]);
    let odd = Webhook { timestamp: "now".to_owned(), ..Webhook::sent() };
    assert_eq!(odd.faults(), [Fault::Mismatch(Evidence::Whole), Fault::Timestamp]);
}

#[test]
fn a_secret_that_is_none_is_told_without_quoting_it() {
    let faults = Webhook::sent().under(&["whsec_hush!"], 0).faults;
    assert_eq!(faults, [Fault::Secret(SecretError::Base64)]);
    assert!(!faults[0].to_string().contains("hush"));
    // One that is right beside it is compared all the same.
    let faults = Webhook::sent().under(&["hush", OTHER], 0).faults;
    assert_eq!(faults, [Fault::Secret(SecretError::Prefix), Fault::Mismatch(Evidence::Whole)]);
    assert!(Webhook::sent().under(&["hush", SECRET], 0).is_ok());
}

#[test]
fn mistakes_with_the_secret_are_found() {
    let bare = SECRET.trim_start_matches("whsec_");
    let sent = Webhook::sent();
    for (text, mistake) in [
        (bare.to_owned(), Mistake::SecretPrefixMissing),
        (format!("\"{SECRET}\""), Mistake::SecretForm),
        (format!("'{bare}'"), Mistake::SecretPrefixMissing),
    ] {
        assert_eq!(mistakes(sent.under(&[&text], 0).faults), [mistake], "{text}");
    }
    let short = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==";
    let unpadded = short.trim_end_matches('=');
    let faults = Webhook::signed(short, BODY.as_bytes()).under(&[unpadded], 0).faults;
    assert_eq!(mistakes(faults), [Mistake::SecretForm]);
    let decoded = |text: &str| lenient(text).expect("base64");
    for (key, mistake) in [
        (bare.as_bytes().to_vec(), Mistake::SecretNotDecoded),
        (SECRET.as_bytes().to_vec(), Mistake::SecretWithPrefix),
        (decoded(SECRET), Mistake::SecretPrefixDecoded),
    ] {
        let (id, timestamp) = (sent.id.clone(), sent.timestamp.clone());
        assert_eq!(sent.clone().with_mac(&key, &id, &timestamp).mistakes(), [mistake]);
    }
}

#[test]
fn mistakes_with_id_and_timestamp_are_found() {
    let sent = Webhook::sent();
    let without = Webhook { id: EVENT.to_owned(), ..sent.clone() };
    assert_eq!(without.mistakes(), [Mistake::IdPrefixMissing]);
    let key = lenient(SECRET.trim_start_matches("whsec_")).expect("base64");
    let over = sent.clone().with_mac(&key, EVENT, &sent.timestamp);
    assert_eq!(over.mistakes(), [Mistake::IdPrefixAdded]);
    for (timestamp, mistake) in [
        ("1614265330000", Mistake::TimestampUnit),
        ("1614265330123456", Mistake::TimestampUnit),
        ("2021-02-25T15:02:10.123Z", Mistake::TimestampForm),
        ("1614265330.25", Mistake::TimestampForm),
    ] {
        let altered = Webhook { timestamp: timestamp.to_owned(), ..sent.clone() };
        assert_eq!(altered.mistakes(), [mistake], "{timestamp}");
    }
    // Milliseconds that were signed as such are the sender's mistake, and no clock's.
    let signed = Webhook { timestamp: "1614265330000".to_owned(), ..sent.clone() };
    let signed = signed.with_mac(&key, &sent.id, "1614265330000").under(&[SECRET], 7);
    assert_eq!((signed.signed_with, signed.age, signed.faults), (Some(0), Some(7), vec![Fault::Unit]));
}

#[test]
fn mistakes_with_the_signature_are_found() {
    let sent = Webhook::sent();
    let encoded = sent.signature.trim_start_matches("v1,").to_owned();
    let hex = crate::log::hex(&BASE64_STANDARD.decode(&encoded).expect("base64"));
    for (signature, mistake) in [
        (hex.clone(), Mistake::SignatureHex),
        (format!("sha256={}", hex.to_uppercase()), Mistake::SignatureHex),
        (format!("v1,{hex}"), Mistake::SignatureHex),
        (encoded.clone(), Mistake::SignatureVersionMissing),
        (format!("v2,{encoded}"), Mistake::SignatureVersion("v2".to_owned())),
        (format!("v1,{}", encoded.trim_end_matches('=')), Mistake::SignatureForm),
        (format!("v1={encoded}"), Mistake::SignatureForm),
    ] {
        assert_eq!(sent.clone().signature(&signature).mistakes(), [mistake], "{signature}");
    }
    assert_eq!(sent.clone().signature(format!("v1,AAAA, {encoded},")).mistakes().len(), 1);
}

#[test]
fn mistakes_with_the_body_are_found() {
    let sent = Webhook::sent();
    let spaced = BODY.replace("\":", "\": ").replace(",\"", ", \"");
    let pretty = format!("{}\n", BODY.replace(",\"", ",\n  \""));
    let escaped = BODY.replace('ë', "\\u00eb").replace('€', "\\u20AC");
    for (body, mistake) in [
        (format!("{BODY}\n"), Mistake::BodyNewlineAdded),
        (format!("{BODY}\r\n"), Mistake::BodyNewlineAdded),
        (format!("\u{feff}{BODY}"), Mistake::BodyMark),
        (spaced.clone(), Mistake::BodySpaces),
        (pretty, Mistake::BodySpaces),
        (escaped, Mistake::BodyEscapes),
        (BASE64_STANDARD.encode(BODY), Mistake::BodyBase64),
    ] {
        assert_eq!(sent.clone().body(body.as_str()).mistakes(), [mistake], "{body}");
    }
    // Signed with what we never send, held as something else.
    for (signed, held, mistake) in [
        (format!("{BODY}\n"), BODY.to_owned(), Mistake::BodyNewlineMissing),
        ("a\r\nb".to_owned(), "a\nb".to_owned(), Mistake::BodyLineEnds),
        (spaced, BODY.to_owned(), Mistake::BodySpaces),
    ] {
        let webhook = Webhook::signed(SECRET, signed.as_bytes()).body(held);
        assert_eq!(webhook.mistakes(), [mistake]);
    }
    let emoji = r#"{"a":"😀\n"}"#;
    let webhook = Webhook::signed(SECRET, emoji.as_bytes()).body(r#"{"a": "\ud83d\ude00\n"}"#);
    assert_eq!(webhook.mistakes(), [Mistake::BodyEscapes]);
}

#[test]
fn two_mistakes_at_once_are_found() {
    let sent = Webhook { id: EVENT.to_owned(), ..Webhook::sent() }.body(format!("{BODY}\n"));
    assert_eq!(sent.mistakes(), [Mistake::IdPrefixMissing, Mistake::BodyNewlineAdded]);
}

#[test]
fn what_matches_nothing_is_judged_by_what_the_body_tells() {
    let with = |body: &str| Webhook::sent().body(body).faults();
    for (body, evidence, part) in [
        (BODY.replace("Zoë", "Zoe"), Evidence::Whole, None),
        (BODY.replace("Zoë", " Zoe").replace("\":", "\" :"), Evidence::Rewritten, Some(Part::Body)),
        (BODY.replace("0001\"", "0002\""), Evidence::OtherEvent, Some(Part::Id)),
        (BODY[..BODY.len() - 1].to_owned(), Evidence::NotJson, Some(Part::Body)),
        (String::new(), Evidence::NotJson, Some(Part::Body)),
        ("{}".to_owned(), Evidence::None, None),
    ] {
        let faults = with(&body);
        assert_eq!(faults, [Fault::Mismatch(evidence)], "{body}");
        assert_eq!((faults[0].part(), faults[0].code()), (part, "mismatch"));
        assert!(faults[0].to_string().contains("no signature matches"));
    }
    // A changed timestamp looks like another secret, and neither is blamed alone.
    let moved = Webhook { timestamp: (SENT + 1).to_string(), ..Webhook::sent() }.under(&[SECRET], 0).faults;
    let foreign = Webhook::sent().under(&[OTHER], 0).faults;
    assert_eq!((&moved, moved[0].part()), (&foreign, None));
    let said = moved[0].to_string();
    assert!(
        said.contains("another secret signed it") && said.contains("timestamp or content was changed"),
        "{said}"
    );
}

proptest! {
    /// It finds right what a receiver finds right, and nothing else.
    #[test]
    fn agrees_with_a_receiver(
        bytes in prop::collection::vec(any::<u8>(), 24..=64),
        id in "[a-zA-Z0-9_-]{1,40}",
        timestamp in 0..100_000_000_000_i64,
        body in prop::collection::vec(any::<u8>(), 0..200),
        flip in prop::option::of((any::<prop::sample::Index>(), 1_u8..)),
    ) {
        let key = HmacKey::from_bytes(&bytes).expect("24 to 64 bytes");
        let header = signing::sign(&key, &id, timestamp, &body);
        let mut held = body.clone();
        if let Some((at, flip)) = flip && !held.is_empty() {
            let at = at.index(held.len());
            held[at] ^= flip;
        }
        let text = timestamp.to_string();
        let webhook = Held { id: Some(&id), timestamp: Some(&text), signature: Some(&header), body: &held };
        let now = Timestamp::from_micros(timestamp * 1_000_000);
        let found = diagnose(&[key.expose()], &webhook, now, Duration::ZERO);
        let takes = signing::verify([&key], &id, timestamp, &held, &header);
        prop_assert_eq!(found.signed_with.is_some(), takes);
        prop_assert_eq!(found.is_ok(), takes);
        prop_assert!(takes == (held == body));
    }

    /// Whatever it is given, it says something, and shows no secret.
    #[test]
    fn anything_is_answered(
        secret in "\\PC{0,60}|whsec_[A-Za-z0-9+/=_-]{0,90}",
        id in "\\PC{0,40}",
        timestamp in "\\PC{0,30}|-?[0-9]{1,25}",
        signature in "\\PC{0,120}|(v1[a,=])?[A-Za-z0-9+/=,_ -]{0,120}",
        body in "\\PC{0,80}|(\\\\u[0-9a-fA-F]{0,4}|\\\\|\"|[{}:, \r\n]){0,40}",
        now in any::<i64>(),
    ) {
        let webhook =
            Held { id: Some(&id), timestamp: Some(&timestamp), signature: Some(&signature), body: body.as_bytes() };
        let now = Timestamp::from_micros(now);
        let found = diagnose(&[&secret], &webhook, now, Duration::from_mins(5));
        prop_assert!(!found.is_ok(), "nobody signed this");
        for fault in &found.faults {
            let said = fault.to_string();
            prop_assert!(secret.len() < 20 || !said.contains(&secret), "{}", said);
        }
    }
}
