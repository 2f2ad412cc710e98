//! `task-inbox`: the server, and every command of its operator.
//!
//! A command parses its arguments, calls the same use cases as the API, and answers with an
//! [`output::Answer`]: a table for people, or one JSON document with `--json`. It works on the
//! database itself, beside a running server, which notices. No rule of the inbox stands here.

mod audit;
mod config;
mod keys;
mod migrate;
mod openapi;
mod output;
mod schemas;
mod serve;
mod session;
mod tasks;
mod webhook_key;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use task_inbox::config::{Config, Flags};
use task_inbox::telemetry;

use output::Answer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A shared inbox for decisions that software can't take.
#[derive(Parser)]
#[command(name = "task-inbox", version, about, propagate_version = true)]
struct Cli {
    /// Print one JSON document on stdout and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// The database, over DATABASE_URL
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// For development: a master key is made if there is none, webhooks reach loopback, and serve
    /// migrates first
    #[arg(long, global = true)]
    dev: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Bring the database's schema up to date, or take it back
    #[command(subcommand)]
    Migrate(migrate::Migrate),
    /// Install a task schema from a YAML file
    #[command(alias = "task-schema", alias = "task_schema")]
    Taskschema(schemas::TaskSchema),
    /// Remove a schema with all its versions and tasks
    #[command(alias = "rm-schema", alias = "rm_schema")]
    Rmschema(schemas::RmSchema),
    /// List schemas
    Schemas,
    /// List the task types of a schema's latest version
    #[command(alias = "task-types", alias = "task_types")]
    Tasktypes(schemas::TaskTypes),
    /// Make an API key, which is shown once
    #[command(name = "api_key", alias = "api-key")]
    ApiKey(keys::ApiKey),
    /// List API keys
    #[command(name = "api_keys", alias = "api-keys")]
    ApiKeys,
    /// End an API key
    #[command(name = "revoke_key", alias = "revoke-key")]
    RevokeKey(keys::RevokeKey),
    /// Make the key that a schema's webhooks are signed with, or carry; it is shown once
    #[command(name = "webhook_key", alias = "webhook-key")]
    WebhookKey(webhook_key::WebhookKey),
    /// Post a task
    #[command(alias = "mk-task", alias = "mk_task")]
    Mktask(tasks::MkTask),
    /// Decide a task
    Decide(tasks::Decide),
    /// List tasks, oldest first
    Tasks(tasks::Tasks),
    /// Prove that the log is what was written
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Print the OpenAPI description of the API
    Openapi,
    /// Print new secrets, as lines for .env
    #[command(name = "generate-keys", alias = "generate_keys")]
    GenerateKeys,
    /// About the configuration
    #[command(subcommand, hide = true)]
    Config(config::ConfigCommand),
}

fn main() -> ExitCode {
    // Before anything makes a TLS connection; it fails only if somebody else was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let json = cli.json;
    match run(cli) {
        Ok(Some(answer)) => answer.print(json),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => output::fail(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<Option<Answer>> {
    let mut flags = Flags { variables: Vec::new(), dev: cli.dev };
    flags.variables.extend(cli.database_url.map(|url| ("DATABASE_URL", url)));
    // These need neither settings nor a database, and must work where both are wrong.
    match &cli.command {
        Command::Openapi => return openapi::run().map(Some),
        Command::GenerateKeys => return Ok(Some(config::generate_keys())),
        Command::Config(command) => return config::run(command).map(Some),
        Command::Serve(serve) => serve.flags(&mut flags),
        _ => {}
    }
    let config = Config::load(&flags, &std::env::current_dir()?)?;
    let serves = matches!(cli.command, Command::Serve(_));
    let default_filter = if serves { "info" } else { "warn" };
    telemetry::start(config.log.as_deref().unwrap_or(default_filter), config.log_format)?;
    let runtime = if serves {
        task_inbox::startup::runtime()?
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?
    };
    runtime.block_on(command(cli.command, &config))
}

async fn command(command: Command, config: &Config) -> anyhow::Result<Option<Answer>> {
    match command {
        Command::Serve(_) => return task_inbox::startup::serve(config).await.map(|()| None),
        Command::Migrate(args) => migrate::run(&args, config).await,
        Command::Taskschema(args) => schemas::install(args, config).await,
        Command::Rmschema(args) => schemas::remove(args, config).await,
        Command::Schemas => schemas::list(config).await,
        Command::Tasktypes(args) => schemas::types(args, config).await,
        Command::ApiKey(args) => keys::create(args, config).await,
        Command::ApiKeys => keys::list(config).await,
        Command::RevokeKey(args) => keys::revoke(args, config).await,
        Command::WebhookKey(args) => webhook_key::create(args, config).await,
        Command::Mktask(args) => tasks::create(args, config).await,
        Command::Decide(args) => tasks::decide(args, config).await,
        Command::Tasks(args) => tasks::list(args, config).await,
        Command::Audit(args) => audit::run(args, config).await,
        Command::Openapi | Command::GenerateKeys | Command::Config(_) => {
            unreachable!("done before the configuration is read")
        }
    }
    .map(Some)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
