//! Revoking holds on every replica within a second.

use std::time::Instant;

use task_inbox_testkit::{Database, Installation, Postgres};

use crate::deployment::{NOTICED, Replica, administrator, until};

#[tokio::test]
async fn a_revoked_key_is_refused_everywhere_within_a_second() {
    let cluster = Postgres::start().await.expect("a cluster");
    let database = cluster.create_database().await.expect("a database");
    let folder = tempfile::tempdir().expect("a folder");
    let installation = Installation::new(folder.path(), Database::Postgres(cluster.url(&database)))
        .expect("the binary is built");
    installation.cli(&["migrate", "up"]).await.expect("migrated");
    let key = administrator(&installation).await;
    let mut here = Replica::start(&installation, "here", &key).await;
    let mut there = Replica::start(&installation, "there", &key).await;
    for round in 0..6 {
        let made = here.ask("POST", "/api/v1/api-keys", r#"{"name":"ci"}"#).await;
        let (id, victim) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
        assert_eq!(there.ask_as(victim, "GET", "/api/v1/tasks", "").await.0, 200, "known at once");
        let mut listens = there.listen(victim, "task:create").await;
        if round % 2 == 0 {
            here.ask("DELETE", &format!("/api/v1/api-keys/{id}"), "").await;
            // Nobody is served by the process that revoked it.
            assert_eq!(here.ask_as(victim, "GET", "/api/v1/tasks", "").await.0, 403);
        } else {
            // A command tells nobody; the servers look.
            installation.cli(&["revoke_key", id]).await.expect("revoked");
        }
        let revoked = Instant::now();
        until("it is refused", async || there.ask_as(victim, "GET", "/api/v1/tasks", "").await.0 == 403)
            .await;
        assert!(revoked.elapsed() < NOTICED, "round {round}: {:?}", revoked.elapsed());
        assert_eq!(listens.frame().await["type"], "AUTH_REVOKED");
        assert!(
            revoked.elapsed() < NOTICED,
            "round {round}: what it listened to ended after {:?}",
            revoked.elapsed()
        );
        assert_eq!(there.ask_as(victim, "GET", "/api/v1/me", "").await.0, 403, "and stays so");
    }
}
