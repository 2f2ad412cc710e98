//! A name server that answers as told, and differently each time if told so: what an attacker's would do
//! to a service that checks a name and then connects to it.
//!
//! Just enough of RFC 1035: one question by UDP, addresses that may not be kept (a TTL of 0).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Fixed part of a message.
const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
/// A response to a standard query, authoritative, recursion available.
const ANSWERED: [u8; 2] = [0x85, 0x80];
/// The same, for a name that does not exist.
const UNKNOWN: [u8; 2] = [0x85, 0x83];
/// The name of an answer is that of the question, which begins behind the header.
const SAME_NAME: [u8; 2] = [0xc0, HEADER as u8];

/// What a name resolves to: the answers take turns.
type Turns = Vec<Vec<IpAddr>>;

#[derive(Default)]
struct Zone {
    names: HashMap<String, Turns>,
    /// Questions about each name and type.
    asked: HashMap<(String, u16), usize>,
}

/// A running name server; dropping it ends it.
pub struct NameServer {
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

impl NameServer {
    /// Starts one. The system's resolver knows no port but 53.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let socket =
            UdpSocket::bind(address).await.with_context(|| format!("can't answer names on {address}"))?;
        let zone = Arc::new(Mutex::new(Zone::default()));
        let task = tokio::spawn(serve(socket, Arc::clone(&zone)));
        Ok(Self { zone, task })
    }

    /// Lets a name resolve to these addresses; if there are several lists, to each in its turn.
    pub fn set(&self, name: &str, turns: Turns) {
        lock(&self.zone).names.insert(name.to_owned(), turns);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(zone: &Mutex<Zone>) -> std::sync::MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut query = [0; 512];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut query).await else { continue };
        let answer = lock(&zone).answer(&query[..length]);
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

impl Zone {
    /// The answer to a query; none to what is no query.
    fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = question(query)?;
        let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
        let asked = self.asked.entry((name.clone(), kind)).or_default();
        let turn = *asked;
        *asked += 1;
        let turns = self.names.get(&name).filter(|turns| !turns.is_empty());
        let addresses = turns.map_or(&[][..], |turns| &turns[turn % turns.len()]);
        let records: Vec<Vec<u8>> = addresses
            .iter()
            .filter_map(|address| match (address, kind) {
                (IpAddr::V4(ip), TYPE_A) => Some(ip.octets().to_vec()),
                (IpAddr::V6(ip), TYPE_AAAA) => Some(ip.octets().to_vec()),
                _ => None,
            })
            .collect();
        let mut answer = query[..2].to_vec();
        answer.extend(if turns.is_some() { ANSWERED } else { UNKNOWN });
        // One question, the answers, nothing else.
        for count in [1, records.len() as u16, 0, 0] {
            answer.extend(count.to_be_bytes());
        }
        answer.extend(&query[HEADER..end + 4]);
        for record in records {
            answer.extend(SAME_NAME);
            answer.extend(kind.to_be_bytes());
            // Class IN, kept for no time.
            answer.extend([0, 1, 0, 0, 0, 0]);
            answer.extend((record.len() as u16).to_be_bytes());
            answer.extend(record);
        }
        Some(answer)
    }
}

/// The name that is asked for, and where its type stands.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    // Type and class follow.
    (query.len() >= at + 4).then(|| (labels.join("."), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn answers_take_turns() {
        let mut zone = Zone::default();
        let (first, second) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([127, 0, 0, 1]));
        zone.names.insert("flip.test".to_owned(), vec![vec![first], vec![second, first]]);
        let once = zone.answer(&query("FLIP.test", TYPE_A)).expect("an answer");
        assert_eq!(once[..8], [7, 7, 0x85, 0x80, 0, 1, 0, 1]);
        assert_eq!(once[once.len() - 6..], [0, 4, 1, 2, 3, 4]);
        let twice = zone.answer(&query("flip.test", TYPE_A)).expect("an answer");
        assert_eq!(twice[6..8], [0, 2]);
        let none = zone.answer(&query("flip.test", TYPE_AAAA)).expect("an answer");
        assert_eq!(none[2..8], [0x85, 0x80, 0, 1, 0, 0]);
        let unknown = zone.answer(&query("other.test", TYPE_A)).expect("an answer");
        assert_eq!(unknown[2..4], UNKNOWN);
        assert_eq!(zone.answer(b"short"), None);
    }
}
