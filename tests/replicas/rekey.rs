//! A new master key is brought in, and the old one taken out, while webhooks are delivered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use task_inbox_testkit::signature::Secret;
use task_inbox_testkit::{Database, Installation, Postgres, Receiver};

use crate::deployment::{NOTICED, Replica, SOON, administrator, replace, until};

const OLD: &str = "old:b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZC0=";
const NEW: &str = "new:bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0=";

fn with_ring(folder: &Path, database: Database, ring: &str) -> (Installation, PathBuf) {
    let path = folder.join(ring);
    replace(&path, OLD);
    let installation = Installation::new(folder, database).expect("the binary is built");
    let file = path.display().to_string();
    (installation.with("TASK_INBOX_MASTER_KEY", "").with("TASK_INBOX_MASTER_KEY_FILE", &file), path)
}

/// Installs a schema whose webhooks go to the receiver, which knows its key.
async fn install(installation: &Installation, folder: &Path, receiver: &Receiver) {
    let schema = format!(
        "name: s\nsemver: '1'\ndefault_hook_url: {}\ntasktypes:\n- name: t\n  resolved_states: [done]\n",
        receiver.url("/hook")
    );
    let file = folder.join("schema.yml");
    std::fs::write(&file, schema).expect("written");
    installation.cli(&["taskschema", &file.display().to_string()]).await.expect("installed");
}

/// Makes the schema's webhook key; the receiver believes nothing else.
async fn webhook_key(replica: &mut Replica, receiver: &Receiver) {
    let made = replica.ask("POST", "/api/v1/webhook-keys", r#"{"schema":"s"}"#).await;
    receiver.expect_secret("/hook", Secret::parse(made["key"].as_str().expect("a key")).expect("a key"));
}

/// Posts a task and decides it, which makes one delivery.
async fn decide(replica: &mut Replica) -> Value {
    let posted = replica.ask("POST", "/api/v1/tasks", r#"{"schema_name":"s","task":"t"}"#).await;
    let id = posted["task"]["id"].as_str().expect("an id");
    replica.ask("PATCH", &format!("/api/v1/tasks/{id}/state?state=done"), "").await
}

async fn held(replica: &mut Replica) -> Value {
    replica.ask("GET", "/api/v1/endpoints", "").await["endpoints"][0]["held"].clone()
}

/// Moves everything to the first key of the replica's ring, which must be this one.
async fn rekey(replica: &mut Replica, first: &str) {
    let body = r#"{"limit":1}"#;
    let took = until("the new ring is read", async || {
        replica.ask("POST", "/api/v1/webhook-keys/rekey", body).await["master_key_id"] == first
    })
    .await;
    assert!(took < NOTICED, "{took:?}");
    until("all are moved", async || {
        replica.ask("POST", "/api/v1/webhook-keys/rekey", body).await["remaining"] == 0
    })
    .await;
}

#[tokio::test]
async fn the_master_key_changes_while_two_servers_deliver() {
    let cluster = Postgres::start().await.expect("a cluster");
    let database = Database::Postgres(cluster.url(&cluster.create_database().await.expect("a database")));
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await.expect("a receiver");
    let (here, here_ring) = with_ring(folder.path(), database.clone(), "here.ring");
    let (there, there_ring) = with_ring(folder.path(), database.clone(), "there.ring");
    here.cli(&["migrate", "up"]).await.expect("migrated");
    install(&here, folder.path(), &receiver).await;
    let key = administrator(&here).await;
    let mut replicas =
        [Replica::start(&here, "here", &key).await, Replica::start(&there, "there", &key).await];
    webhook_key(&mut replicas[0], &receiver).await;
    let mut decided = 0;
    let both = format!("{NEW},{OLD}");
    for step in 0..5 {
        match step {
            1 => {
                // One after the other, as machines are.
                replace(&here_ring, &both);
                replace(&there_ring, &both);
            }
            2 => rekey(&mut replicas[0], "new").await,
            3 => {
                // Under way with the old key in their hands, all have read the new one by now.
                replace(&here_ring, NEW);
                replace(&there_ring, NEW);
                for replica in &replicas {
                    until("the ring is read", async || {
                        replica.logged().matches("read the master key ring").count() == 2
                    })
                    .await;
                }
            }
            _ => {}
        }
        for replica in &mut replicas {
            for _ in 0..10 {
                decide(replica).await;
                decided += 1;
            }
            assert_eq!(held(replica).await, Value::Null);
        }
    }
    assert!(receiver.wait_for_count(decided, SOON).await, "{} of {decided}", receiver.count());
    let journal = receiver.journal();
    assert!(journal.iter().all(|a| a.is_authentic == Some(true) && a.status == Some(200)), "unsigned");
    assert_eq!(journal.len(), decided, "each once");
    let stored =
        database.query("SELECT DISTINCT master_key_id AS id FROM endpoint_secrets").await.expect("read");
    assert_eq!(stored, [json!({"id": "new"})]);
    let failed = "SELECT count(*) AS n FROM attempts WHERE outcome <> 'delivered'";
    assert_eq!(database.query(failed).await.expect("read"), [json!({"n": 0})]);
    // And a server starts with the new key alone.
    let mut fresh = Replica::start(&here, "fresh", &key).await;
    assert_eq!(held(&mut fresh).await, Value::Null);
}

#[tokio::test]
async fn without_the_master_key_deliveries_wait_and_say_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await.expect("a receiver");
    let database = Database::Sqlite(folder.path().join("inbox.db"));
    let (installation, ring) = with_ring(folder.path(), database, "ring");
    installation.cli(&["migrate", "up"]).await.expect("migrated");
    install(&installation, folder.path(), &receiver).await;
    let key = administrator(&installation).await;
    let mut server = Replica::start(&installation, "server", &key).await;
    webhook_key(&mut server, &receiver).await;
    decide(&mut server).await;
    assert!(receiver.wait_for_count(1, SOON).await, "see {}", server.server.log().display());

    // Somebody takes the old key out too early.
    replace(&ring, NEW);
    let took = until("it is noticed", async || held(&mut server).await == "no_master_key").await;
    assert!(took < NOTICED, "{took:?}");
    decide(&mut server).await;
    until("it is said in the log", async || server.logged().contains("which is not in the ring of")).await;
    until("it waits, and says why", async || {
        let list = server.ask("GET", "/api/v1/deliveries?status=pending", "").await;
        let waiting = &list["deliveries"][0];
        waiting["reason"] == "no_master_key" && waiting["attempts"] == 0
    })
    .await;
    // A ring that is none is not taken.
    replace(&ring, "nonsense");
    until("it is said in the log", async || server.logged().contains("can't be read again")).await;
    assert_eq!(held(&mut server).await, "no_master_key");
    assert_eq!(receiver.count(), 1);

    replace(&ring, &format!("{NEW},{OLD}"));
    assert!(receiver.wait_for_count(2, SOON).await, "what waited goes out by itself");
    rekey(&mut server, "new").await;
    replace(&ring, NEW);
    until("the ring is read", async || server.logged().matches("read the master key ring").count() == 3)
        .await;
    decide(&mut server).await;
    assert!(receiver.wait_for_count(3, SOON).await, "signed with what was moved");
    assert!(receiver.journal().iter().all(|a| a.is_authentic == Some(true)));
    until("all three are delivered", async || {
        let list = server.ask("GET", "/api/v1/deliveries?status=delivered", "").await;
        list["deliveries"].as_array().map(Vec::len) == Some(3)
    })
    .await;
    assert_eq!(server.server.terminate(Duration::from_secs(20)).await.expect("it ends").code(), Some(0));
}
