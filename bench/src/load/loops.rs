//! The limit of delivering: the client that the service uses, signing and posting the same body
//! again and again, with no database behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::task::JoinSet;

use super::post::WARM_UP;

/// As long as the secrets that the service makes.
const SECRET: [u8; 32] = [7; 32];

/// What is posted where.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Posts {
    pub(crate) url: String,
    /// A webhook's body, as the service sends it.
    pub(crate) body: String,
    /// Posts under way at once.
    pub(crate) concurrency: usize,
    pub(crate) seconds: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Posted {
    pub(crate) per_second: f64,
}

/// A client like the service's: no redirects, no proxy.
pub(super) fn client() -> Result<reqwest::Client> {
    // The second time in a process it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?)
}

pub(super) async fn run(order: &Posts) -> Result<Posted> {
    let client = client()?;
    let url: reqwest::Url = order.url.parse()?;
    let posted = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + WARM_UP + Duration::from_secs(order.seconds);
    let mut posting = JoinSet::new();
    for number in 0..order.concurrency {
        let (client, url, body) = (client.clone(), url.clone(), order.body.clone());
        posting.spawn(post(client, url, body, number, end, Arc::clone(&posted)));
    }
    tokio::time::sleep(WARM_UP).await;
    let (begin, before) = (Instant::now(), posted.load(Ordering::Relaxed));
    tokio::time::sleep_until(end.into()).await;
    let count = posted.load(Ordering::Relaxed) - before;
    let seconds = begin.elapsed().as_secs_f64();
    while let Some(ended) = posting.join_next().await {
        ended??;
    }
    Ok(Posted { per_second: count as f64 / seconds })
}

async fn post(
    client: reqwest::Client,
    url: reqwest::Url,
    body: String,
    number: usize,
    end: Instant,
    posted: Arc<AtomicU64>,
) -> Result<()> {
    for made in 0u64.. {
        if Instant::now() >= end {
            break;
        }
        let id = format!("evt_{number}-{made}");
        let answer = signed(&client, &url, &id, &body)?.send().await?;
        ensure!(answer.status().is_success(), "the receiver answered {}", answer.status());
        // The service reads the answer too.
        answer.bytes().await?;
        posted.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn signed(
    client: &reqwest::Client,
    url: &reqwest::Url,
    id: &str,
    body: &str,
) -> Result<reqwest::RequestBuilder> {
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
    let mac = Hmac::<Sha256>::new_from_slice(&SECRET)
        .context("HMAC takes any key")?
        .chain_update(id)
        .chain_update(".")
        .chain_update(&timestamp)
        .chain_update(".")
        .chain_update(body);
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    Ok(client
        .post(url.clone())
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(body.to_owned()))
}

#[cfg(test)]
mod tests {
    use task_inbox_testkit::Receiver;
    use task_inbox_testkit::signature::Secret;

    use super::*;

    #[tokio::test]
    async fn signs_what_it_posts() {
        let receiver = Receiver::start().await.unwrap();
        let secret = Secret::parse(&format!("whsec_{}", BASE64_STANDARD.encode(SECRET)));
        receiver.expect_secret("/hook", secret.unwrap());
        let request =
            signed(&client().unwrap(), &receiver.url("/hook").parse().unwrap(), "evt_1", "{}").unwrap();
        assert!(request.send().await.unwrap().status().is_success());
        assert_eq!(receiver.journal()[0].is_authentic, Some(true));
    }
}
