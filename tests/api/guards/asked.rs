//! When and how a guard is asked.

use super::*;

on_both_engines!(
    it_is_not_asked_about_what_is_not_made_anyway,
    it_is_asked_once_whatever_happens_meanwhile,
    a_repeated_key_gets_the_first_answer_unasked,
    it_is_signed_like_webhooks,
    it_may_not_be_at_a_private_address,
    whoever_hangs_up_ends_their_question,
    one_that_hangs_holds_no_more_than_its_share,
    questions_are_counted_by_what_came_of_them,
);

async fn it_is_not_asked_about_what_is_not_made_anyway(engine: Engine) {
    let mut till = Till::open(engine, Says::This(204, ""), "").await;
    let task = till.refund().await;
    till.server.decide(&task, "paid").send().await.ok(200);
    till.application.question().await;
    // Made already, stale, not allowed, no state of the type, no such task.
    till.server.decide(&task, "paid").header("if-match", "\"1\"").send().await.ok(200);
    till.server.decide(&task, "").header("if-match", "\"1\"").send().await.problem(412);
    let other = till.server.key(None, &Permission::ALL).await;
    let path = format!("/api/v1/tasks/{}/state?state=paid", task["id"].as_str().expect("an id"));
    till.server.bare(Method::PATCH, &path).header("api-key", &other).send().await.problem(409);
    till.server.decide(&task, "gone").send().await.problem(422);
    till.server.decide(&json!({"id": Uuid::nil()}), "paid").send().await.problem(404);
    let reader = till.server.key(None, &[Permission::TasksRead]).await;
    till.server.bare(Method::PATCH, &path).header("api-key", &reader).send().await.problem(403);
    assert_eq!(till.application.unread(), 0);
    assert_eq!(till.history(&task).await.len(), 2);
}

async fn it_is_asked_once_whatever_happens_meanwhile(engine: Engine) {
    let mut till = Till::open(engine, Says::Later(204, ""), "").await;
    let task = till.refund().await;
    let decided = till.server.decide(&task, "paid").send();
    let (server, application) = (&till.server, &mut till.application);
    let meanwhile = async {
        application.question().await;
        // The snapshot that the decision was prepared under is an old one now: it is prepared again.
        install(server, crate::server::SAMPLE).await;
        application.release();
    };
    let (answer, ()) = tokio::join!(decided, meanwhile);
    answer.ok(200);
    assert_eq!(till.application.unread(), 0);
    assert_eq!(till.history(&task).await[1]["guard"], "allowed");
}

async fn a_repeated_key_gets_the_first_answer_unasked(engine: Engine) {
    let mut till = Till::open(engine, Says::This(500, ""), "").await;
    // With If-Match the repeated request is stale, and without it would be a decision like the first.
    for (key, if_match) in [("k1", None), ("k2", Some("\"1\""))] {
        till.application.says(Says::This(500, ""));
        let task = till.refund().await;
        let decide = |state: &str| {
            let request = till.server.decide(&task, state).header("idempotency-key", key);
            if_match.into_iter().fold(request, |request, version| request.header("if-match", version))
        };
        // A failure is not kept: the same request may be sent again.
        not_asked(&decide("paid").send().await, "status");
        till.application.says(Says::This(204, ""));
        let first = decide("paid").send().await.ok(200);
        // Whatever became of the task since, and whatever the application would say now.
        till.server.decide(&task, "").send().await.ok(200);
        till.application.says(Says::This(200, r#"{"allow": false}"#));
        assert_eq!(decide("paid").send().await.ok(200), first);
        decide("refused").send().await.problem(409);
        for _ in 0..3 {
            till.application.question().await;
        }
        assert_eq!(till.application.unread(), 0);
        assert_eq!(till.history(&task).await.len(), 3);
    }
}

async fn it_is_signed_like_webhooks(engine: Engine) {
    let mut till = Till::open(engine, Says::This(204, ""), "").await;
    let cli = Principal::cli();
    // While its endpoint is paused, its keys sign all the same.
    let endpoint = till.server.app.registry.current().endpoint_of("till", None).expect("declared").id;
    endpoints::pause(&till.server.app, &cli, endpoint, None).await.expect("paused");
    let task = till.refund().await;
    till.server.decide(&task, "paid").send().await.ok(200);
    assert!(till.application.question().await.is_signed_with(&till.secret));
    // Both secrets of a rotation.
    let new = NewWebhookKey { schema: "till".to_owned(), rotate: true, ..NewWebhookKey::default() };
    let secret = webhook_keys::create(&till.server.app, &cli, new).await.expect("a key").key;
    till.server.decide(&task, "").send().await.ok(200);
    let question = till.application.question().await;
    assert!(question.is_signed_with(&till.secret) && question.is_signed_with(&secret));
    // A type's own key, in the original's header.
    let own = till_named("own", &till.application.url("/own"), "").replace(
        "- name: note\n",
        "- name: note\n  hook_url: http://127.0.0.1:1/own\n  hook_auth: {kind: head, val: X-Ti-Key}\n",
    );
    let warnings = install(&till.server, &own).await;
    assert!(
        warnings
            .iter()
            .any(|w| w.contains("the guard of note")
                && w.ends_with("`task-inbox webhook_key own --type note`")),
        "{warnings:?}"
    );
    let body = json!({"schema_name": "own", "task": "note", "meta": null});
    let note = till.server.post(&body).await.ok(201)["task"].clone();
    // Without a key, nobody is asked.
    not_asked(&till.server.decide(&note, "seen").send().await, "no_key");
    let (schema, ttype) = ("own".to_owned(), Some("note".to_owned()));
    let key = Some("a-shared-secret".to_owned());
    let new = NewWebhookKey { schema, ttype, key, ..NewWebhookKey::default() };
    webhook_keys::create(&till.server.app, &cli, new).await.expect("a key");
    till.server.decide(&note, "seen").send().await.ok(200);
    let question = till.application.question().await;
    assert_eq!((question.path.as_str(), question.header("x-ti-key")), ("/own", "a-shared-secret"));
    assert_eq!(question.header("webhook-signature"), "");
    assert!(question.header("webhook-id").starts_with("grd_"));
    assert_eq!(question.json()["data"]["transition"], json!({"from": null, "to": "seen"}));
    assert_eq!(till.application.unread(), 0);
}

async fn it_may_not_be_at_a_private_address(engine: Engine) {
    // This server may not reach loopback.
    let (server, application) = (Server::start(engine).await, Application::start(Says::This(204, "")).await);
    for (schema, on_error) in [("shut", "deny"), ("open", "allow")] {
        let source = till_named(schema, &application.url("/may"), &format!(", on_error: {on_error}"));
        let warnings = install(&server, &source).await;
        assert!(
            warnings.iter().any(|w| w.starts_with("asking the guard at http://127.0.0.1:")),
            "{warnings:?}"
        );
        let new = NewWebhookKey { schema: schema.to_owned(), ..NewWebhookKey::default() };
        webhook_keys::create(&server.app, &Principal::cli(), new).await.expect("a key");
        let body = json!({"schema_name": schema, "task": "note", "meta": null});
        let task = server.post(&body).await.ok(201)["task"].clone();
        let answer = server.decide(&task, "seen").send().await;
        match on_error {
            "deny" => not_asked(&answer, "address_refused"),
            _ => assert_eq!(answer.ok(200)["task"]["state"], "seen"),
        }
    }
    assert_eq!(application.unread(), 0);
}

async fn whoever_hangs_up_ends_their_question(engine: Engine) {
    let mut till = Till::open(engine, Says::Nothing, ", timeout: 15s").await;
    let task = till.refund().await;
    let request = tokio::spawn(till.server.decide(&task, "paid").send());
    till.application.question().await;
    assert_eq!(till.server.app.guards.asking("till", "refund"), 1);
    request.abort();
    till.application.is_left().await;
    // The place is given back with the question.
    let free = async {
        while till.server.app.guards.asking("till", "refund") > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), free).await.expect("its place is free");
    till.is_untouched(&task).await;
}

async fn one_that_hangs_holds_no_more_than_its_share(engine: Engine) {
    let mut till = Till::open(engine, Says::Later(204, ""), ", timeout: 15s").await;
    let mut tasks = Vec::new();
    for _ in 0..=guards::AT_ONCE {
        tasks.push(till.refund().await);
    }
    let (last, most) = tasks.split_last().expect("some");
    let decided =
        futures_util::future::join_all(most.iter().map(|task| till.server.decide(task, "paid").send()));
    let note = till.post("note").await;
    let (server, application) = (&till.server, &mut till.application);
    let beyond = async {
        for _ in 0..guards::AT_ONCE {
            application.question().await;
        }
        let answer = server.decide(last, "paid").send().await;
        assert!(
            answer.problem(503)["detail"]
                .as_str()
                .is_some_and(|d| d.contains("wait for the application server"))
        );
        assert!(!answer.header("retry-after").is_empty());
        // What needs no guard, and what has another, goes on.
        server.decide(last, "refused").send().await.ok(200);
        application.says(Says::This(204, ""));
        server.decide(&note, "seen").send().await.ok(200);
        application.release();
    };
    let (answers, ()) = tokio::join!(decided, beyond);
    for answer in answers {
        answer.ok(200);
    }
    assert_eq!(till.server.app.guards.asking("till", "refund"), 0);
}

async fn questions_are_counted_by_what_came_of_them(engine: Engine) {
    measure::collect();
    let till = Till::open(engine, Says::This(204, ""), "").await;
    till.server.decide(&till.refund().await, "paid").send().await.ok(200);
    till.application.says(Says::This(200, r#"{"allow": false}"#));
    till.server.decide(&till.refund().await, "paid").send().await.problem(409);
    let answer = till.server.bare(Method::GET, "/metrics").send().await;
    let told = String::from_utf8_lossy(&answer.bytes).into_owned();
    for name in [
        r#"task_inbox_guard_questions_total{outcome="allowed"} "#,
        r#"task_inbox_guard_questions_total{outcome="refused"} "#,
        "task_inbox_guard_duration_seconds_count ",
    ] {
        assert!(told.contains(name), "no {name} in {told}");
    }
}
