//! What is stored while deliveries come and go.

use super::page::{Page, Verdict};
use crate::chart::{Ink, Line, Lines};
use crate::part::storage::{Course, Storage, parts};
use crate::stage::Engine;
use crate::statistics::number;

const MEGABYTE: f64 = 1_048_576.0;
/// The most of the second half beside the most of the first: noise of pages that are being reused.
const MOST: f64 = 1.1;

pub(super) fn add(page: &mut Page, storage: &Storage) {
    for course in &storage.courses {
        let sizes = || course.moments.iter().map(|moment| moment.size(course.engine) / MEGABYTE);
        page.target(
            &format!(
                "storage of {} deliveries that are kept for {}, {}",
                number(course.deliveries as f64, 0),
                storage.kept,
                course.engine
            ),
            &format!("stops growing: the second half's most ≤ {MOST} × the first's"),
            &format!("{:.2} × (at most {:.0} MB)", course.growth(), sizes().fold(0.0, f64::max)),
            Verdict::of(course.growth() <= MOST),
        );
    }
    page.heading("Storage");
    page.paragraph(&format!(
        "The same events are sent again and again by replays, so that only deliveries and attempts come and go; what \
         ended is kept for {} instead of 30 days. PostgreSQL clears up once a minute, and has more deliveries to do that \
         several times in each half. Sizes are those of the tables with their indexes ({}) and of SQLite's \
         file with its write-ahead log, as `/metrics` tells them.",
        storage.kept,
        parts(Engine::Postgres).join(", ")
    ));
    page.chart("storage", "Bytes stored while deliveries come and go", chart(storage).svg());
    let rows: Vec<_> = storage
        .courses
        .iter()
        .filter_map(|course| {
            let moment = course.moments.last()?;
            let most = |figure: fn(&crate::part::storage::Moment) -> f64| {
                course.moments.iter().map(figure).fold(0.0, f64::max)
            };
            let is_server = course.engine == Engine::Postgres;
            let told = |text: String| if is_server { text } else { "–".to_owned() };
            Some(vec![
                course.engine.to_string(),
                number(course.deliveries as f64, 0),
                format!("{:.1} MB", moment.size(course.engine) / MEGABYTE),
                told(number(most(|m| m.dead), 0)),
                told(format!("{:.2} s", most(|m| m.oldest))),
            ])
        })
        .collect();
    page.table(
        &["", "deliveries", "size at the end", "most dead rows of the queue", "oldest transaction"],
        &rows,
    );
}

fn chart(storage: &Storage) -> Lines {
    let line = |course: &Course| Line {
        name: course.engine.to_string(),
        ink: if course.engine == Engine::Postgres { Ink::Ours } else { Ink::Second },
        points: course
            .moments
            .iter()
            .map(|moment| (moment.deliveries as f64 / 1000.0, moment.size(course.engine) / MEGABYTE))
            .collect(),
        has_dots: true,
    };
    Lines {
        title: "Deliveries and attempts as they are stored".to_owned(),
        subtitle: format!("what ended is kept for {}", storage.kept),
        across: "thousands of deliveries",
        up: "megabytes",
        drawn: storage.courses.iter().map(line).collect(),
        marks: Vec::new(),
        until: None,
        stops: Vec::new(),
    }
}
