//! Log lines: which are written, and how they look. Always to stderr: stdout belongs to what a
//! command answers.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogFormat;

/// Chatter of libraries, which a filter must name to hear.
const QUIET: &str = "sqlx::postgres::notice=warn,sea_orm_migration=warn,rmcp=off";

/// Starts writing log lines.
///
/// # Errors
///
/// A filter that doesn't read; a second call.
pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|e| {
        anyhow::anyhow!(
            "TASK_INBOX_LOG is {filter:?}, not a filter such as info or info,task_inbox::dispatch=debug: {e}"
        )
    })?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
    started.map_err(|e| anyhow::anyhow!("log lines can't be written: {e}"))
}
