//! Stands between the server and a receiver, passes requests on unchanged and keeps them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long an exchange may take that must come to an end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A relay that waits for its receiver, and may be given another.
pub(crate) struct Relay {
    address: SocketAddr,
    target: Sender<SocketAddr>,
    captured: Receiver<Captured>,
}

impl Relay {
    /// Listens. What arrives waits until it is known where to send it.
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (target, known) = channel();
        let (keep, captured) = channel();
        std::thread::spawn(move || {
            let mut target = known.recv().ok()?;
            for stream in listener.incoming() {
                let stream = stream.ok()?;
                target = known.try_iter().last().unwrap_or(target);
                let keep = keep.clone();
                std::thread::spawn(move || pass(stream, target, &keep));
            }
            Some(())
        });
        Self { address, target, captured }
    }

    /// Where the server sends to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where requests go from here.
    pub(crate) fn forward_to(&self, target: SocketAddr) {
        self.target.send(target).unwrap();
    }

    /// The next request that was answered.
    pub(crate) fn next(&self) -> Captured {
        self.captured.recv_timeout(PATIENCE).unwrap()
    }
}

/// Passes one request on and its answer back.
fn pass(mut stream: TcpStream, target: SocketAddr, keep: &Sender<Captured>) -> Option<()> {
    let mut request = Captured::read(&stream)?;
    request.status = request.try_send(target)?;
    let answer =
        format!("HTTP/1.1 {} Passed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", request.status);
    stream.write_all(answer.as_bytes()).ok()?;
    keep.send(request).ok()
}

/// A request as it was sent.
#[derive(Clone)]
pub(crate) struct Captured {
    start: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    status: u16,
}

impl Captured {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut stream = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            stream.read_line(&mut line).ok().map(|_| line.trim_end().to_owned())
        };
        let start = line()?;
        let mut headers = Vec::new();
        while let Some((name, value)) = line()?.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { start, headers, body: Vec::new(), status: 0 };
        request.body = vec![0; request.header("content-length").parse().ok()?];
        stream.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// What the receiver answered.
    pub(crate) fn answered(&self) -> u16 {
        self.status
    }

    /// The same with another value of a header.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut altered = self.without(name);
        altered.headers.push((name.to_owned(), value.to_owned()));
        altered
    }

    /// The same without a header.
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut altered = self.clone();
        altered.headers.retain(|(other, _)| other != name);
        altered
    }

    /// The same with another body.
    pub(crate) fn with_body(&self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self.with("content-length", &body.len().to_string()) }
    }

    /// Start line and headers, as they are written.
    pub(crate) fn head(&self) -> String {
        let headers = self.headers.iter().filter(|(name, _)| name != "connection");
        let lines = headers.flat_map(|(name, value)| [name, ": ", value, "\r\n"]);
        let lines: String = lines.collect();
        format!("{}\r\n{lines}connection: close\r\n\r\n", self.start)
    }

    /// Sends it, on a connection of its own; `None` if the peer hangs up without an answer.
    pub(crate) fn try_send(&self, to: SocketAddr) -> Option<u16> {
        let mut stream = connect(to);
        // Who refuses a body for its length need not have read it.
        let _ = stream.write_all(self.head().as_bytes()).and_then(|()| stream.write_all(&self.body));
        let mut status = String::new();
        let mut answer = BufReader::new(stream);
        let _ = answer.read_line(&mut status);
        let _ = answer.read_to_end(&mut Vec::new());
        status.split(' ').nth(1)?.parse().ok()
    }

    /// Sends half of the body, and ends the connection.
    pub(crate) fn hang_up_half_way(&self, to: SocketAddr) {
        let mut stream = connect(to);
        stream.write_all(self.head().as_bytes()).unwrap();
        stream.write_all(&self.body[..self.body.len() / 2]).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
