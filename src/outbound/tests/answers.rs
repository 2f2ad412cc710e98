//! What comes back, however badly the other side behaves.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::peer::{OK, PATIENT, Peer, SHORT, dev, limits, post, request};
use crate::outbound::{Client, FailureKind, Limits};

#[tokio::test]
async fn an_answer_is_returned_as_it_is() {
    const BUSY: &[u8] = b"HTTP/1.1 503 Busy\r\nretry-after:  120 \r\nset-cookie: a=b\r\n\
        content-encoding: gzip\r\ncontent-length: 5\r\n\r\nlater";
    let (peer, mut requests) = Peer::answering(BUSY).await;
    let client = dev(PATIENT);
    let answer = post(&client, &peer.url()).await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.retry_after.as_deref(), Some("120"));
    // Not decompressed: this isn't gzip at all.
    assert_eq!(answer.body, b"later");
    assert!(!answer.truncated);

    post(&client, &peer.url()).await.unwrap();
    requests.recv().await.unwrap();
    let second = requests.recv().await.unwrap().to_lowercase();
    assert!(second.starts_with("post /hook http/1.1\r\n"));
    assert!(second.contains("user-agent: task-inbox/test\r\n"));
    for absent in ["cookie", "accept-encoding", "referer"] {
        assert!(!second.contains(absent), "{second}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (target, _) = Peer::answering(OK).await;
    let location = target.url();
    let peer = Peer::start(move |mut stream| {
        let location = location.clone();
        async move {
            let _ = request(&mut stream).await;
            let answer = format!("HTTP/1.1 307 Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let answer = post(&dev(PATIENT), &peer.url()).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(target.accepted(), 0);
}

#[tokio::test]
async fn a_probe_asks_for_nothing() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut stream| {
        let tell = tell.clone();
        async move {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") && stream.read_buf(&mut asked).await.is_ok_and(|n| n > 0) {}
            let _ = tell.send(String::from_utf8_lossy(&asked).to_lowercase());
            let _ = stream.write_all(b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\n\r\n").await;
        }
    })
    .await;
    let url = url::Url::parse(&peer.url()).unwrap();
    assert_eq!(dev(PATIENT).probe(&url).await.unwrap(), 307);
    let asked = told.recv().await.unwrap();
    assert!(asked.starts_with("head /hook http/1.1\r\n"), "{asked}");
    assert!(!asked.contains("webhook-") && !asked.contains("content-length"), "{asked}");
    // Under the same policy as a webhook.
    let strict = Client::with_allow_nets([], limits(PATIENT), "task-inbox/test").unwrap();
    assert_eq!(strict.probe(&url).await.unwrap_err().kind, FailureKind::AddressRefused);
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_probe_has_a_deadline() {
    let peer = Peer::start(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let url = url::Url::parse(&peer.url()).unwrap();
    assert_eq!(dev(SHORT).probe(&url).await.unwrap_err().kind, FailureKind::Timeout);
}

/// Sends `head`, then as much as the other side takes, and tells how much that was.
async fn flood(head: &'static str) -> (Peer, mpsc::UnboundedReceiver<usize>) {
    let (tell, told) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut stream| {
        let tell = tell.clone();
        async move {
            let _ = request(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
            let mut sent = 0;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {
                sent += 4096;
            }
            let _ = tell.send(sent);
        }
    })
    .await;
    (peer, told)
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_its_connection_dropped() {
    for head in ["HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        let (peer, mut told) = flood(head).await;
        let answer = post(&dev(PATIENT), &peer.url()).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, vec![b'x'; 16 * 1024]);
        assert!(answer.truncated);
        // The peer's writing ends only when its connection does. Buffers take some megabytes.
        let sent = told.recv().await.unwrap();
        assert!(sent < 50_000_000, "{sent} bytes were taken");
    }
}

#[tokio::test]
async fn an_answer_of_just_the_limit_is_whole() {
    for (limit, kept, truncated) in [(3, "ok", false), (2, "ok", false), (1, "o", true)] {
        let (peer, _requests) = Peer::answering(OK).await;
        let limits = Limits { body_limit: limit, ..limits(PATIENT) };
        let client = Client::dev(limits, "test").unwrap();
        let answer = post(&client, &peer.url()).await.unwrap();
        assert_eq!(answer.body, kept.as_bytes());
        assert_eq!(answer.truncated, truncated);
    }
}

#[tokio::test]
async fn beyond_the_limit_nothing_is_waited_for() {
    // Just the limit, and then silence on an open connection.
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let peer = Peer::start(|mut stream| async move {
        let _ = request(&mut stream).await;
        let answer = [HEAD, &[b'x'; 16 * 1024]].concat();
        let _ = stream.write_all(&answer).await;
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let answer = post(&dev(PATIENT), &peer.url()).await.unwrap();
    assert_eq!(answer.body.len(), 16 * 1024);
    assert!(answer.truncated);
}

#[tokio::test]
async fn a_slow_drip_ends_at_the_deadline() {
    let (closed, is_closed) = oneshot::channel();
    let closed = std::sync::Mutex::new(Some(closed));
    let peer = Peer::start(move |mut stream| {
        let closed = closed.lock().unwrap().take();
        async move {
            let _ = request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n").await;
            let mut drip = tokio::time::interval(Duration::from_millis(5));
            while stream.write_all(b"x").await.is_ok() {
                drip.tick().await;
            }
            let _ = closed.unwrap().send(());
        }
    })
    .await;
    let start = Instant::now();
    let failure = post(&dev(SHORT), &peer.url()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.detail.contains("200"), "{}", failure.detail);
    assert!(failure.elapsed >= SHORT && failure.elapsed <= start.elapsed());
    is_closed.await.unwrap();
}

#[tokio::test]
async fn a_drip_of_headers_ends_at_the_deadline() {
    let peer = Peer::start(|mut stream| async move {
        let _ = request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        let mut drip = tokio::time::interval(Duration::from_millis(5));
        while stream.write_all(b"a: b\r\n").await.is_ok() {
            drip.tick().await;
        }
    })
    .await;
    let failure = post(&dev(SHORT), &peer.url()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let peer = Peer::start(|mut stream| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let failure = post(&dev(SHORT), &peer.url()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.detail, "no answer within 150ms");
}

#[tokio::test]
async fn broken_answers_are_protocol_failures() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnope\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\u{0}\u{1}\u{2}",
        "",
    ] {
        let peer = Peer::start(move |mut stream| async move {
            let _ = request(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let failure = post(&dev(PATIENT), &peer.url()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Protocol, "{answer:?}: {failure}");
        assert!(!failure.detail.contains("/hook"), "{failure}");
    }
}

#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut stream| {
        let tell = tell.clone();
        async move {
            let _ = request(&mut stream).await;
            let _ = tell.send("asked");
            let mut sink = Vec::new();
            let _ = stream.read_to_end(&mut sink).await;
            let _ = tell.send("closed");
        }
    })
    .await;
    let client = dev(PATIENT);
    let url = peer.url();
    tokio::select! {
        _ = post(&client, &url) => unreachable!("nobody answers"),
        event = told.recv() => assert_eq!(event, Some("asked")),
    }
    assert_eq!(told.recv().await, Some("closed"));
}
