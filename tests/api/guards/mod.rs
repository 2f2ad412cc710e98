//! Guards: the application server is asked before a transition commits, and its answer holds for the
//! version that it was asked about.

mod asked;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::webhook_keys::{self, NewWebhookKey};
use task_inbox::app::{App, Permission, Principal, endpoints, guards, schemas};
use task_inbox::bus::Bus;
use task_inbox::measure;
use task_inbox::store::{Engine, RegistryCache};
use uuid::Uuid;

use crate::application::{Application, Says};
use crate::on_both_engines;
use crate::server::{Answer, Server};

on_both_engines!(
    what_it_allows_is_made_and_says_so,
    what_it_refuses_is_not_made_and_the_person_sees_why,
    one_that_cannot_be_asked_holds_to_on_error,
    what_changed_while_it_was_asked_is_a_conflict,
    two_who_decide_the_same_both_get_it,
    tasks_of_old_versions_ask_where_the_latest_says,
    installing_warns_of_one_that_cannot_be_asked,
    a_key_that_was_made_elsewhere_a_moment_ago_signs,
);

/// A schema whose refunds are guarded where they are paid and where they are opened again.
fn till(url: &str, more: &str) -> String {
    format!(
        "
name: till
semver: '1'
default_hook_url: http://127.0.0.1:1/hook
tasktypes:
- name: refund
  pending_states: [asked]
  resolved_states: [paid, refused]
  guard: {{url: '{url}', states: [paid, unset]{more}}}
- name: note
  resolved_states: [seen]
  guard: {{url: '{url}'{more}}}
"
    )
}

/// An inbox, and the application server that it asks.
struct Till {
    server: Server,
    application: Application,
    secret: String,
}

impl Till {
    async fn open(engine: Engine, says: Says, more: &str) -> Self {
        let (server, application) =
            (Server::beside_an_application(engine).await, Application::start(says).await);
        install(&server, &till(&application.url("/may?k=1"), more)).await;
        let new = NewWebhookKey { schema: "till".to_owned(), ..NewWebhookKey::default() };
        let secret = webhook_keys::create(&server.app, &Principal::cli(), new).await.expect("a key").key;
        Self { server, application, secret }
    }

    /// Posts a refund.
    async fn refund(&self) -> Value {
        self.post("refund").await
    }

    async fn post(&self, ttype: &str) -> Value {
        let body = json!({"schema_name": "till", "task": ttype, "meta": {"order": "17"}});
        self.server.post(&body).await.ok(201)["task"].clone()
    }

    /// Asserts that a task is as it was posted.
    async fn is_untouched(&self, task: &Value) {
        let id = task["id"].as_str().expect("an id");
        let now = self.server.get(&format!("/api/v1/tasks/{id}")).await.ok(200);
        assert_eq!(&now["task"], task);
        assert_eq!(self.history(task).await.len(), 1);
    }

    /// The lines of a task's history.
    async fn history(&self, task: &Value) -> Vec<Value> {
        let id = task["id"].as_str().expect("an id");
        let history = self.server.get(&format!("/api/v1/tasks/{id}/history")).await.ok(200);
        history["history"].as_array().expect("a list").clone()
    }
}

async fn install(server: &Server, source: &str) -> Vec<String> {
    schemas::install(&server.app, &Principal::cli(), source, false, false).await.expect("installs").warnings
}

/// The detail of an answer that says that the guard could not be asked.
fn not_asked(answer: &Answer, outcome: &str) {
    let problem = answer.problem(503);
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("could not be asked") && detail.contains(&format!("({outcome})")), "{detail}");
    assert!(!answer.header("retry-after").is_empty());
    assert!(!detail.contains("127.0.0.1"), "who decides is told no addresses: {detail}");
}

async fn what_it_allows_is_made_and_says_so(engine: Engine) {
    let mut till = Till::open(engine, Says::This(204, ""), "").await;
    let (server, task) = (&till.server, till.refund().await);
    let body = json!({"state": "paid", "output": {"cents": 5}, "reason": "broke", "on_behalf_of": "mia"});
    let decided = server.decide_with(&task, &body).header("if-match", "\"1\"").send().await.ok(200);
    assert_eq!((&decided["task"]["state"], &decided["task"]["version"]), (&json!("paid"), &json!(2)));
    let question = till.application.question().await;
    assert_eq!((question.path.as_str(), question.header("content-type")), ("/may", "application/json"));
    assert!(question.header("user-agent").starts_with("task-inbox/"));
    let id = question.header("webhook-id");
    assert!(id.strip_prefix("grd_").is_some_and(|id| Uuid::parse_str(id).is_ok()), "{id}");
    assert!(question.is_signed_with(&till.secret));
    let asked = question.json();
    assert_eq!(asked["type"], "task.guard");
    let data = &asked["data"];
    let mut before = task.clone();
    before.as_object_mut().expect("a task").remove("allowed_transitions");
    assert_eq!((&data["task"], &data["ttype"]), (&before, &json!("refund")));
    assert_eq!(data["transition"], json!({"from": null, "to": "paid"}));
    assert_eq!((&data["reason"], &data["output"]), (&json!("broke"), &json!({"cents": 5})));
    assert_eq!((&data["actor"]["kind"], &data["actor"]["on_behalf_of"]), (&json!("key"), &json!("mia")));
    // Consent in words, for the way back to unset; it is another question.
    till.application.says(Says::This(200, r#"{"allow": true, "reason": "fine"}"#));
    till.server.decide(&task, "").send().await.ok(200);
    let second = till.application.question().await;
    assert_ne!(second.header("webhook-id"), id);
    assert_eq!(second.json()["data"]["transition"], json!({"from": "paid", "to": null}));
    // A state without a guard is nobody's business.
    till.server.decide(&task, "asked").send().await.ok(200);
    assert_eq!(till.application.unread(), 0);
    let said: Vec<_> = till.history(&task).await.iter().map(|line| line.get("guard").cloned()).collect();
    assert_eq!(said, [None, Some(json!("allowed")), Some(json!("allowed")), None]);
    let events = till.server.get("/api/v1/events?type=task.state_changed").await.ok(200);
    let said: Vec<_> =
        events["events"].as_array().expect("a list").iter().map(|e| e["data"].get("guard")).collect();
    assert_eq!(said, [Some(&json!("allowed")), Some(&json!("allowed")), None]);
}

async fn what_it_refuses_is_not_made_and_the_person_sees_why(engine: Engine) {
    let refusal = Says::This(200, r#"{"allow": false, "reason": "order 17 is\nshipped already"}"#);
    let till = Till::open(engine, refusal, ", on_error: allow").await;
    let task = till.refund().await;
    let problem = till.server.decide(&task, "paid").send().await.problem(409);
    assert_eq!(problem["detail"], "the application server refused: order 17 is shipped already");
    assert_eq!(problem["guard"], json!({"reason": "order 17 is shipped already"}));
    assert_eq!(problem["type"], "/problems/conflict");
    assert_eq!(problem["current"]["version"], 1);
    assert_eq!(problem["allowed_transitions"], json!(["asked", "paid", "refused"]));
    till.application.says(Says::This(202, r#"{"allow": false}"#));
    let problem = till.server.decide(&task, "paid").send().await.problem(409);
    assert_eq!(problem["detail"], "the application server refused: it gave no reason");
    assert_eq!(problem["guard"], json!({"reason": null}));
    till.is_untouched(&task).await;
}

async fn one_that_cannot_be_asked_holds_to_on_error(engine: Engine) {
    let mut till = Till::open(engine, Says::Nothing, ", timeout: 2s, on_error: deny").await;
    let allowing = till_named("open", &till.application.url("/may"), ", timeout: 2s, on_error: allow");
    install(&till.server, &allowing).await;
    let new = NewWebhookKey { schema: "open".to_owned(), ..NewWebhookKey::default() };
    webhook_keys::create(&till.server.app, &Principal::cli(), new).await.expect("a key");
    for (says, outcome) in [
        (Says::Nothing, "timeout"),
        (Says::This(500, ""), "status"),
        (Says::This(403, r#"{"allow": true}"#), "status"),
        (Says::Elsewhere, "status"),
        (Says::This(200, "<html>yes</html>"), "answer"),
        (Says::This(200, "{}"), "answer"),
        (Says::Endless, "answer"),
    ] {
        till.application.says(says.clone());
        let task = till.refund().await;
        not_asked(&till.server.decide(&task, "paid").send().await, outcome);
        till.is_untouched(&task).await;
        let body = json!({"schema_name": "open", "task": "refund", "meta": null});
        let open = till.server.post(&body).await.ok(201)["task"].clone();
        assert_eq!(
            till.server.decide(&open, "paid").send().await.ok(200)["task"]["state"],
            "paid",
            "{says:?}"
        );
        assert_eq!(till.history(&open).await[1]["guard"], "unreachable");
        for _ in 0..2 {
            assert_eq!(till.application.question().await.path, "/may");
        }
        // Asked once each, and nobody went where a redirect pointed.
        assert_eq!(till.application.unread(), 0, "{says:?}");
    }
    // Nobody listens there any more.
    let Till { server, application, .. } = till;
    drop(application);
    let body = json!({"schema_name": "till", "task": "note", "meta": null});
    let task = server.post(&body).await.ok(201)["task"].clone();
    let answer = server.decide(&task, "seen").send().await;
    assert_eq!(answer.problem(503)["status"], 503);
}

fn till_named(name: &str, url: &str, more: &str) -> String {
    till(url, more).replace("name: till", &format!("name: {name}"))
}

async fn what_changed_while_it_was_asked_is_a_conflict(engine: Engine) {
    let mut till = Till::open(engine, Says::Later(204, ""), "").await;
    let other = till.server.key(None, &Permission::ALL).await;
    for if_match in [None, Some("\"1\"")] {
        till.application.says(Says::Later(204, ""));
        let task = till.refund().await;
        let path = format!("/api/v1/tasks/{}/state?state=asked", task["id"].as_str().expect("an id"));
        let request = till.server.decide(&task, "paid");
        let request = if_match.into_iter().fold(request, |r, version| r.header("if-match", version));
        let application = &mut till.application;
        let meanwhile = async {
            application.question().await;
            // A transition without a guard, by somebody else.
            let changed =
                till.server.bare(Method::PATCH, &path).header("api-key", &other).send().await.ok(200);
            application.release();
            changed
        };
        let (answer, changed) = tokio::join!(request.send(), meanwhile);
        let problem = answer.problem(409);
        assert_eq!(problem["current"], changed["task"]);
        assert_eq!(problem["allowed_transitions"], json!([null, "paid", "refused"]));
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("version 2") && detail.contains("changed meanwhile"), "{detail}");
        let states: Vec<_> = till.history(&task).await.iter().map(|line| line["state"].clone()).collect();
        assert_eq!(states, [Value::Null, json!("asked")], "nothing of the refused decision is kept");
    }
}

async fn two_who_decide_the_same_both_get_it(engine: Engine) {
    let mut till = Till::open(engine, Says::Later(204, ""), "").await;
    let task = till.refund().await;
    let (one, two) = (till.server.decide(&task, "paid").send(), till.server.decide(&task, "paid").send());
    let application = &mut till.application;
    let release = async {
        application.question().await;
        application.question().await;
        application.release();
    };
    let (one, two, ()) = tokio::join!(one, two, release);
    // The same caller: the second finds its decision made, though of a version that it did not ask about.
    assert_eq!(one.ok(200), two.ok(200));
    assert_eq!(till.history(&task).await.len(), 2);
}

async fn tasks_of_old_versions_ask_where_the_latest_says(engine: Engine) {
    let mut till = Till::open(engine, Says::This(204, ""), "").await;
    let (moved, dropped) = (till.refund().await, till.refund().await);
    let source =
        till_named("till", &till.application.url("/moved"), "").replace("semver: '1'", "semver: '1.1'");
    install(&till.server, &source).await;
    till.server.decide(&moved, "paid").send().await.ok(200);
    assert_eq!(till.application.question().await.path, "/moved");
    // A version without a guard takes none from the tasks that were posted under one.
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("guard:"));
    let source = lines.collect::<Vec<_>>().join("\n").replace("semver: '1.1'", "semver: '2'");
    install(&till.server, &source).await;
    till.server.decide(&dropped, "paid").send().await.ok(200);
    assert_eq!(till.application.question().await.path, "/may");
    let unguarded = till.refund().await;
    till.server.decide(&unguarded, "paid").send().await.ok(200);
    assert_eq!(till.application.unread(), 0);
}

async fn installing_warns_of_one_that_cannot_be_asked(engine: Engine) {
    let server = Server::start(engine).await;
    let source = till("https://app.example/may", ", on_error: allow");
    let dry = schemas::install(&server.app, &Principal::cli(), &source, false, true).await.expect("compared");
    let foretold = "once it is installed: the guard of refund can't be asked without a key";
    assert!(dry.warnings.iter().any(|w| w.starts_with(foretold)), "{:?}", dry.warnings);
    let warnings = install(&server, &source).await;
    let said = "the guard of refund can't be asked without a key, and what it guards is let pass until then; make one \
                with `task-inbox webhook_key till`";
    assert!(warnings.iter().any(|w| w == said), "{warnings:?}");
    let nowhere = till_named("nowhere", "https://app.example/may", "")
        .replace("default_hook_url: http://127.0.0.1:1/hook\n", "");
    let warnings = install(&server, &nowhere).await;
    assert!(warnings[0].contains("is refused until then; keys belong to endpoints"), "{warnings:?}");
}

async fn a_key_that_was_made_elsewhere_a_moment_ago_signs(engine: Engine) {
    let (server, application) =
        (Server::beside_an_application(engine).await, Application::start(Says::This(204, "")).await);
    install(&server, &till(&application.url("/may"), "")).await;
    let body = json!({"schema_name": "till", "task": "refund", "meta": {"order": "17"}});
    let task = server.post(&body).await.ok(201)["task"].clone();
    not_asked(&server.decide(&task, "paid").send().await, "no_key");
    // Another process, which tells this one nothing.
    let registry = RegistryCache::load(&server.app.db).await.expect("a registry");
    let other = App { registry, bus: Bus::memory(), ..server.app.clone() };
    let new = NewWebhookKey { schema: "till".to_owned(), ..NewWebhookKey::default() };
    webhook_keys::create(&other, &Principal::cli(), new).await.expect("a key");
    server.decide(&task, "paid").send().await.ok(200);
}
