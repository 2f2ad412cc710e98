//! Cuts the client's side of a PostgreSQL connection into messages and tells which statement a
//! message runs.

use std::collections::HashMap;

/// Protocol 3.0, the only one in use; other codes at its place ask for TLS, GSSAPI or a
/// cancellation, and leave the connection at its start.
const PROTOCOL_MAJOR: u16 = 3;

/// What has been seen of the client's side of a connection.
#[derive(Default)]
pub(super) struct Frames {
    pending: Vec<u8>,
    is_started: bool,
    prepared: HashMap<Vec<u8>, String>,
}

/// One whole message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The message, to be forwarded as it is.
    pub(super) bytes: Vec<u8>,
    /// The statement that it runs, if it runs one: a simple query, or a `Bind` of a prepared one.
    pub(super) statement: Option<String>,
    /// Whether the server answers all that came before once it has this message.
    pub(super) is_flush: bool,
}

impl Frames {
    /// Takes in what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let tag_length = usize::from(self.is_started);
        let length = self.pending.get(tag_length..tag_length + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize + tag_length;
        if self.pending.len() < length {
            return None;
        }
        let bytes: Vec<u8> = self.pending.drain(..length).collect();
        if !self.is_started {
            self.is_started = bytes.get(4..6) == Some(&PROTOCOL_MAJOR.to_be_bytes());
            return Some(Frame { bytes, statement: None, is_flush: true });
        }
        let (tag, payload) = (bytes[0], &bytes[5..]);
        let statement = match tag {
            b'Q' => strings(payload).next().map(text),
            b'P' => {
                let mut parts = strings(payload);
                if let (Some(name), Some(query)) = (parts.next(), parts.next()) {
                    self.prepared.insert(name.to_vec(), text(query));
                }
                None
            }
            // A portal's name, then the statement's.
            b'B' => strings(payload).nth(1).and_then(|name| self.prepared.get(name).cloned()),
            _ => None,
        };
        Some(Frame { is_flush: matches!(tag, b'Q' | b'S' | b'H'), statement, bytes })
    }
}

fn strings(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    payload.split(|byte| *byte == 0)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend((payload.len() as u32 + 4).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn startup(code: u32) -> Vec<u8> {
        [8u32.to_be_bytes(), code.to_be_bytes()].concat()
    }

    #[test]
    fn tells_statements_however_the_stream_is_cut() {
        let stream = [
            startup(80_877_103),
            startup(196_608),
            message(b'Q', b"BEGIN\0"),
            message(b'P', b"s1\0UPDATE log_head SET seq = $1\0\0\0"),
            message(b'S', b""),
            message(b'B', b"\0s1\0\0\0\0\0\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
            message(b'Q', b"COMMIT\0"),
        ]
        .concat();
        for step in [1, 3, 7, stream.len()] {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                frames.push(piece);
                while let Some(frame) = frames.next() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen.iter().flat_map(|f| f.bytes.clone()).collect::<Vec<_>>(), stream);
            let statements: Vec<_> = seen.iter().filter_map(|f| f.statement.as_deref()).collect();
            assert_eq!(statements, ["BEGIN", "UPDATE log_head SET seq = $1", "COMMIT"]);
            assert_eq!(seen.iter().filter(|f| f.is_flush).count(), 6);
        }
    }
}
