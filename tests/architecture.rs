//! The rules of the house, read off the source: who may import whom.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers of `src`, each with what it may import besides itself. `lib.rs` declares them.
const LAYERS: &[(&str, &[&str])] = &[
    ("measure", &[]),
    ("store", &["measure"]),
    ("outbound", &[]),
    ("bus", &["store"]),
    ("realtime", &["store", "bus"]),
    ("app", &["measure", "store", "outbound", "bus", "realtime"]),
    ("dispatch", &["measure", "app", "store", "outbound", "bus", "realtime"]),
    ("timers", &["app"]),
    ("export", &["measure", "store", "realtime"]),
    ("mcp", &["app", "store"]),
    ("http", &["measure", "mcp", "app", "store", "outbound", "bus", "realtime"]),
    ("config", &["app", "store", "bus"]),
    ("telemetry", &["config"]),
    ("shutdown", &[]),
    (
        "startup",
        &[
            "measure",
            "config",
            "telemetry",
            "shutdown",
            "http",
            "dispatch",
            "timers",
            "export",
            "app",
            "store",
            "outbound",
            "bus",
            "realtime",
        ],
    ),
];

/// Crates that belong to a layer, or to several that do different things with them.
const OWNED: &[(&str, &[&str])] = &[
    ("sea_orm", &["store"]),
    ("reqwest", &["outbound"]),
    ("redis", &["bus"]),
    // Wake-ups by the one, a stream by the other.
    ("async_nats", &["bus", "export"]),
    ("jsonwebtoken", &["app"]),
    ("rmcp", &["mcp"]),
    ("axum", &["http"]),
    ("utoipa", &["http"]),
    ("utoipa_axum", &["http"]),
    ("utoipa_swagger_ui", &["http"]),
];

/// What the pure crate must not touch: I/O, clocks, chance, the service.
const IMPURE: &[&str] = &[
    "axum::",
    "sea_orm",
    "reqwest",
    "tokio::",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "rand::",
    "now_v7",
    "new_v4",
    "task_inbox::",
];

fn root() -> PathBuf {
    // Not as it was when this was compiled: checkouts may share what is compiled.
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
            files.push(path);
        }
    }
    files
}

/// Whether a file holds tests alone, by its name.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("test"))
}

/// The code of a file: without comments, and without the tests at its end, which may use more.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The layer of a file of `src`.
fn layer(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("a file of src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The names that follow `prefix` in a text, as `crate::store::x` holds `store` after `crate::`.
fn names_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            return None;
        }
        let rest = &text[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        Some(&rest[..end])
    })
}

#[test]
fn imports_run_downward() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let own = layer(&path);
        if own == "lib" {
            continue;
        }
        let allowed = LAYERS
            .iter()
            .find(|(name, _)| *name == own)
            .unwrap_or_else(|| panic!("src/{own} is in no layer: give it a place in tests/architecture.rs"))
            .1;
        let text = code(&path);
        for name in names_after(&text, "crate::") {
            let is_layer = LAYERS.iter().any(|(layer, _)| *layer == name);
            if is_layer && name != own && !allowed.contains(&name) {
                wrong.push(format!("{} imports {name}", path.display()));
            }
            assert!(
                !name.is_empty() || !text.contains("crate::{"),
                "{}: one `use crate::` for each layer",
                path.display()
            );
        }
    }
    assert!(wrong.is_empty(), "imports that run upward:\n{}", wrong.join("\n"));
}

#[test]
fn owned_crates_stay_in_their_layer() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let own = layer(&path);
        let text = code(&path);
        for (name, owners) in OWNED {
            if !owners.contains(&own.as_str()) && names_after(&text, &format!("{name}::")).next().is_some() {
                wrong.push(format!(
                    "{} uses {name}, which belongs to {}",
                    path.display(),
                    owners.join(" and ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("domain/src")) {
        let text = code(&path);
        for word in IMPURE.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{} holds {word}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn those_who_test_from_outside_import_nothing_of_ours() {
    for folder in ["receiver-example", "testkit", "tests/faults", "bench"] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("readable");
        for crate_name in ["task-inbox.", "task-inbox-domain", "task-inbox-migrations", "path = \"..\""] {
            assert!(!manifest.contains(crate_name), "{folder} depends on {crate_name}");
        }
    }
}
