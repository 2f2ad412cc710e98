//! The API over the network.
//!
//! Whatever answers in place of the server (a proxy's page, another service, another version) is
//! told apart from it, and no answer's text may bring the key to the terminal.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::call::Repeat;
use super::failure::{self, Failure};
use super::{Call, Refusal, Reply};

/// How often a request is made that may be repeated.
const ATTEMPTS: u32 = 4;
/// The wait before a lost request's first repetition; it doubles.
const BACKOFF: Duration = Duration::from_millis(200);
/// A server that asks for a longer pause is told about, not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// No stream lasts longer.
const LONGEST_STREAM: Duration = Duration::from_hours(24);
/// Nothing that the API answers is near this.
const MAX_BODY: usize = 64 * 1024 * 1024;

const API_KEY: HeaderName = HeaderName::from_static("api-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A server, and the key for it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) server: Url,
    pub(crate) api_key: String,
}

/// A way to a server.
pub(crate) struct Remote {
    client: reqwest::Client,
    /// The server's address, without a slash at its end.
    server: String,
    api_key: String,
    key_header: HeaderValue,
    timeout: Duration,
}

/// What came of one attempt that did not succeed.
enum Setback {
    /// The server asks for a pause.
    Busy(Duration, Refusal),
    /// The request may have arrived.
    Lost(Refusal),
    /// It is no use to repeat it.
    Final(Refusal),
}

impl Remote {
    pub(crate) fn new(address: Address, timeout: Duration) -> anyhow::Result<Self> {
        let Address { server, api_key } = address;
        let mut key_header = HeaderValue::from_str(&api_key)
            .ok()
            .filter(|_| api_key.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or_else(|| {
                Refusal::new("the API key holds characters that no key has; check where it comes from")
            })?;
        key_header.set_sensitive(true);
        let mut client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(timeout);
        if server.scheme() == "http" {
            // Whoever needs no certificates need not have any.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|e| Refusal::new(failure::of_client(&e)))?;
        let server = server.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, server, api_key, key_header, timeout })
    }

    /// Where it goes.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Makes one request, again if it may be and that is of use.
    pub(crate) async fn send(&self, call: Call) -> Result<Reply, Refusal> {
        let idempotency_key = (call.repeat == Repeat::Keyed).then(|| Uuid::now_v7().to_string());
        let may_repeat = call.repeat != Repeat::Never;
        let mut attempt = 1;
        loop {
            let (pause, refusal) = match self.attempt(&call, idempotency_key.as_deref()).await {
                Ok(reply) => return Ok(reply),
                Err(Setback::Final(refusal)) => return Err(refusal.without(&self.api_key)),
                Err(Setback::Busy(pause, refusal)) => (pause, refusal),
                Err(Setback::Lost(refusal)) => (BACKOFF * 2_u32.pow(attempt - 1), refusal),
            };
            if !may_repeat || attempt == ATTEMPTS || pause > LONGEST_PAUSE {
                return Err(refusal.without(&self.api_key));
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at a path that needs no key; returns the answer and its date.
    pub(crate) async fn look(&self, path: &str) -> Result<(Value, Option<String>), Refusal> {
        let failed = |e: &reqwest::Error| {
            Refusal::new(failure::of(e, &self.server, self.timeout.as_secs_f64()).message)
        };
        let answer =
            self.client.get(format!("{}{path}", self.server)).send().await.map_err(|e| failed(&e))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.map_err(|e| failed(&e))?;
        let date = headers.get(DATE).and_then(|v| v.to_str().ok()).map(str::to_owned);
        match self.read(status, &headers, body).await {
            Ok(reply) => Ok((reply.json, date)),
            Err(Setback::Busy(_, refusal) | Setback::Lost(refusal) | Setback::Final(refusal)) => Err(refusal),
        }
    }

    /// Posts JSON and returns the answer as it begins, which may be a stream of events; says why there is none. However
    /// long it lasts: whoever reads it knows when it is too long.
    pub(crate) async fn stream(
        &self,
        path: &str,
        headers: HeaderMap,
        body: String,
    ) -> Result<reqwest::Response, String> {
        let request = self.client.post(format!("{}{path}", self.server)).headers(headers).body(body);
        let request = request
            .timeout(LONGEST_STREAM)
            .header(API_KEY, self.key_header.clone())
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("task-inbox-cli/", env!("CARGO_PKG_VERSION")));
        let answer = tokio::time::timeout(self.timeout, request.send()).await;
        let seconds = self.timeout.as_secs_f64();
        let answer = answer.map_err(|_| format!("{} did not answer within {seconds} s", self.server))?;
        answer.map_err(|e| failure::of(&e, &self.server, seconds).message)
    }

    /// The same refusal, which can't hold the key.
    pub(crate) fn hide_key(&self, refusal: Refusal) -> Refusal {
        refusal.without(&self.api_key)
    }

    async fn attempt(&self, call: &Call, idempotency_key: Option<&str>) -> Result<Reply, Setback> {
        let url = format!("{}{}", self.server, call.target);
        let mut request = self.client.request(call.method.clone(), url);
        request = request
            .header(API_KEY, self.key_header.clone())
            .header(ACCEPT, "application/json, application/problem+json")
            .header(USER_AGENT, concat!("task-inbox-cli/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(key) = idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some((media_type, body)) = &call.body {
            request = request.header(CONTENT_TYPE, *media_type).body(body.clone());
        }
        let failed = |error: &reqwest::Error| {
            let failure = failure::of(error, &self.server, self.timeout.as_secs_f64());
            let Failure { mut message, arrived, passing } = failure;
            if arrived && call.repeat != Repeat::Safe {
                message.push_str("; whether it was done is not known: look before you repeat it");
            }
            let refusal = Refusal::new(message);
            if passing { Setback::Lost(refusal) } else { Setback::Final(refusal) }
        };
        let mut answer = request.send().await.map_err(|e| failed(&e))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| failed(&e))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return Err(Setback::Final(Refusal::new(format!("{} answered without end", self.server))));
            }
        }
        self.read(status, &headers, body.into()).await
    }

    /// Reads an answer, if it is one of ours.
    async fn read(&self, status: u16, headers: &HeaderMap, body: Bytes) -> Result<Reply, Setback> {
        let refuse =
            |message: String| Err(Setback::Final(Refusal { status: Some(status), ..Refusal::new(message) }));
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if (300..400).contains(&status) {
            let to = text(LOCATION);
            return refuse(format!(
                "{} sends on to {to}; give the address that it really has as --server",
                self.server
            ));
        }
        let media_type = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_owned();
        let is_ours = matches!(
            (media_type.as_str(), status),
            ("application/json", 200..300) | ("application/problem+json", 400..600)
        );
        let Some(json) = is_ours.then(|| serde_json::from_slice::<Value>(&body).ok()).flatten() else {
            let what =
                if media_type.is_empty() { "nothing that says what it is".to_owned() } else { media_type };
            return refuse(format!(
                "{} answered {status} with {what}, which is no answer of task-inbox; check the address, and the proxy \
                 in front of it",
                self.server
            ));
        };
        if status < 300 {
            return Ok(Reply { status, json, body });
        }
        let refusal = Refusal::of_problem(status, &json);
        let said = refusal.message.clone();
        let pause = text(RETRY_AFTER).parse().ok().map(Duration::from_secs);
        Err(match (status, pause) {
            (401 | 403, _) => Setback::Final(refusal.saying(format!(
                "{} refused the key: {said}; `task-inbox whoami` shows whose it is, `task-inbox login` keeps another",
                self.server
            ))),
            (429, pause) => {
                let when = pause.map_or_else(|| "later".to_owned(), |p| format!("in {} s", p.as_secs()));
                Setback::Final(refusal.saying(format!("{said}; try again {when}")))
            }
            (503, Some(pause)) if refusal.is_maintenance => Setback::Busy(pause, refusal.until(pause)),
            (503, Some(pause)) => {
                let message = format!("{said} (the server asks to wait {} s)", pause.as_secs());
                Setback::Busy(pause, refusal.saying(message))
            }
            (400 | 404 | 405, _) => Setback::Final(self.unless_of_another_version(refusal).await),
            _ => Setback::Final(refusal),
        })
    }

    /// A path or parameter that the server doesn't know may be one of another version.
    async fn unless_of_another_version(&self, refusal: Refusal) -> Refusal {
        let health = self.client.get(format!("{}/health", self.server)).send().await;
        let Ok(health) = health else { return refusal };
        let Ok(body) = health.bytes().await else { return refusal };
        let health: Value = serde_json::from_slice(&body).unwrap_or_default();
        match health["version"].as_str() {
            Some(version) if version != VERSION => {
                let message = format!(
                    "{} (the server is task-inbox {version} and this is {VERSION}: use the same version)",
                    refusal.message
                );
                refusal.saying(message)
            }
            _ => refusal,
        }
    }
}
