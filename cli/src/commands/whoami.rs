//! `whoami`.

use serde_json::Value;

use crate::api::{Api, Call};
use crate::output::{Answer, shown, text};

pub(crate) async fn run(api: &Api) -> anyhow::Result<Answer> {
    let me = api.send(Call::get(&["me"])).await?;
    let place = match api {
        Api::Local(_) => "on the database".to_owned(),
        Api::Remote(remote) => format!("at {}", remote.server()),
    };
    Ok(Answer::new(me.clone(), format!("{}, {place}", sentence(&me))))
}

/// Whose credential it is, in words.
pub(crate) fn sentence(me: &Value) -> String {
    if text(me, "kind") != "key" {
        return format!(
            "you are the operator at the command line, who may do everything; task-inbox {}",
            shown(me, "version")
        );
    }
    let schemas = match me["schemas"].as_array() {
        Some(_) => shown(me, "schemas"),
        None => "all schemas".to_owned(),
    };
    format!(
        "you are the key {} ({}) for {schemas}, which may {}; task-inbox {}",
        shown(me, "name"),
        shown(me, "id"),
        shown(me, "permissions"),
        shown(me, "version")
    )
}
