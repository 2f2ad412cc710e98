//! Follows the log's head, and brings what this process caches up to date with it.
//!
//! The bus tells at once what replicas say; the look each half second finds what a hint lost and
//! what other processes wrote on SQLite: commands beside a running server.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::{App, listening};
use crate::bus::Topic;
use crate::store::{Result, log};

/// How often to look without having been told.
const LOOK: Duration = Duration::from_millis(500);

/// How often last uses of keys are written.
const WRITE_USES: Duration = Duration::from_secs(5);

/// Looks until it is stopped.
pub(super) async fn run(app: App, stop: CancellationToken) {
    let (mut registry, mut keys) = (app.bus.subscribe(Topic::Registry), app.bus.subscribe(Topic::Keys));
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seq = None;
    let mut written = Instant::now();
    let mut failing = false;
    let mut ring = app.vault.generation();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
            Ok(()) = registry.changed() => {}
            Ok(()) = keys.changed() => {}
        }
        look_at_ring(&app, &mut ring).await;
        let result = step(&app, &mut seq).await;
        match (&result, failing) {
            (Err(error), false) => tracing::warn!(%error, "the database can't be watched"),
            (Ok(()), true) => tracing::info!("the database is back"),
            _ => {}
        }
        failing = result.is_err();
        listening::revoke(&app);
        if written.elapsed() >= WRITE_USES {
            written = Instant::now();
            if let Err(error) = app.keys.write_uses(&app.db).await {
                tracing::debug!(%error, "last uses of keys are written later");
            }
        }
    }
}

/// Reads the master key ring again where it is in a file. `ring` is the generation that was seen.
async fn look_at_ring(app: &App, ring: &mut u64) {
    let vault = app.vault.clone();
    // A file system may be slow.
    if let Err(error) = tokio::task::spawn_blocking(move || vault.reload()).await {
        tracing::error!(%error, "looking at the master key ring failed");
    }
    let generation = app.vault.generation();
    if std::mem::replace(ring, generation) != generation {
        // Deliveries may have waited for a key that opens.
        app.bus.wake(Topic::Due);
    }
}

/// Looks once. `seq` is the last event that was seen.
async fn step(app: &App, seq: &mut Option<i64>) -> Result<()> {
    let head = log::head(&app.db).await?;
    if head.keys != app.keys.number() {
        app.keys.refresh(&app.db).await?;
    }
    let registry = app.registry.current();
    if head.registry != registry.number || registry.key_end().is_some_and(|end| end <= App::now()) {
        app.registry.refresh(&app.db).await?;
        // Deliveries may have waited for a key or for an endpoint that is back.
        app.bus.wake(Topic::Registry);
        app.bus.wake(Topic::Due);
    }
    if seq.replace(head.seq).is_some_and(|seen| seen != head.seq) {
        app.bus.wake(Topic::Log);
        app.bus.wake(Topic::Due);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::keys::{self, NewKey};
    use crate::app::webhook_keys::{self, NewWebhookKey};
    use crate::app::{Principal, schemas};
    use crate::config::{Config, Flags};
    use crate::startup::{close, open};

    const SCHEMA: &str = "name: s\nsemver: '1'\ntasktypes:\n- name: t\n  resolved_states: [done]\n";

    async fn process(folder: &std::path::Path) -> App {
        let url = format!("sqlite://{}", folder.join("a.db").display());
        crate::startup::connect(&url).await.expect("a database").migrate_up().await.expect("migrated");
        let flags = Flags { variables: vec![("DATABASE_URL", url)], dev: false };
        open(&Config::load(&flags, folder).expect("right")).await.expect("open")
    }

    #[tokio::test]
    async fn notices_what_another_process_wrote() {
        let folder = tempfile::tempdir().expect("a folder");
        let (here, there) = (process(folder.path()).await, process(folder.path()).await);
        let mut seq = None;
        step(&here, &mut seq).await.expect("looked");
        let (mut log, mut due) = (here.bus.subscribe(Topic::Log), here.bus.subscribe(Topic::Due));
        let new = NewKey { name: "k".to_owned(), ..NewKey::default() };
        keys::create(&there, &Principal::cli(), new).await.expect("made");
        schemas::install(&there, &Principal::cli(), SCHEMA, false, false).await.expect("installed");
        assert!(here.registry.current().latest("s").is_none());
        step(&here, &mut seq).await.expect("looked");
        assert!(here.registry.current().latest("s").is_some());
        assert_eq!(here.keys.number(), there.keys.number() + 1);
        assert!(log.has_changed().expect("there") && due.has_changed().expect("there"));
        log.mark_unchanged();
        due.mark_unchanged();
        step(&here, &mut seq).await.expect("looked");
        assert!(!log.has_changed().expect("there") && !due.has_changed().expect("there"));
        close(here).await.expect("closed");
        close(there).await.expect("closed");
    }

    #[tokio::test]
    async fn notices_another_master_key_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.db.master-key");
        let (old, new) = (crate::app::vault::generate(), crate::app::vault::generate());
        std::fs::write(&file, format!("old:{old}\n")).expect("written");
        let app = process(folder.path()).await;
        let due = app.bus.subscribe(Topic::Due);
        let mut ring = app.vault.generation();
        look_at_ring(&app, &mut ring).await;
        assert!(app.vault.knows("old") && !due.has_changed().expect("there"));
        std::fs::write(&file, format!("new:{new},old:{old}\n")).expect("written");
        look_at_ring(&app, &mut ring).await;
        assert!(app.vault.knows("new") && due.has_changed().expect("there"), "what waited for it is tried");
        close(app).await.expect("closed");
    }

    #[tokio::test]
    async fn notices_that_an_endpoint_is_left_without_a_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let app = process(folder.path()).await;
        let app =
            App { vault: crate::app::Vault::parse(&crate::app::vault::generate()).expect("a key"), ..app };
        let cli = Principal::cli();
        let schema = SCHEMA.replace("tasktypes", "default_hook_url: https://s.example/\ntasktypes");
        schemas::install(&app, &cli, &schema, false, false).await.expect("installed");
        let of = |rotate: bool| NewWebhookKey {
            schema: "s".to_owned(),
            rotate,
            overlap: rotate.then_some(Duration::from_millis(300)),
            ..NewWebhookKey::default()
        };
        webhook_keys::create(&app, &cli, of(false)).await.expect("made");
        let newest = webhook_keys::create(&app, &cli, of(true)).await.expect("rotated");
        webhook_keys::remove(&app, &cli, newest.info.id).await.expect("ended");
        let number = app.registry.current().number;
        assert!(app.registry.current().key_end().is_some());
        let mut seq = None;
        let left = async {
            while app.registry.current().endpoint_of("s", None).is_some_and(|e| e.is_sendable()) {
                step(&app, &mut seq).await.expect("looked");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), left).await.expect("noticed");
        assert_eq!(app.registry.current().number, number, "nobody said so");
        close(app).await.expect("closed");
    }
}
