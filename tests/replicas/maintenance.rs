//! Maintenance holds on every replica: for tasks at once, for all else within a second.

use std::time::Instant;

use task_inbox_testkit::{Database, Installation, Postgres};

use crate::deployment::{NOTICED, Replica, administrator, until};

const SCHEMA: &str = "name: shop\nsemver: '1'\ntasktypes:\n- name: refund\n  resolved_states: [paid]\n";

const TASK: &str = r#"{"schema_name":"shop","task":"refund"}"#;

#[tokio::test]
async fn maintenance_holds_everywhere() {
    let cluster = Postgres::start().await.expect("a cluster");
    let database = cluster.create_database().await.expect("a database");
    let folder = tempfile::tempdir().expect("a folder");
    let installation = Installation::new(folder.path(), Database::Postgres(cluster.url(&database)))
        .expect("the binary is built");
    installation.cli(&["migrate", "up"]).await.expect("migrated");
    let file = folder.path().join("shop.yml");
    std::fs::write(&file, SCHEMA).expect("written");
    installation.cli(&["taskschema", &file.display().to_string()]).await.expect("installed");
    let key = administrator(&installation).await;
    let mut here = Replica::start(&installation, "here", &key).await;
    let mut there = Replica::start(&installation, "there", &key).await;
    let id = here.ask("POST", "/api/v1/tasks", TASK).await["task"]["id"].clone();
    let decide = format!("/api/v1/tasks/{}/state?state=paid", id.as_str().expect("an id"));
    for round in 0..6 {
        if round % 2 == 0 {
            here.ask("PUT", "/api/v1/maintenance", r#"{"message":"Back at noon."}"#).await;
        } else {
            // A command tells nobody; the servers look.
            installation.cli(&["maintenance", "on", "--message", "Back at noon."]).await.expect("begun");
        }
        let begun = Instant::now();
        // Exact: not one more, however soon.
        for (method, path, body) in [("POST", "/api/v1/tasks", TASK), ("PATCH", decide.as_str(), "")] {
            let (status, problem) = there.ask_as(&key, method, path, body).await;
            assert_eq!(
                (status, problem["detail"].as_str()),
                (503, Some("Back at noon.")),
                "{method}: {problem}"
            );
        }
        let new = r#"{"name":"ci"}"#;
        until("keys are made no more", async || {
            there.ask_as(&key, "POST", "/api/v1/api-keys", new).await.0 == 503
        })
        .await;
        assert!(begun.elapsed() < NOTICED, "round {round}: {:?}", begun.elapsed());
        there.ask("GET", "/api/v1/tasks", "").await;
        there.ask("GET", "/health/ready", "").await;
        if round == 4 {
            // Who starts meanwhile holds to it from the first request on.
            let mut late = Replica::start(&installation, "late", &key).await;
            assert_eq!(late.ask_as(&key, "POST", "/api/v1/api-keys", new).await.0, 503);
        }
        here.ask("DELETE", "/api/v1/maintenance", "").await;
        let ended = Instant::now();
        until("tasks are taken again", async || {
            there.ask_as(&key, "POST", "/api/v1/tasks", TASK).await.0 == 201
        })
        .await;
        assert!(ended.elapsed() < NOTICED, "round {round}: {:?}", ended.elapsed());
    }
}
