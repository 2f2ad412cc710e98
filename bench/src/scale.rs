//! How long and how much: to publish, or only to try out.

/// The size of everything that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Whether the figures are to be believed.
    pub(crate) quick: bool,
    /// Runs of each, in turn with their baseline; the median counts.
    pub(crate) runs: usize,
    /// Seconds of each run, after its warm-up.
    pub(crate) seconds: u64,
    /// Seconds of each run that has to show that it can be sustained.
    pub(crate) sustained: u64,
    /// Tasks that are there to be decided, for each of these runs.
    pub(crate) decidable: u64,
    /// Samples of idle latency in each run.
    pub(crate) samples: usize,
    /// Tasks in the small and in the large database.
    pub(crate) few: u64,
    pub(crate) many: u64,
    /// Reads of each kind in each run, and the seconds after which fewer have to do.
    pub(crate) reads: usize,
    pub(crate) read_seconds: f64,
    /// Posts after which memory is looked at again.
    pub(crate) posts: u64,
    /// Starts from spawn to ready.
    pub(crate) starts: usize,
    /// Webhooks that are queued for the endpoint that hangs.
    pub(crate) queued: u64,
    /// Deliveries that are drained, or come and go; and endpoints that they are spread over.
    pub(crate) deliveries: u64,
    pub(crate) endpoints: u64,
    /// Events that are sent again and again.
    pub(crate) replayed: u64,
    /// Listeners to topics.
    pub(crate) listeners: usize,
}

impl Scale {
    pub(crate) const FULL: Self = Self {
        quick: false,
        runs: 3,
        seconds: 8,
        sustained: 15,
        decidable: 300_000,
        samples: 200,
        few: 10_000,
        many: 1_000_000,
        reads: 1000,
        read_seconds: 4.0,
        posts: 1_000_000,
        starts: 15,
        queued: 10_000,
        deliveries: 1_000_000,
        endpoints: 1_000,
        replayed: 5_000,
        listeners: 10_000,
    };

    pub(crate) const QUICK: Self = Self {
        quick: true,
        runs: 3,
        seconds: 1,
        sustained: 2,
        decidable: 80_000,
        samples: 20,
        few: 2_000,
        many: 20_000,
        reads: 60,
        read_seconds: 0.5,
        posts: 10_000,
        starts: 3,
        queued: 500,
        deliveries: 20_000,
        endpoints: 50,
        replayed: 500,
        listeners: 1_000,
    };
}
