//! A real server with a schema, whose webhooks go to a relay, and a client that posts and decides.

use std::path::Path;

use serde_json::Value;
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::{Database, Installation, Server};

use crate::relay::Relay;

/// All of it, for as long as the test takes.
pub(crate) struct Shop {
    pub(crate) relay: Relay,
    /// What webhooks are signed with at first.
    pub(crate) secret: String,
    pub(crate) installation: Installation,
    client: Client,
    key: String,
    _server: Server,
    folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let relay = Relay::listen();
        let database = Database::Sqlite(folder.path().join("inbox.db"));
        let installation = Installation::new(folder.path(), database).unwrap();
        let server = installation.serve("server").await.unwrap();
        let schema = folder.path().join("schema.yml");
        let text = format!(
            "name: shop\nsemver: 1\ndefault_hook_url: {}/api/v1/tihook\nhook_auth: {{kind: hmac}}\ntasktypes:\n\
             - {{name: refund, resolved_states: [granted, refused]}}\n",
            relay.url()
        );
        std::fs::write(&schema, text).unwrap();
        let cli = async |arguments: &[&str]| installation.cli(arguments).await.unwrap();
        cli(&["--dev", "taskschema", schema.to_str().unwrap()]).await;
        let secret = text_of(&cli(&["webhook_key", "shop"]).await["key"]);
        let permissions = ["--permission", "tasks:write", "--permission", "tasks:resolve"];
        let key = text_of(&cli(&[&["api_key", "--name", "shop"], &permissions[..]].concat()).await["key"]);
        let client = Client::new(server.address());
        Self { relay, secret, installation, client, key, _server: server, folder }
    }

    /// Where receivers keep their files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Posts a task and grants it; returns its id.
    pub(crate) async fn grant(&mut self) -> String {
        let headers = [("api-key", self.key.as_str())];
        let body = r#"{"schema_name": "shop", "task": "refund", "meta": {"for": "Zoë, 20 €"}}"#;
        let post = Request::json("POST", "/api/v1/tasks", &headers, body);
        let task = text_of(&self.client.send(&post).await.unwrap().json()["task"]["id"]);
        let decide = format!("/api/v1/tasks/{task}/state?state=granted");
        let decided = self.client.send(&Request::new("PATCH", &decide, &headers)).await.unwrap();
        assert_eq!(decided.status, 200);
        task
    }
}

fn text_of(json: &Value) -> String {
    json.as_str().unwrap().to_owned()
}
