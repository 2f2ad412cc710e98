//! What is counted and timed, by name: one table of all of it. Any part may count here; nothing is
//! imported but the facade, and where nobody collects (in a command), counting costs nothing.
//!
//! Names and units follow Prometheus' conventions: base units, `_total` for counters. No label has a value
//! that a stranger chooses or that grows with use.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const ATTEMPTS: &str = "task_inbox_attempts_total";
const ATTEMPT_SECONDS: &str = "task_inbox_attempt_duration_seconds";
const DELIVERY_SECONDS: &str = "task_inbox_delivery_delay_seconds";
const SETTLE_SECONDS: &str = "task_inbox_settle_duration_seconds";
const SETTLE_ROWS: &str = "task_inbox_settle_batch_size";
const LEASES_LOST: &str = "task_inbox_leases_lost_total";
const DEAD: &str = "task_inbox_deliveries_dead_total";
const BREAKERS: &str = "task_inbox_breaker_turns_total";
const CLAIM_SECONDS: &str = "task_inbox_claim_duration_seconds";
const CLAIM_ROWS: &str = "task_inbox_claim_batch_size";
const GUARDS: &str = "task_inbox_guard_questions_total";
const GUARD_SECONDS: &str = "task_inbox_guard_duration_seconds";
const COMMIT_SECONDS: &str = "task_inbox_commit_duration_seconds";
const COMMIT_ROWS: &str = "task_inbox_commit_batch_size";
const COMMIT_WAITING: &str = "task_inbox_commit_queue";
const IN_FLIGHT: &str = "task_inbox_attempts_in_flight";
const WAITING: &str = "task_inbox_deliveries_waiting";
const OLDEST: &str = "task_inbox_deliveries_oldest_age_seconds";
const ENDPOINTS: &str = "task_inbox_endpoints";
const EXPORTED: &str = "task_inbox_exported_events_total";
const EXPORT_LAG: &str = "task_inbox_export_lag_events";
const EXPORT_UP: &str = "task_inbox_export_up";
const REPLAYS: &str = "task_inbox_replays_running";
const LOG_SEQ: &str = "task_inbox_log_seq";
const POOL: &str = "task_inbox_database_connections";
const DEAD_TUPLES: &str = "task_inbox_database_dead_tuples";
const OLDEST_TRANSACTION: &str = "task_inbox_database_oldest_transaction_seconds";
const DATABASE_BYTES: &str = "task_inbox_database_bytes";
const DATABASE_UP: &str = "task_inbox_database_up";
const BUILD: &str = "task_inbox_build_info";

/// What is read from the database when somebody asks.
const OF_THE_DATABASE: &[&str] = &[
    WAITING,
    OLDEST,
    ENDPOINTS,
    REPLAYS,
    LOG_SEQ,
    EXPORT_LAG,
    POOL,
    DEAD_TUPLES,
    OLDEST_TRANSACTION,
    DATABASE_BYTES,
];

/// From a quarter of a millisecond to the longest deadline.
const SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0,
    30.0,
];
/// From at once to the end of the schedule of retries.
const DELAYS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 10_800.0, 86_400.0,
];
/// Rows of a transaction.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

static COLLECTED: OnceLock<PrometheusHandle> = OnceLock::new();

/// The number of the last event that was exported; below zero where nothing is exported, or nobody knows yet.
static EXPORTED_UP_TO: AtomicI64 = AtomicI64::new(-1);

/// Begins to collect, in this process; once is enough.
pub fn collect() {
    COLLECTED.get_or_init(|| {
        let buckets = |builder: PrometheusBuilder, name: &str, values: &[f64]| {
            builder
                .set_buckets_for_metric(Matcher::Full(name.to_owned()), values)
                .expect("the list of buckets is not empty")
        };
        let mut builder = PrometheusBuilder::new();
        for name in [ATTEMPT_SECONDS, SETTLE_SECONDS, CLAIM_SECONDS, GUARD_SECONDS, COMMIT_SECONDS] {
            builder = buckets(builder, name, SECONDS);
        }
        builder = buckets(builder, DELIVERY_SECONDS, DELAYS);
        for name in [SETTLE_ROWS, CLAIM_ROWS, COMMIT_ROWS] {
            builder = buckets(builder, name, ROWS);
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("something else collects metrics in this process");
        }
        describe();
        handle
    });
}

fn describe() {
    describe_counter!(ATTEMPTS, "Attempts at webhooks, by what came of them");
    describe_histogram!(ATTEMPT_SECONDS, Unit::Seconds, "From sending a webhook to the end of its answer");
    describe_histogram!(DELIVERY_SECONDS, Unit::Seconds, "From an event to the answer that took it");
    describe_histogram!(
        SETTLE_SECONDS,
        Unit::Seconds,
        "One transaction that writes down what became of attempts"
    );
    describe_histogram!(SETTLE_ROWS, "Attempts that one transaction settled");
    describe_counter!(LEASES_LOST, "Attempts whose lease had run out before they were settled");
    describe_counter!(DEAD, "Deliveries that were given up");
    describe_counter!(BREAKERS, "Circuit breakers that opened or closed");
    describe_histogram!(CLAIM_SECONDS, Unit::Seconds, "One look for deliveries of an endpoint that are due");
    describe_histogram!(CLAIM_ROWS, "Deliveries that one look found");
    describe_counter!(GUARDS, "Questions to guards, by what came of them");
    describe_histogram!(GUARD_SECONDS, Unit::Seconds, "From asking a guard to the end of its answer");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "One transaction of the group commit");
    describe_histogram!(COMMIT_ROWS, "Requests that one transaction of the group commit wrote");
    describe_gauge!(COMMIT_WAITING, "Requests that wait for the group commit");
    describe_gauge!(IN_FLIGHT, "Attempts under way in this process");
    describe_gauge!(WAITING, "Live deliveries, by the state of their endpoint");
    describe_gauge!(OLDEST, Unit::Seconds, "Age of the oldest live delivery, by the state of its endpoint");
    describe_gauge!(ENDPOINTS, "Endpoints, by their state");
    describe_gauge!(REPLAYS, "Jobs that send again and are not at their end");
    describe_gauge!(LOG_SEQ, "The number of the last event");
    describe_counter!(EXPORTED, "Events that this process added to the stream in NATS");
    describe_gauge!(EXPORT_LAG, "Events of the log that the stream in NATS does not have yet");
    describe_gauge!(EXPORT_UP, "1 while this process reaches the stream in NATS, 0 while it does not");
    describe_gauge!(POOL, "Connections of this process to the database, by pool and state");
    describe_gauge!(DEAD_TUPLES, "PostgreSQL: rows of a table that are dead and not yet cleaned away");
    describe_gauge!(
        OLDEST_TRANSACTION,
        Unit::Seconds,
        "PostgreSQL: age of the oldest transaction that is open"
    );
    describe_gauge!(DATABASE_BYTES, Unit::Bytes, "Size of the database, by part");
    describe_gauge!(DATABASE_UP, "1 if the database told what is told of it here; 0 if it is left out");
    describe_gauge!(BUILD, "1, with the version as a label");
}

/// Everything that was collected, in the text format of Prometheus; empty if nothing is collected. Where the
/// database was not read, what it told before is left out: an old number looks like a new one.
pub(crate) fn rendered(database_was_read: bool) -> String {
    let Some(handle) = COLLECTED.get() else { return String::new() };
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(DATABASE_UP).set(if database_was_read { 1.0 } else { 0.0 });
    handle.run_upkeep();
    let text = handle.render();
    if database_was_read { text } else { without(&text, OF_THE_DATABASE) }
}

/// A text without the samples of some metrics, nor what is said of them.
fn without(text: &str, names: &[&str]) -> String {
    let name = |line: &str| {
        let line =
            line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line).to_owned();
        line.split([' ', '{']).next().unwrap_or_default().to_owned()
    };
    text.split_inclusive('\n').filter(|line| !names.contains(&name(line).as_str())).collect()
}

/// How many endpoints of a state there are, what waits for them, and the age of the oldest of that.
pub(crate) fn endpoints(state: &'static str, count: i64, waiting: i64, oldest: Duration) {
    gauge!(ENDPOINTS, "state" => state).set(count as f64);
    gauge!(WAITING, "endpoint_state" => state).set(waiting as f64);
    gauge!(OLDEST, "endpoint_state" => state).set(oldest.as_secs_f64());
}

/// How far the log and the jobs that send again are.
pub(crate) fn work(seq: i64, replays: i64) {
    gauge!(LOG_SEQ).set(seq as f64);
    gauge!(REPLAYS).set(replays as f64);
    let exported = EXPORTED_UP_TO.load(Ordering::Relaxed);
    if exported >= 0 {
        gauge!(EXPORT_LAG).set((seq - exported).max(0) as f64);
    }
}

/// Events were added to the stream in NATS.
pub(crate) fn exported(events: u64) {
    counter!(EXPORTED).increment(events);
}

/// The number of the last event in the stream in NATS.
pub(crate) fn exported_up_to(seq: i64) {
    EXPORTED_UP_TO.store(seq, Ordering::Relaxed);
}

/// Whether this process reaches the stream in NATS.
pub(crate) fn exporting(reaches: bool) {
    gauge!(EXPORT_UP).set(if reaches { 1.0 } else { 0.0 });
}

/// How a pool of connections is used.
pub(crate) fn pool(name: &'static str, size: u32, idle: u32) {
    gauge!(POOL, "pool" => name, "state" => "idle").set(f64::from(idle));
    gauge!(POOL, "pool" => name, "state" => "used").set(f64::from(size.saturating_sub(idle)));
}

/// How many rows of a table are dead.
pub(crate) fn dead_tuples(table: &str, rows: i64) {
    gauge!(DEAD_TUPLES, "table" => table.to_owned()).set(rows as f64);
}

/// The age of the oldest open transaction.
pub(crate) fn oldest_transaction(age: Duration) {
    gauge!(OLDEST_TRANSACTION).set(age.as_secs_f64());
}

/// How large a part of the database is.
pub(crate) fn bytes(part: &str, bytes: i64) {
    gauge!(DATABASE_BYTES, "part" => part.to_owned()).set(bytes as f64);
}

/// An attempt was made.
pub(crate) fn attempt(outcome: &str, took: Duration) {
    counter!(ATTEMPTS, "outcome" => outcome.to_owned()).increment(1);
    histogram!(ATTEMPT_SECONDS).record(took.as_secs_f64());
}

/// An event was delivered, so long after it happened.
pub(crate) fn delivered(delay: Duration) {
    histogram!(DELIVERY_SECONDS).record(delay.as_secs_f64());
}

/// A delivery was given up.
pub(crate) fn dead(reason: &'static str, count: u64) {
    counter!(DEAD, "reason" => reason).increment(count);
}

/// Attempts were settled; for some of them the lease had run out.
pub(crate) fn settled(rows: usize, lost: usize, took: Duration) {
    histogram!(SETTLE_ROWS).record(rows as f64);
    histogram!(SETTLE_SECONDS).record(took.as_secs_f64());
    if lost > 0 {
        counter!(LEASES_LOST).increment(lost as u64);
    }
}

/// Circuit breakers opened or closed.
pub(crate) fn breakers(opened: usize, closed: usize) {
    for (turn, count) in [("opened", opened), ("closed", closed)] {
        if count > 0 {
            counter!(BREAKERS, "turn" => turn).increment(count as u64);
        }
    }
}

/// Deliveries that are due were looked for.
pub(crate) fn claimed(rows: usize, took: Duration) {
    histogram!(CLAIM_ROWS).record(rows as f64);
    histogram!(CLAIM_SECONDS).record(took.as_secs_f64());
}

/// A guard was asked.
pub(crate) fn guard(outcome: &'static str, took: Duration) {
    counter!(GUARDS, "outcome" => outcome).increment(1);
    histogram!(GUARD_SECONDS).record(took.as_secs_f64());
}

/// A guard was not asked, because too many questions are under way.
pub(crate) fn guard_unasked() {
    counter!(GUARDS, "outcome" => "too_many").increment(1);
}

/// The group commit wrote a batch.
pub(crate) fn committed(members: usize, took: Duration) {
    histogram!(COMMIT_ROWS).record(members as f64);
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
}

/// How many requests wait for the group commit.
pub(crate) fn commit_queue(waiting: usize) {
    gauge!(COMMIT_WAITING).set(waiting as f64);
}

/// How many attempts are under way.
pub(crate) fn in_flight(attempts: usize) {
    gauge!(IN_FLIGHT).set(attempts as f64);
}
