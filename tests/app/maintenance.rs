//! Maintenance: who may, what is refused, and what another process holds to at once.

use std::time::Duration;

use task_inbox::app::maintenance::{NewMaintenance, admit, begin, end, list};
use task_inbox::app::{App, AppError, Permission, Principal, schemas, tasks};
use task_inbox::store::Engine;
use task_inbox_domain::transition::Decision;
use uuid::Uuid;

use crate::fixture::{Fixture, SHOP, caller, refund, refused};
use crate::on_both_engines;

on_both_engines!(
    a_schema_takes_no_writes,
    the_operator_administers_and_does_not_decide,
    another_process_holds_to_it_at_once,
    who_may_and_what_can_be_said,
);

const META: &str = r#"{"order":"1"}"#;

fn of(schema: Option<&str>) -> NewMaintenance {
    NewMaintenance { schema: schema.map(str::to_owned), ..NewMaintenance::default() }
}

async fn post(app: &App, who: &Principal) -> Result<Uuid, AppError> {
    tasks::create(app, who, refund(META, None), None).await.map(|(view, _)| view.task.id)
}

async fn pay(app: &App, who: &Principal, id: Uuid) -> Result<(), AppError> {
    let decision =
        Decision { state: Some("paid".to_owned()), output: None, reason: None, expected_version: None };
    tasks::transition(app, who, id, decision, None, None).await.map(drop)
}

async fn a_schema_takes_no_writes(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let (cli, key) = (Principal::cli(), caller(&Permission::ALL, None));
    let id = post(app, &key).await.expect("posted");
    let new = NewMaintenance {
        message: Some("Back at noon.".to_owned()),
        retry_after: Some(Duration::from_millis(1500)),
        ..of(Some("shop"))
    };
    let begun = begin(app, &cli, new).await.expect("begun");
    assert_eq!((begun.message.as_str(), begun.retry_after), ("Back at noon.", Duration::from_secs(2)));
    let newer = SHOP.replace("semver: '1'", "semver: '2'");
    for refusal in [
        refused(post(app, &key).await, "Maintenance"),
        refused(pay(app, &key, id).await, "Maintenance"),
        refused(schemas::install(app, &key, &newer, false, false).await, "Maintenance"),
        refused(schemas::remove(app, &key, "shop", false).await, "Maintenance"),
    ] {
        assert_eq!(refusal, "Back at noon.");
    }
    // What only looks goes on, and so do other schemas.
    tasks::get(app, &key, id).await.expect("read");
    schemas::install(app, &key, &newer, false, true).await.expect("compared");
    schemas::remove(app, &key, "shop", true).await.expect("counted");
    admit(app, &key).expect("the inbox as a whole is in none");
    let other = SHOP.replace("name: shop", "name: other");
    schemas::install(app, &key, &other, false, false).await.expect("installed");
    end(app, &cli, Some("shop")).await.expect("ended");
    pay(app, &key, id).await.expect("decided");
}

async fn the_operator_administers_and_does_not_decide(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let (cli, key) = (Principal::cli(), caller(&Permission::ALL, None));
    let id = post(app, &cli).await.expect("posted");
    begin(app, &cli, of(None)).await.expect("begun");
    begin(app, &cli, of(Some("shop"))).await.expect("begun");
    let told = refused(admit(app, &key), "Maintenance");
    assert!(told.contains("the inbox is in maintenance"), "{told}");
    admit(app, &cli).expect("the operator goes on");
    refused(post(app, &cli).await, "Maintenance");
    refused(pay(app, &cli, id).await, "Maintenance");
    let newer = SHOP.replace("semver: '1'", "semver: '2'");
    schemas::install(app, &cli, &newer, false, false).await.expect("installed");
    schemas::remove(app, &cli, "shop", false).await.expect("removed");
    let left = list(app, &cli).await.expect("listed");
    assert!(left.len() == 1 && left[0].schema.is_none(), "its own ended with the schema: {left:?}");
}

async fn another_process_holds_to_it_at_once(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (here, there) = (&fixture.app, fixture.another().await);
    let key = caller(&Permission::ALL, None);
    let id = post(&there, &key).await.expect("posted");
    for scope in [Some("shop"), None] {
        let number = there.registry.current().number;
        begin(here, &Principal::cli(), of(scope)).await.expect("begun");
        // It was told nothing, and finds out by trying.
        assert_eq!(there.registry.current().number, number);
        refused(post(&there, &key).await, "Maintenance");
        refused(pay(&there, &key, id).await, "Maintenance");
        end(here, &Principal::cli(), scope).await.expect("ended");
        there.registry.refresh(&there.db).await.expect("read");
        post(&there, &key).await.expect("posted");
    }
}

async fn who_may_and_what_can_be_said(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let unable = caller(&[Permission::TasksWrite], None);
    assert!(refused(begin(app, &unable, of(None)).await, "Forbidden").contains("maintenance:write"));
    refused(end(app, &unable, None).await, "Forbidden");
    let one = caller(&[Permission::MaintenanceWrite], Some(&["shop"]));
    assert!(refused(begin(app, &one, of(None)).await, "Forbidden").contains("every schema"));
    begin(app, &one, of(Some("shop"))).await.expect("its own schema");
    let blind = caller(&[Permission::MaintenanceWrite], Some(&["other"]));
    refused(begin(app, &blind, of(Some("shop"))).await, "NotFound");
    refused(end(app, &blind, Some("shop")).await, "NotFound");
    assert!(list(app, &blind).await.expect("listed").is_empty());
    assert_eq!(list(app, &one).await.expect("listed").len(), 1);
    end(app, &one, Some("shop")).await.expect("ended");
    let cli = Principal::cli();
    let off = refused(end(app, &cli, Some("shop")).await, "NotFound");
    assert_eq!(off, "the schema shop is not in maintenance");
    assert!(refused(end(app, &cli, None).await, "NotFound").contains("the whole inbox is not"));
    assert!(refused(end(app, &cli, Some("x")).await, "NotFound").contains("there is no schema"));
    let long = "x".repeat(1001);
    for message in ["", " \n", long.as_str()] {
        let new = NewMaintenance { message: Some(message.to_owned()), ..of(None) };
        refused(begin(app, &cli, new).await, "Invalid");
    }
    for millis in [0, 999, 24 * 60 * 60 * 1000 + 1] {
        let new = NewMaintenance { retry_after: Some(Duration::from_millis(millis)), ..of(None) };
        refused(begin(app, &cli, new).await, "Invalid");
    }
    assert!(list(app, &cli).await.expect("listed").is_empty());
}
