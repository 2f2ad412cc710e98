//! Addresses and URLs that are refused, before a byte is sent.

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
