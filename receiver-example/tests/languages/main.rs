//! The three receivers against real deliveries: a real server sends, a relay keeps what it sent,
//! and the test sends that again, as it was and altered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod program;
mod relay;
mod rotation;
mod shop;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use standardwebhooks::Webhook;

use crate::program::Program;
use crate::relay::Captured;
use crate::shop::Shop;

/// A decision, delivered: what went over the wire, and to whom.
struct Delivered {
    receiver: Program,
    request: Captured,
    line: String,
    shop: Shop,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rust() {
    receives(Program::rust).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python() {
    receives(Program::python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node() {
    receives(Program::node).await;
}

async fn receives(start: fn(&str, &std::path::Path) -> Program) {
    let mut delivered = deliver(start).await;
    repeats_are_told(&mut delivered);
    what_was_altered_is_refused(&delivered);
    old_and_new_timestamps_are_refused(&delivered);
    what_is_no_signature_is_refused(&delivered);
    hostile_senders_stop_nobody(&mut delivered);
}

/// Posts a task, decides it and waits until the receiver printed what it verified.
async fn deliver(start: fn(&str, &std::path::Path) -> Program) -> Delivered {
    let mut shop = Shop::open().await;
    let mut receiver = start(&shop.secret, shop.folder());
    shop.relay.forward_to(receiver.address());
    let task = shop.grant().await;

    let line = receiver.line();
    let request = shop.relay.next();
    let id = request.header("webhook-id");
    assert_eq!(line, format!("verified (hmac) {id} task.state_changed {task} unset -> granted"));
    assert_eq!(request.answered(), 200);
    Delivered { receiver, request, line, shop }
}

/// The same again is accepted, so that the sender is content, and has no second effect.
fn repeats_are_told(delivered: &mut Delivered) {
    for _ in 0..2 {
        assert_eq!(delivered.send(&delivered.request), 200);
        let line = delivered.receiver.line();
        assert_eq!(line, delivered.line.replacen("verified", "duplicate", 1));
    }
    // An attempt that comes later has the same id, its own timestamp and its own signature.
    let later = delivered.signed_at(now() - 200);
    assert_eq!(delivered.send(&later), 200);
    assert!(delivered.receiver.line().starts_with("duplicate "));
    // And another event is new.
    let other = delivered.signed(now(), "evt_other");
    assert_eq!(delivered.send(&other), 200);
    assert!(delivered.receiver.line().starts_with("verified "));
}

fn what_was_altered_is_refused(delivered: &Delivered) {
    let request = &delivered.request;
    let body = String::from_utf8(request.body.clone()).unwrap();
    let signature = request.header("webhook-signature");
    let timestamp: i64 = request.header("webhook-timestamp").parse().unwrap();
    let other = Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let of_another = other.sign(request.header("webhook-id"), now(), request.body.as_slice()).unwrap();
    delivered.refuses(&[
        request.with_body(body.replace("granted", "refused").as_bytes()),
        request.with_body(format!("{body} ").as_bytes()),
        request.with_body(b""),
        request.with_body(b"\xff"),
        request.with("webhook-id", "evt_another"),
        request.with("webhook-timestamp", &(timestamp - 1).to_string()),
        request.with("webhook-signature", &signature.to_lowercase()),
        request.with("webhook-signature", &signature[..signature.len() - 1]),
        request.with("webhook-signature", &of_another),
    ]);
}

/// Rightly signed, and recorded too long ago or by a clock that is too far ahead.
fn old_and_new_timestamps_are_refused(delivered: &Delivered) {
    delivered.refuses(&[delivered.signed_at(now() - 310), delivered.signed_at(now() + 310)]);
}

fn what_is_no_signature_is_refused(delivered: &Delivered) {
    let request = &delivered.request;
    let mut altered = Vec::new();
    for text in ["", "v1", "v1,", "v1,@", "v1,AAA", "v2,AAAA", "v1,AAAA v1", ",", "v1,a,b", "v1,\u{e9}"] {
        altered.push(request.with("webhook-signature", text));
    }
    for text in ["", "now", "-1", "1e9", "99999999999999999999"] {
        altered.push(request.with("webhook-timestamp", text));
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        altered.push(request.without(name));
    }
    delivered.refuses(&altered);
}

/// Whatever a sender does, the next one is served.
fn hostile_senders_stop_nobody(delivered: &mut Delivered) {
    let address = delivered.receiver.address();
    delivered.request.hang_up_half_way(address);
    let huge = delivered.request.with_body(&vec![b' '; 2 * 1024 * 1024]);
    let refused = huge.try_send(address).is_none_or(|status| (400..500).contains(&status));
    assert!(refused, "2 MiB were taken");
    assert_eq!(delivered.send(&delivered.request), 200);
    assert!(delivered.receiver.line().starts_with("duplicate "));
}

impl Delivered {
    fn send(&self, request: &Captured) -> u16 {
        request.try_send(self.receiver.address()).unwrap()
    }

    /// Each is answered that it is refused, and nothing of it is printed.
    fn refuses(&self, altered: &[Captured]) {
        for request in altered {
            let status = self.send(request);
            assert!([400, 401, 403].contains(&status), "{status} for {}", request.head());
        }
        assert_eq!(self.receiver.waiting_line(), None);
    }

    fn signed_at(&self, timestamp: i64) -> Captured {
        self.signed(timestamp, self.request.header("webhook-id"))
    }

    /// The same body, signed anew by the official library.
    fn signed(&self, timestamp: i64, id: &str) -> Captured {
        let signer = Webhook::new(&self.shop.secret).unwrap();
        let signature = signer.sign(id, timestamp, self.request.body.as_slice()).unwrap();
        self.request
            .with("webhook-id", id)
            .with("webhook-timestamp", &timestamp.to_string())
            .with("webhook-signature", &signature)
    }
}

fn now() -> i64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    age.as_secs().try_into().unwrap()
}
