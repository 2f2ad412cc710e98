//! Secrets: added under the endpoint's lock, replaced only where they are what they were, and gone
//! once they have ended.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Database};
use task_inbox::store::secrets::{Added, NewSecret, Resealed};
use task_inbox::store::{Engine, RegistryCache, housekeeping, secrets};
use uuid::Uuid;

use crate::fixture::{Fixture, now};
use crate::on_both_engines;

on_both_engines!(
    a_second_is_added_only_in_place_of_the_first,
    two_that_add_the_first_at_once_add_one,
    what_has_changed_is_not_replaced,
    ended_ones_are_swept,
);

fn secret(f: &Fixture, text: &str, replaces: Option<Duration>) -> NewSecret {
    NewSecret {
        id: Uuid::now_v7(),
        endpoint_id: f.endpoint(),
        auth_kind: "hmac",
        master_key_id: "test".to_owned(),
        ciphertext: text.as_bytes().to_vec(),
        created: now(),
        replaces,
    }
}

async fn sql(f: &Fixture, statement: &str) {
    let connection = Database::connect(&f.database.url).await.expect("connects");
    connection.execute_unprepared(statement).await.expect("runs");
}

async fn texts(f: &Fixture) -> Vec<String> {
    let stored = secrets::all(&f.db).await.expect("read");
    stored.into_iter().map(|s| String::from_utf8(s.ciphertext).expect("text")).collect()
}

async fn a_second_is_added_only_in_place_of_the_first(engine: Engine) {
    let f = Fixture::new(engine).await;
    let before = f.registry.refresh(&f.db).await.expect("read").number;
    assert_eq!(secrets::add(&f.db, secret(&f, "b", None)).await.expect("runs"), Added::HasKey);
    let other_kind = NewSecret { auth_kind: "head", ..secret(&f, "b", None) };
    assert_eq!(secrets::add(&f.db, other_kind).await.expect("runs"), Added::Moved);
    let nowhere = NewSecret { endpoint_id: Uuid::nil(), ..secret(&f, "b", None) };
    assert_eq!(secrets::add(&f.db, nowhere).await.expect("runs"), Added::Moved);
    assert_eq!(f.registry.refresh(&f.db).await.expect("read").number, before, "nothing changed");
    let hour = Some(Duration::from_hours(1));
    assert_eq!(secrets::add(&f.db, secret(&f, "b", hour)).await.expect("runs"), Added::Kept);
    assert_eq!(f.registry.refresh(&f.db).await.expect("read").number, before + 1);
    let stored = secrets::all(&f.db).await.expect("read");
    let ends: Vec<_> = stored.iter().map(|s| s.expires.is_some()).collect();
    assert_eq!(ends, [false, true]);
    assert!(secrets::remove(&f.db, stored[1].id).await.expect("runs"));
    assert!(!secrets::remove(&f.db, stored[1].id).await.expect("runs"));
    assert_eq!(texts(&f).await, ["b"]);
}

async fn two_that_add_the_first_at_once_add_one(engine: Engine) {
    let f = Fixture::new(engine).await;
    sql(&f, "DELETE FROM endpoint_secrets").await;
    let other = f.database.connect().await;
    let (a, b) =
        tokio::join!(secrets::add(&f.db, secret(&f, "a", None)), secrets::add(&other, secret(&f, "b", None)));
    let added = [a.expect("runs"), b.expect("runs")];
    assert!(added.contains(&Added::Kept) && added.contains(&Added::HasKey), "{added:?}");
    assert_eq!(texts(&f).await.len(), 1);
}

async fn what_has_changed_is_not_replaced(engine: Engine) {
    let f = Fixture::new(engine).await;
    secrets::add(&f.db, secret(&f, "a", Some(Duration::ZERO))).await.expect("added");
    let stored = secrets::under(&f.db, &["test".to_owned()], 10).await.expect("read").remove(0);
    let resealed = |former: &str, now: &str| Resealed {
        id: stored.id,
        endpoint_id: stored.endpoint_id,
        former: former.as_bytes().to_vec(),
        master_key_id: "next".to_owned(),
        ciphertext: now.as_bytes().to_vec(),
    };
    let before = f.registry.refresh(&f.db).await.expect("read").number;
    assert_eq!(secrets::replace(&f.db, &[resealed("another", "x")]).await.expect("runs"), 0);
    assert_eq!(f.registry.refresh(&f.db).await.expect("read").number, before, "nothing to hear of");
    assert_eq!(secrets::count_elsewhere(&f.db, "next").await.expect("runs"), vec![("test".to_owned(), 1)]);
    assert_eq!(secrets::replace(&f.db, &[resealed("a", "x")]).await.expect("runs"), 1);
    assert_eq!(secrets::replace(&f.db, &[resealed("a", "y")]).await.expect("runs"), 0, "once");
    assert_eq!(texts(&f).await, ["x"]);
    assert_eq!(f.registry.refresh(&f.db).await.expect("read").number, before + 1);
    assert_eq!(secrets::count_elsewhere(&f.db, "next").await.expect("runs"), Vec::new());
    assert!(secrets::under(&f.db, &["test".to_owned()], 10).await.expect("read").is_empty());
    assert!(secrets::under(&f.db, &[], 10).await.expect("read").is_empty());
}

async fn ended_ones_are_swept(engine: Engine) {
    let f = Fixture::new(engine).await;
    secrets::add(&f.db, secret(&f, "b", Some(Duration::from_hours(1)))).await.expect("added");
    assert_eq!(housekeeping::remove_ended_secrets(&f.db).await.expect("runs"), 0);
    sql(&f, "UPDATE endpoint_secrets SET expires_at = 1 WHERE expires_at IS NOT NULL").await;
    let registry = RegistryCache::load(&f.db).await.expect("read").current();
    assert_eq!(registry.key_end(), None, "another goes on");
    assert_eq!(texts(&f).await, ["b"]);
    assert_eq!(housekeeping::remove_ended_secrets(&f.db).await.expect("runs"), 1);
    sql(&f, "UPDATE endpoint_secrets SET expires_at = 9000000000000000").await;
    let registry = RegistryCache::load(&f.db).await.expect("read").current();
    assert_eq!(registry.key_end().map(task_inbox_domain::Timestamp::as_micros), Some(9_000_000_000_000_000));
}
