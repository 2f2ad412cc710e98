//! docs/API.md, carried out: every command of the page, in its order, in a fresh folder, against the
//! real programs; what they print is what the page shows. Once with each receiver.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod page;
mod terminal;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::page::{Block, Kind};
use crate::terminal::Terminal;

/// Where the page says that the service and the receiver listen.
const ADDRESSES: [(&str, &str); 2] =
    [("127.0.0.1:8080", "TASK_INBOX_LISTEN"), ("127.0.0.1:5001", "RCV_LISTEN")];

/// The terminal of the commands that name none.
const MAIN: &str = "";

#[test]
fn with_the_python_receiver() {
    carry_out("python");
}

#[test]
fn with_the_node_receiver() {
    carry_out("node");
}

#[test]
fn with_the_rust_receiver() {
    carry_out("rust");
}

fn carry_out(receiver: &str) {
    let folder = tempfile::tempdir().unwrap();
    like_a_clone(folder.path());
    let elsewhere = ADDRESSES.map(|(address, variable)| (address, variable, free_address()));
    let mut text = std::fs::read_to_string(root().join("docs/API.md")).unwrap();
    for (address, _, free) in &elsewhere {
        text = text.replace(address, free);
    }
    let environment: HashMap<_, _> =
        elsewhere.into_iter().map(|(_, variable, free)| (variable, free)).collect();

    let mut terminals: HashMap<String, Terminal> = HashMap::new();
    let mut carried_out = 0;
    for block in page::blocks(&text).into_iter().filter(|block| block.is_for(receiver)) {
        let Block { kind, line, text, .. } = &block;
        let open = || Terminal::open(folder.path(), &environment);
        let terminal = terminals.entry(block.terminal().to_owned()).or_insert_with(open);
        match kind {
            Kind::Commands if block.terminal() == MAIN => terminal.run(text, *line),
            // It goes on running: nothing waits for its end.
            Kind::Commands => terminal.enter(text),
            Kind::Output if block.terminal() == MAIN => terminal.printed(text, *line),
            Kind::Output => terminal.prints(text, *line),
        }
        carried_out += 1;
    }
    assert!(carried_out > 20, "the page has {carried_out} blocks: they are not found");
}

/// What the page uses of a clone.
fn like_a_clone(folder: &Path) {
    for file in [
        "python/receiver.py",
        "python/requirements.txt",
        "node/receiver.mjs",
        "node/package.json",
        "node/package-lock.json",
        "node/.npmrc",
    ] {
        let copy = folder.join("receiver-example").join(file);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(root().join("receiver-example").join(file), copy).unwrap();
    }
}

fn root() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).parent().unwrap().to_owned()
}

/// An address that nobody listens on; the page's own may be in use.
fn free_address() -> String {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string()
}
