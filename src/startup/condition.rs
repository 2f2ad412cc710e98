//! Whether the database is in a condition to keep what it is given: its settings, its place, its clock.

use std::path::Path;
use std::time::Duration;

use task_inbox_domain::Timestamp;

use super::findings::Finding;
use super::mounts;
use crate::app::App;
use crate::store::condition::{self, Condition, Postgres};
use crate::store::{Db, POSTGRES_CONNECTIONS, tasks};

/// The oldest PostgreSQL that the tests are run on.
const OLDEST_TRIED: i64 = 15;
/// SQLite's write-ahead log is cut off at 64 MiB: with less than a few of it free, the next burst may fail.
const LITTLE_SPACE: u64 = 256 << 20;
const ENOUGH_SPACE: u64 = 2 << 30;
/// Leases and due times go by the database's clock, the ends of keys and the timestamps of webhooks by this
/// machine's.
const CLOCKS_APART: Duration = Duration::from_secs(2);
/// Receivers refuse webhooks whose timestamp is five minutes away.
const CLOCKS_FAR_APART: Duration = Duration::from_mins(2);

/// Time-outs are looked for each second.
const OVERDUE: Duration = Duration::from_mins(1);

/// Looks at all of it.
pub(super) async fn look(db: &Db) -> Vec<Finding> {
    let mut findings = vec![match condition::try_write(db).await {
        Ok(()) => Finding::ok("writing", "the database can be written"),
        Err(error) => Finding::failure("writing", format!("the database can't be written: {error}"))
            .advise("look at its disk and its permissions, and at who holds locks"),
    }];
    match condition::read(db).await {
        Ok(Condition::Sqlite { journal_mode, synchronous }) => {
            findings.push(journal(&journal_mode, synchronous));
            findings.extend(db.sqlite_file().map(Path::new).into_iter().flat_map(place));
        }
        Ok(Condition::Postgres(server)) => {
            findings.extend([durability(&server), version(&server), connections(&server)]);
        }
        Err(error) => findings.push(Finding::failure("settings", error.to_string())),
    }
    let before = App::now();
    findings.push(match db.now().await {
        Ok(theirs) => clock("the database", theirs, before, App::now()),
        Err(error) => Finding::failure("clock", error.to_string()),
    });
    match tasks::longest_due(db).await {
        Ok(since) => findings.extend(since.and_then(|since| overdue(since, App::now()))),
        Err(error) => findings.push(Finding::failure("time-outs", error.to_string())),
    }
    findings
}

/// Whether anybody makes time-outs happen.
fn overdue(since: Timestamp, now: Timestamp) -> Option<Finding> {
    (now.since(since) > OVERDUE).then(|| {
        Finding::warning("time-outs", format!("a task's time was over at {since}, and nothing became of it"))
            .advise("give a server the role timers (TASK_INBOX_ROLES), or end the maintenance of its schema")
    })
}

fn journal(mode: &str, synchronous: i64) -> Finding {
    if mode == "wal" && synchronous == 2 {
        return Finding::ok("settings", "SQLite with a write-ahead log that is synced at each commit");
    }
    Finding::failure(
        "settings",
        format!("SQLite's journal is {mode} with synchronous={synchronous}, not wal with 2"),
    )
    .advise("its file system does not do what a write-ahead log needs: put the file on a local disk")
}

/// Where the file lies.
fn place(file: &Path) -> Vec<Finding> {
    let kind = mounts::kind_of(file);
    let shown = file.display();
    let disk = match kind.as_deref() {
        Some(kind) if mounts::is_remote(kind) => Finding::failure(
            "disk",
            format!("{shown} lies on {kind}, where processes don't see each other's locks"),
        )
        .advise("put it on a local disk, or use PostgreSQL"),
        Some(kind @ ("tmpfs" | "ramfs")) => {
            Finding::warning("disk", format!("{shown} lies in memory ({kind}) and is gone after a restart"))
                .advise("put it on a disk")
        }
        Some("overlay") => {
            Finding::warning("disk", format!("{shown} lies in a container's own layer and goes with it"))
                .advise("put it on a volume")
        }
        Some(kind) => Finding::ok("disk", format!("{shown} lies on {kind}")),
        None => Finding::ok("disk", format!("{shown} is there; what file system it lies on is not known")),
    };
    let mut findings = vec![disk];
    findings.extend(mounts::free(file).map(space));
    findings
}

fn space(free: u64) -> Finding {
    let mib = free >> 20;
    let advice = "make room: on a full disk nothing more is taken";
    match free {
        0..LITTLE_SPACE => Finding::failure("space", format!("{mib} MiB are free")).advise(advice),
        LITTLE_SPACE..ENOUGH_SPACE => Finding::warning("space", format!("{mib} MiB are free")).advise(advice),
        _ => Finding::ok("space", format!("{mib} MiB are free")),
    }
}

fn durability(server: &Postgres) -> Finding {
    if server.is_standby {
        return Finding::failure("settings", "this PostgreSQL follows another and takes no writes")
            .advise("point DATABASE_URL at the primary");
    }
    for (name, value) in [("fsync", &server.fsync), ("full_page_writes", &server.full_page_writes)] {
        if value == "off" {
            return Finding::failure(
                "settings",
                format!("{name} is off, so a crash of its machine breaks the database"),
            )
            .advise(format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()"));
        }
    }
    Finding::ok("settings", format!("fsync=on, synchronous_commit={}", server.synchronous_commit))
}

fn version(server: &Postgres) -> Finding {
    let (major, minor) = (server.version / 10_000, server.version % 10_000);
    if major < OLDEST_TRIED {
        return Finding::warning(
            "version",
            format!("PostgreSQL {major}.{minor} is older than {OLDEST_TRIED}"),
        )
        .advise("task-inbox is tried with newer ones; upgrade it");
    }
    Finding::ok("version", format!("PostgreSQL {major}.{minor}"))
}

fn connections(server: &Postgres) -> Finding {
    let (most, each) = (server.max_connections, i64::from(POSTGRES_CONNECTIONS));
    let detail = format!(
        "there may be {most} connections, {} are in use, and a server takes up to {each}",
        server.connections
    );
    let advice = "raise max_connections, or the limit of the role or the database";
    if most < each {
        Finding::failure("connections", detail).advise(advice)
    } else if most < 2 * each {
        // While one is replaced by the next, there are two.
        Finding::warning("connections", format!("{detail}: too few for two at a time")).advise(advice)
    } else {
        Finding::ok("connections", detail)
    }
}

/// Compares a clock with this machine's, which was read before and after.
pub fn clock(whose: &str, theirs: Timestamp, before: Timestamp, after: Timestamp) -> Finding {
    let (ahead, behind) = (theirs.since(after), before.since(theirs));
    let apart = ahead.max(behind);
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    let advice = "let both synchronise their clocks (NTP)";
    let detail = format!("the clock of {whose} is {} s {direction} this one", apart.as_secs());
    if apart > CLOCKS_FAR_APART {
        Finding::failure("clock", detail).advise(advice)
    } else if apart > CLOCKS_APART {
        Finding::warning("clock", detail).advise(advice)
    } else {
        Finding::ok("clock", format!("the clock of {whose} agrees with this one"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Status;
    use super::*;

    fn server() -> Postgres {
        Postgres {
            version: 150_018,
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            is_standby: false,
            max_connections: 97,
            connections: 3,
        }
    }

    #[test]
    fn a_server_that_keeps_its_word_is_ok() {
        let found = [durability(&server()), version(&server()), connections(&server())];
        assert!(found.iter().all(|f| f.status == Status::Ok && f.advice.is_none()), "{found:?}");
        assert!(found[1].detail.contains("15.18"));
    }

    #[test]
    fn what_loses_data_is_a_failure() {
        for (server, words) in [
            (Postgres { fsync: "off".to_owned(), ..server() }, "fsync"),
            (Postgres { full_page_writes: "off".to_owned(), ..server() }, "full_page_writes"),
            (Postgres { is_standby: true, ..server() }, "primary"),
        ] {
            let found = durability(&server);
            assert!(found.status == Status::Failure && found.to_string().contains(words), "{found}");
        }
        assert_eq!(journal("wal", 2).status, Status::Ok);
        assert_eq!([journal("delete", 2), journal("wal", 1)].map(|f| f.status), [Status::Failure; 2]);
    }

    #[test]
    fn old_versions_and_few_connections_are_told() {
        assert_eq!(version(&Postgres { version: 140_012, ..server() }).status, Status::Warning);
        let each = i64::from(POSTGRES_CONNECTIONS);
        for (most, status) in [
            (each - 1, Status::Failure),
            (each, Status::Warning),
            (2 * each - 1, Status::Warning),
            (2 * each, Status::Ok),
        ] {
            assert_eq!(connections(&Postgres { max_connections: most, ..server() }).status, status, "{most}");
        }
    }

    #[test]
    fn what_is_long_over_is_told() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert!(overdue(at(100), at(160)).is_none());
        let found = overdue(at(100), at(161)).expect("nobody looks");
        assert!(
            found.status == Status::Warning && found.to_string().contains("1970-01-01T00:01:40"),
            "{found}"
        );
    }

    #[test]
    fn room_is_measured() {
        for (mib, status) in [(0, Status::Failure), (256, Status::Warning), (2048, Status::Ok)] {
            assert_eq!(space(mib << 20).status, status, "{mib}");
        }
    }

    #[test]
    fn clocks_are_compared_within_the_time_that_asking_took() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let judged = |theirs| clock("it", at(theirs), at(1000), at(1010));
        for theirs in [998, 1000, 1005, 1010, 1012] {
            assert_eq!(judged(theirs).status, Status::Ok, "{theirs}");
        }
        assert_eq!((judged(997).status, judged(1013).status), (Status::Warning, Status::Warning));
        let far = judged(1200);
        assert!(far.status == Status::Failure && far.detail.contains("190 s ahead of"), "{far}");
        assert!(judged(700).detail.contains("300 s behind"));
    }
}
