//! The chain shows every kind of tampering.

use sea_orm::{ConnectionTrait, Database};
use task_inbox::store::{Engine, audit, checkpoints};
use task_inbox_domain::log::Checkpoint;

use crate::fixture::{Fixture, now};
use crate::on_both_engines;

on_both_engines!(
    a_whole_log_verifies,
    a_changed_text_shows,
    a_changed_header_shows,
    a_removed_row_shows,
    swapped_rows_show,
    a_cut_tail_shows_against_a_checkpoint,
    an_erased_text_still_verifies,
    a_log_trimmed_without_a_checkpoint_shows,
    a_row_slipped_in_below_the_beginning_shows,
    a_rebuilt_chain_shows_against_a_checkpoint,
    steps_end_between_batches_and_add_up,
    a_batch_that_never_ends_shows,
);

const KEY: &[u8] = b"kept outside";

async fn logged(engine: Engine) -> (Fixture, Checkpoint) {
    let f = Fixture::new(engine).await;
    for _ in 0..3 {
        let answers = f.submit_all((0..10).map(|_| f.post(None, "x")).collect()).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    let checkpoint = checkpoints::make(&f.db, KEY, now()).await.expect("made");
    assert!(checkpoint.is_authentic(KEY));
    assert!(!checkpoint.is_authentic(b"another"));
    f.posted().await;
    (f, checkpoint)
}

async fn tamper(f: &Fixture, sql: &str) {
    let connection = Database::connect(&f.database.url).await.expect("connects");
    for statement in sql.split(';') {
        let changed = connection.execute_unprepared(statement).await.expect("runs").rows_affected();
        assert!(changed > 0, "{statement} changed nothing");
    }
}

async fn is_found(f: &Fixture, checkpoint: Option<&Checkpoint>) {
    let found = audit::verify(&f.db, checkpoint, |c| c.is_authentic(KEY)).await.expect("runs");
    assert!(!found.ok, "{found:?}");
    assert!(found.detail.is_some());
}

async fn a_whole_log_verifies(engine: Engine) {
    let (f, checkpoint) = logged(engine).await;
    let found = audit::verify(&f.db, None, |c| c.is_authentic(KEY)).await.expect("runs");
    assert!(found.ok, "{found:?}");
    assert_eq!(found.proved_from, None);
    let found = audit::verify(&f.db, Some(&checkpoint), |c| c.is_authentic(KEY)).await.expect("runs");
    assert!(found.ok, "{found:?}");
    assert_eq!((found.proved_from, found.events), (Some(checkpoint.seq), checkpoint.seq + 1));
}

async fn a_changed_text_shows(engine: Engine) {
    let (f, _) = logged(engine).await;
    tamper(&f, "UPDATE events SET body = replace(body, 'shop', 'shoq') WHERE seq = 7").await;
    let found = audit::verify(&f.db, None, |c| c.is_authentic(KEY)).await.expect("runs");
    assert_eq!((found.ok, found.first_bad), (false, Some(7)));
}

async fn a_changed_header_shows(engine: Engine) {
    let (f, _) = logged(engine).await;
    tamper(&f, "UPDATE events SET actor = 'user:somebody' WHERE seq = 7").await;
    is_found(&f, None).await;
}

async fn a_removed_row_shows(engine: Engine) {
    let (f, _) = logged(engine).await;
    tamper(&f, "DELETE FROM events WHERE seq = 7").await;
    let found = audit::verify(&f.db, None, |c| c.is_authentic(KEY)).await.expect("runs");
    assert_eq!((found.ok, found.first_bad), (false, Some(7)));
}

async fn swapped_rows_show(engine: Engine) {
    let (f, _) = logged(engine).await;
    tamper(
        &f,
        "UPDATE events SET seq = -1 WHERE seq = 7;UPDATE events SET seq = 7 WHERE seq = 8;
         UPDATE events SET seq = 8 WHERE seq = -1",
    )
    .await;
    is_found(&f, None).await;
}

async fn a_cut_tail_shows_against_a_checkpoint(engine: Engine) {
    let (f, checkpoint) = logged(engine).await;
    // Back to the end of an earlier batch, head and all: whole in itself.
    tamper(
        &f,
        "UPDATE log_head SET seq = (SELECT min(seq) FROM events WHERE head_hash IS NOT NULL),
            hash = (SELECT head_hash FROM events WHERE head_hash IS NOT NULL ORDER BY seq LIMIT 1);
         DELETE FROM events WHERE seq > (SELECT seq FROM log_head)",
    )
    .await;
    assert!(
        audit::verify(&f.db, None, |c| c.is_authentic(KEY)).await.expect("runs").ok,
        "nothing inside shows it"
    );
    is_found(&f, Some(&checkpoint)).await;
}

async fn an_erased_text_still_verifies(engine: Engine) {
    let (f, checkpoint) = logged(engine).await;
    tamper(&f, "UPDATE events SET body = NULL, salt = NULL WHERE seq = 7").await;
    let found = audit::verify(&f.db, Some(&checkpoint), |c| c.is_authentic(KEY)).await.expect("runs");
    assert!(found.ok, "{found:?}");
    assert_eq!(found.erased, 1, "and it is said");
}

async fn a_log_trimmed_without_a_checkpoint_shows(engine: Engine) {
    let (f, checkpoint) = logged(engine).await;
    let end = "(SELECT min(seq) FROM events WHERE head_hash IS NOT NULL)";
    tamper(
        &f,
        &format!(
            "UPDATE log_head SET floor_seq = {end}, floor_hash = (SELECT head_hash FROM events WHERE seq = {end});
             DELETE FROM events WHERE seq <= (SELECT floor_seq FROM log_head)"
        ),
    )
    .await;
    is_found(&f, None).await;
    is_found(&f, Some(&checkpoint)).await;
}

async fn a_row_slipped_in_below_the_beginning_shows(engine: Engine) {
    let (f, _) = logged(engine).await;
    let id = if engine == Engine::Postgres { "gen_random_uuid()" } else { "randomblob(16)" };
    tamper(
        &f,
        &format!(
            "INSERT INTO events (seq, id, kind, created_at, actor, schema_name, task_id, version, body, salt, digest)
             SELECT 0, {id}, kind, created_at, actor, schema_name, task_id, version, body, salt, digest
             FROM events WHERE seq = 7"
        ),
    )
    .await;
    is_found(&f, None).await;
    let task = f.posted().await;
    assert_eq!(task_inbox::store::log::history(&f.db, task, |logged| logged).await.expect("read").len(), 1);
}

async fn a_rebuilt_chain_shows_against_a_checkpoint(engine: Engine) {
    let (f, checkpoint) = logged(engine).await;
    let forged = Checkpoint { hash: "00".repeat(32), ..checkpoint };
    is_found(&f, Some(&forged)).await;
}

async fn steps_end_between_batches_and_add_up(engine: Engine) {
    let (f, checkpoint) = logged(engine).await;
    let whole = audit::verify(&f.db, Some(&checkpoint), |c| c.is_authentic(KEY)).await.expect("runs");
    for limit in [1, 2, 7, 1000] {
        let (mut after, mut events, mut proved) = (None, 0, 0);
        loop {
            let step = audit::step(&f.db, Some(&checkpoint), after, limit, |c| c.is_authentic(KEY)).await;
            let step = step.expect("runs");
            assert!(step.found.ok && step.found.events > 0, "{step:?}");
            events += step.found.events;
            proved += usize::from(step.found.proved_from == Some(checkpoint.seq));
            after = step.next;
            let Some(next) = after else { break };
            // There, and only there, the row tells the head's hash.
            let stored = format!(
                "SELECT count(*) AS n FROM events WHERE seq = {} AND head_hash IS NOT NULL",
                next.seq
            );
            assert_eq!(count(&f, &stored).await, 1);
            assert!(step.found.events >= limit, "{step:?}");
        }
        assert_eq!((events, proved), (whole.events, 1), "limit {limit}");
    }
}

async fn a_batch_that_never_ends_shows(engine: Engine) {
    let (f, _) = logged(engine).await;
    let first = audit::step(&f.db, None, None, 1, |_| true).await.expect("runs");
    tamper(&f, "UPDATE events SET head_hash = NULL").await;
    let found = audit::step(&f.db, None, None, 1, |_| true).await.expect("runs");
    assert!(!found.found.ok && found.next.is_none(), "{found:?}");
    let resumed = audit::step(&f.db, None, first.next, 1, |_| true).await.expect("runs");
    assert_eq!((resumed.found.ok, resumed.found.first_bad), (false, first.next.map(|n| n.seq)));
}

async fn count(f: &Fixture, sql: &str) -> i64 {
    let connection = Database::connect(&f.database.url).await.expect("connects");
    let statement = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.expect("runs").expect("a row");
    row.try_get("", "n").expect("a number")
}
