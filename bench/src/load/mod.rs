//! Load generators: processes of their own, so that what they cost is seen apart.
//!
//! The parent hands an [`Order`] over as one JSON argument; what was measured comes back as one
//! JSON document on stdout. All but the bare loops run on one thread, like `pgbench -j 1`.

mod decide;
mod idle;
mod listen;
mod loops;
mod post;
mod publish;
mod reads;

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use task_inbox_testkit::process::tethered;
use tokio::process::Command;

pub(crate) use decide::{Decide, Decided, Moment};
pub(crate) use idle::{Idle, IdleTimes};
pub(crate) use listen::{Listen, Listened};
pub(crate) use loops::{Posted as HooksPosted, Posts as HookLoop};
#[cfg(test)]
pub(crate) use post::Cpu;
pub(crate) use post::{Measured, Post, Until, WARM_UP, Watched};
pub(crate) use publish::{PADDING, Publish, Published};
pub(crate) use reads::{Answers, Reads, Site};

/// What a load generator is to do.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Post(Post),
    Decide(Decide),
    Hooks(HookLoop),
    Idle(Idle),
    Listen(Listen),
    Publish(Publish),
    Reads(Reads),
}

impl Order {
    /// Has it done by a process of its own, and reads what that measured.
    pub(crate) async fn run<T: DeserializeOwned>(&self) -> Result<T> {
        let output = Command::from(tethered(&std::env::current_exe()?, "KILL", None))
            .arg("load")
            .arg(serde_json::to_string(self)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?
            .wait_with_output()
            .await?;
        ensure!(output.status.success(), "the load failed; what it said is above");
        serde_json::from_slice(&output.stdout).context("the load printed something else than it measured")
    }
}

/// The load generator's whole life.
pub(crate) fn run(order: &str) -> Result<()> {
    let order: Order = serde_json::from_str(order)?;
    let mut runtime = match order {
        Order::Hooks(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let measured = runtime.enable_all().build()?.block_on(async {
        Ok::<_, anyhow::Error>(match &order {
            Order::Post(post) => serde_json::to_string(&post::run(post).await?)?,
            Order::Decide(decide) => serde_json::to_string(&decide::run(decide).await?)?,
            Order::Hooks(hooks) => serde_json::to_string(&loops::run(hooks).await?)?,
            Order::Idle(idle) => serde_json::to_string(&idle::run(idle).await?)?,
            Order::Listen(listen) => serde_json::to_string(&listen::run(listen).await?)?,
            Order::Publish(publish) => serde_json::to_string(&publish::run(publish).await?)?,
            Order::Reads(reads) => serde_json::to_string(&reads::run(reads).await?)?,
        })
    })?;
    println!("{measured}");
    Ok(())
}
