//! Sending again: one delivery, or what an endpoint missed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::{Permission, replays as jobs};
use task_inbox::store::deliveries::Fate;
use task_inbox::store::{Engine, replays as stored};

use crate::deliveries::{claim, settle};
use crate::on_both_engines;
use crate::server::{Answer, Server, column, time};

on_both_engines!(
    a_delivery_is_sent_again_as_another,
    what_is_dead_is_counted_and_sent_again,
    everything_since_a_time_is_sent_again,
    a_job_is_cancelled_once,
    jobs_are_listed_newest_first,
    one_of_a_kind_runs_at_a_time,
    it_begins_by_the_databases_clock,
    what_can_not_be_is_refused,
    another_tenants_are_not_there,
);

const REPLAYS: &str = "/api/v1/replays";
const NONE: &str = "0190a0a0-0000-7000-8000-000000000000";

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// An endpoint of its own for what is posted of `shop`, and of `ti:sample`.
pub(crate) async fn endpoint(server: &Server, schemas: Value) -> Value {
    let body = json!({"url": "https://public.example/", "schemas": schemas, "event_types": ["task.created"]});
    server.request(Method::POST, "/api/v1/endpoints").json(&body).send().await.ok(201)
}

pub(crate) async fn replay(server: &Server, body: Value) -> Answer {
    server.request(Method::POST, REPLAYS).json(&body).send().await
}

pub(crate) async fn read(server: &Server, job: &Value) -> Value {
    server.get(&format!("{REPLAYS}/{}", text(&job["id"]))).await.ok(200)
}

/// Does a job's work, as a dispatcher does.
pub(crate) async fn work(server: &Server, job: &Value) {
    let id = text(&job["id"]).parse().expect("an id");
    let endpoint = text(&job["endpoint_id"]).parse().expect("an id");
    let registry = server.app.registry.current();
    let wants = |logged: &_| jobs::wants(&registry, endpoint, logged);
    while let stored::Step::Went(_) = stored::step(&server.app.db, id, wants).await.expect("steps") {}
}

pub(crate) async fn give_up(server: &Server, endpoint: &Value) -> usize {
    let leased = claim(server, endpoint).await;
    for one in &leased {
        settle(server, one, 500, Fate::Dead("exhausted"), false).await;
    }
    leased.len()
}

pub(crate) async fn statuses(server: &Server, endpoint: &Value) -> Vec<(String, bool)> {
    let list = server.get(&format!("/api/v1/deliveries?endpoint={}", text(&endpoint["id"]))).await.ok(200);
    let each = list["deliveries"].as_array().expect("a list").iter();
    let mut found: Vec<_> = each.map(|d| (text(&d["status"]).to_owned(), d["is_resend"] == true)).collect();
    found.sort();
    found
}

async fn a_delivery_is_sent_again_as_another(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, json!(["shop"])).await;
    server.refund().await;
    let of_endpoint = format!("/api/v1/deliveries?endpoint={}", text(&endpoint["id"]));
    let list = || async { server.get(&of_endpoint).await.ok(200)["deliveries"].clone() };
    let first = list().await[0].clone();
    let again = |delivery: &Value| {
        let path = format!("/api/v1/deliveries/{}/resend", text(&delivery["id"]));
        server.request(Method::POST, &path).send()
    };
    // Live, dead and delivered ones alike; a retry that is planned stays as it is.
    let leased = claim(&server, &endpoint).await;
    settle(&server, &leased[0], 503, Fate::Retry(Duration::from_hours(1)), false).await;
    let before = list().await[0].clone();
    let answer = again(&first).await;
    let second = answer.ok(201)["delivery"].clone();
    assert_eq!(answer.header("location"), format!("/api/v1/deliveries/{}", text(&second["id"])));
    for field in ["endpoint_id", "event_id", "event_type", "task_id", "seq", "schema"] {
        assert_eq!(second[field], first[field], "{field}");
    }
    assert_eq!((&second["is_resend"], &second["version"]), (&json!(true), &Value::Null));
    assert_eq!((&second["status"], &second["reason"]), (&json!("pending"), &Value::Null));
    let after = list().await;
    assert_eq!((after.as_array().map(Vec::len), &after[1]), (Some(2), &before));
    assert_eq!(server.get(answer.header("location")).await.ok(200), answer.body());

    let leased = claim(&server, &endpoint).await;
    assert_eq!(
        (leased.len(), leased[0].id.to_string().as_str()),
        (1, text(&second["id"])),
        "it waits for nobody"
    );
    settle(&server, &leased[0], 500, Fate::Dead("exhausted"), false).await;
    let third = again(&second).await.ok(201)["delivery"].clone();
    let read = server.get(&format!("/api/v1/deliveries/{}", text(&second["id"]))).await.ok(200);
    assert_eq!(read["delivery"]["status"], "resent", "it is dead no more");
    let found = server.get("/api/v1/deliveries?status=resent").await.ok(200)["deliveries"].clone();
    assert_eq!(column(&found, "id"), [text(&second["id"])]);
    let leased = claim(&server, &endpoint).await;
    settle(&server, &leased[0], 200, Fate::Delivered, false).await;
    again(&third).await.ok(201);
    for nothing in [NONE, "x"] {
        again(&json!({ "id": nothing })).await.problem(404);
    }
    let path = format!("/api/v1/deliveries/{}/resend", text(&first["id"]));
    let body = server.request(Method::POST, &path).json(&json!({"force": true})).send().await;
    assert_eq!(body.pointers(), ["/force"]);
}

async fn what_is_dead_is_counted_and_sent_again(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, json!(["shop", "ti:sample"])).await;
    let body = |more: Value| {
        let mut body = json!({"endpoint": endpoint["id"], "what": "dead"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    for _ in 0..3 {
        server.refund().await;
    }
    server.flag(json!({})).await;
    assert_eq!(give_up(&server, &endpoint).await, 4);
    for (more, count) in [(json!({}), 4), (json!({"schema": "shop"}), 3), (json!({"schema": "ti:sample"}), 1)]
    {
        let mut more = more;
        more["dry_run"] = json!(true);
        let found = replay(&server, body(more)).await.ok(200);
        assert_eq!(found, json!({"count": count, "at_least": false}));
    }
    assert_eq!(server.get(REPLAYS).await.ok(200)["replays"], json!([]), "a dry run makes nothing");
    let answer = replay(&server, body(json!({"schema": "shop", "dry_run": false}))).await;
    let job = answer.ok(201);
    assert_eq!(answer.header("location"), format!("{REPLAYS}/{}", text(&job["id"])));
    assert_eq!(
        (&job["status"], &job["resent"], &job["schema"]),
        (&json!("running"), &json!(0), &json!("shop"))
    );
    assert_eq!(
        (&job["since"], &job["next_seq"], &job["finished"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert!(text(&job["created_by"]).starts_with("key:"), "{job}");
    work(&server, &job).await;
    let done = read(&server, &job).await;
    assert_eq!((&done["status"], &done["resent"]), (&json!("done"), &json!(3)));
    assert!(time(&done["finished"]) >= time(&done["created"]));
    let found = statuses(&server, &endpoint).await;
    let count = |status: &str, resend| found.iter().filter(|(s, r)| s == status && *r == resend).count();
    assert_eq!(
        (count("dead", false), count("resent", false), count("pending", true)),
        (1, 3, 3),
        "{found:?}"
    );
}

async fn everything_since_a_time_is_sent_again(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, json!(["shop"])).await;
    server.refund().await;
    let second = server.refund().await;
    server.flag(json!({})).await;
    let leased = claim(&server, &endpoint).await;
    for one in &leased {
        settle(&server, one, 200, Fate::Delivered, false).await;
    }
    let since = |since: &str, dry_run| {
        replay(
            &server,
            json!({"endpoint": endpoint["id"], "what": "since", "since": since, "dry_run": dry_run}),
        )
    };
    assert_eq!(since("2020-01-01T00:00:00+02:00", true).await.ok(200)["count"], 2, "what it wants alone");
    let from = text(&second["created"]);
    assert_eq!(since(from, true).await.ok(200), json!({"count": 1, "at_least": false}));
    let job = since(from, false).await.ok(201);
    assert_eq!((text(&job["what"]), text(&job["since"])), ("since", from));
    assert!(job["next_seq"].as_i64() <= job["last_seq"].as_i64(), "{job}");
    work(&server, &job).await;
    let done = read(&server, &job).await;
    assert_eq!((&done["status"], &done["resent"]), (&json!("done"), &json!(1)));
    assert!(done["next_seq"].as_i64() > done["last_seq"].as_i64(), "{done}");
    let expected = [("delivered", false), ("delivered", false), ("pending", true)];
    assert_eq!(statuses(&server, &endpoint).await, expected.map(|(s, r)| (s.to_owned(), r)));
}

async fn a_job_is_cancelled_once(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, json!(["shop"])).await;
    server.refund().await;
    give_up(&server, &endpoint).await;
    let job = replay(&server, json!({"endpoint": endpoint["id"], "what": "dead"})).await.ok(201);
    let path = format!("{REPLAYS}/{}/cancel", text(&job["id"]));
    let cancelled = server.request(Method::POST, &path).send().await.ok(200);
    assert_eq!(cancelled["status"], "cancelled");
    time(&cancelled["finished"]);
    server.request(Method::POST, &path).send().await.problem(409);
    work(&server, &job).await;
    assert_eq!(statuses(&server, &endpoint).await, [("dead".to_owned(), false)], "nothing was made");
    for nothing in [NONE, "x"] {
        server.get(&format!("{REPLAYS}/{nothing}")).await.problem(404);
        server.request(Method::POST, &format!("{REPLAYS}/{nothing}/cancel")).send().await.problem(404);
    }
}

async fn jobs_are_listed_newest_first(engine: Engine) {
    let server = Server::start(engine).await;
    let (one, other) = (endpoint(&server, json!(["shop"])).await, endpoint(&server, json!(["shop"])).await);
    let mut made = Vec::new();
    for (endpoint, schema) in [(&one, Value::Null), (&other, Value::Null), (&one, json!("shop"))] {
        let body = json!({"endpoint": endpoint["id"], "what": "dead", "schema": schema});
        made.push(replay(&server, body).await.ok(201));
    }
    let ids: Vec<_> = made.iter().rev().map(|job| text(&job["id"])).collect();
    assert_eq!(column(&server.get(REPLAYS).await.ok(200)["replays"], "id"), ids);
    assert_eq!(column(&server.get(&format!("{REPLAYS}?limit=1")).await.ok(200)["replays"], "id"), ids[..1]);
    let of_one = server.get(&format!("{REPLAYS}?endpoint={}", text(&one["id"]))).await.ok(200);
    assert_eq!(column(&of_one["replays"], "id"), [ids[0], ids[2]]);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    for expected in [2, 1] {
        let page = server.get(&format!("{REPLAYS}?limit=2&cursor={cursor}")).await.ok(200);
        found.extend(column(&page["replays"], "id").into_iter().map(str::to_owned));
        assert_eq!(page["replays"].as_array().map(Vec::len), Some(expected));
        page["next_cursor"].as_str().unwrap_or_default().clone_into(&mut cursor);
    }
    assert_eq!((found.iter().map(String::as_str).collect(), cursor.as_str()), (ids.clone(), ""));
    let exactly = server.get(&format!("{REPLAYS}?limit=3")).await.ok(200);
    assert_eq!(exactly["next_cursor"], Value::Null, "no empty last page");
    for query in [
        "?cursor=AgAAAAAAAAAAAAAAAAAAAAA",
        "?cursor=x",
        "?endpoint=x",
        "?limit=0",
        "?limit=501",
        "?status=done",
    ] {
        server.get(&format!("{REPLAYS}{query}")).await.problem(400);
    }
    // They go with their endpoint.
    let path = format!("/api/v1/endpoints/{}", text(&one["id"]));
    server.request(Method::DELETE, &path).send().await.ok(200);
    assert_eq!(column(&server.get(REPLAYS).await.ok(200)["replays"], "id"), [ids[1]]);
}

async fn one_of_a_kind_runs_at_a_time(engine: Engine) {
    let server = Server::start(engine).await;
    let (one, other) = (endpoint(&server, json!(["shop"])).await, endpoint(&server, json!(["shop"])).await);
    let dead = |endpoint: &Value| json!({"endpoint": endpoint["id"], "what": "dead"});
    let answers = futures_util::future::join_all((0..8).map(|_| replay(&server, dead(&one)))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 7));
    let job = made[0].body();
    for answer in refused {
        let said = answer.problem(409);
        assert!(text(&said["detail"]).contains(text(&job["id"])), "{said}");
    }
    // What is no more than alike, goes.
    let of_shop = json!({"endpoint": one["id"], "what": "dead", "schema": "shop"});
    let since = json!({"endpoint": one["id"], "what": "since", "since": "2020-01-01T00:00:00Z"});
    for body in [&of_shop, &since] {
        replay(&server, body.clone()).await.ok(201);
        replay(&server, body.clone()).await.problem(409);
    }
    replay(&server, dead(&other)).await.ok(201);
    // Once it has ended, the next may.
    work(&server, &job).await;
    let next = replay(&server, dead(&one)).await.ok(201);
    server.request(Method::POST, &format!("{REPLAYS}/{}/cancel", text(&next["id"]))).send().await.ok(200);
    replay(&server, dead(&one)).await.ok(201);
    // One that is asked for when its endpoint is on its way is not made.
    server.sql("UPDATE endpoints SET status = 'removed' WHERE origin = 'registered'").await;
    let job = stored::get(&server.app.db, text(&job["id"]).parse().expect("an id")).await.expect("read");
    let again = stored::Replay { id: uuid::Uuid::now_v7(), ..job.expect("there") };
    let made = stored::create(&server.app.db, again).await.expect("asked");
    assert!(matches!(made, stored::Made::NoEndpoint), "{made:?}");
}

async fn it_begins_by_the_databases_clock(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, json!(["shop"])).await;
    // As of a process whose clock is far behind.
    let replay = stored::Replay {
        id: uuid::Uuid::now_v7(),
        endpoint_id: text(&endpoint["id"]).parse().expect("an id"),
        schema: None,
        what: stored::What::Dead,
        next_seq: 0,
        last_seq: 0,
        status: stored::ReplayStatus::Running,
        resent: 0,
        created: task_inbox_domain::Timestamp::from_micros(0),
        created_by: "cli".to_owned(),
        finished: None,
    };
    server.refund().await;
    give_up(&server, &endpoint).await;
    let made = stored::create(&server.app.db, replay).await.expect("made");
    let stored::Made::Job(job) = made else { panic!("{made:?}") };
    work(&server, &json!({"id": job.id, "endpoint_id": job.endpoint_id})).await;
    let done = stored::get(&server.app.db, job.id).await.expect("read").expect("there");
    assert_eq!((done.resent, done.created), (1, job.created), "what was dead before it");
}

async fn what_can_not_be_is_refused(engine: Engine) {
    let server = Server::start(engine).await;
    let endpoint = endpoint(&server, json!(["shop"])).await;
    let id = &endpoint["id"];
    for (body, pointers) in [
        (json!({}), vec!["/endpoint", "/what"]),
        (json!({"endpoint": "x", "what": "all"}), vec!["/endpoint", "/what"]),
        (
            json!({"endpoint": id, "what": 1, "since": 2, "schema": 3, "dry_run": 4, "x": 5}),
            vec!["/what", "/since", "/schema", "/dry_run", "/x"],
        ),
        (json!({"endpoint": id, "what": "since"}), vec!["/since"]),
        (json!({"endpoint": id, "what": "since", "since": "yesterday"}), vec!["/since"]),
        (json!({"endpoint": id, "what": "since", "since": "2h"}), vec!["/since"]),
        (json!({"endpoint": id, "what": "since", "since": "2999-01-01T00:00:00Z"}), vec!["/since"]),
        (json!({"endpoint": id, "what": "dead", "since": "2020-01-01T00:00:00Z"}), vec!["/since"]),
        (json!({"endpoint": id, "what": "dead", "schema": "shops"}), vec!["/schema"]),
    ] {
        assert_eq!(replay(&server, body.clone()).await.pointers(), pointers, "{body}");
    }
    replay(&server, json!({"endpoint": NONE, "what": "dead"})).await.problem(404);
    assert_eq!(server.get(REPLAYS).await.ok(200)["replays"], json!([]));
}

async fn another_tenants_are_not_there(engine: Engine) {
    let server = Server::start(engine).await;
    let (theirs, own) =
        (endpoint(&server, json!(["ti:sample"])).await, endpoint(&server, json!(["shop"])).await);
    let hidden = replay(&server, json!({"endpoint": theirs["id"], "what": "dead"})).await.ok(201);
    let shown = replay(&server, json!({"endpoint": own["id"], "what": "dead"})).await.ok(201);
    let key = server.key(Some(&["shop"]), &Permission::ALL).await;
    let ask = |method: Method, path: String| server.bare(method, &path).header("api-key", &key);
    let listed = ask(Method::GET, REPLAYS.to_owned()).send().await.ok(200);
    assert_eq!(column(&listed["replays"], "id"), [text(&shown["id"])]);
    // As many as fit on a page, though there are others' between them.
    let newer = json!({"endpoint": theirs["id"], "what": "dead", "schema": "ti:sample"});
    replay(&server, newer).await.ok(201);
    let page = ask(Method::GET, format!("{REPLAYS}?limit=1")).send().await.ok(200);
    assert_eq!(column(&page["replays"], "id"), [text(&shown["id"])]);
    assert_eq!(page["next_cursor"], Value::Null);
    let path = format!("{REPLAYS}/{}", text(&hidden["id"]));
    ask(Method::GET, path.clone()).send().await.problem(404);
    ask(Method::POST, format!("{path}/cancel")).send().await.problem(404);
    let named = json!({"endpoint": own["id"], "what": "dead", "schema": "ti:sample"});
    let named = ask(Method::POST, REPLAYS.to_owned()).json(&named).send().await;
    assert_eq!(named.pointers(), ["/schema"]);
}
