//! An event as the webhook that an endpoint would get, posted to a developer's machine until it is taken, or
//! refused for good.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use task_inbox::app::{App, vault};
use task_inbox_domain::event::head_body;
use task_inbox_domain::webhook::signing::{self, HMAC_PREFIX, HeadKey, HmacKey};
use url::Url;

use super::Listen;
use crate::api::{Refusal, client_failure, connection_failure};
use crate::output::{Usage, note, text, warn};

/// How long an attempt may take, as with an endpoint.
const DEADLINE: Duration = Duration::from_secs(15);
/// The wait after an attempt that failed; it doubles, up to the longest. Shorter than with an endpoint:
/// somebody sits there and mends what fails.
const WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How many times an event may be refused for good before the next one has its turn.
const MOST_REFUSALS: u32 = 3;

/// Where webhooks are forwarded to, and how they prove where they come from.
pub(super) struct Forward {
    client: reqwest::Client,
    url: Url,
    proof: Proof,
}

enum Proof {
    /// A signature; whether the key was made here.
    Signature(HmacKey, bool),
    /// A key in a header.
    Header(HeaderName, HeaderValue),
}

/// What came of an event.
pub(super) enum Outcome {
    /// It was taken: what was answered.
    Taken(String),
    /// It was refused again and again, and given up.
    Passed(String),
}

/// What came of one attempt.
enum Attempt {
    Taken(String),
    /// Worth another one, however long it takes.
    Failed(String),
    /// The receiver answers, and does not want this event.
    Refused(String),
}

/// Whether an answer is about the event and not about the moment.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
}

/// Reads the address.
pub(super) fn target(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err("must be an address such as http://localhost:3000/hook".to_owned())
    }
}

/// Checks a header's name.
pub(super) fn header(name: &str) -> Result<String, String> {
    signing::check_header_name(name).map(|()| name.to_owned())
}

impl Forward {
    pub(super) fn new(url: &Url, args: &Listen) -> anyhow::Result<Self> {
        let proof = match (&args.header, &args.key, &args.secret) {
            (Some(name), Some(key), _) => {
                // What is wrong with a secret is said without quoting it, as an argument would be.
                let key = HeadKey::parse(key).map_err(|e| Usage(format!("--key: {e}")))?;
                let mut value = HeaderValue::from_str(key.expose())?;
                value.set_sensitive(true);
                Proof::Header(HeaderName::from_bytes(name.as_bytes())?, value)
            }
            (_, _, Some(secret)) => {
                let key = HmacKey::parse(secret.trim()).map_err(|e| Usage(format!("--secret: {e}")))?;
                Proof::Signature(key, false)
            }
            _ => Proof::Signature(HmacKey::parse(&format!("{HMAC_PREFIX}{}", vault::generate()))?, true),
        };
        // As with an endpoint, nothing is followed; and what is on this machine needs no proxy.
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            .no_proxy();
        if url.scheme() == "http" {
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|e| Refusal::new(client_failure(&e)))?;
        Ok(Self { client, url: url.clone(), proof })
    }

    /// What a developer has to know of it.
    pub(super) fn about(&self) -> String {
        let url = &self.url;
        match &self.proof {
            Proof::Signature(key, true) => {
                format!("forwarding to {url}, signed with {}: give it to the receiver", key.expose())
            }
            Proof::Signature(_, false) => {
                format!("forwarding to {url}, signed with the secret that was given")
            }
            Proof::Header(name, _) => format!("forwarding to {url}, with the key in {name}"),
        }
    }

    /// The secret, if it was made here.
    pub(super) fn made_secret(&self) -> Option<&str> {
        match &self.proof {
            Proof::Signature(key, true) => Some(key.expose()),
            _ => None,
        }
    }

    /// Posts an event, again and again until it is taken. What comes after it waits, as with an endpoint that
    /// gets a task's events in order; but an event that the receiver refuses is not to block all others for
    /// ever.
    pub(super) async fn deliver(&self, envelope: &str, event: &Value) -> anyhow::Result<Outcome> {
        let id = format!("evt_{}", text(&event["data"], "event_id"));
        let body = self.body(envelope)?;
        let (mut wait, mut attempts, mut refusals) = (WAIT, 1_u32, 0_u32);
        loop {
            match self.attempt(&id, &body).await? {
                Attempt::Taken(answer) => {
                    if attempts > 1 {
                        note(&format!("{id} was taken after {attempts} attempts"));
                    }
                    return Ok(Outcome::Taken(answer));
                }
                Attempt::Refused(why) => {
                    refusals += 1;
                    if refusals == MOST_REFUSALS {
                        warn(&format!(
                            "{id} is passed over: {why}, {refusals} times; an endpoint would get it again for two days"
                        ));
                        return Ok(Outcome::Passed(why));
                    }
                }
                // Once, and then when it has become quiet for a while: not a line for each attempt.
                Attempt::Failed(why) if attempts == 1 || wait == LONGEST_WAIT && attempts % 12 == 0 => {
                    warn(&format!(
                        "{id} was not taken: {why}; trying again until it is, and nothing passes it"
                    ));
                }
                Attempt::Failed(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            attempts += 1;
        }
    }

    fn body(&self, envelope: &str) -> anyhow::Result<Bytes> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let text = match &self.proof {
            Proof::Signature(..) => envelope.to_owned(),
            Proof::Header(..) => {
                let Envelope { data } = serde_json::from_str(envelope).context("an event can't be read")?;
                head_body(data.get())
            }
        };
        Ok(text.into())
    }

    async fn attempt(&self, id: &str, body: &Bytes) -> anyhow::Result<Attempt> {
        let mut headers = HeaderMap::new();
        let timestamp = App::now().as_secs();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("task-inbox/", env!("CARGO_PKG_VERSION"))));
        headers.insert("webhook-id", HeaderValue::from_str(id).context("an event's id can't be sent")?);
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        match &self.proof {
            Proof::Signature(key, _) => {
                let signature = signing::sign(key, id, timestamp, body);
                headers.insert("webhook-signature", HeaderValue::from_str(&signature)?);
            }
            Proof::Header(name, value) => {
                headers.insert(name.clone(), value.clone());
            }
        }
        let begun = Instant::now();
        let request = self.client.post(self.url.clone()).headers(headers).body(body.clone());
        let place = self.url.origin().ascii_serialization();
        let lost = |error: &reqwest::Error| {
            if error.is_timeout() {
                format!("{place} did not answer within {} s", DEADLINE.as_secs())
            } else {
                connection_failure(error, &place)
            }
        };
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Attempt::Failed(lost(&error))),
        };
        let status = answer.status();
        // An answer counts when all of it is there; what it says is of no interest.
        loop {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Ok(Attempt::Failed(lost(&error))),
            }
        }
        if status.is_success() {
            let taken = format!("{} in {} ms", status.as_u16(), begun.elapsed().as_millis());
            return Ok(Attempt::Taken(taken));
        }
        let why = format!("{place} answered {status}");
        Ok(if is_refusal(status.as_u16()) { Attempt::Refused(why) } else { Attempt::Failed(why) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_no_refusal() {
        assert!([400, 401, 404, 410, 422].into_iter().all(is_refusal));
        assert!(![200, 308, 408, 425, 429, 500, 503].into_iter().any(is_refusal));
    }

    #[test]
    fn what_is_no_address_or_header_is_refused() {
        assert!(target("http://localhost:3000/hook").is_ok());
        for text in ["localhost:3000", "ftp://a.example", "", "http://"] {
            assert!(target(text).is_err(), "{text}");
        }
        assert!(header("Host").is_err() && header("ti-key").is_ok());
    }
}
