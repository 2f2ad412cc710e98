//! Addresses and URLs that are refused, before a byte is sent.

use std::time::Duration;

use url::Url;

use super::peer::{OK, PATIENT, Peer, Stub, dev, limits, post};
use crate::outbound::{Client, FailureKind, Policy};

#[tokio::test]
async fn loopback_is_refused_without_being_allowed() {
    let (peer, _requests) = Peer::answering(OK).await;
    let closed = Client::new(Policy::default(), limits(PATIENT), "test").unwrap();
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"] {
        let url = format!("http://{host}:{}/", peer.address.port());
        let failure = post(&closed, &url).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::AddressRefused, "{failure}");
        assert!(failure.detail.contains("loopback"), "{failure}");
    }
    assert_eq!(peer.accepted(), 0);

    let nets = ["127.0.0.0/8".parse().unwrap()];
    let open = Client::with_allow_nets(nets, limits(PATIENT), "test").unwrap();
    assert_eq!(post(&open, &peer.url()).await.unwrap().status, 200);
}

#[tokio::test]
async fn one_refused_address_refuses_them_all() {
    let (peer, _requests) = Peer::answering(OK).await;
    for (addresses, policy) in [
        (&["8.8.8.8", "10.0.0.1"][..], Policy::default()),
        (&["10.0.0.1"], Policy::default()),
        (&["8.8.8.8", "::ffff:169.254.169.254"], Policy::default()),
        // The first could be connected to, and isn't.
        (&["127.0.0.1", "10.0.0.1"], Policy::dev()),
        (&["127.0.0.1", "64:ff9b::a00:1"], Policy::dev()),
    ] {
        let client = Stub::answering(addresses).client(policy, PATIENT);
        let failure = post(&client, &peer.named()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::AddressRefused, "{addresses:?}");
        assert!(failure.detail.starts_with("the address "), "{failure}");
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn the_resolver_is_not_asked_for_an_address() {
    let stub = Stub::answering(&["8.8.8.8"]);
    let client = stub.client(Policy::default(), PATIENT);
    for url in ["http://169.254.169.254/", "https://[fd00::1]/"] {
        let failure = post(&client, url).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::AddressRefused);
    }
    assert_eq!(stub.asked(), 0);
}

#[tokio::test]
async fn other_urls_are_refused_as_such() {
    for url in ["ftp://example.com/", "http://user:pw@example.com/"] {
        let failure = post(&dev(PATIENT), url).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Url, "{failure}");
        assert!(!failure.detail.contains("pw"), "{failure}");
    }
}

#[tokio::test]
async fn a_lookup_judges_and_sends_nothing() {
    let (peer, _requests) = Peer::answering(OK).await;
    let url = |text: &str| Url::parse(text).unwrap();
    let named = url(&peer.named());
    for (addresses, kind) in [
        (&["8.8.8.8"][..], None),
        (&["8.8.8.8", "10.0.0.1"], Some(FailureKind::AddressRefused)),
        (&["127.0.0.1"], Some(FailureKind::AddressRefused)),
        (&[], Some(FailureKind::Dns)),
    ] {
        let client = Stub::answering(addresses).client(Policy::default(), PATIENT);
        let found = client.look_up(&named, PATIENT).await.err().map(|failure| failure.kind);
        assert_eq!(found, kind, "{addresses:?}");
    }
    let silent = Stub::silent().client(Policy::default(), PATIENT);
    let failure = silent.look_up(&named, Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout, "{failure}");
    // What needs no lookup is judged without one.
    let stub = Stub::answering(&["8.8.8.8"]);
    let client = stub.client(Policy::default(), PATIENT);
    for (text, kind) in [
        ("http://10.0.0.1/", Some(FailureKind::AddressRefused)),
        ("http://8.8.8.8/", None),
        ("ftp://example.com/", Some(FailureKind::Url)),
    ] {
        assert_eq!(client.look_up(&url(text), PATIENT).await.err().map(|f| f.kind), kind, "{text}");
    }
    assert_eq!((stub.asked(), peer.accepted()), (0, 0));
}
