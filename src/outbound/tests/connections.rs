//! How connections are made, shared and missed.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{OK, PATIENT, Peer, SHORT, Stub, dev, limits, post};
use crate::outbound::{Client, FailureKind, Limits, Policy, Resolve as _, SystemResolver};

#[tokio::test]
async fn a_connection_is_used_again() {
    let (peer, _requests) = Peer::answering(OK).await;
    let client = dev(PATIENT);
    for _ in 0..3 {
        assert_eq!(post(&client, &peer.url()).await.unwrap().body, b"ok");
    }
    assert_eq!(peer.accepted(), 1);
    // A clone shares the pool, another client doesn't.
    post(&client.clone(), &peer.url()).await.unwrap();
    assert_eq!(peer.accepted(), 1);
    post(&dev(PATIENT), &peer.url()).await.unwrap();
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn a_closed_port_is_a_connect_failure() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url = format!("http://{address}/secret?token=1");
    let failure = post(&dev(PATIENT), &url).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect, "{failure}");
    assert!(failure.detail.contains("refused"), "{failure}");
    assert!(!failure.detail.contains("token"), "{failure}");
}

#[tokio::test]
async fn a_handshake_with_something_else_is_a_tls_failure() {
    let peer = Peer::start(|mut stream| async move {
        let mut hello = [0; 16];
        let _ = stream.read_exact(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let url = format!("https://{}/", peer.address);
    let failure = post(&dev(PATIENT), &url).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Tls, "{failure}");
}

#[tokio::test]
async fn connecting_has_a_limit_of_its_own() {
    let peer = Peer::start(|mut stream| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let limits = Limits { connect_timeout: SHORT, ..limits(PATIENT) };
    let client = Client::dev(limits, "test").unwrap();
    let url = format!("https://{}/", peer.address);
    let failure = post(&client, &url).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout, "{failure}");
    assert!(failure.elapsed < Duration::from_secs(10));
}

#[tokio::test]
async fn a_name_is_resolved_and_stays_the_host() {
    let (peer, mut requests) = Peer::answering(OK).await;
    let stub = Stub::answering(&["127.0.0.1"]);
    let client = stub.client(Policy::dev(), PATIENT);
    assert_eq!(post(&client, &peer.named()).await.unwrap().status, 200);
    let request = requests.recv().await.unwrap();
    assert!(request.contains(&format!("host: hooks.test:{}\r\n", peer.address.port())));
    // The pooled connection needs no second lookup.
    post(&client, &peer.named()).await.unwrap();
    assert_eq!(stub.asked(), 1);
}

#[tokio::test]
async fn a_silent_resolver_ends_at_the_deadline() {
    let client = Stub::silent().client(Policy::dev(), SHORT);
    let failure = post(&client, "http://hooks.test/").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_dns_failure() {
    let client = Stub::answering(&[]).client(Policy::dev(), PATIENT);
    let failure = post(&client, "http://hooks.test/").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{failure}");
    assert!(failure.detail.contains("no addresses"), "{failure}");
}

#[tokio::test]
async fn the_system_resolves_localhost() {
    let resolver = SystemResolver::default();
    // Joined while under way, and asked anew when that is over.
    let (first, second) = tokio::join!(resolver.resolve("localhost"), resolver.resolve("localhost"));
    assert_eq!(first.unwrap(), second.unwrap());
    let third = resolver.resolve("localhost").await.unwrap();
    assert!(!third.is_empty() && third.iter().all(std::net::IpAddr::is_loopback));

    let (peer, _requests) = Peer::answering(OK).await;
    let url = format!("http://localhost:{}/", peer.address.port());
    assert_eq!(post(&dev(PATIENT), &url).await.unwrap().status, 200);
}

const ORIGIN: &str = "OUTBOUND_TEST_ORIGIN";

/// Runs itself in a process whose environment names a proxy: changing one's own is unsafe.
#[test]
fn proxies_of_the_environment_are_ignored() {
    if let Ok(url) = std::env::var(ORIGIN) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async { post(&dev(PATIENT), &url).await });
        assert_eq!(answer.unwrap().status, 200);
        return;
    }
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let this_test =
        format!("{}::proxies_of_the_environment_are_ignored", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &this_test]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, &proxy_url);
    }
    let address = origin.local_addr().unwrap();
    child.env(ORIGIN, format!("http://{address}/"));
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    child.env_remove("REQUEST_METHOD");
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = origin.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        stream.write_all(OK).unwrap();
    });
    let output = child.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
    answering.join().unwrap();
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_err(), "the proxy was asked");
}
