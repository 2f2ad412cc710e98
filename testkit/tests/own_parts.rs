//! The tools themselves, against each other: a test tool that fails to break things proves
//! nothing.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use task_inbox_testkit::http::{Client, Failure, Request};
use task_inbox_testkit::postgres::url_at;
use task_inbox_testkit::proxy::{Statement, Trap};
use task_inbox_testkit::receiver::Behaviour;
use task_inbox_testkit::signature::Secret;
use task_inbox_testkit::tls::{self, Authority, Terminator};
use task_inbox_testkit::{Database, Installation, Postgres, Proxy, Receiver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn client_and_receiver_agree() {
    let receiver = Receiver::start().await.expect("receiver");
    receiver.expect_secret("/hook", Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("secret"));
    let address = receiver.url("").trim_start_matches("http://").parse().expect("address");
    let mut client = Client::new(address).with_timeout(Duration::from_millis(200));
    let request = Request::json("POST", "/hook", &[("Webhook-Id", "evt_1")], "{}");
    assert_eq!(client.send(&request).await.expect("answered").status, 200);
    receiver.behave(Behaviour::Answer(503));
    assert_eq!(client.send(&request).await.expect("answered").status, 503);
    receiver.behave(Behaviour::Hang);
    assert!(matches!(client.send(&request).await, Err(Failure::NoAnswer(_))));
    assert!(receiver.wait_for_count(3, SOON).await);
    let journal = receiver.journal();
    assert_eq!(journal.iter().map(|a| a.status).collect::<Vec<_>>(), [Some(200), Some(503), None]);
    assert!(journal.iter().all(|a| a.webhook_id == "evt_1" && a.path == "/hook" && a.body == b"{}"));
    assert_eq!(journal[0].is_authentic, Some(false));
    drop(receiver);
    let mut refused = Client::new(address);
    while let Err(Failure::NoAnswer(_)) = refused.send(&request).await {}
    assert!(matches!(refused.send(&request).await, Err(Failure::NotSent(_))));
}

#[tokio::test]
async fn a_receiver_misbehaves_as_told() {
    let receiver = Receiver::start().await.expect("receiver");
    let request = Request::json("POST", "/hook", &[], "{}");
    let send = async |behaviour| {
        receiver.behave(behaviour);
        Client::new(receiver.address()).with_timeout(Duration::from_millis(300)).send(&request).await
    };
    let asked = send(Behaviour::AnswerWith(429, "retry-after: 3".to_owned())).await.expect("answered");
    assert_eq!((asked.status, asked.header("retry-after")), (429, Some("3")));
    let asked = send(Behaviour::RetryAt(503, Duration::from_secs(90))).await.expect("answered");
    let date =
        asked.header("retry-after").and_then(|date| httpdate::parse_http_date(date).ok()).expect("a date");
    let ahead = date.duration_since(SystemTime::now()).expect("in the future");
    assert!((Duration::from_secs(80)..=Duration::from_secs(90)).contains(&ahead), "{ahead:?}");
    let pause = Duration::from_millis(20);
    for behaviour in
        [Behaviour::Drip(pause), Behaviour::DripHead(pause), Behaviour::Garbage, Behaviour::BreakOff]
    {
        let name = format!("{behaviour:?}");
        assert!(matches!(send(behaviour).await, Err(Failure::NoAnswer(_))), "{name}");
    }
    assert_eq!(receiver.longest_answer(), 0);
    let long = send(Behaviour::Long(300_000)).await.expect("answered");
    assert_eq!(long.body().len(), 300_000);
    // Its client takes the head alone and hangs up.
    assert_eq!(send(Behaviour::Endless).await.expect("answered").status, 200);
    tokio::time::timeout(SOON, async {
        while receiver.longest_answer() <= 300_000 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it stops once nobody reads");
    assert_eq!(receiver.connections(), 8);
    let statuses: Vec<_> = receiver.journal().iter().map(|arrival| arrival.status).collect();
    assert_eq!(statuses, [Some(429), Some(503), None, None, None, None, Some(200), Some(200)]);
}

/// Shakes hands as a client that trusts this authority alone, and says why not.
async fn trusts(authority: &Authority, address: SocketAddr) -> Result<TlsStream<TcpStream>, std::io::Error> {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("authority.pem");
    authority.save(&file).expect("saved");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&file).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("connected");
    TlsConnector::from(Arc::new(config)).connect(address.ip().into(), stream).await
}

#[tokio::test]
async fn certificates_are_as_bad_as_told() {
    let authority = Authority::new().expect("authority");
    let receiver = Receiver::start().await.expect("receiver");
    let ip = receiver.address().ip();
    let terminator =
        Terminator::start(receiver.address(), authority.good(ip).expect("made")).await.expect("TLS");
    let address = terminator.url("").trim_start_matches("https://").parse().expect("address");
    let mut stream = trusts(&authority, address).await.expect("a good one is trusted");
    stream
        .write_all(b"POST /hook HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = String::new();
    // The receiver closes without a farewell.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for (bad, reason) in [
        (authority.expired(ip).expect("made"), "Expired"),
        (authority.misnamed().expect("made"), "NotValidForName"),
        (tls::self_signed(ip).expect("made"), "UnknownIssuer"),
    ] {
        terminator.present(bad);
        let error = trusts(&authority, address).await.expect_err(reason);
        assert!(format!("{error:?}").contains(reason), "{error:?}");
    }
    assert_eq!(receiver.count(), 1);
}

fn transaction(proxy: &Proxy, database: &str, value: u32) -> Child {
    // Each -c is a message of its own, as a driver would send it.
    Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &url_at(proxy.address(), database)])
        .args(["-c", "BEGIN", "-c", &format!("INSERT INTO t VALUES ({value})"), "-c", "COMMIT"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("psql")
}

async fn stored(direct: &Database) -> Vec<i64> {
    let rows = direct.query("SELECT a FROM t ORDER BY a").await.expect("read");
    rows.iter().filter_map(|row| row["a"].as_i64()).collect()
}

#[tokio::test]
async fn cluster_and_proxy_do_as_told() {
    let mut cluster = Postgres::start().await.expect("cluster");
    let name = cluster.create_database().await.expect("database");
    let direct = Database::Postgres(cluster.url(&name));
    direct.execute("CREATE TABLE t (a int)").await.expect("created");
    let proxy = Proxy::start(cluster.address()).await.expect("proxy");
    let commit = Statement::Is("commit");

    assert!(transaction(&proxy, &name, 1).wait().await.expect("ended").success());

    let sprung = proxy.arm(commit, Trap::CutBefore);
    assert!(!transaction(&proxy, &name, 2).wait().await.expect("ended").success());
    assert!(sprung.wait(SOON).await.expect("sprung").is_none());
    assert_eq!(stored(&direct).await, [1]);

    let sprung = proxy.arm(commit, Trap::CutAfter);
    assert!(!transaction(&proxy, &name, 3).wait().await.expect("ended").success());
    assert!(sprung.wait(SOON).await.expect("sprung").is_none());
    assert_eq!(stored(&direct).await, [1, 3]);

    let sprung = proxy.arm(Statement::Mentions("INSERT INTO t"), Trap::Hold);
    let mut held_client = transaction(&proxy, &name, 4);
    let held = sprung.wait(SOON).await.expect("sprung").expect("a guard");
    assert_eq!(stored(&direct).await, [1, 3], "its transaction is open");
    let locks =
        "SELECT count(*) AS n FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowExclusiveLock'";
    let open = async { while direct.query(locks).await.expect("read")[0]["n"] != 1 {} };
    tokio::time::timeout(SOON, open).await.expect("the statement was carried out");
    drop(held);
    assert!(held_client.wait().await.expect("ended").success());
    assert_eq!(stored(&direct).await, [1, 3, 4]);

    cluster.restart_immediate().await.expect("restarted");
    assert_eq!(stored(&direct).await, [1, 3, 4], "what was committed survives");
    assert!(cluster.log().expect("log").contains("was not properly shut down"));

    proxy.stall(true);
    let mut stalled = transaction(&proxy, &name, 5);
    assert!(tokio::time::timeout(Duration::from_millis(300), stalled.wait()).await.is_err());
    proxy.stall(false);
    assert!(stalled.wait().await.expect("ended").success());
    let copy = cluster.copy_database(&name).await.expect("copied");
    assert_eq!(stored(&Database::Postgres(cluster.url(&copy))).await, [1, 3, 4, 5]);
    cluster.stop();
}

/// Stands in for the service: enough to be started, stopped and asked.
const STAND_IN: &str = r#"#!/bin/sh
if [ "$1" = serve ]; then
    trap 'exit 7' TERM
    echo "listening on http://127.0.0.1:9"
    while :; do sleep 0.05; done
fi
[ "$1" != fail ] || { echo "no good" >&2; exit 1; }
echo "{\"arguments\": \"$*\", \"database\": \"$DATABASE_URL\", \"set\": \"$X\"}"
"#;

#[tokio::test]
async fn installation_serves_and_runs_commands() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let binary = directory.path().join("stand-in");
    std::fs::write(&binary, STAND_IN).expect("written");
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let database = Database::Sqlite("/nowhere.db".into());
    let installation = Installation::of(binary, directory.path(), database).with("X", "1");

    let printed = installation.cli(&["schemas"]).await.expect("printed");
    assert_eq!(printed["arguments"], "schemas --json");
    assert_eq!((&printed["database"], &printed["set"]), (&"sqlite:///nowhere.db".into(), &"1".into()));
    let error = installation.cli(&["fail"]).await.expect_err("it fails").to_string();
    assert!(error.contains("no good"), "{error}");

    let mut server = installation.serve("one").await.expect("served");
    assert_eq!(server.address().port(), 9);
    server.sigstop().expect("stopped");
    assert!(server.is_running());
    server.sigcont().expect("continued");
    assert_eq!(server.terminate(SOON).await.expect("ended").code(), Some(7));
    installation.serve("two").await.expect("served").kill9().await.expect("killed");
}
