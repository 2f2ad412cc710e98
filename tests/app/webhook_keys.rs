//! Webhook keys: made, given, rotated, encrypted.

use std::time::Duration;

use task_inbox::app::webhook_keys::{self, CreatedWebhookKey, NewWebhookKey};
use task_inbox::app::{App, AppError, Permission, Principal, Vault, vault};
use task_inbox::bus::Topic;
use task_inbox::store::{Engine, secrets};

use crate::fixture::{Fixture, SHOP, caller, refused};

async fn create(
    app: &App,
    who: &Principal,
    schema: &str,
    ttype: Option<&str>,
    key: Option<String>,
    rotate: bool,
) -> Result<CreatedWebhookKey, AppError> {
    let overlap = rotate.then_some(Duration::ZERO);
    let (schema, ttype) = (schema.to_owned(), ttype.map(str::to_owned));
    webhook_keys::create(app, who, NewWebhookKey { schema, ttype, key, rotate, overlap, endpoint: None })
        .await
}

async fn a_key_is_of_its_endpoints_kind_and_kept_encrypted(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let due = app.bus.subscribe(Topic::Due);
    let made = create(app, &cli, "shop", None, None, false).await.expect("made");
    assert!(made.info.kind == "hmac" && made.key.starts_with("whsec_"), "{made:?}");
    assert!(due.has_changed().expect("there"), "what waited for it goes out");
    assert!(app.registry.current().endpoint_of("shop", None).expect("declared").is_sendable());
    let stored = secrets::all(&app.db).await.expect("read").remove(0);
    assert!(!stored.ciphertext.windows(6).any(|w| w == b"whsec_"));
    let opened = app.vault.open(stored.id, &stored.master_key_id, &stored.ciphertext);
    assert_eq!(opened, Ok(made.key));
    let head = create(app, &cli, "shop", Some("note"), None, false).await.expect("made");
    assert!(head.info.kind == "head" && head.key.len() == 43 && head.info.url.contains("notes"), "{head:?}");
}

async fn a_key_that_is_there_is_replaced_only_on_purpose(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let give = |key: &str, rotate| create(app, &cli, "shop", Some("note"), Some(key.to_owned()), rotate);
    give("first-key", false).await.expect("taken over");
    let kept = refused(give("second-key", false).await, "Conflict");
    assert!(kept.contains("--rotate"), "{kept}");
    give("second-key", true).await.expect("rotated");
    let stored = secrets::all(&app.db).await.expect("read");
    assert_eq!(stored.len(), 1);
    let opened = app.vault.open(stored[0].id, &stored[0].master_key_id, &stored[0].ciphertext);
    assert_eq!(opened.as_deref(), Ok("second-key"));
}

async fn what_can_not_be_is_refused_with_what_can(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    let cli = Principal::cli();
    let given = create(app, &cli, "shop", None, Some("not-an-hmac-key".to_owned()), false).await;
    let wrong = refused(given, "Invalid");
    assert!(wrong.contains("whsec_") && !wrong.contains("not-an-hmac-key"), "{wrong}");
    let no_endpoint = refused(create(app, &cli, "shop", Some("refund"), None, false).await, "NotFound");
    assert!(no_endpoint.contains("leave out the type"), "{no_endpoint}");
    refused(create(app, &cli, "shop", Some("other"), None, false).await, "NotFound");
    refused(create(app, &cli, "other", None, None, false).await, "NotFound");
    refused(create(app, &caller(&Permission::DEFAULT, None), "shop", None, None, false).await, "Forbidden");
    let locked = App { vault: Vault::empty(), ..app.clone() };
    let missing = refused(create(&locked, &cli, "shop", None, None, false).await, "Unavailable");
    assert!(missing.contains("generate-keys"), "{missing}");
    let bare =
        SHOP.replace("name: shop", "name: bare").replace("default_hook_url: http://10.0.0.1/hook\n", "");
    task_inbox::app::schemas::install(app, &cli, &bare, false, false).await.expect("installed");
    refused(create(app, &cli, "bare", None, None, false).await, "NotFound");
}

async fn another_master_key_of_the_same_name_makes_no_key(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let cli = Principal::cli();
    create(&fixture.app, &cli, "shop", None, None, false).await.expect("made");
    let mut strange = fixture.another().await;
    strange.vault = Vault::parse(&vault::generate()).expect("a ring");
    let said = refused(create(&strange, &cli, "shop", None, None, true).await, "Conflict");
    assert!(said.contains("TASK_INBOX_MASTER_KEY") && said.contains("12:{base64}"), "{said}");
    assert_eq!(secrets::all(&fixture.app.db).await.expect("read").len(), 1, "the one that works stays");
    strange.vault = Vault::parse(&format!("12:{}", vault::generate())).expect("a ring");
    create(&strange, &cli, "shop", None, None, true).await.expect("one by another name is no mistake");
}

async fn a_second_rotation_ends_nothing_early(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (app, cli) = (&fixture.app, Principal::cli());
    create(app, &cli, "shop", None, None, false).await.expect("made");
    let rotate = || {
        let overlap = Some(Duration::from_hours(1));
        let new =
            NewWebhookKey { schema: "shop".to_owned(), rotate: true, overlap, ..NewWebhookKey::default() };
        webhook_keys::create(app, &cli, new)
    };
    for keys in 2..=secrets::MAX_SIDE_BY_SIDE {
        assert_eq!(rotate().await.expect("rotated").warnings, [""; 0]);
        assert_eq!(secrets::all(&app.db).await.expect("read").len(), keys);
    }
    let said = refused(rotate().await, "Conflict");
    let ends: Vec<_> =
        secrets::all(&app.db).await.expect("read").into_iter().filter_map(|s| s.expires).collect();
    let next = ends.iter().min().expect("several end").to_string();
    assert!(said.contains("5 keys") && said.contains(&next) && said.contains("revoke_webhook_key"), "{said}");
}

crate::on_both_engines!(
    a_key_is_of_its_endpoints_kind_and_kept_encrypted,
    a_key_that_is_there_is_replaced_only_on_purpose,
    what_can_not_be_is_refused_with_what_can,
    another_master_key_of_the_same_name_makes_no_key,
    a_second_rotation_ends_nothing_early,
);
