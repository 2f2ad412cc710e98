//! What the fuzzers kept, and what they once found: it holds of all of it, and takes no time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use task_inbox_properties::ALL;

/// In a build without optimisation, on a busy machine. The fuzzer allows less.
const AT_MOST: Duration = Duration::from_secs(10);

#[test]
fn holds_of_the_corpus() {
    let corpus =
        PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).join("../corpus");
    for (name, property) in ALL {
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpus.join(name)).expect("a corpus") {
            let path = entry.expect("readable").path();
            let data = std::fs::read(&path).expect("readable");
            let started = Instant::now();
            let holds = std::panic::catch_unwind(|| property(&data)).is_ok();
            assert!(holds, "it doesn't hold of {}", path.display());
            assert!(started.elapsed() < AT_MOST, "{}: {:?}", path.display(), started.elapsed());
            inputs += 1;
        }
        assert!(inputs > 10, "the corpus of {name} has {inputs} inputs");
    }
}
