//! Whether endpoints and guards can be reached: by a connection as the dispatcher would make it, under the same policy,
//! that asks for nothing and sends no webhook.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use url::Url;

use super::findings::Finding;
use super::policy;
use crate::config::Config;
use crate::outbound::{self, AddressRefused, Client, FailureKind, Limits, Policy, SystemResolver};

/// How many are tried at once.
const AT_ONCE: usize = 16;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries each address once.
///
/// # Errors
///
/// The client can't be made.
pub async fn reach(config: &Config, urls: &[Url]) -> anyhow::Result<Vec<Finding>> {
    let limits = Limits { deadline: PATIENCE, ..Limits::default() };
    let agent = concat!("task-inbox/", env!("CARGO_PKG_VERSION"));
    let client = Client::new(policy(config), limits, agent)?;
    let tries = urls.iter().map(|url| one(&client, url));
    Ok(futures_util::stream::iter(tries).buffered(AT_ONCE).collect().await)
}

async fn one(client: &Client, url: &Url) -> Finding {
    match client.probe(url).await {
        Ok(status) => answered(url, status),
        Err(failure) if failure.kind == FailureKind::AddressRefused => {
            let address = outbound::refused(client.policy(), &SystemResolver::default(), url).await;
            refused(url, address.as_ref())
        }
        Err(failure) => failed(url, failure.kind, &failure.detail),
    }
}

/// Where something is, without what may be secret.
pub fn place(url: &str) -> &str {
    url.split_once('?').map_or(url, |(before, _)| before)
}

/// Whatever is answered to a HEAD, somebody is there; but nobody follows a redirect.
fn answered(url: &Url, status: u16) -> Finding {
    let place = place(url.as_str());
    if (300..400).contains(&status) {
        return Finding::warning(
            "reach",
            format!("{place} sends on to elsewhere ({status}), which no webhook follows"),
        )
        .advise("set the address that it leads to");
    }
    Finding::ok("reach", format!("{place} is there"))
}

fn refused(url: &Url, address: Option<&AddressRefused>) -> Finding {
    let place = place(url.as_str());
    let Some(AddressRefused { ip, class }) = address else {
        return Finding::failure("reach", format!("{place} leads to an address that webhooks may not reach"));
    };
    let net = match *ip {
        IpAddr::V4(ip) => format!("{ip}/32"),
        IpAddr::V6(ip) => format!("{ip}/128"),
    };
    let dev = if Policy::dev().permits(*ip) { "; `serve --dev` opens loopback" } else { "" };
    Finding::failure(
        "reach",
        format!("{place} leads to {ip}, which is {class}, and webhooks may not go there"),
    )
    .advise(format!("if that is meant, set TASK_INBOX_ALLOW_NETS={net} for every server{dev}"))
}

fn failed(url: &Url, kind: FailureKind, detail: &str) -> Finding {
    // A peer that hangs up in the middle of it has a port, but no TLS there.
    let kind = if detail.contains("tls handshake") { FailureKind::Tls } else { kind };
    let (what, advice) = match kind {
        FailureKind::Dns => {
            ("has a name that can't be resolved", "check the name, and this machine's resolver")
        }
        FailureKind::Connect => {
            ("takes no connection", "start the receiver; check the port, and firewalls between")
        }
        FailureKind::Timeout => {
            ("does not answer in time", "look at the receiver, and at firewalls that drop packets")
        }
        FailureKind::Tls => (
            "makes no secure connection that can be trusted",
            "renew its certificate, or add its authority (SSL_CERT_FILE); without TLS it is an http:// address",
        ),
        FailureKind::Protocol => ("does not speak HTTP", "check the port"),
        FailureKind::AddressRefused | FailureKind::Url => {
            ("is no address for webhooks", "change it where it is declared")
        }
    };
    Finding::failure("reach", format!("{} {what} ({detail})", place(url.as_str()))).advise(advice)
}

#[cfg(test)]
mod tests {
    use super::super::findings::Status;
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn each_way_to_fail_has_its_advice() {
        let hook = url("https://a.example/hook?token=secret");
        for kind in [FailureKind::Dns, FailureKind::Connect, FailureKind::Timeout, FailureKind::Tls] {
            let found = failed(&hook, kind, "why");
            assert!(found.status == Status::Failure && found.advice.is_some());
            assert!(found.detail.contains("(why)") && !found.detail.contains("token"), "{found}");
        }
        assert_eq!([200, 404, 405, 500].map(|s| answered(&hook, s).status), [Status::Ok; 4]);
        assert_eq!(answered(&hook, 308).status, Status::Warning);
    }

    #[tokio::test]
    async fn a_refused_address_is_named_with_the_setting_that_opens_it() {
        let client = Client::new(Policy::new([]), Limits::default(), "test").expect("a client");
        for (text, net, dev) in [
            ("http://10.1.2.3/hook", "TASK_INBOX_ALLOW_NETS=10.1.2.3/32", false),
            ("http://[::1]:5001/hook", "TASK_INBOX_ALLOW_NETS=::1/128", true),
            ("http://localhost:5001/hook", "TASK_INBOX_ALLOW_NETS=", true),
        ] {
            let found = one(&client, &url(text)).await;
            assert_eq!(found.status, Status::Failure, "{found}");
            let advice = found.advice.expect("there is some");
            assert!(advice.contains(net) && advice.contains("--dev") == dev, "{advice}");
        }
    }
}
