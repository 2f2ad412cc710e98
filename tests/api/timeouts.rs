//! Time-outs: what becomes of tasks that nobody decides.

use serde_json::{Value, json};
use task_inbox::app::maintenance::{self, NewMaintenance};
use task_inbox::app::{Principal, schemas, timeouts};
use task_inbox::store::Engine;

use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(
    what_nobody_decides_goes_where_its_type_says,
    a_decision_in_time_stands,
    many_that_are_over_at_once_all_end_once,
    nothing_ends_during_maintenance,
);

const SCHEMA: &str = "
name: agents
semver: '1'
tasktypes:
- name: run
  pending_states: [look]
  resolved_states: [allow, deny]
  reason_required: [deny]
  timeouts: {after: 1s, final_state: deny}
- name: ask
  resolved_states: [yes-do]
  timeouts: {after: 1s}
- name: later
  resolved_states: [yes-do]
  timeouts: {after: 1h, final_state: yes-do}
";

async fn server(engine: Engine) -> Server {
    let server = Server::start(engine).await;
    schemas::install(&server.app, &Principal::cli(), SCHEMA, false, false).await.expect("installs");
    server
}

async fn post(server: &Server, task: &str) -> Value {
    server.post(&json!({"schema_name": "agents", "task": task})).await.ok(201)["task"].clone()
}

async fn ended(server: &Server, task: &Value) -> Value {
    let id = task["id"].as_str().expect("an id");
    server.get(&format!("/api/v1/tasks/{id}/wait?timeout=30s")).await.ok(200)["task"].clone()
}

async fn what_nobody_decides_goes_where_its_type_says(engine: Engine) {
    let server = server(engine).await;
    let (run, ask) = (post(&server, "run").await, post(&server, "ask").await);
    assert!(run["expires_at"].as_str() > run["created"].as_str());
    let denied = ended(&server, &run).await;
    assert_eq!(
        (&denied["state"], &denied["phase"], denied.get("expires_at")),
        (&json!("deny"), &json!("resolved"), None)
    );
    let expired = ended(&server, &ask).await;
    assert_eq!((&expired["state"], &expired["phase"]), (&Value::Null, &json!("expired")));
    let id = run["id"].as_str().expect("an id");
    let history = server.get(&format!("/api/v1/tasks/{id}/history")).await.ok(200)["history"].clone();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&history[1]["actor"]["kind"], &history[1]["reason"], &history[1]["state"]),
        (&json!("system"), &json!("nobody decided it within 1s"), &json!("deny"))
    );
    let events = server.get("/api/v1/events?type=task.expired").await.ok(200)["events"].clone();
    assert_eq!(events[0]["data"]["task"]["id"], ask["id"]);
    server.decide(&ask, "yes-do").send().await.problem(409);
    // The type says so to whoever shows its tasks.
    let types = server.get("/api/v1/tasks?schema=agents&ttype=run").await.ok(200)["types"].clone();
    let ttype = types.as_object().and_then(|types| types.values().next()).expect("one type");
    assert_eq!(ttype["timeouts"], json!({"after": "1s", "expires": false, "final_state": "deny"}));
}

async fn a_decision_in_time_stands(engine: Engine) {
    let server = server(engine).await;
    let run = post(&server, "run").await;
    let allowed = server.decide(&run, "allow").send().await.ok(200)["task"].clone();
    assert!(allowed.get("expires_at").is_none());
    // One that is posted later has ended by then.
    ended(&server, &post(&server, "run").await).await;
    assert_eq!(ended(&server, &run).await, allowed);
}

async fn many_that_are_over_at_once_all_end_once(engine: Engine) {
    const TASKS: usize = 600;
    let server = server(engine).await;
    for _ in 0..TASKS / 100 {
        futures_util::future::join_all((0..100).map(|_| post(&server, "later"))).await;
    }
    // The server's own clockwork and two more, as on other replicas.
    server.sql("UPDATE tasks SET expires_at = 1 WHERE ttype = 'later'").await;
    let (one, two) = tokio::join!(timeouts::end_due(&server.app), timeouts::end_due(&server.app));
    one.expect("ends them");
    two.expect("ends them");
    let left = server.rows("SELECT CAST(count(*) AS text) FROM tasks WHERE phase <> 'resolved'").await;
    assert_eq!(left, ["0"]);
    let told =
        server.rows("SELECT CAST(count(*) AS text) FROM events WHERE kind = 'task.state_changed'").await;
    assert_eq!(told, [TASKS.to_string()]);
}

async fn nothing_ends_during_maintenance(engine: Engine) {
    let server = server(engine).await;
    let cli = Principal::cli();
    let (held, free) = (post(&server, "later").await, server.refund().await);
    let scope = |schema: Option<&str>| NewMaintenance {
        schema: schema.map(str::to_owned),
        ..NewMaintenance::default()
    };
    for schema in [Some("agents"), None] {
        maintenance::begin(&server.app, &cli, scope(schema)).await.expect("begins");
        server.sql("UPDATE tasks SET expires_at = 1 WHERE ttype = 'later'").await;
        assert_eq!(timeouts::end_due(&server.app).await.expect("looks"), 0);
        assert_eq!(server.get("/api/v1/tasks?phase=resolved").await.ok(200)["tasks"], json!([]));
        maintenance::end(&server.app, &cli, schema).await.expect("ends");
        if schema.is_none() {
            assert_eq!(ended(&server, &held).await["state"], "yes-do");
        }
        server.app.registry.refresh(&server.app.db).await.expect("read");
    }
    assert_eq!(free["phase"], "open");
}
