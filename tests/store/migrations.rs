//! The schema goes up and down, and is what the entities say.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, Database, DbBackend, EntityTrait, Iterable, Statement};
use task_inbox::store::{Engine, entity};

use crate::on_both_engines;
use crate::support::TestDatabase;

on_both_engines!(goes_up_down_and_up_again, is_what_the_entities_say, two_that_migrate_at_once_both_succeed);

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
