//! `serve`.

use task_inbox::config::Flags;
use task_inbox::{startup, telemetry};

use crate::target::{self, Where};

/// Arguments of `serve`.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// Where to listen, over TASK_INBOX_LISTEN
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// What this process does, over TASK_INBOX_ROLES
    #[arg(long, value_name = "ROLE,...")]
    roles: Option<String>,
    /// Bring the database's schema up to date first, over TASK_INBOX_MIGRATE
    #[arg(long)]
    migrate: bool,
    /// Let that happen to an empty database, over TASK_INBOX_GENESIS
    #[arg(long)]
    genesis: bool,
}

impl Serve {
    /// Adds what was said to the flags.
    fn flags(&self, flags: &mut Flags) {
        let on = |set: bool| set.then(|| "on".to_owned());
        let variables = [
            ("TASK_INBOX_LISTEN", self.listen.clone()),
            ("TASK_INBOX_ROLES", self.roles.clone()),
            ("TASK_INBOX_MIGRATE", on(self.migrate)),
            ("TASK_INBOX_GENESIS", on(self.genesis)),
        ];
        flags.variables.extend(variables.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
}

/// Serves until a signal comes.
pub(crate) fn run(args: &Serve, place: &Where) -> anyhow::Result<()> {
    place.must_be_local("serve")?;
    let mut flags = place.flags();
    args.flags(&mut flags);
    let config = target::config(&flags)?;
    telemetry::start(config.log.as_deref().unwrap_or("info"), config.log_format)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(startup::serve(&config))
}
