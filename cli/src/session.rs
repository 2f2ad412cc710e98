//! The use cases, opened for one command.

use task_inbox::app::App;
use task_inbox::config::Config;
use task_inbox::startup;

/// Opens the database, runs the work and closes it again, however the work ends.
pub(crate) async fn with_app<T>(
    config: &Config,
    work: impl AsyncFnOnce(&App) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let app = startup::open(config).await?;
    let done = work(&app).await;
    startup::close(app).await?;
    done
}
