//! What one replica commits is told by another; and a listener that is told to go elsewhere misses nothing there.

use serde_json::{Value, json};
use task_inbox_testkit::{Database, Installation, Postgres};

use crate::deployment::{Replica, SOON, administrator};

const TOPIC: &str = "task:create.ti:sample";
const POST: &str = r#"{"schema_name": "ti:sample", "task": "flag-content"}"#;

async fn heard(listener: &mut crate::deployment::Listener) -> Value {
    let frame = listener.frame().await;
    assert_eq!((&frame["type"], &frame["data"]["topic"]), (&json!("MESSAGE"), &json!(TOPIC)));
    serde_json::from_str(frame["data"]["message"].as_str().expect("a text")).expect("JSON")
}

#[tokio::test]
async fn listeners_of_one_replica_hear_of_the_others_commits_and_move_without_a_gap() {
    let cluster = Postgres::start().await.expect("a cluster");
    let database = cluster.create_database().await.expect("a database");
    let folder = tempfile::tempdir().expect("a folder");
    let installation = Installation::new(folder.path(), Database::Postgres(cluster.url(&database)))
        .expect("the binary is built");
    installation.cli(&["migrate", "up"]).await.expect("migrated");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/sample.yml");
    installation.cli(&["taskschema", schema]).await.expect("installed");
    let key = administrator(&installation).await;
    let mut here = Replica::start(&installation, "here", &key).await;
    let mut there = Replica::start(&installation, "there", &key).await;
    let mut third = Replica::start(&installation, "third", &key).await;

    let mut listener = there.listen(&key, TOPIC).await;
    let posted = here.ask("POST", "/api/v1/tasks", POST).await;
    let told = heard(&mut listener).await;
    assert_eq!(told["task"]["id"], posted["task"]["id"]);

    // It stops: listeners go elsewhere while others go on to write.
    let stopping = tokio::spawn(there.server.terminate(SOON));
    assert_eq!(listener.frame().await["type"], "RECONNECT");
    let between = here.ask("POST", "/api/v1/tasks", POST).await;
    let mut next = third.listen(&key, TOPIC).await;
    let after = here.ask("POST", "/api/v1/tasks", POST).await;
    assert_eq!(heard(&mut next).await["task"]["id"], after["task"]["id"]);
    // What was told before the move has a cursor, from which the log has the rest.
    let cursor = told["cursor"].as_str().expect("a cursor");
    let missed = third.ask("GET", &format!("/api/v1/events?after={cursor}&type=task.created"), "").await;
    let ids: Vec<&Value> = missed["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| &event["data"]["task"]["id"])
        .collect();
    assert_eq!(ids, [&between["task"]["id"], &after["task"]["id"]]);
    // The old connection is served until it leaves, and the server ends then.
    assert_eq!(heard(&mut listener).await["task"]["id"], between["task"]["id"]);
    assert_eq!(heard(&mut listener).await["task"]["id"], after["task"]["id"]);
    drop(listener);
    assert!(stopping.await.expect("no panic").expect("it ends").success());
}
