//! One POST: a hard deadline over all of it, and a bounded answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect;
use url::{Host, Url};

use super::address::Policy;
use super::failure::{Cause, Failure, FailureKind, of_lookup, of_request, of_url};
use super::resolve::{Filtered, Resolve, SystemResolver};
use super::target::check_url;
use super::threads::Threads;

/// How long an unused connection is kept. Shorter than the 5 s after which the common servers
/// close theirs, or a request now and then would meet a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

/// How often, and how long, an HTTP/2 connection in use may be silent: many requests share it, and
/// a dead one would take all of them down until somebody notices.
const PING: Duration = Duration::from_secs(5);

/// HTTP/2 lets a peer send this much of an answer that nobody reads yet (per request and per
/// connection). The library's megabytes are meant for downloads.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// `Retry-After` is a date or a number; a longer value is neither and is not kept.
const LONGEST_RETRY_AFTER: usize = 64;

/// What an attempt may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For resolving, connecting and the TLS handshake.
    pub connect_timeout: Duration,
    /// For the whole attempt, the answer's body included.
    pub deadline: Duration,
    /// Bytes of the answer's body that are read and kept.
    pub body_limit: usize,
    /// Unused connections that are kept for each host.
    pub max_idle_per_host: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(15),
            body_limit: 16 * 1024,
            max_idle_per_host: 32,
        }
    }
}

/// A complete answer, or the beginning of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, of whatever class: redirects are not followed.
    pub status: u16,
    /// `Retry-After`, as sent.
    pub retry_after: Option<String>,
    /// The body, at most [`Limits::body_limit`] bytes, never decompressed.
    pub body: Vec<u8>,
    /// The body filled the limit without being known to end there; its connection was dropped.
    pub truncated: bool,
    /// From the call to the last byte read.
    pub elapsed: Duration,
}

/// The client can't be made.
#[derive(Debug, thiserror::Error)]
#[error("the client for webhooks can't be made (is ca-certificates installed?)")]
pub struct BuildError(#[source] reqwest::Error);

/// A pool of connections under one policy. Cloning shares the pool.
///
/// The policy is fixed because a pooled connection is not judged again: when the allow-list
/// changes, make another client and drop this one.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    names: Filtered,
    limits: Limits,
    threads: Threads,
}

impl Client {
    /// A client that resolves names with the system and trusts the system's certificates
    /// (`SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded).
    pub fn new(policy: Policy, limits: Limits, user_agent: &str) -> Result<Self, BuildError> {
        let resolver = Arc::new(SystemResolver::default());
        Self::with_resolver(policy, limits, user_agent, resolver)
    }

    /// A client that may reach public addresses and loopback.
    pub fn dev(limits: Limits, user_agent: &str) -> Result<Self, BuildError> {
        Self::new(Policy::dev(), limits, user_agent)
    }

    /// A client that may reach public addresses and these networks.
    pub fn with_allow_nets(
        allow_nets: impl IntoIterator<Item = IpNet>,
        limits: Limits,
        user_agent: &str,
    ) -> Result<Self, BuildError> {
        Self::new(Policy::new(allow_nets), limits, user_agent)
    }

    /// A client that takes its addresses from `resolver`, each of which is judged all the same.
    pub fn with_resolver(
        policy: Policy,
        limits: Limits,
        user_agent: &str,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, BuildError> {
        install_crypto_provider();
        let names = Filtered { policy, resolver };
        let http = reqwest::Client::builder()
            .user_agent(user_agent)
            .dns_resolver(names.clone())
            .redirect(redirect::Policy::none())
            // A proxy resolves and connects for us, past every check in this module.
            .no_proxy()
            .connect_timeout(limits.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(limits.max_idle_per_host)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .build()
            .map_err(BuildError)?;
        Ok(Self { http, names, limits, threads: Threads::default() })
    }

    /// The policy, for checking a URL before it is stored.
    pub fn policy(&self) -> &Policy {
        &self.names.policy
    }

    /// Looks up where a URL leads right now, and sends nothing. That it may be reached now proves
    /// nothing for later: each connection is judged again.
    ///
    /// # Errors
    ///
    /// [`FailureKind::AddressRefused`] or [`FailureKind::Url`] if nothing would be sent there,
    /// [`FailureKind::Dns`] or [`FailureKind::Timeout`] if it is not known.
    pub async fn look_up(&self, url: &Url, patience: Duration) -> Result<(), Failure> {
        let start = Instant::now();
        let fail = |(kind, detail): Cause| Failure { kind, detail, elapsed: start.elapsed() };
        check_url(self.policy(), url).map_err(|error| fail(of_url(&error)))?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        match tokio::time::timeout(patience, self.names.permitted(name)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(fail(of_lookup(&*error))),
            Err(_) => {
                Err(fail((FailureKind::Timeout, format!("{name} was not looked up within {patience:?}"))))
            }
        }
    }

    /// Posts `body` and reads the answer. Dropping the future cancels the attempt and closes its
    /// connection.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        self.post_within(url, headers, body, self.limits.deadline).await
    }

    /// The same with another hard deadline over all of it.
    pub async fn post_within(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        let start = Instant::now();
        // What is known of the answer's status when the attempt is cut off; 0: nothing.
        let status = Arc::new(AtomicU16::new(0));
        let (client, url, told) = (self.clone(), url.clone(), status.clone());
        let attempt =
            self.threads.spawn(async move { client.attempt(&url, headers, body, start, &told).await });
        let (kind, detail) = match tokio::time::timeout(deadline, attempt).await {
            Ok(Ok(Ok(answer))) => return Ok(answer),
            Ok(Ok(Err(cause))) => cause,
            Ok(Err(broken)) => (FailureKind::Protocol, format!("the attempt broke off: {broken}")),
            Err(_) => {
                let status = Some(status.load(Ordering::Relaxed)).filter(|status| *status != 0);
                (FailureKind::Timeout, overdue(deadline, status))
            }
        };
        Err(Failure { kind, detail, elapsed: start.elapsed() })
    }

    /// Connects as [`Client::post`] does and asks for nothing (HEAD): what is answered, of whatever class.
    pub async fn probe(&self, url: &Url) -> Result<u16, Failure> {
        let start = Instant::now();
        let (client, url) = (self.clone(), url.clone());
        let attempt = self.threads.spawn(async move {
            check_url(client.policy(), &url).map_err(|error| of_url(&error))?;
            let response = client.http.head(url).send().await.map_err(of_request)?;
            Ok(response.status().as_u16())
        });
        let (kind, detail) = match tokio::time::timeout(self.limits.deadline, attempt).await {
            Ok(Ok(Ok(status))) => return Ok(status),
            Ok(Ok(Err(cause))) => cause,
            Ok(Err(broken)) => (FailureKind::Protocol, format!("the attempt broke off: {broken}")),
            Err(_) => (FailureKind::Timeout, overdue(self.limits.deadline, None)),
        };
        Err(Failure { kind, detail, elapsed: start.elapsed() })
    }

    /// `status` is told as soon as it is known, for who sees the attempt cut off.
    async fn attempt(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        start: Instant,
        status: &AtomicU16,
    ) -> Result<Answer, Cause> {
        check_url(self.policy(), url).map_err(|error| of_url(&error))?;
        let request = self.http.post(url.clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(of_request)?;
        let code = response.status().as_u16();
        status.store(code, Ordering::Relaxed);
        let retry_after = retry_after(response.headers());
        let (body, truncated) = read(&mut response, self.limits.body_limit).await?;
        Ok(Answer { status: code, retry_after, body, truncated, elapsed: start.elapsed() })
    }
}

fn overdue(deadline: Duration, status: Option<u16>) -> String {
    match status {
        Some(status) => format!("the answer ({status}) was not complete within {deadline:?}"),
        None => format!("no answer within {deadline:?}"),
    }
}

/// Reads up to `limit` bytes, and whether there may be more. What isn't read is never fetched: a
/// response that is dropped before its end takes its connection (or HTTP/2 stream) with it.
async fn read(response: &mut reqwest::Response, limit: usize) -> Result<(Vec<u8>, bool), Cause> {
    let announced = response.content_length();
    let mut body = Vec::new();
    while body.len() < limit {
        let Some(chunk) = response.chunk().await.map_err(of_request)? else {
            return Ok((body, false));
        };
        let room = limit - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body, true));
        }
        body.extend_from_slice(&chunk);
    }
    // Not waiting to see whether more comes: a body that ends just here without having said so is
    // rarer than a sender that never stops.
    let complete = announced == u64::try_from(limit).ok();
    Ok((body, !complete))
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    (value.len() <= LONGEST_RETRY_AFTER).then(|| value.to_owned())
}

/// Makes ring the process's provider of cryptography, unless there is one already. Programs do so
/// first of all; [`Client::new`] makes sure of it.
pub fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, with the same outcome.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
