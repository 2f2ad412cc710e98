//! The schema goes up and down, and is what the entities say.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, Database, DbBackend, EntityTrait, Iterable, Statement};
use task_inbox::store::{Db, Engine, entity};

use crate::on_both_engines;
use crate::support::TestDatabase;

on_both_engines!(
    goes_up_down_and_up_again,
    is_what_the_entities_say,
    two_that_migrate_at_once_both_succeed,
    what_was_there_before_replays_were_one_at_a_time,
    endpoints_go_up_and_down_with_what_they_are,
);

async fn goes_up_down_and_up_again(engine: Engine) {
    let (_database, db) = TestDatabase::migrated(engine).await;
    let applied = db.applied_migrations().await.expect("listed");
    assert!(!applied.is_empty());
    assert!(db.pending_migrations().await.expect("listed").is_empty());
    db.migrate_down(applied.len() as u32).await.expect("goes down");
    assert_eq!(db.pending_migrations().await.expect("listed"), applied);
    assert_eq!(db.migrate_up().await.expect("goes up"), applied);
    assert_eq!(db.migrate_up().await.expect("has nothing to do"), Vec::<String>::new());
}

async fn two_that_migrate_at_once_both_succeed(engine: Engine) {
    let database = TestDatabase::new(engine).await;
    let (a, b) = (database.connect().await, database.connect().await);
    let (a, b) = tokio::join!(a.migrate_up(), b.migrate_up());
    a.expect("migrates");
    b.expect("migrates or finds it done");
    assert!(database.connect().await.pending_migrations().await.expect("listed").is_empty());
}

/// Undoes this step and all after it.
async fn down_before(db: &Db, step: &str) {
    while !db.pending_migrations().await.expect("listed").iter().any(|pending| pending == step) {
        db.migrate_down(1).await.expect("goes down");
    }
}

async fn what_was_there_before_replays_were_one_at_a_time(engine: Engine) {
    let (database, db) = TestDatabase::migrated(engine).await;
    down_before(&db, "m20261127_000006_replays").await;
    let connection = Database::connect(&database.url).await.expect("connects");
    let uuid = |n: u8| match engine {
        Engine::Postgres => format!("'00000000-0000-7000-8000-0000000000{n:02x}'"),
        Engine::Sqlite => format!("x'000000000000700080000000000000{n:02x}'"),
    };
    let digest = if engine == Engine::Postgres { "'\\x00'" } else { "x'00'" };
    let mut statements = vec![
        "INSERT INTO schemas (name, created_at) VALUES ('first', 1), ('second', 1)".to_owned(),
        "INSERT INTO schemas (name, created_at, removed_at) VALUES ('going', 1, 2)".to_owned(),
    ];
    for (seq, schema, kind) in [
        (1, "second", "schema.removed"),
        (2, "first", "task.created"),
        (3, "second", "schema.removed"),
        (4, "second", "task.created"),
        (5, "going", "schema.removed"),
    ] {
        statements.push(format!(
            "INSERT INTO events (seq, id, kind, created_at, actor, schema_name, digest)
             VALUES ({seq}, {}, '{kind}', 1, 'cli', '{schema}', {digest})",
            uuid(seq)
        ));
    }
    for (id, endpoint, schema, status) in [
        (1, 1, "NULL", "done"),
        (2, 1, "NULL", "running"),
        (3, 1, "NULL", "running"),
        (4, 1, "'first'", "running"),
        (5, 2, "NULL", "running"),
    ] {
        statements.push(format!(
            "INSERT INTO replays (id, endpoint_id, schema_name, what, next_seq, last_seq, status, resent, created_at,
                created_by) VALUES ({}, {}, {schema}, 'dead', 0, 0, '{status}', 0, 7, 'cli')",
            uuid(id),
            uuid(endpoint)
        ));
    }
    for statement in statements {
        connection.execute_unprepared(&statement).await.expect("runs");
    }
    db.migrate_up().await.expect("goes up");
    let schemas = entity::schemas::Entity::find().all(&connection).await.expect("read");
    let begins: BTreeSet<_> = schemas.iter().map(|s| (s.name.as_str(), s.begins_after)).collect();
    assert_eq!(begins, BTreeSet::from([("first", 0), ("going", 0), ("second", 3)]));
    let jobs = entity::replays::Entity::find().all(&connection).await.expect("read");
    let mut jobs: Vec<_> = jobs.iter().map(|j| (j.id.as_bytes()[15], &*j.status, j.finished_at)).collect();
    jobs.sort_unstable();
    let expected = [
        (1, "done", None),
        (2, "running", None),
        (3, "cancelled", Some(7)),
        (4, "running", None),
        (5, "running", None),
    ];
    assert_eq!(jobs, expected, "of two that do the same, the first goes on");
}

/// A column: name, type as the engine calls it, whether it may be null.
type Column = (String, String, bool);

async fn is_what_the_entities_say(engine: Engine) {
    let (database, _db) = TestDatabase::migrated(engine).await;
    let connection = Database::connect(&database.url).await.expect("connects");
    let mut tables = BTreeSet::new();
    macro_rules! compare {
        ($($table:ident),* $(,)?) => {$({
            tables.insert(stringify!($table).to_owned());
            let actual = columns(&connection, stringify!($table)).await;
            let declared = declared::<entity::$table::Entity>(connection.get_database_backend());
            assert_eq!(actual, declared, "columns of {}", stringify!($table));
            // Every row can be read into the model, types included.
            entity::$table::Entity::find().all(&connection).await.expect(stringify!($table));
        })*};
    }
    compare!(
        schemas,
        schema_versions,
        task_types,
        tasks,
        external_ids,
        merge_keys,
        idempotency_keys,
        events,
        log_head,
        checkpoints,
        endpoints,
        endpoint_secrets,
        deliveries,
        finished_deliveries,
        attempts,
        replays,
        maintenance,
        api_keys,
        users,
    );
    assert_eq!(table_names(&connection).await, tables, "every table has an entity");
}

fn declared<E: EntityTrait>(backend: DbBackend) -> BTreeSet<Column>
where
    E::Column: Iterable,
{
    use sea_orm::{ColumnTrait, ColumnType, IdenStatic};
    E::Column::iter()
        .map(|column| {
            let def = column.def();
            let postgres = backend == DbBackend::Postgres;
            let name = match def.get_column_type() {
                ColumnType::Uuid => {
                    if postgres {
                        "uuid"
                    } else {
                        "uuid_blob"
                    }
                }
                ColumnType::Text => "text",
                ColumnType::BigInteger => "bigint",
                ColumnType::Integer => "integer",
                ColumnType::Boolean => "boolean",
                ColumnType::Blob => {
                    if postgres {
                        "bytea"
                    } else {
                        "blob"
                    }
                }
                other => panic!("{other:?} is no type of ours"),
            };
            (column.as_str().to_owned(), name.to_owned(), def.is_null())
        })
        .collect()
}

async fn columns(connection: &impl ConnectionTrait, table: &str) -> BTreeSet<Column> {
    let sql = match connection.get_database_backend() {
        DbBackend::Postgres => format!(
            "SELECT column_name::text AS name, data_type::text AS type, (is_nullable = 'YES') AS nullable
             FROM information_schema.columns WHERE table_name = '{table}'"
        ),
        _ => format!(
            "SELECT name, lower(type) AS type, \"notnull\" = 0 AS nullable FROM pragma_table_info('{table}')"
        ),
    };
    let rows = connection
        .query_all_raw(Statement::from_string(connection.get_database_backend(), sql))
        .await
        .expect("the catalogue answers");
    rows.iter()
        .map(|row| {
            let get = |name: &str| row.try_get::<String>("", name).expect("text");
            (get("name"), get("type"), row.try_get::<bool>("", "nullable").expect("a truth value"))
        })
        .collect()
}

async fn table_names(connection: &impl ConnectionTrait) -> BTreeSet<String> {
    let sql = match connection.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT table_name::text AS name FROM information_schema.tables
             WHERE table_schema = 'public' AND table_name <> 'seaql_migrations'"
        }
        _ => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
             AND name <> 'seaql_migrations'"
        }
    };
    let rows = connection
        .query_all_raw(Statement::from_string(connection.get_database_backend(), sql))
        .await
        .expect("the catalogue answers");
    rows.iter().map(|row| row.try_get::<String>("", "name").expect("text")).collect()
}

async fn endpoints_go_up_and_down_with_what_they_are(engine: Engine) {
    const STEP: &str = "m20261127_000008_receivers";
    let (database, db) = TestDatabase::migrated(engine).await;
    down_before(&db, STEP).await;
    let connection = Database::connect(&database.url).await.expect("connects");
    let uuid = |n: u8| match engine {
        Engine::Postgres => format!("'00000000-0000-7000-8000-0000000000{n:02x}'"),
        Engine::Sqlite => format!("x'000000000000700080000000000000{n:02x}'"),
    };
    for (id, origin, url, status, headers) in [
        (1, "registered", "https://a.example/", "active", r#"'[["authorization","Bearer x"]]'"#),
        (2, "registered", "https://b.example/", "active", "NULL"),
        (3, "type", "https://c.example/", "removed", "NULL"),
        (4, "callback", "*.d.example", "active", "NULL"),
    ] {
        let statement = format!(
            "INSERT INTO endpoints (id, origin, schema_name, ttype, url, auth_kind, event_types, body_shape, status,
                custom_headers, created_at, updated_at, open_until, failing_since, failures)
             VALUES ({}, '{origin}', 's', 't{id}', '{url}', 'hmac', '[]', 'full', '{status}', {headers}, 1, 1, 9, 9, 10)",
            uuid(id)
        );
        connection.execute_unprepared(&statement).await.expect("runs");
    }
    db.migrate_up().await.expect("goes up");
    let read = async || {
        let mut all = entity::endpoints::Entity::find().all(&connection).await.expect("read");
        all.sort_unstable_by_key(|e| e.id);
        all
    };
    let up = read().await;
    let told: Vec<_> = up.iter().map(|e| (&*e.status, e.declared, e.open_until)).collect();
    let expected = [
        ("paused", true, Some(9)),
        ("active", true, Some(9)),
        ("active", false, Some(9)),
        ("active", true, None),
    ];
    assert_eq!(told, expected, "who must say headers again is told; no pattern has a breaker");
    assert!(up.iter().all(|e| e.custom_headers.is_none()), "no value stays in the clear");
    connection
        .execute_unprepared(&format!(
            "INSERT INTO endpoint_secrets (id, endpoint_id, auth_kind, master_key_id, ciphertext, created_at)
             VALUES ({}, {}, 'headers', 'k', {}, 1)",
            uuid(9),
            uuid(2),
            if engine == Engine::Postgres { "'\\x00'" } else { "x'00'" }
        ))
        .await
        .expect("runs");
    down_before(&db, STEP).await;
    // The former version knows neither the kind nor the column.
    let kept = entity::endpoint_secrets::Entity::find().all(&connection).await.expect("read");
    assert!(kept.is_empty());
    db.migrate_up().await.expect("goes up again");
    let again: Vec<_> = read().await.into_iter().map(|e| (e.status, e.declared)).collect();
    assert_eq!(again[2], ("active".to_owned(), false), "as it was");
}
