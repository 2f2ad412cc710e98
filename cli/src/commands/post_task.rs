//! `post_task`: the original service's test client.
//!
//! It is no operator but an application server: it goes over the network whatever else is set, with
//! a key that a variable of its own holds.

use serde_json::{Value, json};
use task_inbox::config;
use url::Url;

use crate::api::{Address, Api, Call, Refusal};
use crate::output::{Answer, text};
use crate::target::{self, Where, warn_of_clear_text};

/// Arguments of `post_task`.
#[derive(clap::Args)]
pub(crate) struct PostTask {
    /// The server, instead of --server
    #[arg(long, value_name = "URL", value_parser = config::server_url)]
    host: Option<Url>,
    /// The schema
    #[arg(long = "schema_name", alias = "schema-name", value_name = "SCHEMA", default_value = "ti:sample")]
    schema_name: String,
    /// The task type
    #[arg(long = "task_name", alias = "task-name", value_name = "TYPE", default_value = "flag-content")]
    task_name: String,
    /// The variable, of the environment or of .env, that holds the API key
    #[arg(long = "key_var", alias = "key-var", value_name = "NAME", default_value = "LOCAL_INBOUND_API_KEY")]
    key_var: String,
}

pub(crate) async fn run(args: &PostTask, place: &Where) -> anyhow::Result<Answer> {
    let server = match (&args.host, place.named_server()?) {
        (Some(host), _) => host.clone(),
        (None, Some((server, _))) => server,
        // Where a server listens that was not told otherwise.
        (None, None) => Url::parse(&format!("http://{}", target::config(&place.flags())?.listen))?,
    };
    let folder = std::env::current_dir()?;
    let variable = || config::variable(&args.key_var, &folder);
    let api_key = place.api_key.clone().or_else(variable).ok_or_else(|| {
        Refusal::new(format!(
            "{name} is not set, in the environment or in .env: set it to an API key, which `task-inbox api_key --name \
             {user}` makes, or name another variable with --key_var",
            name = args.key_var,
            user = "local",
        ))
    })?;
    warn_of_clear_text(&server);
    let api = Api::remote(Address { server, api_key }, place.timeout)?;
    let body = json!({"schema_name": args.schema_name, "task": args.task_name, "state": Value::Null, "meta": Value::Null});
    let posted = api.send(Call::post(&["tasks"], &body).keyed()).await?;
    let said = format!("posted {} ({})", text(&posted["task"], "id"), text(&posted, "ttype"));
    Ok(Answer::new(posted, said))
}
