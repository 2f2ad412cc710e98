//! Secrets: added under the endpoint's lock, replaced only where they are what they were, and gone
//! once they have ended.

use std::collections::HashMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database};
use task_inbox::store::secrets::{Added, MAX_SIDE_BY_SIDE, NewSecret, Replaces, Resealed, StoredSecret};
use task_inbox::store::{Engine, RegistryCache, housekeeping, secrets};
use task_inbox_domain::Timestamp;
use uuid::Uuid;

use crate::fixture::{Fixture, now};
use crate::on_both_engines;

on_both_engines!(
    a_second_is_added_only_in_place_of_the_first,
    two_that_add_the_first_at_once_add_one,
    no_secret_ends_before_the_end_it_was_given,
    no_more_than_five_go_on_side_by_side,
    where_one_alone_is_used_the_others_end,
    what_has_changed_is_not_replaced,
    ended_ones_are_swept,
);

const HOUR: Replaces = Replaces::Current(Duration::from_hours(1));
const AT_ONCE: Replaces = Replaces::Current(Duration::ZERO);

fn secret(f: &Fixture, text: &str, replaces: Option<Replaces>) -> NewSecret {
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
    let hour = Some(HOUR);
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

async fn no_secret_ends_before_the_end_it_was_given(engine: Engine) {
    let f = Fixture::new(engine).await;
    let add = async |text: &str, replaces| {
        assert_eq!(secrets::add(&f.db, secret(&f, text, Some(replaces))).await.expect("runs"), Added::Kept);
    };
    let ends = async || {
        let stored = secrets::all(&f.db).await.expect("read");
        let named = |s: &StoredSecret| String::from_utf8(s.ciphertext.clone()).expect("text");
        stored.iter().map(|s| (named(s), s.expires)).collect::<HashMap<_, _>>()
    };
    add("b", HOUR).await;
    let promised = ends().await;
    let first = promised.keys().find(|text| *text != "b").expect("it was there").clone();
    assert!(promised[&first].is_some() && promised["b"].is_none());
    // Neither a shorter overlap nor a longer one moves it, nor one that ends the current at once.
    add("c", Replaces::Current(Duration::from_mins(1))).await;
    add("d", Replaces::Current(Duration::from_hours(48))).await;
    add("e", AT_ONCE).await;
    let now = ends().await;
    assert_eq!(now[&first], promised[&first]);
    assert!(now["b"] < now[&first] && now["c"] > now[&first], "each has its own: {now:?}");
    assert!(!now.contains_key("d") && now["e"].is_none());
}

async fn no_more_than_five_go_on_side_by_side(engine: Engine) {
    let f = Fixture::new(engine).await;
    for n in 1..MAX_SIDE_BY_SIDE {
        let rotation = Replaces::Current(Duration::from_hours(n as u64));
        let added = secrets::add(&f.db, secret(&f, &n.to_string(), Some(rotation))).await;
        assert_eq!(added.expect("runs"), Added::Kept);
    }
    let before = f.registry.refresh(&f.db).await.expect("read").number;
    let stored = secrets::all(&f.db).await.expect("read");
    let next_end = stored.iter().filter_map(|s| s.expires).min();
    assert!(next_end.is_some());
    let full = secrets::add(&f.db, secret(&f, "too many", Some(HOUR))).await.expect("runs");
    assert_eq!(full, Added::Full { next_end });
    assert_eq!(f.registry.refresh(&f.db).await.expect("read").number, before, "nothing changed");
    assert_eq!(secrets::all(&f.db).await.expect("read").len(), MAX_SIDE_BY_SIDE);
    // Ending the current one makes room for its successor; so does an end that has come.
    assert_eq!(secrets::add(&f.db, secret(&f, "x", Some(AT_ONCE))).await.expect("runs"), Added::Kept);
    sql(&f, &format!("UPDATE endpoint_secrets SET expires_at = 1 WHERE expires_at = {}", end(next_end)))
        .await;
    assert_eq!(secrets::add(&f.db, secret(&f, "y", Some(HOUR))).await.expect("runs"), Added::Kept);
    assert_eq!(secrets::all(&f.db).await.expect("read").len(), MAX_SIDE_BY_SIDE);
}

fn end(at: Option<Timestamp>) -> i64 {
    at.expect("one ends").as_micros()
}

async fn where_one_alone_is_used_the_others_end(engine: Engine) {
    let f = Fixture::new(engine).await;
    secrets::add(&f.db, secret(&f, "b", Some(HOUR))).await.expect("added");
    assert_eq!(secrets::add(&f.db, secret(&f, "c", Some(Replaces::All))).await.expect("runs"), Added::Kept);
    assert_eq!(texts(&f).await, ["c"]);
}

async fn what_has_changed_is_not_replaced(engine: Engine) {
    let f = Fixture::new(engine).await;
    secrets::add(&f.db, secret(&f, "a", Some(AT_ONCE))).await.expect("added");
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
    secrets::add(&f.db, secret(&f, "b", Some(HOUR))).await.expect("added");
    assert_eq!(housekeeping::remove_ended_secrets(&f.db).await.expect("runs"), 0);
    sql(&f, "UPDATE endpoint_secrets SET expires_at = 1 WHERE expires_at IS NOT NULL").await;
    let registry = RegistryCache::load(&f.db).await.expect("read").current();
    assert_eq!(registry.key_end(), None, "another goes on");
    assert_eq!(texts(&f).await, ["b"]);
    assert_eq!(housekeeping::remove_ended_secrets(&f.db).await.expect("runs"), 1);
    sql(&f, "UPDATE endpoint_secrets SET expires_at = 9000000000000000").await;
    let registry = RegistryCache::load(&f.db).await.expect("read").current();
    assert_eq!(registry.key_end().map(Timestamp::as_micros), Some(9_000_000_000_000_000));
}
