//! What may answer in place of the server: a proxy, another version, nobody.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a peer does with a request.
pub(crate) enum Reaction {
    /// It answers so, and closes.
    Say(String),
    /// It closes without an answer.
    Hang,
    /// It keeps the connection, and never answers.
    Wait,
    /// It passes the request on, and closes without passing back the answer.
    LoseAnswerOf(SocketAddr),
    /// It passes the request on, and the answer back.
    Pass(SocketAddr),
}

/// A listener that reacts to one request after another as it was told.
pub(crate) struct Peer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub(crate) fn new(reactions: impl IntoIterator<Item = Reaction>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port"), reactions)
    }

    /// One at a port that is known already.
    pub(crate) fn on(listener: TcpListener, reactions: impl IntoIterator<Item = Reaction>) -> Self {
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reactions, log) = (reactions.into_iter().collect::<VecDeque<_>>(), seen.clone());
        // It ends with the process; nobody waits for it.
        thread::spawn(move || {
            let mut waiting = Vec::new();
            for stream in listener.incoming() {
                let Some(mut stream) = stream.ok() else { continue };
                let Some(request) = read_request(&stream) else { continue };
                log.lock().expect("not poisoned").push(request.clone());
                match reactions.pop_front() {
                    None | Some(Reaction::Hang) => {}
                    Some(Reaction::Say(answer)) => drop(stream.write_all(answer.as_bytes())),
                    Some(Reaction::Wait) => waiting.push(stream),
                    Some(Reaction::LoseAnswerOf(server)) => drop(ask(server, &request)),
                    Some(Reaction::Pass(server)) => drop(stream.write_all(&ask(server, &request))),
                }
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Heads and bodies of the requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// An answer with a problem document.
pub(crate) fn problem(status: u16, detail: &str, headers: &str) -> Reaction {
    let body = serde_json::json!({"type": "/problems/x", "title": "x", "status": status, "detail": detail});
    say(status, "application/problem+json", headers, &body.to_string())
}

/// Any answer.
pub(crate) fn say(status: u16, media_type: &str, headers: &str, body: &str) -> Reaction {
    let length = body.len();
    Reaction::Say(format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        if reader.read_line(&mut text).ok()? == 0 {
            return None;
        }
    }
    let length = header(&text, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8(body).ok()?)
}

/// The whole answer of a server to a request.
fn ask(server: SocketAddr, request: &str) -> Vec<u8> {
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut answer = Vec::new();
    let mut stream = TcpStream::connect(server).expect("the server listens");
    stream.write_all(request.as_bytes()).expect("written");
    stream.read_to_end(&mut answer).expect("answered");
    answer
}

/// A header of a request.
pub(crate) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}
