//! The one table of what can be set.

/// One thing that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name in the environment and in `.env`.
    pub name: &'static str,
    /// What it is if it is not set, as it would be written; empty: nothing.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
    /// A value for `.env.example`, where the default tells too little.
    pub example: &'static str,
}

impl Variable {
    const fn new(name: &'static str, default: &'static str, about: &'static str) -> Self {
        Self { name, default, about, example: "" }
    }

    const fn like(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

/// Everything that can be set.
pub const VARIABLES: &[Variable] = &[
    Variable::new(
        "DATABASE_URL",
        "sqlite://data/task-inbox.db",
        "Where the database is: `sqlite://{file}` for one process, `postgres://...` for replicas.",
    )
    .like("postgres://task_inbox:password@localhost/task_inbox"),
    Variable::new(
        "TASK_INBOX_LISTEN",
        "127.0.0.1:8080",
        "Where to listen. Port 0 picks a free one; the first line on stdout says which.",
    )
    .like("0.0.0.0:8080"),
    Variable::new(
        "TASK_INBOX_MASTER_KEY",
        "",
        "Encrypts webhook keys at rest: 32 bytes in base64, or a ring `{id}:{base64},...` whose first key encrypts \
         and whose every key decrypts. `task-inbox generate-keys` makes one. With `--dev`, one is made in a \
         file beside the SQLite database (`{file}.master-key`) or, on PostgreSQL, in `data/master-key`, where \
         commands find it; required otherwise.",
    )
    .like("1:{base64 of 32 bytes}"),
    Variable::new(
        "TASK_INBOX_MASTER_KEY_FILE",
        "",
        "A file that holds what TASK_INBOX_MASTER_KEY would, in its place. It is read again within a second after \
         it changed, so that a master key can be replaced while the service works: write `{new},{old}` into it, \
         run `task-inbox rekey`, and write `{new}` alone. Replace the file whole, by renaming another over it.",
    )
    .like("/run/secrets/task-inbox-master-key"),
    Variable::new(
        "TASK_INBOX_ROLES",
        "api,realtime,dispatcher,timers,ui",
        "What this process does. Without `api` it serves health checks alone. `exporter` adds every event to a stream in \
         NATS (docs/EXPORT.md). `timers` makes time-outs of tasks happen. `realtime` and `ui` are known and do nothing yet.",
    )
    .like("api,dispatcher"),
    Variable::new("TASK_INBOX_API_URL", "", "Where a process without the role `api` finds one that has it. Not used yet."),
    Variable::new(
        "TASK_INBOX_REALTIME_URL",
        "",
        "Where a process without the role `realtime` finds one that has it. Not used yet.",
    ),
    Variable::new(
        "TASK_INBOX_BUS",
        "",
        "How processes wake each other: `postgres` (NOTIFY) if the database is PostgreSQL and nothing is set; \
         `redis://{host}` or `rediss://{host}` (Pub/Sub, channel `realtime`), `nats://{host}` or `tls://{host}` (subject \
         `task-inbox-realtime`); `memory`: not at all. A wake-up only saves time: without one, each process looks \
         twice a second.",
    )
    .like("redis://localhost"),
    Variable::new(
        "TASK_INBOX_EXPORT_URL",
        "",
        "The NATS server with JetStream that the role `exporter` exports to, `nats://{host}` or `tls://{host}`; that of \
         TASK_INBOX_BUS if nothing is set.",
    )
    .like("nats://localhost:4222"),
    Variable::new("TASK_INBOX_PUBLIC_URL", "", "The address that people's browsers see. Not used yet.")
        .like("https://inbox.example.com"),
    Variable::new("TASK_INBOX_DOCS", "on", "Whether `/docs` serves a page to read and try the API with.").like("off"),
    Variable::new(
        "TASK_INBOX_METRICS",
        "on",
        "Whether `/metrics` tells Prometheus what is counted and timed: how much is done, not what.",
    )
    .like("off"),
    Variable::new("TASK_INBOX_CORS_ORIGINS", "", "Origins whose scripts may call the API. Not used yet."),
    Variable::new(
        "TASK_INBOX_TRUSTED_PROXIES",
        "",
        "Networks of reverse proxies whose `Forwarded` and `X-Forwarded-*` headers are believed, separated by commas.",
    )
    .like("10.0.0.0/8"),
    Variable::new(
        "TASK_INBOX_ALLOW_NETS",
        "",
        "Private or otherwise special networks that webhooks may reach all the same, separated by commas. \
         `--dev` adds loopback.",
    )
    .like("10.1.0.0/16,127.0.0.1/32"),
    Variable::new(
        "TASK_INBOX_MIGRATE",
        "off",
        "Whether `serve` brings the database's schema up to date when it starts. `task-inbox migrate up` does it by \
         hand; `serve --dev` always does.",
    )
    .like("on"),
    Variable::new(
        "TASK_INBOX_GENESIS",
        "off",
        "Whether that may happen to an empty database. Set it for the first start only: without it, a volume that \
         was not mounted is noticed.",
    )
    .like("on"),
    Variable::new(
        "TASK_INBOX_LOG",
        "info",
        "Which log lines are written, to stderr: `error`, `warn`, `info`, `debug`, `trace`, or per module, as \
         `info,task_inbox::dispatch=debug`. Commands other than `serve` write warnings if it is not set.",
    )
    .like("debug"),
    Variable::new("TASK_INBOX_LOG_FORMAT", "human", "How log lines look: `human` or `json`.").like("json"),
    Variable::new(
        "TASK_INBOX_DELIVERY_DEADLINE",
        "15s",
        "The hard end of one attempt at a webhook, the answer's body included: `15s`, `500ms`.",
    )
    .like("5s"),
    Variable::new(
        "TASK_INBOX_LEASE_MARGIN",
        "15s",
        "How much longer than an attempt its lease runs; after both, another process takes over from one that died.",
    )
    .like("5s"),
    Variable::new(
        "TASK_INBOX_KEEP_DELIVERIES",
        "30d",
        "How long deliveries that ended and their attempts are kept, to be looked at and sent again: `30d`, `12h`. \
         What waits is kept until it ends; the log and the tasks are not touched.",
    )
    .like("90d"),
    Variable::new(
        "TASK_INBOX_SERVER",
        "",
        "The server that commands work on by HTTP, instead of a database. `task-inbox login` keeps one with its key, \
         for where neither this nor `DATABASE_URL` is set.",
    )
    .like("https://inbox.example.com"),
    Variable::new("TASK_INBOX_API_KEY", "", "The API key that commands use there.").like("ti_..."),
];
