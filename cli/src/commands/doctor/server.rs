//! What can be seen of a server from elsewhere.

use std::time::Duration;

use serde_json::Value;
use task_inbox::app::App;
use task_inbox::startup::{self, Finding};
use task_inbox_domain::webhook::retry;

use super::{inbox, unseen};
use crate::api::{Address, Api, Call, Refusal};
use crate::commands::whoami;
use crate::output::text;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Looks from outside in: whether it answers, whether it works, whether this key may see more.
pub(super) async fn look(address: Address, timeout: Duration) -> anyhow::Result<Vec<Finding>> {
    let api = Api::remote(address, timeout)?;
    let mut findings = match health(&api).await {
        Ok(findings) => findings,
        Err(refusal) => return Ok(vec![Finding::failure("server", refusal.to_string())]),
    };
    match api.send(Call::get(&["me"])).await {
        Ok(me) => findings.push(Finding::ok("key", whoami::sentence(&me))),
        Err(refusal) => {
            // Whoever is refused here is refused everywhere.
            findings.push(Finding::failure("key", refusal.to_string()));
            return Ok(findings);
        }
    }
    findings.extend(inbox::look(&api).await);
    Ok(findings)
}

async fn health(api: &Api) -> Result<Vec<Finding>, Refusal> {
    let Api::Remote(remote) = api else { return Ok(Vec::new()) };
    let before = App::now();
    let (seen, date) = remote.look("/health").await?;
    let after = App::now();
    let mut findings = vec![version(remote.server(), &seen)];
    findings.push(match remote.look("/health/ready").await {
        Ok(_) => Finding::ok("ready", "its database answers"),
        Err(refusal) if refusal.status == Some(503) => {
            Finding::failure("ready", refusal.to_string()).advise("look at its database, and at its log")
        }
        Err(refusal) => unseen("ready", &refusal),
    });
    findings.push(match date.as_deref().and_then(|date| retry::http_date(date, after)) {
        Some(theirs) => startup::clock("the server", theirs, before, after),
        None => Finding::warning("clock", "the server's answer has no date to compare"),
    });
    Ok(findings)
}

fn version(server: &str, seen: &Value) -> Finding {
    match text(seen, "version") {
        "" => Finding::failure("server", format!("{server} does not answer as task-inbox does"))
            .advise("check the address, and the proxy in front of it"),
        VERSION => Finding::ok("server", format!("{server} is task-inbox {VERSION}")),
        other => Finding::warning("server", format!("{server} is task-inbox {other}, and this is {VERSION}"))
            .advise("use the same version"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use task_inbox::startup::Status;

    use super::*;

    #[test]
    fn another_version_is_told() {
        let judged = |seen: &Value| version("https://a.example", seen).status;
        assert_eq!(judged(&json!({"version": VERSION})), Status::Ok);
        assert_eq!(judged(&json!({"version": "0.0.0"})), Status::Warning);
        assert_eq!(judged(&json!({"status": "UP"})), Status::Failure);
    }
}
