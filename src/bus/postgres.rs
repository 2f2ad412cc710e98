//! Wake-ups between replicas by PostgreSQL's LISTEN and NOTIFY.
//!
//! NOTIFY goes out after the commit that it tells of, on a connection of its own: inside the
//! transaction it would take a lock that is shared by the whole server.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Bus, PUBLISH_INTERVAL, Topic};
use crate::store::Db;
use crate::store::listen::Channel;

/// How long to wait before connecting again; whoever listens looks by itself meanwhile.
const RECONNECT: Duration = Duration::from_millis(500);

pub(super) fn start(bus: &Bus, db: &Db, stop: &CancellationToken) {
    // Marks what this process said, which it need not hear.
    let own = Uuid::now_v7().simple().to_string();
    tokio::spawn(stop.clone().run_until_cancelled_owned(listen(bus.clone(), db.clone(), own.clone())));
    tokio::spawn(stop.clone().run_until_cancelled_owned(publish(bus.clone(), db.clone(), own)));
}

async fn listen(bus: Bus, db: Db, own: String) {
    loop {
        if let Err(error) = listen_once(&bus, &db, &own).await {
            tracing::warn!(%error, "the wake-up connection broke; looking by polling until it is back");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(bus: &Bus, db: &Db, own: &str) -> crate::store::Result<()> {
    let mut channel = Channel::listen(db).await?;
    // Whatever was said while nobody listened.
    for topic in Topic::ALL {
        bus.wake(topic);
    }
    loop {
        let message = channel.next().await?;
        let (from, letters) = message.split_once(' ').unwrap_or_default();
        if from != own {
            for topic in Topic::ALL.into_iter().filter(|t| letters.contains(t.letter())) {
                bus.wake(topic);
            }
        }
    }
}

async fn publish(bus: Bus, db: Db, own: String) {
    loop {
        bus.0.has_outgoing.notified().await;
        let letters = bus.take_outgoing();
        if letters.is_empty() {
            continue;
        }
        if let Err(error) = crate::store::listen::notify(&db, &format!("{own} {letters}")).await {
            tracing::debug!(%error, "a wake-up was lost");
        }
        tokio::time::sleep(PUBLISH_INTERVAL).await;
    }
}
