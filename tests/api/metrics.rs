//! What Prometheus reads.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::json;
use task_inbox::app::{Principal, schemas};
use task_inbox::http::Settings;
use task_inbox::measure;
use task_inbox::store::Engine;
use tokio::sync::Mutex;

use crate::on_both_engines;
use crate::server::Server;

on_both_engines!(
    what_waits_is_told_by_the_state_of_its_endpoint,
    without_its_database_it_tells_nothing_of_it,
    it_can_be_switched_off,
);

/// One collection for the process: what one test has told, another must not read.
static ONE: Mutex<()> = Mutex::const_new(());

/// Samples by name and labels, as the text format has them.
fn samples(text: &str) -> HashMap<String, f64> {
    let mut samples = HashMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        samples.insert(name.to_owned(), value.parse().expect(line));
    }
    samples
}

async fn what_waits_is_told_by_the_state_of_its_endpoint(engine: Engine) {
    let _alone = ONE.lock().await;
    measure::collect();
    let server = Server::start(engine).await;
    let schema = "name: m\nsemver: 1\ndefault_hook_url: https://m.example/hook\nhook_events: [task.created]\n\
                  tasktypes: [{name: t, resolved_states: [r]}]";
    schemas::install(&server.app, &Principal::cli(), schema, false, false).await.expect("installs");
    for _ in 0..3 {
        server.post(&json!({"schema_name": "m", "task": "t"})).await.ok(201);
    }
    // As a scraper of OpenMetrics asks, who takes no JSON.
    let asked = server.bare(Method::GET, "/metrics").header("accept", "text/plain;version=0.0.4");
    let answer = asked.send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"), "Prometheus asks for it");
    let samples = samples(&String::from_utf8_lossy(&answer.bytes));
    let sample = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("no {name} in {samples:#?}"));
    assert!((sample(r#"task_inbox_deliveries_waiting{endpoint_state="active"}"#) - 3.0).abs() < 0.1);
    assert!(sample(r#"task_inbox_deliveries_oldest_age_seconds{endpoint_state="active"}"#) > 0.0);
    assert!(sample(r#"task_inbox_deliveries_waiting{endpoint_state="paused"}"#).abs() < 0.1);
    assert!(sample("task_inbox_log_seq") >= 3.0 && sample("task_inbox_database_up") > 0.5);
    assert!(sample("task_inbox_commit_batch_size_count") >= 1.0);
    assert!(sample(r#"task_inbox_commit_duration_seconds_bucket{le="+Inf"}"#) >= 1.0);
    assert!(samples.keys().any(|name| name.starts_with("task_inbox_database_connections{")));
    match engine {
        Engine::Postgres => {
            sample(r#"task_inbox_database_dead_tuples{table="deliveries"}"#);
            sample("task_inbox_database_oldest_transaction_seconds");
        }
        Engine::Sqlite => assert!(sample(r#"task_inbox_database_bytes{part="file"}"#) > 4096.0),
    }
}

async fn without_its_database_it_tells_nothing_of_it(engine: Engine) {
    let _alone = ONE.lock().await;
    measure::collect();
    let read = async |server: &Server| {
        let answer = server.bare(Method::GET, "/metrics").send().await;
        assert_eq!(answer.status, 200);
        samples(&String::from_utf8_lossy(&answer.bytes))
    };
    let told = read(&Server::start(engine).await).await;
    let of_the_database = |name: &&String| {
        [
            "deliveries_waiting",
            "deliveries_oldest",
            "log_seq",
            "database_connections",
            "endpoints",
            "replays_running",
        ]
        .iter()
        .any(|part| name.starts_with(&format!("task_inbox_{part}")))
    };
    assert!(told.keys().filter(of_the_database).count() > 5, "{told:#?}");
    let server = Server::start(engine).await;
    server.lose_database().await;
    let told = read(&server).await;
    // An old number looks like a new one.
    assert_eq!(told.keys().find(of_the_database), None);
    assert_eq!(told.get("task_inbox_database_up"), Some(&0.0));
    assert!(told.keys().any(|name| name.starts_with("task_inbox_build_info")));
}

async fn it_can_be_switched_off(engine: Engine) {
    let server = Server::with(engine, Settings { metrics: false, ..Settings::default() }).await;
    assert_eq!(server.get("/metrics").await.status, 404);
}
