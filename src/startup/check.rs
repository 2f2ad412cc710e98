//! Trying the configuration: what only shows when the database and the master key are used.

use super::{database, master_key};
use crate::config::Config;
use crate::store::secrets;

/// Everything that would keep a server from starting, or a command from working.
pub async fn check(config: &Config) -> Vec<String> {
    let mut wrong = Vec::new();
    let vault = match master_key::if_there(config) {
        Ok(Some(vault)) => Some(vault),
        // What `--dev` makes need not be there yet.
        Ok(None) if config.dev => None,
        Ok(None) => {
            wrong.push(format!("{:#}", master_key::missing()));
            None
        }
        Err(error) => {
            wrong.push(format!("{error:#}"));
            None
        }
    };
    let db = match open(config).await {
        Ok(db) => db,
        Err(_) if config.dev && database::must_exist(&config.database_url).is_err() => return wrong,
        Err(error) => {
            wrong.push(format!("{error:#}"));
            return wrong;
        }
    };
    if let Some(vault) = vault {
        match secrets::all(&db).await {
            Ok(all) => {
                let refused =
                    all.iter().filter_map(|s| vault.open(s.id, &s.master_key_id, &s.ciphertext).err());
                // Keys that lack the same master key are one mistake.
                let mut refused: Vec<_> = refused.map(|e| e.to_string()).collect();
                refused.sort();
                refused.dedup();
                wrong.extend(refused);
            }
            Err(error) => wrong.push(error.to_string()),
        }
    }
    let _ = db.close().await;
    wrong
}

async fn open(config: &Config) -> anyhow::Result<crate::store::Db> {
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
