//! `doctor`: looks at everything that an inbox hangs on, and says for each what to do.
//!
//! Beside the database it sees settings, database and network (`task_inbox::startup` looks, and judges);
//! over the network what the API tells (`server`). What waits, what was given up and what is missing is
//! asked of the API in both cases (`inbox`, `endpoints`, `deliveries`).
//!
//! An address is shown without its query, in which receivers like to have a token.

mod deliveries;
mod endpoints;
mod inbox;
mod server;

use serde_json::{Value, json};
use task_inbox::config::Inspection;
use task_inbox::startup::{self, Finding, Status};

use super::config;
use crate::api::{Api, Refusal};
use crate::output::{Answer, Cell, Table, list, text};
use crate::target::{Target, Where};

pub(crate) async fn run(place: &Where) -> anyhow::Result<Answer> {
    let findings = match place.target()? {
        Target::Database => beside_the_database(place).await?,
        Target::Server(address) => server::look(address, place.timeout).await?,
    };
    Ok(answer(&findings))
}

async fn beside_the_database(place: &Where) -> anyhow::Result<Vec<Finding>> {
    let inspection = Inspection::of(&place.flags(), &std::env::current_dir()?);
    let mut findings = configuration(&inspection);
    if inspection.config.is_err() {
        return Ok(findings);
    }
    let config = place.quiet_config()?;
    findings.extend(startup::examine(&config).await);
    // Without a database that is there and up to date, there is nobody to ask.
    let is_there = |f: &Finding| f.check == "database" && f.status == Status::Ok;
    if !findings.iter().any(is_there) {
        return Ok(findings);
    }
    let api = match Api::local(&config).await {
        Ok(api) => api,
        Err(error) => {
            findings.push(Finding::failure("inbox", format!("{error:#}")));
            return Ok(findings);
        }
    };
    findings.extend(inbox::look(&api).await);
    let urls = endpoints::urls(&api).await;
    api.close().await?;
    findings.extend(startup::reach(&config, &urls).await?);
    Ok(findings)
}

fn configuration(inspection: &Inspection) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let mut findings = match &inspection.config {
        Ok(_) => vec![Finding::ok(CHECK, "every setting reads")],
        Err(errors) => errors.0.iter().map(|wrong| Finding::failure(CHECK, wrong.to_string())).collect(),
    };
    findings.extend(config::oddities(inspection).into_iter().map(|what| Finding::warning(CHECK, what)));
    findings
}

/// What could not be looked at.
fn unseen(check: &'static str, refusal: &Refusal) -> Finding {
    match refusal.status {
        // Not knowing is no fault of the inbox.
        Some(401 | 403) => Finding::warning(check, format!("this was not looked at: {refusal}"))
            .advise("a key with more permissions sees more"),
        _ => Finding::failure(check, refusal.to_string()),
    }
}

fn answer(findings: &[Finding]) -> Answer {
    let is_ok = findings.iter().all(|finding| finding.status != Status::Failure);
    let document = |f: &Finding| json!({"check": f.check, "status": f.status.as_str(), "detail": f.detail, "advice": f.advice});
    let json = json!({"ok": is_ok, "checks": findings.iter().map(document).collect::<Vec<Value>>()});
    let row = |finding: &Value| {
        let mut rows = vec![vec![
            Cell::status(text(finding, "status")),
            text(finding, "check").into(),
            text(finding, "detail").into(),
        ]];
        if finding["advice"].is_string() {
            rows.push(vec!["".into(), "".into(), format!("-> {}", text(finding, "advice")).into()]);
        }
        rows
    };
    let rows = list(&json, "checks").iter().flat_map(row);
    let table = Table::new(&["status", "check", "what"]).whole().rows(rows).to_text();
    Answer::painted(json, table).ok(is_ok)
}
