//! Checkpoints: signed with the master key, and believed under it alone.

use task_inbox::app::{App, Principal, Vault, audit, tasks};
use task_inbox::store::Engine;

use crate::fixture::{Fixture, refund, refused};

async fn a_checkpoint_is_believed_under_its_key_alone(engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let app = &fixture.app;
    tasks::create(app, &Principal::cli(), refund(r#"{"order":"1"}"#, None), None).await.expect("posted");
    let checkpoint = audit::checkpoint(app, &Principal::cli()).await.expect("signed");
    let found = audit::verify(app, &Principal::cli(), Some(&checkpoint)).await.expect("read");
    assert!(found.ok && found.proved_from == Some(checkpoint.seq), "{found:?}");
    let mut forged = checkpoint.clone();
    forged.seq -= 1;
    refused(audit::verify(app, &Principal::cli(), Some(&forged)).await, "Invalid");
    let other = App {
        vault: Vault::parse("b:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("a key"),
        ..app.clone()
    };
    refused(audit::verify(&other, &Principal::cli(), Some(&checkpoint)).await, "Invalid");
    let locked = App { vault: Vault::empty(), ..app.clone() };
    refused(audit::checkpoint(&locked, &Principal::cli()).await, "Unavailable");
    assert!(audit::verify(&locked, &Principal::cli(), None).await.expect("needs no key").ok);
}

crate::on_both_engines!(a_checkpoint_is_believed_under_its_key_alone);
