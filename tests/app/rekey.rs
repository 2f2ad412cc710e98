//! Moving webhook keys to another master key while others make and rotate them.

use std::collections::HashMap;
use std::time::Duration;

use task_inbox::app::webhook_keys::{self, NewWebhookKey};
use task_inbox::app::{App, Permission, Principal, Vault, rekey, schemas, vault};
use task_inbox::store::Engine;
use task_inbox::store::secrets::{self, Resealed};

use crate::fixture::{Fixture, caller, refused};

/// A schema with so many endpoints of its own.
fn schema(endpoints: usize) -> String {
    let types = (0..endpoints)
        .map(|i| format!("- name: t{i}\n  resolved_states: [done]\n  hook_url: https://x.example/{i}\n"));
    format!("name: many\nsemver: '1'\ntasktypes:\n{}", types.collect::<String>())
}

async fn make(app: &App, ttype: usize, rotate: bool) -> (usize, String) {
    let overlap = rotate.then_some(Duration::ZERO);
    let (schema, name) = ("many".to_owned(), Some(format!("t{ttype}")));
    let new = NewWebhookKey { schema, ttype: name, key: None, rotate, overlap, endpoint: None };
    (ttype, webhook_keys::create(app, &Principal::cli(), new).await.expect("made").key)
}

async fn what_is_rotated_meanwhile_is_never_lost(engine: Engine) {
    const ENDPOINTS: usize = 12;
    let fixture = Fixture::empty(engine).await;
    let (old, new) = (vault::generate(), vault::generate());
    let with_ring = |app: &App, ring: &str| App { vault: Vault::parse(ring).expect("a ring"), ..app.clone() };
    // One process has the new key already, the other still encrypts under the old one.
    let ahead = with_ring(&fixture.app, &format!("new:{new},old:{old}"));
    let behind = with_ring(&fixture.another().await, &format!("old:{old},new:{new}"));
    let cli = Principal::cli();
    schemas::install(&behind, &cli, &schema(ENDPOINTS), false, false).await.expect("installed");
    let mut told: HashMap<usize, String> = HashMap::new();
    for i in 0..ENDPOINTS {
        told.extend([make(&behind, i, false).await]);
    }
    let rotating = async {
        let mut last = HashMap::new();
        for round in 0..3 {
            for i in 0..ENDPOINTS / 2 {
                let by = if (i + round) % 2 == 0 { &behind } else { &ahead };
                last.extend([make(by, i, true).await]);
            }
        }
        last
    };
    let moving = async {
        for _ in 0..20 {
            let step = rekey::step(&ahead, &cli, 5).await.expect("moved");
            assert!(step.moved <= 5);
        }
    };
    let (rotated, ()) = tokio::join!(rotating, moving);
    told.extend(rotated);
    // Nobody encrypts under the old one any more.
    while rekey::step(&ahead, &cli, 5).await.expect("moved").remaining > 0 {}
    let registry = ahead.registry.refresh(&ahead.db).await.expect("read");
    let alone = Vault::parse(&format!("new:{new}")).expect("a ring");
    let stored = secrets::all(&ahead.db).await.expect("read");
    assert_eq!(stored.len(), ENDPOINTS);
    for secret in stored {
        let endpoint = registry.endpoint(secret.endpoint_id).expect("is there");
        let i: usize = endpoint.ttype.as_ref().and_then(|t| t[1..].parse().ok()).expect("a type's own");
        let opened = alone.open(secret.id, &secret.master_key_id, &secret.ciphertext).expect("opens");
        assert_eq!(opened, told[&i], "of t{i}");
    }
}

async fn what_does_not_open_is_said_and_the_rest_is_moved(engine: Engine) {
    let fixture = Fixture::empty(engine).await;
    let (lost, old, new) = (vault::generate(), vault::generate(), vault::generate());
    let with_ring = |ring: &str| App { vault: Vault::parse(ring).expect("a ring"), ..fixture.app.clone() };
    let cli = Principal::cli();
    schemas::install(&fixture.app, &cli, &schema(3), false, false).await.expect("installed");
    make(&with_ring(&format!("lost:{lost}")), 0, false).await;
    make(&with_ring(&format!("old:{old}")), 1, false).await;
    // Under the id of another key: what is there does not open with it.
    make(&with_ring(&format!("odd:{lost}")), 2, false).await;
    let odd = secrets::all(&fixture.app.db).await.expect("read").remove(0);
    let renamed = Resealed {
        id: odd.id,
        endpoint_id: odd.endpoint_id,
        former: odd.ciphertext.clone(),
        master_key_id: "old".to_owned(),
        ciphertext: odd.ciphertext,
    };
    assert_eq!(secrets::replace(&fixture.app.db, &[renamed]).await.expect("renamed"), 1);
    let app = with_ring(&format!("new:{new},old:{old}"));
    let step = rekey::step(&app, &cli, 500).await.expect("moved");
    assert_eq!((step.moved, step.remaining), (1, 2));
    let said = refused(rekey::step(&app, &cli, 500).await, "Conflict");
    assert!(said.contains("does not open with the master key \"old\""), "{said}");
    webhook_keys::remove(&app, &cli, secrets::all(&app.db).await.expect("read")[0].id).await.expect("ended");
    let said = refused(rekey::step(&app, &cli, 500).await, "Conflict");
    assert!(said.contains("1 webhook keys") && said.contains("\"lost\""), "{said}");
    refused(rekey::step(&App { vault: Vault::empty(), ..app.clone() }, &cli, 1).await, "Unavailable");
    refused(rekey::step(&app, &caller(&[Permission::KeysWrite], Some(&["many"])), 1).await, "Forbidden");
    refused(rekey::step(&app, &caller(&[Permission::TasksRead], None), 1).await, "Forbidden");
}

crate::on_both_engines!(
    what_is_rotated_meanwhile_is_never_lost,
    what_does_not_open_is_said_and_the_rest_is_moved,
);
