//! API keys: made, checked, ended, in one process and beside another.

use std::time::Duration;

use task_inbox::app::keys::{self, NewKey};
use task_inbox::app::rate::Rate;
use task_inbox::app::{Permission, Principal, schemas};
use task_inbox::store::Engine;

use crate::fixture::{Fixture, SHOP, caller, refused};

fn named(name: &str) -> NewKey {
    NewKey { name: name.to_owned(), ..NewKey::default() }
}

async fn a_key_works_at_once_and_until_it_is_revoked(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let (here, there, cli) = (&fixture.app, fixture.another().await, Principal::cli());
    let none = refused(keys::authenticate(here, "ti_nothing").await, "Forbidden");
    assert!(none.contains("task-inbox api_key --name"), "{none}");
    let made = keys::create(&there, &cli, named("ci")).await.expect("made");
    assert!(made.key.starts_with("ti_") && made.key.len() == 46, "{}", made.key);
    assert!(
        made.key.starts_with(made.info.hint.trim_end_matches('…')) && made.info.hint.chars().count() == 7
    );
    let who = keys::authenticate(here, &made.key).await.expect("known");
    assert_eq!(who.permissions, Permission::DEFAULT);
    assert_eq!((who.actor.name.as_deref(), who.schemas, who.key_id), (Some("ci"), None, Some(made.id())));
    refused(keys::authenticate(here, "ti_nothing").await, "Forbidden");

    keys::revoke(&there, &cli, made.id()).await.expect("revoked");
    here.keys.refresh(&here.db).await.expect("the watcher does this");
    let revoked = refused(keys::authenticate(here, &made.key).await, "Forbidden");
    assert!(revoked.contains("revoked"), "{revoked}");
    let unknown = uuid::Uuid::from_u128(1);
    refused(keys::revoke(here, &cli, unknown).await, "NotFound");
    // A use is written now and then, and shows in the list.
    here.keys.write_uses(&here.db).await.expect("written");
    assert!(keys::list(&there, &cli).await.expect("listed")[0].last_used.is_some());
}

async fn a_key_ends_and_has_a_rate(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let short = NewKey { expires: Some(Duration::from_nanos(1)), ..named("short") };
    let short = keys::create(app, &cli, short).await.expect("made");
    let over = refused(keys::authenticate(app, &short.key).await, "Forbidden");
    assert!(over.contains("expired"), "{over}");
    let slow = NewKey { rate: Some(Rate::parse("2/h").expect("a rate")), ..named("slow") };
    let slow = keys::create(app, &cli, slow).await.expect("made");
    for _ in 0..2 {
        keys::authenticate(app, &slow.key).await.expect("within the rate");
    }
    refused(keys::authenticate(app, &slow.key).await, "TooManyRequests");
    // Another key's change gives nothing back.
    keys::create(app, &cli, named("other")).await.expect("made");
    app.keys.refresh(&app.db).await.expect("read");
    refused(keys::authenticate(app, &slow.key).await, "TooManyRequests");
}

async fn a_given_key_is_taken_over_once(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let given = |key: &str| NewKey { key: Some(key.to_owned()), ..named("given") };
    let made = keys::create(app, &cli, given("local-key")).await.expect("made");
    assert!(made.warnings[0].contains("9 characters") && made.info.hint == "loc…", "{made:?}");
    keys::authenticate(app, "local-key").await.expect("known");
    refused(keys::create(app, &cli, given("local-key")).await, "Conflict");
    for wrong in ["short", "has a space", "tab\tinside", "umläut-key", &"x".repeat(513)] {
        let message = refused(keys::create(app, &cli, given(wrong)).await, "Invalid");
        assert!(!message.contains(wrong), "a key is never quoted: {message}");
    }
    refused(keys::create(app, &cli, named(" ")).await, "Invalid");
    let nobody = NewKey { permissions: Some(Vec::new()), ..named("x") };
    refused(keys::create(app, &cli, nobody).await, "Invalid");
}

async fn a_key_makes_none_that_may_more_than_itself(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let app = &fixture.app;
    let who = caller(&[Permission::KeysWrite, Permission::TasksRead], Some(&["shop"]));
    let like = |permissions: &[Permission], schemas: Option<&[&str]>| NewKey {
        permissions: Some(permissions.to_vec()),
        schemas: schemas.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
        ..named("made")
    };
    let made = keys::create(app, &who, like(&[Permission::TasksRead], Some(&["shop"]))).await.expect("made");
    assert!(made.warnings[0].contains("shop"), "it is not installed: {:?}", made.warnings);
    refused(keys::create(app, &who, like(&[Permission::TasksWrite], Some(&["shop"]))).await, "Forbidden");
    refused(keys::create(app, &who, like(&[Permission::TasksRead], None)).await, "Forbidden");
    refused(keys::create(app, &who, like(&[Permission::TasksRead], Some(&["other"]))).await, "Forbidden");
    refused(keys::create(app, &caller(&Permission::DEFAULT, None), named("x")).await, "Forbidden");
}

async fn a_key_makes_none_that_outlives_it(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let app = &fixture.app;
    let rate = |text: &str| Some(Rate::parse(text).expect("a rate"));
    let hour = Duration::from_hours(1);
    let permissions = Some(vec![Permission::KeysWrite, Permission::TasksRead]);
    let parent = NewKey { expires: Some(hour), rate: rate("60/m"), permissions, ..named("parent") };
    let parent = keys::create(app, &Principal::cli(), parent).await.expect("made");
    let who = keys::authenticate(app, &parent.key).await.expect("known");
    let child = || NewKey { permissions: Some(vec![Permission::TasksRead]), ..named("child") };

    let made = keys::create(app, &who, child()).await.expect("made");
    assert_eq!((made.info.expires, made.info.rate.as_deref()), (parent.info.expires, Some("60/m")));
    let shorter = NewKey { expires: Some(hour / 2), rate: rate("1/s"), ..child() };
    keys::create(app, &who, shorter).await.expect("no more than its maker");
    let endless = NewKey { expires: Some(hour * 24 * 100_000), ..named("endless") };
    refused(keys::create(app, &Principal::cli(), endless).await, "Invalid");
    let longer = NewKey { expires: Some(hour * 2), ..child() };
    assert!(refused(keys::create(app, &who, longer).await, "Forbidden").contains("longer"));
    let quicker = NewKey { rate: rate("2/s"), ..child() };
    assert!(refused(keys::create(app, &who, quicker).await, "Forbidden").contains("60/m"));
}

async fn removing_a_schema_ends_the_keys_that_saw_it_alone(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let (app, there, cli) = (&fixture.app, fixture.another().await, Principal::cli());
    schemas::install(app, &cli, SHOP, false, false).await.expect("installed");
    let of = |names: &[&str]| NewKey {
        schemas: Some(names.iter().map(|n| (*n).to_owned()).collect()),
        ..named("k")
    };
    let alone = keys::create(app, &cli, of(&["shop"])).await.expect("made");
    let twice = keys::create(app, &cli, of(&["shop", "shop"])).await.expect("made");
    let both = keys::create(app, &cli, of(&["shop", "other"])).await.expect("made");
    assert!(schemas::remove(app, &cli, "shop", false).await.expect("removed").deleted);
    refused(keys::authenticate(&there, &alone.key).await, "Forbidden");
    refused(keys::authenticate(&there, &twice.key).await, "Forbidden");
    keys::authenticate(&there, &both.key).await.expect("it may see another");
}

crate::on_both_engines!(
    a_key_works_at_once_and_until_it_is_revoked,
    a_key_ends_and_has_a_rate,
    a_given_key_is_taken_over_once,
    a_key_makes_none_that_may_more_than_itself,
    a_key_makes_none_that_outlives_it,
    removing_a_schema_ends_the_keys_that_saw_it_alone,
);
