//! The other side: a socket that does what a test says, and a client to try on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use url::Url;

use crate::outbound::{Answer, Client, Failure, Limits, Policy, Resolve, Resolving};

pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Far beyond what a test takes: none waits for it.
pub(super) const PATIENT: Duration = Duration::from_mins(1);

/// What a test waits for at most, where waiting is the point.
pub(super) const SHORT: Duration = Duration::from_millis(150);

pub(super) fn limits(deadline: Duration) -> Limits {
    Limits { connect_timeout: PATIENT, deadline, ..Limits::default() }
}

pub(super) fn dev(deadline: Duration) -> Client {
    Client::dev(limits(deadline), "task-inbox/test").unwrap()
}

pub(super) async fn post(client: &Client, url: &str) -> Result<Answer, Failure> {
    let url = Url::parse(url).unwrap();
    let body = Bytes::from_static(b"{\"a\": 1}");
    client.post(&url, HeaderMap::new(), body).await
}

/// A listener on loopback that tells how often it accepted.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Peer {
    /// Runs `behave` on each connection.
    pub(super) async fn start<F, R>(behave: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(behave(stream));
            }
        });
        Self { address, accepted }
    }

    /// Answers each request with these bytes and keeps the connection; requests are told.
    pub(super) async fn answering(answer: &'static [u8]) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (tell, told) = mpsc::unbounded_channel();
        let peer = Self::start(move |mut stream| {
            let tell = tell.clone();
            async move {
                while let Ok(request) = request(&mut stream).await {
                    let _ = tell.send(request);
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        (peer, told)
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The same place by a name that only a stub knows.
    pub(super) fn named(&self) -> String {
        format!("http://hooks.test:{}/hook", self.address.port())
    }
}

/// Reads one request with the body that [`post`] sends.
pub(super) async fn request(stream: &mut TcpStream) -> io::Result<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"{\"a\": 1}") {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    String::from_utf8(request).map_err(io::Error::other)
}

/// Resolves every name to these addresses, or never.
pub(super) struct Stub {
    addresses: Option<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Stub {
    pub(super) fn answering(addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self { addresses: Some(addresses), asked: AtomicUsize::new(0) })
    }

    pub(super) fn silent() -> Arc<Self> {
        Arc::new(Self { addresses: None, asked: AtomicUsize::new(0) })
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn client(self: &Arc<Self>, policy: Policy, deadline: Duration) -> Client {
        let resolver = Arc::clone(self) as Arc<dyn Resolve>;
        Client::with_resolver(policy, limits(deadline), "task-inbox/test", resolver).unwrap()
    }
}

impl Resolve for Stub {
    fn resolve(&self, _host: &str) -> Resolving {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.addresses.clone() {
            Some(addresses) => Box::pin(async { Ok(addresses) }),
            None => Box::pin(std::future::pending()),
        }
    }
}
