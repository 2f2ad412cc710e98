//! `post_task`: the original's test client.

use crate::inbox::{Done, Inbox, Place, SAMPLE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_with_the_originals_flags() {
    let inbox = Inbox::at(Place::Remote).await;
    inbox.install(SAMPLE).ok();
    let made = inbox.json(&["api_key", "--name", "local", "--permission", "tasks:write"]);
    let key = made["key"].as_str().expect("a key");
    let host = inbox.url();
    let run = |arguments: &[&str], variable: &str| -> Done {
        let mut command = inbox.bare(&[&["post_task"], arguments].concat());
        command.env(variable, key).output().expect("it runs").into()
    };
    let json = run(&["--host", &host, "--json"], "LOCAL_INBOUND_API_KEY").json();
    assert_eq!(
        (json["ttype"].as_str(), json["task"]["schema"].as_str()),
        (Some("flag-content"), Some("ti:sample"))
    );
    let named = [
        "--host",
        &host,
        "--schema_name",
        "ti:sample",
        "--task_name",
        "delete-acct",
        "--key_var",
        "SHOP_KEY",
    ];
    assert!(run(&named, "SHOP_KEY").ok().contains("(delete-acct)"));
    let hyphens = named.map(|word| word.replace('_', "-").replace("SHOP-KEY", "SHOP_KEY"));
    run(&hyphens.each_ref().map(String::as_str), "SHOP_KEY").ok();
    run(&named, "OTHER").says(&["SHOP_KEY is not set", "task-inbox api_key"]);
    run(&["--host", &host, "--task_name", "x"], "LOCAL_INBOUND_API_KEY").says(&["delete-acct, flag-content"]);
    run(&["--host", "nowhere"], "LOCAL_INBOUND_API_KEY").refused(2);
    // From .env, and to the server that is set.
    inbox.write(".env", &format!("LOCAL_INBOUND_API_KEY={key}\nTASK_INBOX_SERVER={host}\n"));
    run(&[], "UNUSED").ok();
    assert_eq!(inbox.json(&["tasks"])["tasks"].as_array().map(Vec::len), Some(4));
}
