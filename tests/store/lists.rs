//! Lists: every filter, page by page, against the same filter applied to everything in memory.

use std::sync::Arc;

use task_inbox::store::commit::{Change, Create, LogEntry, Member, Operation, What};
use task_inbox::store::registry::Registry;
use task_inbox::store::task_list::{self, TaskFilter};
use task_inbox::store::{Db, Engine};
use task_inbox_domain::transition::sender::Cancellation;
use task_inbox_domain::transition::{self, NewTask};
use task_inbox_domain::{Actor, Phase, Task};
use uuid::Uuid;

use crate::fixture::{Fixture, hash, install, now};
use crate::on_both_engines;

on_both_engines!(
    every_filter_finds_what_it_says,
    a_state_that_one_version_calls_resolved_hides_nothing,
    a_range_that_was_left_does_not_show
);

const HELP: &str = "
name: help
semver: '1'
tasktypes:
- {name: flag, pending_states: [asked, seen], resolved_states: [block, allow]}
- {name: refund, pending_states: [asked], resolved_states: [paid]}
";

/// Posts a task of a type's latest version, in a state, under a number as its external id.
async fn post(f: &Fixture, schema: &str, ttype: &str, state: Option<&str>, number: usize) -> Task {
    let registry = f.registry.current();
    let ttype = registry.latest_type(schema, ttype).expect("installed").clone();
    let new = NewTask {
        id: Uuid::now_v7(),
        ttype_id: ttype.id,
        schema: schema.to_owned(),
        semver: "1".to_owned(),
        state: state.map(str::to_owned),
        meta: None,
        external_id: number.is_multiple_of(3).then(|| (number / 2).to_string()),
        callback_url: None,
        merge_key: None,
    };
    let made = transition::create(new, ttype.ttype(), &Actor::cli(), Uuid::now_v7(), now());
    let (task, event) = made.expect("valid");
    let create = Create {
        task,
        entry: LogEntry::new(event),
        ttype,
        content_hash: hash("x"),
        asked_state: None,
        actor: Actor::cli(),
    };
    let member = Member { registry, idempotency: None, operation: Operation::Create(Box::new(create)) };
    f.submit(member).await.expect("kept").task().clone()
}

async fn withdraw(f: &Fixture, task: &Task) -> Task {
    let registry = f.registry.current();
    let ttype = registry.type_by_id(task.ttype_id).expect("installed").clone();
    let what = What::Cancelled(Cancellation { reason: None, expected_version: Some(1) });
    let change = Change { seen: task.clone(), ttype, what, actor: Actor::cli() };
    let member = Member { registry, idempotency: None, operation: Operation::Change(Box::new(change)) };
    f.submit(member).await.expect("withdrawn").task().clone()
}

/// All pages of a list.
async fn pages(db: &Db, registry: &Registry, filter: &TaskFilter, limit: u64) -> Vec<Uuid> {
    let mut ids = Vec::new();
    loop {
        let (page, more) =
            task_list::list(db, registry, filter, ids.last().copied(), limit).await.expect("read");
        ids.extend(page.iter().map(|t| t.id));
        assert!(page.len() as u64 <= limit && !(more && page.is_empty()), "{filter:?}");
        assert!(ids.is_sorted_by(|a, b| a < b), "{filter:?}: each once, oldest first");
        if !more {
            return ids;
        }
    }
}

fn lets_through(filter: &TaskFilter, task: &Task) -> bool {
    let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|w| w == text);
    (!filter.unresolved || task.phase == Phase::Open)
        && filter.schemas.as_ref().is_none_or(|names| names.contains(&task.schema))
        && is(&filter.schema, &task.schema)
        && is(&filter.ttype, &task.ttype)
        && filter.state.as_ref().is_none_or(|state| *state == task.state)
        && filter.phase.is_none_or(|phase| phase == task.phase)
        && filter.assignee.is_none()
        && filter.external_id.as_ref().is_none_or(|id| task.external_id.as_ref() == Some(id))
}

fn filters() -> Vec<TaskFilter> {
    let text = |texts: &[&str]| {
        std::iter::once(None).chain(texts.iter().map(|t| Some((*t).to_owned()))).collect::<Vec<_>>()
    };
    let states = [None, Some(None), Some(Some("asked".to_owned())), Some(Some("paid".to_owned()))];
    let mut filters = Vec::new();
    for schema in text(&["shop", "help", "none"]) {
        for ttype in text(&["refund", "flag"]) {
            for state in &states {
                for phase in [None, Some(Phase::Open), Some(Phase::Resolved), Some(Phase::Cancelled)] {
                    for unresolved in [false, true] {
                        let of = (schema.clone(), ttype.clone(), state.clone());
                        let (schema, ttype, state) = of;
                        filters.push(TaskFilter {
                            unresolved,
                            schema,
                            ttype,
                            state,
                            phase,
                            ..TaskFilter::default()
                        });
                    }
                }
            }
        }
    }
    for schemas in [vec!["help".to_owned()], vec!["help".to_owned(), "shop".to_owned()], vec![]] {
        filters.push(TaskFilter { schemas: Some(schemas), ..TaskFilter::default() });
    }
    let named = TaskFilter { external_id: Some("3".to_owned()), ..TaskFilter::default() };
    filters.push(TaskFilter { schema: Some("help".to_owned()), unresolved: true, ..named.clone() });
    filters.push(named);
    filters.push(TaskFilter { assignee: Some(Uuid::new_v4()), unresolved: true, ..TaskFilter::default() });
    filters
}

async fn every_filter_finds_what_it_says(engine: Engine) {
    let f = Fixture::new(engine).await;
    install(&f.db, &f.registry, HELP).await;
    f.registry.refresh(&f.db).await.expect("read");
    let kinds = [
        ("shop", "refund", None),
        ("help", "flag", Some("asked")),
        ("shop", "refund", Some("paid")),
        ("help", "refund", Some("asked")),
        ("help", "flag", Some("block")),
        ("shop", "refund", Some("asked")),
        ("help", "refund", None),
        ("help", "refund", Some("paid")),
    ];
    let mut all = Vec::new();
    for number in 0..40 {
        // Runs and mixtures: a page ends inside of one range and between two.
        let (schema, ttype, state) = kinds[if number < 20 { number / 4 } else { number % kinds.len() }];
        all.push(post(&f, schema, ttype, state, number).await);
    }
    // Whole pages of a range, and some in between, were withdrawn.
    for (number, task) in all.iter_mut().enumerate() {
        if !task.resolved && (number < 8 || number.is_multiple_of(3)) {
            *task = withdraw(&f, task).await;
        }
    }
    let registry = f.registry.current();
    for filter in filters() {
        let expected: Vec<Uuid> = all.iter().filter(|t| lets_through(&filter, t)).map(|t| t.id).collect();
        for limit in [3, 100] {
            assert_eq!(pages(&f.db, &registry, &filter, limit).await, expected, "{filter:?}, by {limit}");
        }
    }
}

async fn a_state_that_one_version_calls_resolved_hides_nothing(engine: Engine) {
    let f = Fixture::new(engine).await;
    install(&f.db, &f.registry, HELP).await;
    f.registry.refresh(&f.db).await.expect("read");
    let mut open = Vec::new();
    for number in 0..3 {
        open.push(post(&f, "help", "flag", Some("seen"), number).await.id);
    }
    let changed =
        HELP.replace("'1'", "'2'").replace("[asked, seen]", "[asked]").replace("[block,", "[seen, block,");
    install(&f.db, &f.registry, &changed).await;
    f.registry.refresh(&f.db).await.expect("read");
    for number in 3..6 {
        assert!(post(&f, "help", "flag", Some("seen"), number).await.resolved);
    }
    let registry: Arc<Registry> = f.registry.current();
    let seen = TaskFilter { state: Some(Some("seen".to_owned())), ..TaskFilter::default() };
    assert_eq!(pages(&f.db, &registry, &seen, 2).await.len(), 6);
    let waiting = TaskFilter { unresolved: true, schema: Some("help".to_owned()), ..seen };
    assert_eq!(pages(&f.db, &registry, &waiting, 2).await, open);
}

async fn a_range_that_was_left_does_not_show(engine: Engine) {
    let f = Fixture::new(engine).await;
    let ids = [f.posted().await, f.posted().await, f.posted().await];
    f.submit(f.decide(ids[0], Some("paid"), None)).await.expect("decided");
    let registry = f.registry.current();
    let of = |state: Option<&str>| TaskFilter {
        schema: Some("shop".to_owned()),
        state: Some(state.map(str::to_owned)),
        ..TaskFilter::default()
    };
    assert_eq!(pages(&f.db, &registry, &of(None), 1).await, ids[1..]);
    assert_eq!(pages(&f.db, &registry, &of(Some("paid")), 1).await, ids[..1]);
}
