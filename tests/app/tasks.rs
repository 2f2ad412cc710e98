//! Posting, listing and deciding.

use task_inbox::app::tasks::{self, Created, PostTask};
use task_inbox::app::{AppError, Permission, Principal, schemas};
use task_inbox::store::Engine;
use task_inbox::store::commit::Idempotency;
use task_inbox::store::task_list::TaskFilter;
use task_inbox_domain::Document;
use task_inbox_domain::transition::Decision;
use uuid::Uuid;

use crate::fixture::{Fixture, SHOP, caller, refund, refused};

const ORDER: &str = r#"{"order":"17"}"#;

fn to(state: Option<&str>) -> Decision {
    Decision { state: state.map(str::to_owned), output: None, reason: None, expected_version: None }
}

async fn a_name_that_leads_nowhere_tells_which_would(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let who = Principal::cli();
    let post = |schema: &str, task: &str| PostTask {
        schema_name: schema.to_owned(),
        task: task.to_owned(),
        ..PostTask::default()
    };
    let schema = refused(tasks::create(app, &who, post("shpo", "refund"), None).await, "NotFound");
    assert!(schema.contains("shpo") && schema.contains("there is shop"), "{schema}");
    let ttype = refused(tasks::create(app, &who, post("shop", "rufund"), None).await, "NotFound");
    assert!(ttype.contains("rufund") && ttype.contains("refund, note"), "{ttype}");
    // To a key that doesn't see the schema, it does not exist, and neither do the others.
    let blind = caller(&[Permission::TasksWrite], Some(&["other"]));
    let hidden = refused(tasks::create(app, &blind, post("shop", "refund"), None).await, "NotFound");
    assert!(!hidden.contains("there is shop"), "{hidden}");
}

async fn a_schema_that_was_installed_elsewhere_is_found_at_once(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let there = fixture.another().await;
    schemas::install(&there, &Principal::cli(), SHOP, false, false).await.expect("installed");
    let (view, created) =
        tasks::create(&fixture.app, &Principal::cli(), refund(ORDER, None), None).await.expect("posted");
    assert_eq!(created, Created::New);
    // A new version in between costs a retry and no more.
    let newer = SHOP.replace("semver: '1'", "semver: '2'");
    schemas::install(&there, &Principal::cli(), &newer, false, false).await.expect("installed");
    let who = Principal::cli();
    let decided = tasks::transition(&fixture.app, &who, view.task.id, to(Some("paid")), None, None).await;
    assert_eq!(decided.expect("decided").task.semver, "1");
    let (view, _) =
        tasks::create(&fixture.app, &Principal::cli(), refund(ORDER, None), None).await.expect("posted");
    assert_eq!(view.task.semver, "2");
}

async fn the_same_content_under_one_external_id_is_one_task(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let who = Principal::cli();
    let (first, _) =
        tasks::create(app, &who, refund(r#"{"order":"17","n":1}"#, Some("a")), None).await.expect("posted");
    let again = tasks::create(app, &who, refund(r#"{ "n":1.0, "order":"17" }"#, Some("a")), None).await;
    let (again, created) = again.expect("the same");
    assert_eq!((again.task.id, created), (first.task.id, Created::Existing));
    let other = tasks::create(app, &who, refund(r#"{"order":"18","n":1}"#, Some("a")), None).await;
    match other.expect_err("other content") {
        AppError::Conflict { current: Some(current), .. } => {
            assert_eq!(current.task.id, first.task.id);
            assert_eq!(current.allowed_transitions.len(), 3);
        }
        error => panic!("{error:?}"),
    }
    let invalid = refused(tasks::create(app, &who, refund(ORDER, Some("a\n")), None).await, "Invalid");
    assert!(invalid.contains("external_id"), "{invalid}");
}

async fn a_decision_is_checked_and_names_who_made_it(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let who = caller(&[Permission::TasksWrite, Permission::TasksRead, Permission::TasksResolve], None);
    let (view, _) = tasks::create(app, &who, refund(ORDER, None), None).await.expect("posted");
    let id = view.task.id;
    let decide =
        |decision: Decision| tasks::transition(app, &who, id, decision, None, Some("ann".to_owned()));
    refused(decide(to(Some("refused"))).await, "Invalid");
    refused(decide(to(Some("nonsense"))).await, "Invalid");
    refused(decide(Decision { expected_version: Some(9), ..to(Some("paid")) }).await, "Stale");
    let done = decide(to(Some("paid"))).await.expect("decided");
    let by = done.task.decided_by.as_ref().expect("somebody");
    assert_eq!((by.name.as_deref(), by.on_behalf_of.as_deref()), (Some("ci"), Some("ann")));
    assert_eq!(decide(to(Some("paid"))).await.expect("repeated").task.version, done.task.version);
    refused(decide(to(Some("refused"))).await, "Invalid");
    let reasoned = Decision { reason: Some("no".to_owned()), ..to(Some("refused")) };
    refused(decide(reasoned).await, "Conflict");
    refused(tasks::transition(app, &who, Uuid::from_u128(1), to(None), None, None).await, "NotFound");
    let history = tasks::history(app, &who, id, |logged| logged).await.expect("history");
    assert_eq!(history.len(), 2);
    assert!(history[1].event.body.contains("\"on_behalf_of\":\"ann\""));
}

async fn keys_do_and_see_what_they_were_given(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let (view, _) = tasks::create(app, &Principal::cli(), refund(ORDER, None), None).await.expect("posted");
    let id = view.task.id;
    let writer = caller(&[Permission::TasksWrite], None);
    refused(tasks::get(app, &writer, id).await, "Forbidden");
    refused(tasks::list(app, &writer, TaskFilter::default(), None, 10).await, "Forbidden");
    let reader = caller(&[Permission::TasksRead], None);
    refused(tasks::create(app, &reader, refund(ORDER, None), None).await, "Forbidden");
    refused(tasks::transition(app, &reader, id, to(Some("paid")), None, None).await, "Forbidden");
    let blind = caller(&Permission::ALL, Some(&["other"]));
    refused(tasks::get(app, &blind, id).await, "NotFound");
    refused(tasks::history(app, &blind, id, drop).await, "NotFound");
    refused(tasks::transition(app, &blind, id, to(Some("paid")), None, None).await, "NotFound");
    let asked_anyway = TaskFilter { schema: Some("shop".to_owned()), ..TaskFilter::default() };
    assert!(tasks::list(app, &blind, asked_anyway, None, 10).await.expect("empty").tasks.is_empty());
}

async fn pages_hold_every_task_once_with_its_type(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let who = Principal::cli();
    let mut posted = Vec::new();
    for i in 0..5 {
        let (view, _) =
            tasks::create(app, &who, refund(ORDER, Some(&format!("n{i}"))), None).await.expect("posted");
        posted.push(view.task.id);
    }
    let note = PostTask { schema_name: "shop".to_owned(), task: "note".to_owned(), ..PostTask::default() };
    posted.push(tasks::create(app, &who, note, None).await.expect("posted").0.task.id);
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = tasks::list(app, &who, TaskFilter::default(), after, 3).await.expect("a page");
        assert!(page.tasks.iter().all(|t| page.types.iter().any(|ttype| ttype.id == t.task.ttype_id)));
        listed.extend(page.tasks.iter().map(|t| t.task.id));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((listed, pages), (posted, 2), "no third page: the second is known to be the last");
}

async fn meta_is_checked_against_the_type(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let who = Principal::cli();
    let wrong =
        PostTask { meta: Some(Document::parse(r#"{"order":1}"#).expect("JSON")), ..refund(ORDER, None) };
    match tasks::create(app, &who, wrong, None).await.expect_err("not a string") {
        AppError::Invalid { problems, .. } => assert_eq!(problems[0].pointer, "/meta/order"),
        error => panic!("{error:?}"),
    }
}

crate::on_both_engines!(
    a_name_that_leads_nowhere_tells_which_would,
    an_answer_outlives_its_types_change,
    a_schema_that_was_installed_elsewhere_is_found_at_once,
    the_same_content_under_one_external_id_is_one_task,
    a_decision_is_checked_and_names_who_made_it,
    keys_do_and_see_what_they_were_given,
    pages_hold_every_task_once_with_its_type,
    meta_is_checked_against_the_type,
);

async fn an_answer_outlives_its_types_change(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let who = Principal::cli();
    let key = Idempotency { key_hash: [1; 32], body_hash: [2; 32] };
    let (first, _) = tasks::create(app, &who, refund(ORDER, None), Some(key.clone())).await.expect("posted");
    let (named, _) = tasks::create(app, &who, refund(ORDER, Some("n")), None).await.expect("posted");
    let stricter = SHOP.replace("semver: '1'", "semver: '2'").replace("[order]", "[order, why]");
    schemas::install(app, &who, &stricter, false, false).await.expect("installed");
    let (again, created) =
        tasks::create(app, &who, refund(ORDER, None), Some(key.clone())).await.expect("answered again");
    assert_eq!((again.task.id, created), (first.task.id, Created::New));
    assert_eq!(again.task.ttype, "refund");
    let (again, created) =
        tasks::create(app, &who, refund(ORDER, Some("n")), None).await.expect("answered again");
    assert_eq!((again.task.id, created), (named.task.id, Created::Existing));
    // What is new has to match what holds now, and so has another body under the old key.
    refused(tasks::create(app, &who, refund(ORDER, None), None).await, "Invalid");
    let other = Idempotency { body_hash: [3; 32], ..key };
    refused(tasks::create(app, &who, refund(ORDER, None), Some(other)).await, "Invalid");
}
