//! The realtime connection: every frame, every error, and what becomes of slow, silent and revoked listeners.

mod client;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::SinkExt;
use reqwest::Method;
use serde_json::{Value, json};
use task_inbox::app::keys::{self, NewKey};
use task_inbox::app::{Permission, Principal};
use task_inbox::http::{self, Times};
use task_inbox::store::Engine;
use tokio_tungstenite::tungstenite::Message;

use crate::on_both_engines;
use crate::server::Server;
use client::{Came, Client, token};

on_both_engines!(
    tells_what_happens,
    tells_each_topic_of_its_own,
    hears_what_comes_after_the_answer_beside_readers_of_the_log,
    is_told_no_more_after_unlisten,
    the_token_says_what_its_key_may,
    nonsense_is_answered,
    topics_that_are_none_are_refused,
    who_may_not_is_refused,
    a_tenant_listens_to_its_own_alone,
    answers_ping,
    a_key_that_ends_ends_what_it_listens_to,
    who_falls_behind_is_told_so_after_all_that_was_kept,
    tells_to_go_elsewhere_before_it_stops,
    who_listens_to_nothing_is_closed,
    who_is_silent_is_closed,
    a_message_that_is_too_large_closes_it,
    a_plain_request_is_told_what_this_is,
);

const STATE: &str = "task:state:update.ti:sample";

async fn tells_what_happens(engine: Engine) {
    let server = Server::start(engine).await;
    let mut client = Client::listening(&server, &["task:create.ti:sample", STATE]).await;
    let task = server.flag(json!({"said": "\"quoted\" \u{2028} \\ \n and more"})).await;
    let (topic, created) = client.message().await;
    assert_eq!(topic, "task:create.ti:sample");
    assert_eq!(created["task"]["id"], task["id"]);
    server.decide(&task, "block").send().await.ok(200);
    let (topic, updated) = client.message().await;
    assert_eq!(topic, STATE);
    assert_eq!(updated["task"]["state"], "block");
    // Exactly what the log says, and its cursor goes on from there.
    let cursor = created["cursor"].as_str().expect("a cursor");
    let page = server.get(&format!("/api/v1/events?after={cursor}")).await.ok(200);
    assert_eq!(page["events"][0]["data"], updated);
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
}

async fn tells_each_topic_of_its_own(engine: Engine) {
    let server = Server::start(engine).await;
    let task = server.flag(json!({})).await;
    let own = format!("task:state:update.{}", task["id"].as_str().expect("an id"));
    let mut client = Client::listening(&server, &[&own]).await;
    let mut shop = Client::listening(&server, &["task:create.shop", "schema:version:create.shop"]).await;
    let mut all = Client::listening(&server, &["task:create", "task:state:update"]).await;
    let other = server.flag(json!({})).await;
    server.decide(&other, "block").send().await.ok(200);
    server.decide(&task, "block").send().await.ok(200);
    let refund = server.refund().await;
    let (topic, told) = client.message().await;
    assert_eq!((topic, &told["task"]["id"]), (own, &task["id"]));
    client.is_silent().await;
    assert_eq!(shop.message().await.1["task"]["id"], refund["id"]);
    shop.is_silent().await;
    let mut topics = Vec::new();
    for _ in 0..4 {
        topics.push(all.message().await.0);
    }
    assert_eq!(topics, ["task:create", "task:state:update", "task:state:update", "task:create"]);
    let next = crate::server::SHOP.replace("semver: '1.2'", "semver: '1.3'");
    server.request(Method::POST, "/api/v1/schemas").text("application/yaml", next).send().await.ok(201);
    let (topic, told) = shop.message().await;
    assert_eq!((topic.as_str(), &told["schema"]), ("schema:version:create.shop", &json!("shop")));
}

/// While others only want to know that the log has grown, what it holds is not read.
async fn hears_what_comes_after_the_answer_beside_readers_of_the_log(engine: Engine) {
    let server = Server::start(engine).await;
    let _reader =
        server.request(Method::GET, "/api/v1/events").header("accept", "text/event-stream").open().await;
    let token = token(&server, None).await;
    for _ in 0..30 {
        let mut client = Client::connect(&server).await;
        let (error, ()) = tokio::join!(client.listen(&["task:create"], &token), async {
            server.flag(json!({})).await;
        });
        assert_eq!(error, "");
        let task = server.flag(json!({})).await;
        // The first may have been before.
        while client.message().await.1["task"]["id"] != task["id"] {}
    }
}

async fn is_told_no_more_after_unlisten(engine: Engine) {
    let server = Server::start(engine).await;
    let mut client = Client::listening(&server, &["task:create", STATE]).await;
    let task = server.flag(json!({})).await;
    client.message().await;
    assert_eq!(client.unlisten(&["task:create", "task:comment:create"]).await, "");
    server.flag(json!({})).await;
    server.decide(&task, "block").send().await.ok(200);
    assert_eq!(client.message().await.0, STATE);
    client.is_silent().await;
    assert_eq!(client.unlisten(&["nonsense"]).await, "ERR_BADTOPIC");
    // And again.
    let token = token(&server, None).await;
    assert_eq!(client.listen(&["task:create"], &token).await, "");
    server.flag(json!({})).await;
    assert_eq!(client.message().await.0, "task:create");
}

async fn the_token_says_what_its_key_may(engine: Engine) {
    let server = Server::start(engine).await;
    let scopes = async |schemas: Option<&[&str]>, permissions: &[Permission]| {
        let key = server.key(schemas, permissions).await;
        let token = token(&server, Some(&key)).await;
        let claims = token.split('.').nth(1).expect("three parts").to_owned();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64url");
        let claims: Value = serde_json::from_slice(&claims).expect("JSON");
        claims["scopes"].clone()
    };
    let all = scopes(None, &Permission::ALL).await;
    assert_eq!(all, json!(["task:read", "schema:read", "delivery:read"]));
    let one = scopes(Some(&["ti:sample"]), &[Permission::TasksRead, Permission::TasksWrite]).await;
    assert_eq!(one, json!(["task:read:ti:sample"]));
    assert_eq!(scopes(None, &[Permission::TasksWrite]).await, json!([]));
    let answer = server.request(Method::POST, "/auth/ws").send().await;
    assert_eq!(answer.ok(200)["expires_in"], 900);
    server.bare(Method::POST, "/auth/ws").send().await.problem(401);
    server.bare(Method::POST, "/auth/ws").header("api-key", "nobody's-key").send().await.problem(403);
}

async fn nonsense_is_answered(engine: Engine) {
    let server = Server::start(engine).await;
    let mut client = Client::listening(&server, &[STATE]).await;
    let refused = |nonce: &str| json!({"type": "RESPONSE", "nonce": nonce, "error": "ERR_BADMESSAGE"});
    for text in ["", "x", "[]", "{\"type\":", "\u{1f980}", "{\"type\":\"MESSAGE\"}", "{\"type\":\"listen\"}"]
    {
        client.text(text).await;
        assert_eq!(client.frame().await, refused(""), "{text}");
    }
    for frame in [
        json!({"type": "LISTEN", "nonce": "a"}),
        json!({"type": "LISTEN", "nonce": "a", "data": {"topics": []}}),
        json!({"type": "LISTEN", "nonce": "a", "data": {"topics": STATE}}),
        json!({"type": "UNLISTEN", "nonce": "a", "data": {}}),
        json!({"type": "WHISPER", "nonce": "a", "data": {"topics": [STATE]}}),
    ] {
        client.say(&frame).await;
        assert_eq!(client.frame().await, refused("a"), "{frame}");
    }
    client.socket.send(Message::binary(vec![0, 159, 146, 150])).await.expect("sent");
    assert_eq!(client.frame().await, refused(""));
    // It goes on.
    let task = server.flag(json!({})).await;
    server.decide(&task, "block").send().await.ok(200);
    assert_eq!(client.message().await.0, STATE);
}

async fn topics_that_are_none_are_refused(engine: Engine) {
    let server = Server::start(engine).await;
    let token = token(&server, None).await;
    let mut client = Client::connect(&server).await;
    let nobody = format!("task:create.{}", uuid::Uuid::now_v7());
    for topic in
        ["task", "task:create.no-such-schema", &nobody, "task:create.", "channel-points.1", "task:delete"]
    {
        assert_eq!(client.listen(&[topic], &token).await, "ERR_BADTOPIC", "{topic}");
        // All or none.
        assert_eq!(client.listen(&["task:create", topic], &token).await, "ERR_BADTOPIC", "{topic}");
    }
    assert_eq!(client.listen(&[STATE], &token).await, "");
    server.flag(json!({})).await;
    client.is_silent().await;
    let mut tasks = Vec::new();
    for _ in 0..49 {
        tasks.push(format!(
            "task:state:update.{}",
            server.flag(json!({})).await["id"].as_str().expect("an id")
        ));
    }
    let most: Vec<&str> = tasks.iter().map(String::as_str).collect();
    assert_eq!(client.listen(&most, &token).await, "");
    assert_eq!(client.listen(&["task:create"], &token).await, "ERR_BADTOPIC", "fifty-one");
    assert_eq!(client.listen(&[STATE, most[0]], &token).await, "", "it listens to these already");
    assert_eq!(client.unlisten(&[STATE]).await, "");
    assert_eq!(client.listen(&["task:create"], &token).await, "");
}

async fn who_may_not_is_refused(engine: Engine) {
    let server = Server::start(engine).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.listen_without_token(&["task:create"]).await, "ERR_BADAUTH");
    let good = token(&server, None).await;
    for bad in ["", "x", "a.b.c", &good[..good.len() - 2]] {
        assert_eq!(client.listen(&["task:create"], bad).await, "ERR_BADAUTH", "{bad}");
    }
    let reads_tasks = server.key(None, &[Permission::TasksRead]).await;
    let reads_tasks = token(&server, Some(&reads_tasks)).await;
    for topic in ["schema:version:create", "delivery:attempt:fail", "delivery:attempt:fail.shop"] {
        assert_eq!(client.listen(&[topic], &reads_tasks).await, "ERR_BADAUTH", "{topic}");
        assert_eq!(client.listen(&["task:create", topic], &reads_tasks).await, "ERR_BADAUTH", "{topic}");
    }
    assert_eq!(client.listen(&["task:create"], &reads_tasks).await, "");
    let writes = server.key(None, &[Permission::TasksWrite]).await;
    let writes = token(&server, Some(&writes)).await;
    assert_eq!(client.listen(&[STATE], &writes).await, "ERR_BADAUTH");
    let task = server.flag(json!({})).await;
    let own = format!("task:state:update.{}", task["id"].as_str().expect("an id"));
    assert_eq!(client.listen(&[&own], &writes).await, "ERR_BADAUTH");
    // A token that outlives its key is worth nothing.
    let created =
        server.new_key(NewKey { permissions: Some(vec![Permission::TasksRead]), ..NewKey::default() }).await;
    let gone = token(&server, Some(&created.key)).await;
    keys::revoke(&server.app, &Principal::cli(), created.id()).await.expect("revoked");
    assert_eq!(client.listen(&[STATE], &gone).await, "ERR_BADAUTH");
}

async fn a_tenant_listens_to_its_own_alone(engine: Engine) {
    let server = Server::start(engine).await;
    let key = server.key(Some(&["shop"]), &[Permission::TasksRead]).await;
    let token = token(&server, Some(&key)).await;
    let (theirs, own) = (server.flag(json!({})).await, server.refund().await);
    let of = |task: &Value| format!("task:state:update.{}", task["id"].as_str().expect("an id"));
    let mut client = Client::connect(&server).await;
    for topic in ["task:create", STATE, "task:create.ti:sample", "task:create.no-such-schema"] {
        assert_eq!(client.listen(&[topic], &token).await, "ERR_BADAUTH", "{topic}");
    }
    // As a task that there isn't.
    assert_eq!(client.listen(&[&of(&theirs)], &token).await, "ERR_BADTOPIC");
    assert_eq!(client.listen(&["task:create.shop", &of(&own)], &token).await, "");
    server.decide(&theirs, "block").send().await.ok(200);
    server.flag(json!({})).await;
    let posted = server.refund().await;
    assert_eq!(client.message().await.1["task"]["id"], posted["id"]);
    server.decide(&own, "checked").send().await.ok(200);
    assert_eq!(client.message().await.0, of(&own));
}

async fn answers_ping(engine: Engine) {
    let server = Server::start(engine).await;
    let mut client = Client::connect(&server).await;
    for ping in ["{\"type\":\"PING\"}", " {\"type\": \"PING\", \"nonce\": \"x\"} "] {
        client.text(ping).await;
        assert_eq!(client.frame().await, json!({"type": "PONG"}));
    }
    // The protocol's own.
    client.socket.send(Message::Ping(vec![1, 2].into())).await.expect("sent");
    let pong = futures_util::StreamExt::next(&mut client.socket).await;
    assert!(matches!(pong, Some(Ok(Message::Pong(data))) if data.as_ref() == [1, 2]));
}

async fn a_key_that_ends_ends_what_it_listens_to(engine: Engine) {
    let server = Server::start(engine).await;
    let created =
        server.new_key(NewKey { permissions: Some(vec![Permission::TasksRead]), ..NewKey::default() }).await;
    let mut client = Client::connect(&server).await;
    let ends = token(&server, Some(&created.key)).await;
    let stays = token(&server, None).await;
    assert_eq!(client.listen(&[STATE], &ends).await, "");
    assert_eq!(client.listen(&["task:create"], &stays).await, "");
    let begun = Instant::now();
    keys::revoke(&server.app, &Principal::cli(), created.id()).await.expect("revoked");
    let revoked = client.frame().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(revoked, json!({"type": "AUTH_REVOKED", "data": {"topics": [STATE]}}));
    let task = server.flag(json!({})).await;
    server.decide(&task, "block").send().await.ok(200);
    assert_eq!(client.message().await.0, "task:create");
    client.is_silent().await;
}

/// Their messages are more than the kernel keeps for both sides, and the line behind that.
const TASKS: usize = 120;

async fn who_falls_behind_is_told_so_after_all_that_was_kept(engine: Engine) {
    let server = Server::start(engine).await;
    let mut slow = Client::listening(&server, &["task:create"]).await;
    let mut quick = Client::listening(&server, &["task:create"]).await;
    let text = "x".repeat(250_000);
    let hears = tokio::spawn(async move {
        for _ in 0..TASKS {
            quick.message().await;
        }
        quick
    });
    for _ in 0..TASKS {
        server.flag(json!({"text": text})).await;
    }
    let mut quick = hears.await.expect("whoever keeps up hears everything");
    // Now it reads: what was kept, without a gap, and then why it ends.
    let mut last = None;
    let why = loop {
        match slow.came().await {
            Came::Frame(frame) => {
                let said: Value = serde_json::from_str(frame["data"]["message"].as_str().expect("a message"))
                    .expect("JSON");
                let seq = said["seq"].as_i64().expect("a number");
                assert!(last.as_ref().is_none_or(|(last, _)| seq == last + 1), "{seq} after {last:?}");
                last = Some((seq, said["cursor"].clone()));
            }
            Came::Closed(why) => break why,
        }
    };
    assert_eq!(why.map(|(code, _)| code), Some(4001));
    // From there the log goes on.
    let (seq, cursor) = last.expect("something was kept");
    let page =
        server.get(&format!("/api/v1/events?after={}", cursor.as_str().expect("a cursor"))).await.ok(200);
    assert_eq!(page["events"][0]["data"]["seq"], seq + 1);
    let posted = server.flag(json!({})).await;
    assert_eq!(quick.message().await.1["task"]["id"], posted["id"], "others go on");
}

fn with(times: Times) -> http::Settings {
    http::Settings { realtime: times, ..http::Settings::default() }
}

async fn tells_to_go_elsewhere_before_it_stops(engine: Engine) {
    let farewell = Duration::from_secs(3);
    let server = Server::start_with(engine, with(Times { farewell, ..Times::default() })).await;
    let mut client = Client::listening(&server, &["task:create"]).await;
    let mut leaves = Client::listening(&server, &["task:create"]).await;
    server.begin_to_stop();
    let begun = Instant::now();
    for client in [&mut client, &mut leaves] {
        assert_eq!(client.frame().await, json!({"type": "RECONNECT"}));
    }
    leaves.socket.close(None).await.expect("closes");
    drop(leaves);
    client.is_silent().await;
    assert_eq!(client.closed().await, 1001);
    assert!(begun.elapsed() + Duration::from_millis(100) >= farewell, "{:?}", begun.elapsed());
    server.app.tail.hub().emptied().await;
}

async fn who_listens_to_nothing_is_closed(engine: Engine) {
    let times = Times { first_topic: Duration::from_secs(2), ..Times::default() };
    let server = Server::start_with(engine, with(times)).await;
    let mut client = Client::connect(&server).await;
    // Neither this nor that is listening.
    client.is_silent().await;
    assert_eq!(client.listen(&["task:create"], "x").await, "ERR_BADAUTH");
    assert_eq!(client.closed().await, 4000);
    let mut client = Client::listening(&server, &["task:create"]).await;
    assert!(tokio::time::timeout(Duration::from_secs(3), client.came()).await.is_err(), "it stays");
}

async fn who_is_silent_is_closed(engine: Engine) {
    let times = Times { idle: Duration::from_secs(3), ..Times::default() };
    let server = Server::start_with(engine, with(times)).await;
    let begun = Instant::now();
    let mut silent = Client::listening(&server, &["task:create"]).await;
    let mut pings = Client::listening(&server, &["task:create"]).await;
    let closed = async {
        // What it is told keeps nobody.
        while let Came::Frame(_) = silent.came().await {
            server.flag(json!({})).await;
        }
        begun.elapsed()
    };
    let stays = async {
        while begun.elapsed() < Duration::from_secs(5) {
            pings.say(&json!({"type": "PING"})).await;
            while pings.frame().await["type"] != "PONG" {}
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    server.flag(json!({})).await;
    let (closed, ()) = tokio::join!(closed, stays);
    assert!(closed >= Duration::from_millis(2900), "{closed:?}");
}

async fn a_message_that_is_too_large_closes_it(engine: Engine) {
    let server = Server::start(engine).await;
    let mut client = Client::listening(&server, &["task:create"]).await;
    client.text(&format!("{{\"type\":\"PING\",\"more\":\"{}\"}}", "x".repeat(60_000))).await;
    assert_eq!(client.frame().await, json!({"type": "PONG"}));
    client.text(&"x".repeat(65 * 1024)).await;
    assert_eq!(client.closed().await, 1009);
}

async fn a_plain_request_is_told_what_this_is(engine: Engine) {
    let server = Server::start(engine).await;
    let answer = server.bare(Method::GET, "/realtime").send().await;
    answer.problem(426);
    assert_eq!(answer.header("upgrade"), "websocket");
    server.bare(Method::GET, "/realtime").header("accept", "text/html").send().await.problem(426);
    server.bare(Method::POST, "/realtime").send().await.problem(405);
}
