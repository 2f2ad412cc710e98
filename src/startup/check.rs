//! Trying the configuration: what only shows when the database and the master key are used.
//!
//! [`check`] says what would keep a server from starting; [`examine`] goes on to what would keep it from
//! working well.

use super::findings::{Finding, Status};
use super::{condition, database, master_key};
use crate::app::Vault;
use crate::config::Config;
use crate::export;
use crate::store::{Db, secrets};

/// Everything that would keep a server from starting, or a command from working.
pub async fn check(config: &Config) -> Vec<String> {
    let (findings, db) = basics(config).await;
    if let Some(db) = db {
        let _ = db.close().await;
    }
    let failures = findings.into_iter().filter(|f| f.status == Status::Failure);
    failures.map(|finding| finding.to_string()).collect()
}

/// The same, and in what condition the database is. What can't be looked at without it is left out.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let (mut findings, db) = basics(config).await;
    if let Some(db) = db {
        findings.extend(condition::look(&db).await);
        let _ = db.close().await;
    }
    if let Some(url) = &config.export_url {
        findings.push(match export::look(url).await {
            Ok(()) => Finding::ok("export", "JetStream answers"),
            Err(error) => Finding::failure("export", error),
        });
    }
    findings
}

/// The master key, the database and whether one opens what is in the other.
async fn basics(config: &Config) -> (Vec<Finding>, Option<Db>) {
    let mut findings = Vec::new();
    let failed = |check, error: &anyhow::Error| Finding::failure(check, format!("{error:#}"));
    let vault = match master_key::if_there(config) {
        Ok(Some(vault)) => Some(vault),
        Ok(None) if config.dev => {
            findings.push(Finding::ok("master key", "there is none yet; `serve --dev` makes one"));
            None
        }
        Ok(None) => {
            findings.push(failed("master key", &master_key::missing()));
            None
        }
        Err(error) => {
            findings.push(failed("master key", &error));
            None
        }
    };
    let db = match open(config).await {
        Ok(db) => db,
        // What `--dev` makes need not be there yet.
        Err(error) if config.dev && database::must_exist(&config.database_url).is_err() => {
            findings.push(Finding::warning("database", format!("{error:#}")));
            return (findings, None);
        }
        Err(error) => {
            findings.push(failed("database", &error));
            return (findings, None);
        }
    };
    findings.push(Finding::ok("database", "it is there and up to date"));
    if let Some(vault) = vault {
        findings.extend(opens(&vault, &db).await);
    }
    (findings, Some(db))
}

/// Whether the ring opens every webhook key.
async fn opens(vault: &Vault, db: &Db) -> Vec<Finding> {
    let all = match secrets::all(db).await {
        Ok(all) => all,
        Err(error) => return vec![Finding::failure("master key", error.to_string())],
    };
    let refused = all.iter().filter_map(|s| vault.open(s.id, &s.master_key_id, &s.ciphertext).err());
    // Keys that lack the same master key are one mistake.
    let mut refused: Vec<_> = refused.map(|e| e.to_string()).collect();
    refused.sort();
    refused.dedup();
    if refused.is_empty() {
        return vec![Finding::ok("master key", format!("it opens all webhook keys ({})", all.len()))];
    }
    refused.into_iter().map(|error| Finding::failure("master key", error)).collect()
}

async fn open(config: &Config) -> anyhow::Result<Db> {
    database::must_exist(&config.database_url)?;
    let db = database::connect(&config.database_url).await?;
    match database::must_be_current(&db).await {
        Ok(()) => Ok(db),
        Err(error) => {
            let _ = db.close().await;
            Err(error)
        }
    }
}
