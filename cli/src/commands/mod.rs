//! Every command: its arguments, and who runs it.

mod audit;
mod config;
mod deliveries;
mod doctor;
mod documents;
mod endpoints;
mod keys;
mod listen;
mod login;
mod maintenance;
mod mcp;
mod migrate;
mod post_task;
mod rekey;
mod replays;
mod schemas;
mod serve;
mod tasks;
mod verify;
mod webhook_keys;
mod whoami;

use std::io::{Error, Read, Result};

use clap::Subcommand;

use crate::api::Api;
use crate::output::Answer;
use crate::target::Where;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Bring the database's schema up to date, or take it back
    #[command(subcommand)]
    Migrate(migrate::Migrate),
    #[command(flatten)]
    Request(Request),
    /// Encrypt every webhook key anew, under the first master key
    Rekey(rekey::Rekey),
    /// Post a task to a running server, as an application server would
    #[command(name = "post_task", alias = "post-task")]
    PostTask(post_task::PostTask),
    /// Let an agent ask for decisions: the Model Context Protocol over stdin and stdout, for a running server
    ///
    /// For agents that start their servers as processes; those that speak streamable HTTP can use the server's /mcp
    /// itself. A connection that breaks is made again, also while a decision is waited for; a server that is away for
    /// longer than --timeout is told to the agent.
    Mcp,
    /// Keep a server and a key for it, for commands that name neither a server nor a database
    Login,
    /// Forget a server that `login` kept
    Logout,
    /// Look at everything that an inbox hangs on, and say what to do
    Doctor,
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(flatten)]
    Alone(Alone),
}

/// Requests of the API and nothing else, on a database or on a server.
#[derive(Subcommand)]
pub(crate) enum Request {
    /// Install a task schema from a YAML file
    #[command(aliases = ["task-schema", "task_schema"])]
    Taskschema(schemas::TaskSchema),
    /// Remove a schema with all its versions and tasks, and the endpoints that asked for it alone
    #[command(aliases = ["rm-schema", "rm_schema"])]
    Rmschema(schemas::RmSchema),
    /// List schemas
    Schemas,
    /// List the task types of a schema's latest version
    #[command(aliases = ["task-types", "task_types"])]
    Tasktypes(schemas::TaskTypes),
    /// Post a task
    #[command(aliases = ["mk-task", "mk_task"])]
    Mktask(tasks::MkTask),
    /// Wait until a task is decided, or does not wait any more
    Wait(tasks::Wait),
    /// Decide a task
    Decide(tasks::Decide),
    /// Change what a task says that waits for a decision
    Amend(tasks::Amend),
    /// Withdraw a task that waits for a decision
    Cancel(tasks::Cancel),
    /// List tasks, oldest first
    Tasks(tasks::Tasks),
    /// Make an API key, which is shown once
    #[command(name = "api_key", alias = "api-key")]
    ApiKey(keys::ApiKey),
    /// List API keys
    #[command(name = "api_keys", alias = "api-keys")]
    ApiKeys,
    /// End an API key; endpoints that were registered with it stay
    #[command(name = "revoke_key", alias = "revoke-key")]
    RevokeKey(keys::RevokeKey),
    /// Make the key that a schema's webhooks are signed with, or carry; it is shown once
    #[command(name = "webhook_key", alias = "webhook-key")]
    WebhookKey(webhook_keys::WebhookKey),
    /// List webhook keys
    #[command(name = "webhook_keys", alias = "webhook-keys")]
    WebhookKeys(webhook_keys::WebhookKeys),
    /// End a webhook key at once
    #[command(name = "revoke_webhook_key", alias = "revoke-webhook-key")]
    RevokeWebhookKey(webhook_keys::RevokeWebhookKey),
    /// List where webhooks go; register, change, pause and test endpoints
    Endpoints(endpoints::Endpoints),
    /// List webhooks that were sent or wait, newest first; with an id, its attempts; send them again
    Deliveries(deliveries::Deliveries),
    /// Print events as they happen, and post them as webhooks to a developer's machine
    ///
    /// It follows the whole log, as far as the key sees it: what one endpoint would get of it is said with --schema,
    /// --ttype and --type. An event that the receiver refuses three times (a 4xx but 408, 425 and 429) is passed over
    /// and told; while it fails otherwise or is down, the events wait, in order.
    Listen(listen::Listen),
    /// Refuse writes for a while, with a message, and let reads go on
    #[command(subcommand)]
    Maintenance(maintenance::Maintenance),
    /// Prove that the log is what was written
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show whose key is in use, and what it may do
    Whoami,
}

/// What needs neither settings nor a database, and must work where both are wrong.
#[derive(Subcommand)]
pub(crate) enum Alone {
    /// Print new secrets, as lines for .env
    #[command(name = "generate-keys", alias = "generate_keys")]
    GenerateKeys,
    /// Print the OpenAPI description of the API
    Openapi,
    /// Print a script that lets a shell complete commands
    Completions(documents::Completions),
    /// Print the manual
    Man,
    /// Say what is wrong with a webhook's signature
    Verify(verify::Verify),
}

/// Runs a command to its end; `None` if it said everything itself. With `is_json`, stdout is left to the
/// answer alone.
pub(crate) fn run(command: Command, place: &Where, is_json: bool) -> anyhow::Result<Option<Answer>> {
    match command {
        Command::Serve(args) => return serve::run(&args, place).map(|()| None),
        Command::Mcp => return mcp::run(place).map(|()| None),
        Command::Alone(command) => return alone(&command, place).map(Some),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(command, place, is_json)).map(Some)
}

fn alone(command: &Alone, place: &Where) -> anyhow::Result<Answer> {
    place.must_be_local(match command {
        Alone::GenerateKeys => "generate-keys",
        Alone::Openapi => "openapi",
        Alone::Completions(_) => "completions",
        Alone::Man => "man",
        Alone::Verify(_) => "verify",
    })?;
    match command {
        Alone::GenerateKeys => Ok(config::generate_keys()),
        Alone::Openapi => documents::openapi(),
        Alone::Completions(args) => Ok(documents::completions(args)),
        Alone::Man => documents::man(),
        Alone::Verify(args) => verify::run(args),
    }
}

async fn work(command: Command, place: &Where, is_json: bool) -> anyhow::Result<Answer> {
    match command {
        Command::Migrate(args) => migrate::run(&args, place).await,
        Command::Rekey(args) => rekey::run(&args, place).await,
        Command::PostTask(args) => post_task::run(&args, place).await,
        Command::Login => login::login(place).await,
        Command::Logout => login::logout(place),
        Command::Doctor => doctor::run(place).await,
        Command::Config(args) => config::run(&args, place).await,
        Command::Request(command) => {
            let api = place.open().await?;
            let done = request(command, &api, is_json).await;
            api.close().await?;
            done
        }
        Command::Serve(_) | Command::Mcp | Command::Alone(_) => {
            unreachable!("they need no runtime of this kind")
        }
    }
}

async fn request(command: Request, api: &Api, is_json: bool) -> anyhow::Result<Answer> {
    match command {
        Request::Taskschema(args) => schemas::install(&args, api).await,
        Request::Rmschema(args) => schemas::remove(&args, api).await,
        Request::Schemas => schemas::list(api).await,
        Request::Tasktypes(args) => schemas::types(&args, api).await,
        Request::Mktask(args) => tasks::create(&args, api).await,
        Request::Wait(args) => tasks::wait(&args, api).await,
        Request::Decide(args) => tasks::decide(&args, api).await,
        Request::Amend(args) => tasks::amend(&args, api).await,
        Request::Cancel(args) => tasks::cancel(&args, api).await,
        Request::Tasks(args) => tasks::list(&args, api).await,
        Request::ApiKey(args) => keys::create(&args, api).await,
        Request::ApiKeys => keys::list(api).await,
        Request::RevokeKey(args) => keys::revoke(&args, api).await,
        Request::WebhookKey(args) => webhook_keys::create(&args, api).await,
        Request::WebhookKeys(args) => webhook_keys::list(&args, api).await,
        Request::RevokeWebhookKey(args) => webhook_keys::revoke(&args, api).await,
        Request::Endpoints(args) => endpoints::run(&args, api).await,
        Request::Deliveries(args) => deliveries::run(&args, api).await,
        Request::Listen(args) => listen::run(&args, api, is_json).await,
        Request::Maintenance(command) => maintenance::run(&command, api).await,
        Request::Audit(args) => audit::run(&args, api).await,
        Request::Whoami => whoami::run(api).await,
    }
}

/// The most that is read of a file: several times what the API takes of any document.
const MOST: u64 = 1 << 20;

/// Reads a document from a file, which may be one without an end.
fn read_text(file: impl Read) -> Result<String> {
    String::from_utf8(read_bytes(file)?).map_err(|_| Error::other("it is not UTF-8"))
}

/// The same of what need not be text.
fn read_bytes(file: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.take(MOST + 1).read_to_end(&mut bytes)? as u64 > MOST {
        return Err(Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}
