//! What probes, rates and housekeeping do to rows, by several processes at once.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, Statement};
use task_inbox::store::deliveries::{self, Fate};
use task_inbox::store::registry::Held;
use task_inbox::store::{Engine, housekeeping, vitals};
use task_inbox_domain::Rate;

use crate::fixture::Fixture;
use crate::on_both_engines;

on_both_engines!(
    one_probe_among_all_who_ask,
    a_probe_with_nothing_to_send_keeps_its_turn,
    a_rate_is_shared_by_claimers,
    old_deliveries_go_and_what_lives_stays,
    vitals_tell_what_waits,
);

const LEASE: Duration = Duration::from_mins(1);
/// No maintenance.
static NOTHING: Held = Held::Schemas(Vec::new());

pub(crate) async fn sql(f: &Fixture, statement: &str) {
    let connection = Database::connect(&f.database.url).await.expect("connects");
    connection.execute_unprepared(statement).await.expect("runs");
}

pub(crate) async fn count(f: &Fixture, select: &str) -> i64 {
    let connection = Database::connect(&f.database.url).await.expect("connects");
    let statement = Statement::from_string(connection.get_database_backend(), select);
    let row = connection.query_one_raw(statement).await.expect("runs").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

async fn one_probe_among_all_who_ask(engine: Engine) {
    let f = Fixture::new(engine).await;
    for _ in 0..5 {
        f.posted().await;
    }
    sql(&f, "UPDATE endpoints SET open_until = 1, failing_since = 1, failures = 10").await;
    let (first, second) = (f.database.connect().await, f.database.connect().await);
    let endpoint = f.endpoint();
    let (a, b) = tokio::join!(
        deliveries::probe(&first, endpoint, LEASE, &NOTHING),
        deliveries::probe(&second, endpoint, LEASE, &NOTHING)
    );
    let taken = a.map_or(0, |l| l.len()) + b.map_or(0, |l| l.len());
    assert_eq!(taken, 1, "one of them, and one delivery");
    assert!(
        deliveries::probe(&first, endpoint, LEASE, &NOTHING).await.expect("asked").is_empty(),
        "it is under way"
    );
    // Nobody said what became of it: the next may go when its lease has run out.
    sql(&f, "UPDATE endpoints SET open_until = 1").await;
    let next = deliveries::probe(&second, endpoint, LEASE, &NOTHING).await.expect("asked");
    assert!(next.len() == 1 && next[0].probe);
}

async fn a_probe_with_nothing_to_send_keeps_its_turn(engine: Engine) {
    let f = Fixture::new(engine).await;
    sql(&f, "UPDATE endpoints SET open_until = 1, failing_since = 1, failures = 10").await;
    assert!(deliveries::probe(&f.db, f.endpoint(), LEASE, &NOTHING).await.expect("asked").is_empty());
    assert_eq!(count(&f, "SELECT open_until FROM endpoints").await, 1);
    f.posted().await;
    assert_eq!(deliveries::probe(&f.db, f.endpoint(), LEASE, &NOTHING).await.expect("asked").len(), 1);
}

async fn a_rate_is_shared_by_claimers(engine: Engine) {
    let f = Fixture::new(engine).await;
    f.submit_all((0..30).map(|_| f.post(None, "x")).collect()).await;
    let rate = Rate::parse("10/s").expect("a rate");
    let (first, second) = (f.database.connect().await, f.database.connect().await);
    let endpoint = f.endpoint();
    let (a, b) = tokio::join!(
        deliveries::claim_paced(&first, endpoint, rate, 100, LEASE, &NOTHING),
        deliveries::claim_paced(&second, endpoint, rate, 100, LEASE, &NOTHING)
    );
    let (a, b) = (a.expect("claimed"), b.expect("claimed"));
    let claimed = a.leased.len() + b.leased.len();
    // One second's worth, and perhaps one more whose time came between the two.
    assert!((10..=11).contains(&claimed), "{claimed}");
    assert!(a.wait.is_some() || b.wait.is_some());
    let again = deliveries::claim_paced(&first, endpoint, rate, 100, LEASE, &NOTHING).await.expect("asked");
    assert!(again.leased.len() <= 2, "{}", again.leased.len());
    assert!(again.wait.expect("used up") <= Duration::from_millis(200));
}

async fn old_deliveries_go_and_what_lives_stays(engine: Engine) {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    let f = Fixture::new(engine).await;
    f.submit_all((0..6).map(|_| f.post(None, "x")).collect()).await;
    let claimed = deliveries::claim(&f.db, f.endpoint(), 5, LEASE, &NOTHING).await.expect("claims");
    let registry = f.registry.current();
    let mut attempts: Vec<_> =
        claimed.iter().map(|leased| crate::deliveries::settled(leased, Fate::Delivered)).collect();
    // One is tried again: its attempt stays while it is young, whatever becomes of the others.
    attempts[0].fate = Fate::Retry(Duration::from_hours(1));
    deliveries::settle(&f.db, &registry, &attempts.iter().collect::<Vec<_>>()).await.expect("settles");
    let keep = Duration::from_hours(24);
    assert_eq!(
        housekeeping::remove_old_deliveries(&f.db, keep).await.expect("runs"),
        0,
        "all of it is young"
    );
    // Two of those that ended did so two days ago; their ids say that they began then, too.
    let old = |table: &str, id: &str, ended: &str| {
        let zeros = match engine {
            Engine::Postgres => {
                "('00000000' || substr(id::text, 9))::uuid".replace("id::", &format!("{id}::"))
            }
            Engine::Sqlite => format!("CAST(zeroblob(4) || substr({id}, 5) AS blob)"),
        };
        format!(
            "UPDATE {table} SET {ended} = {ended} - {}, {id} = {zeros} WHERE {id} IN
                (SELECT {id} FROM {table} ORDER BY {id} DESC LIMIT 2)",
            2 * DAY
        )
    };
    sql(&f, &old("finished_deliveries", "id", "finished_at")).await;
    sql(&f, &old("attempts", "delivery_id", "started_at")).await;
    assert_eq!(housekeeping::remove_old_deliveries(&f.db, keep).await.expect("runs"), 4);
    assert_eq!(count(&f, "SELECT count(*) FROM finished_deliveries").await, 2);
    assert_eq!(count(&f, "SELECT count(*) FROM attempts").await, 3);
    assert_eq!(count(&f, "SELECT count(*) FROM deliveries").await, 2, "what lives is not touched");
}

async fn vitals_tell_what_waits(engine: Engine) {
    let f = Fixture::new(engine).await;
    for _ in 0..3 {
        f.posted().await;
    }
    let found = vitals::read(&f.db).await.expect("read");
    let active = found.endpoints["active"];
    assert_eq!((active.count, active.waiting), (1, 3));
    assert!(active.oldest > Duration::ZERO && found.seq >= 4);
    sql(&f, "UPDATE endpoints SET open_until = 1, failing_since = 1").await;
    let found = vitals::read(&f.db).await.expect("read");
    assert_eq!((found.endpoints["failing"].waiting, found.endpoints["active"].waiting), (3, 0));
    assert!(found.pools.iter().all(|pool| pool.size >= pool.idle) && !found.bytes.is_empty());
    assert_eq!(found.oldest_transaction.is_some(), engine == Engine::Postgres);
}
