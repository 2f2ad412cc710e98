//! Installing, comparing and removing.

use task_inbox::app::schemas::{get, install, list, remove};
use task_inbox::app::{AppError, Permission, Principal, tasks, webhook_keys};
use task_inbox::bus::Topic;
use task_inbox::store::Engine;

use crate::fixture::{Fixture, SHOP, caller, refund, refused};

async fn installing_tells_what_waits_and_what_will_be_refused(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let woken = app.bus.subscribe(Topic::Registry);
    let dry = install(app, &cli, SHOP, false, true).await.expect("compared");
    assert_eq!((dry.version, dry.semver.as_str()), (1, "1"));
    assert!(app.registry.current().latest("shop").is_none() && !woken.has_changed().expect("there"));
    let report = install(app, &cli, SHOP, false, false).await.expect("installed");
    let warnings = report.warnings.join("\n");
    assert!(warnings.contains("task-inbox webhook_key shop`"), "{warnings}");
    assert!(warnings.contains("task-inbox webhook_key shop --type note`"), "{warnings}");
    assert!(
        warnings.contains("10.0.0.1 is refused") && warnings.contains("TASK_INBOX_ALLOW_NETS"),
        "{warnings}"
    );
    assert!(woken.has_changed().expect("there"));
    assert_eq!(get(app, &cli, "shop").expect("there").endpoints.len(), 2);
}

async fn a_version_is_immutable_and_follows_the_latest(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let again = refused(install(app, &cli, SHOP, false, false).await, "Conflict");
    assert!(again.contains("shop") && again.contains("semver"), "{again}");
    let older = SHOP.replace("semver: '1'", "semver: '0.9'");
    refused(install(app, &cli, &older, true, false).await, "Conflict");
    let breaking = SHOP
        .replace("semver: '1'", "semver: '1.1'")
        .replace("[paid, refused]", "[paid]")
        .replace("reason_required: [refused]", "title: x");
    match install(app, &cli, &breaking, false, false).await.expect_err("breaking") {
        AppError::Invalid { problems, .. } => assert!(!problems.is_empty()),
        error => panic!("{error:?}"),
    }
    let forced = install(app, &cli, &breaking, true, false).await.expect("forced");
    assert!(forced.breaking && forced.version == 2 && !forced.changes.is_empty(), "{forced:?}");
}

async fn a_file_that_is_wrong_tells_all_of_it(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let file = "name: shop\nsemver: x\ntasktypes:\n- name: refund\n  colour: red\n  resolved_states: [a]\n";
    match install(app, &cli, file, false, false).await.expect_err("wrong") {
        AppError::Invalid { problems, .. } => {
            assert_eq!(problems.len(), 2, "{problems:?}");
            assert!(problems[0].detail.starts_with("line 2, column"), "{problems:?}");
            assert!(problems[1].pointer.contains("tasktypes[0]"), "{problems:?}");
        }
        error => panic!("{error:?}"),
    }
    let guarded =
        SHOP.replace("  pending_states: [asked]", "  pending_states: [asked]\n  roles: {paid: [boss]}");
    let unsupported = refused(install(app, &cli, &guarded, true, false).await, "Invalid");
    assert!(unsupported.contains("does not act on"), "{unsupported}");
}

async fn removing_frees_name_and_version(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let (view, _) = tasks::create(app, &cli, refund(r#"{"order":"1"}"#, None), None).await.expect("posted");
    let dry = remove(app, &cli, "shop", true).await.expect("counted");
    assert_eq!((dry.versions, dry.tasks, dry.deleted), (1, 1, false));
    let done = remove(app, &cli, "shop", false).await.expect("removed");
    assert_eq!((done.versions, done.tasks, done.deleted), (1, 1, true));
    refused(tasks::get(app, &cli, view.task.id).await, "NotFound");
    refused(remove(app, &cli, "shop", false).await, "NotFound");
    assert!(list(app, &cli).expect("listed").is_empty());
    install(app, &cli, SHOP, false, false).await.expect("the name is free");
}

async fn another_proof_keeps_the_keys_that_fit_and_says_which_is_missing(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let version = |semver: &str, auth: &str| {
        format!(
            "name: s\nsemver: '{semver}'\ndefault_hook_url: https://s.example/hook\nhook_auth: {auth}\n\
             callback_hosts: [s.example]\ntasktypes: [{{name: t, resolved_states: [r]}}]"
        )
    };
    let key = || webhook_keys::NewWebhookKey { schema: "s".to_owned(), ..Default::default() };
    let endpoints = || app.registry.current().endpoints().map(|e| (e.origin, e.has_key)).collect::<Vec<_>>();
    let first =
        install(app, &cli, &version("1", "{kind: head, val: X-Key}"), false, false).await.expect("installed");
    assert_eq!(first.warnings.len(), 1, "one key is for the schema and its callbacks: {:?}", first.warnings);
    webhook_keys::create(app, &cli, key()).await.expect("a key");
    assert!(endpoints().iter().all(|(_, has_key)| *has_key) && endpoints().len() == 2);
    // Another header carries the same key.
    let renamed = install(app, &cli, &version("2", "{kind: head, val: X-Other}"), false, false)
        .await
        .expect("installed");
    assert_eq!(renamed.warnings.len(), 1);
    assert!(renamed.warnings[0].contains("goes out in the header X-Other"), "{:?}", renamed.warnings);
    // A signature needs another key, which is said; the old one stays for who comes back.
    let dry = install(app, &cli, &version("3", "{kind: hmac}"), false, true).await.expect("compared");
    let signed = install(app, &cli, &version("3", "{kind: hmac}"), false, false).await.expect("installed");
    assert!(signed.warnings[0].contains("task-inbox webhook_key s`"), "{:?}", signed.warnings);
    let kept = &signed.warnings[1];
    assert!(kept.contains("the head key of s ") && kept.contains("unused while hook_auth is hmac"), "{kept}");
    let foretold: Vec<_> = signed.warnings.iter().map(|w| format!("once it is installed: {w}")).collect();
    assert_eq!(dry.warnings, foretold, "a dry run says the same");
    assert!(endpoints().iter().all(|(_, has_key)| !has_key));
    webhook_keys::create(app, &cli, key()).await.expect("a key of the other kind");
    let back =
        install(app, &cli, &version("4", "{kind: head, val: X-Key}"), false, false).await.expect("installed");
    assert!(endpoints().iter().all(|(_, has_key)| *has_key), "it was not lost");
    let said = back.warnings.join("\n");
    assert!(said.contains("the head key of s ") && said.contains("is in force again"), "{said}");
    assert!(said.contains("the hmac key of s ") && said.contains("unused while hook_auth is head"), "{said}");
    assert_eq!(back.warnings.len(), 2);
    let unused = async || {
        let listed = webhook_keys::list(app, &cli, None).await.expect("listed");
        let mut listed: Vec<_> = listed.into_iter().map(|k| (k.kind, k.unused)).collect();
        listed.sort();
        listed
    };
    let both = [("head".to_owned(), false), ("hmac".to_owned(), true)];
    assert_eq!(unused().await, both);
    // A rotation is of the kind that is in use.
    let rotation = || webhook_keys::NewWebhookKey { rotate: true, ..key() };
    webhook_keys::create(app, &cli, rotation()).await.expect("rotated");
    assert_eq!(unused().await, both);
    install(app, &cli, &version("5", "{kind: hmac}"), false, false).await.expect("installed");
    webhook_keys::create(app, &cli, rotation()).await.expect("rotated");
    let listed = [("head".to_owned(), true), ("hmac".to_owned(), false), ("hmac".to_owned(), false)];
    assert_eq!(unused().await, listed, "the hmac key was the only one of its kind, and goes on for a day");
}

async fn a_dry_run_foretells_a_guard_that_nobody_signs_for(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let (app, cli) = (&fixture.app, Principal::cli());
    let guarded = |hook: &str| {
        format!(
            "name: s\nsemver: '1'\n{hook}tasktypes:\n- name: t\n  resolved_states: [r]\n  guard: {{url: \
             https://s.example/ask}}\n"
        )
    };
    let none = install(app, &cli, &guarded(""), false, true).await.expect("compared").warnings.join("\n");
    assert!(
        none.contains("the guard of t can't be asked without a key") && none.contains("declare"),
        "{none}"
    );
    let hooked = guarded("default_hook_url: https://s.example/hook\n");
    let dry = install(app, &cli, &hooked, false, true).await.expect("compared").warnings.join("\n");
    assert!(
        dry.contains("the guard of t can't be asked") && dry.contains("`task-inbox webhook_key s`"),
        "{dry}"
    );
}

async fn schemas_are_for_those_who_may_and_see_them(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let blind = caller(&Permission::ALL, Some(&["other"]));
    refused(install(app, &blind, SHOP, false, false).await, "Forbidden");
    refused(remove(app, &blind, "shop", false).await, "NotFound");
    refused(get(app, &blind, "shop"), "NotFound");
    assert!(list(app, &blind).expect("listed").is_empty());
    let writer = caller(&Permission::DEFAULT, None);
    refused(install(app, &writer, SHOP, false, true).await, "Forbidden");
    refused(remove(app, &writer, "shop", true).await, "Forbidden");
    refused(list(app, &writer), "Forbidden");
}

crate::on_both_engines!(
    installing_tells_what_waits_and_what_will_be_refused,
    a_version_is_immutable_and_follows_the_latest,
    a_file_that_is_wrong_tells_all_of_it,
    removing_frees_name_and_version,
    another_proof_keeps_the_keys_that_fit_and_says_which_is_missing,
    a_dry_run_foretells_a_guard_that_nobody_signs_for,
    schemas_are_for_those_who_may_and_see_them,
);
