//! Those who listen to topics in this process, each with a bounded line of what it has yet to be told.
//!
//! A listener that falls behind is cut off, with what is in its line still to be told, and then told that it was: never
//! is something left out of a line that goes on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Notify;
use uuid::Uuid;

use super::topic::Topic;
use crate::store::log::Logged;

/// How long a listener's line may be.
#[derive(Clone, Copy)]
struct Room {
    frames: usize,
    /// Bytes, if it is not a single frame. What several wait for is one copy.
    bytes: usize,
}

/// Two of the largest pages of the log, each event of which may be told twice: who keeps up never falls behind, however
/// much comes at once.
const ROOM: Room = Room { frames: 2048, bytes: 16 << 20 };

/// While lines hold more than [`HELD`].
const LESS_ROOM: Room = Room { frames: 128, bytes: 1 << 20 };

/// Bytes that all lines hold, each copy counted once.
const HELD: usize = 128 << 20;

/// The listeners to topics of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// The last listener has left.
    empty: Notify,
    /// Bytes of the frames that are in lines, or on their way out.
    held: Arc<AtomicUsize>,
}

/// A frame in memory, counted for as long as anybody has it.
struct Held {
    text: Vec<u8>,
    count: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    topics: HashMap<Topic, HashMap<u64, Arc<Line>>>,
    members: HashMap<u64, Entry>,
    ending: bool,
}

#[derive(Debug)]
struct Entry {
    line: Arc<Line>,
    topics: HashMap<Topic, Grant>,
}

/// By what right a topic is listened to.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The credential's id.
    pub holder: Uuid,
    /// The schema that the topic is of; `None`: of all.
    pub schema: Option<Arc<str>>,
}

/// What one listener has yet to be told.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// More came than the line holds.
    behind: bool,
    /// The process begins to end, and the listener has not heard it yet.
    ending: bool,
}

/// What a listener is to be told now.
#[derive(Debug, Default)]
pub struct Turn {
    /// Frames, in order; each is JSON text.
    pub frames: VecDeque<Bytes>,
    /// After these, that it fell behind: nothing more comes.
    pub behind: bool,
    /// After these, that the process begins to end. Said once.
    pub ending: bool,
}

/// One listener. It leaves when it is dropped.
#[derive(Debug)]
pub struct Member {
    hub: Hub,
    id: u64,
    line: Arc<Line>,
}

#[derive(Serialize)]
struct Message<'a> {
    topic: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Revoked {
    topics: Vec<String>,
}

impl Hub {
    /// A new listener, to nothing yet.
    pub fn join(&self) -> Member {
        let mut state = self.state();
        state.last_id += 1;
        let (id, line) = (state.last_id, Arc::new(Line::default()));
        if state.ending {
            line.end();
        }
        state.members.insert(id, Entry { line: line.clone(), topics: HashMap::new() });
        Member { hub: self.clone(), id, line }
    }

    /// How many listeners there are.
    pub fn len(&self) -> usize {
        self.state().members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.state().members.is_empty()
    }

    /// Waits until there are none.
    pub async fn emptied(&self) {
        loop {
            let empty = self.0.empty.notified();
            if self.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Tells every listener that the process begins to end.
    pub fn end(&self) {
        let mut state = self.state();
        state.ending = true;
        state.members.values().for_each(|entry| entry.line.end());
    }

    /// Tells of events of the log.
    pub(super) fn publish(&self, events: &[Arc<Logged>]) {
        for logged in events {
            self.tell(Topic::of_event(&logged.event), || logged.event.data(logged.seq));
        }
    }

    /// Tells whoever listens to one of these topics; what it says is made only if somebody does.
    pub fn tell(&self, topics: impl Iterator<Item = Topic>, text: impl FnOnce() -> String) {
        let mut state = self.state();
        if state.topics.is_empty() {
            return;
        }
        let wanted: Vec<Topic> = topics.filter(|topic| state.topics.contains_key(topic)).collect();
        if wanted.is_empty() {
            return;
        }
        let text = text();
        for topic in wanted {
            let frame = self.frame("MESSAGE", &Message { topic: &topic.to_string(), message: &text });
            let room = self.room();
            let behind: Vec<u64> = state
                .topics
                .get(&topic)
                .into_iter()
                .flatten()
                .filter_map(|(id, line)| (!line.push(&frame, room)).then_some(*id))
                .collect();
            for id in behind {
                state.cut(id);
            }
        }
    }

    /// Cuts every listener off: what has happened isn't known.
    pub(super) fn lose(&self) {
        let mut state = self.state();
        let listening = state.members.iter().filter(|(_, entry)| !entry.topics.is_empty());
        let ids: Vec<u64> = listening.map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(entry) = state.members.get(&id) {
                entry.line.fall_behind();
            }
            state.cut(id);
        }
    }

    /// Ends what is listened to without a right to it any more, and tells those who did.
    pub fn revoke(&self, may: impl Fn(&Topic, &Grant) -> bool) {
        let mut state = self.state();
        let refused: Vec<(u64, Vec<Topic>)> = state
            .members
            .iter()
            .map(|(id, entry)| {
                let refused = entry.topics.iter().filter(|(topic, grant)| !may(topic, grant));
                (*id, refused.map(|(topic, _)| topic.clone()).collect::<Vec<_>>())
            })
            .filter(|(_, topics)| !topics.is_empty())
            .collect();
        for (id, topics) in refused {
            let frame = self
                .frame("AUTH_REVOKED", &Revoked { topics: topics.iter().map(Topic::to_string).collect() });
            for topic in &topics {
                state.leave(id, topic);
            }
            if let Some(entry) = state.members.get(&id)
                && !entry.line.push(&frame, ROOM)
            {
                state.cut(id);
            }
        }
    }

    /// A frame of the protocol, as text.
    fn frame<T: Serialize>(&self, kind: &'static str, data: &T) -> Bytes {
        #[derive(Serialize)]
        struct Frame<'a, T> {
            r#type: &'static str,
            data: &'a T,
        }
        let text = serde_json::to_vec(&Frame { r#type: kind, data }).expect("frames have string keys");
        self.0.held.fetch_add(text.len(), Ordering::Relaxed);
        Bytes::from_owner(Held { text, count: self.0.held.clone() })
    }

    fn room(&self) -> Room {
        if self.0.held.load(Ordering::Relaxed) > HELD { LESS_ROOM } else { ROOM }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self, id: u64, topic: &Topic) {
        if let Some(entry) = self.members.get_mut(&id) {
            entry.topics.remove(topic);
        }
        if let Some(lines) = self.topics.get_mut(topic) {
            lines.remove(&id);
            if lines.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Takes a listener off all of its topics.
    fn cut(&mut self, id: u64) {
        let topics = self.members.get_mut(&id).map(|entry| std::mem::take(&mut entry.topics));
        for topic in topics.unwrap_or_default().keys() {
            self.leave(id, topic);
        }
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has room for one more; if not, it is behind from now on.
    fn push(&self, frame: &Bytes, room: Room) -> bool {
        let mut waiting = self.state();
        if waiting.behind {
            return false;
        }
        let full = waiting.frames.len() >= room.frames
            || (!waiting.frames.is_empty() && waiting.bytes + frame.len() > room.bytes);
        if full {
            waiting.behind = true;
        } else {
            waiting.bytes += frame.len();
            waiting.frames.push_back(frame.clone());
        }
        drop(waiting);
        self.changed.notify_one();
        !full
    }

    fn fall_behind(&self) {
        self.state().behind = true;
        self.changed.notify_one();
    }

    fn end(&self) {
        self.state().ending = true;
        self.changed.notify_one();
    }
}

impl Member {
    /// Listens to these as well. What happens from now on is told.
    pub fn listen(&self, topics: impl IntoIterator<Item = (Topic, Grant)>) {
        let mut state = self.hub.state();
        // One that fell behind is told nothing more.
        if self.line.state().behind {
            return;
        }
        for (topic, grant) in topics {
            state.topics.entry(topic.clone()).or_default().insert(self.id, self.line.clone());
            if let Some(entry) = state.members.get_mut(&self.id) {
                entry.topics.insert(topic, grant);
            }
        }
    }

    /// Listens to these no more.
    pub fn unlisten<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) {
        let mut state = self.hub.state();
        for topic in topics {
            state.leave(self.id, topic);
        }
    }

    /// How many topics it would listen to, with these.
    pub fn count_with(&self, topics: &[Topic]) -> usize {
        let state = self.hub.state();
        let Some(entry) = state.members.get(&self.id) else { return 0 };
        let new: HashSet<_> = topics.iter().filter(|topic| !entry.topics.contains_key(*topic)).collect();
        entry.topics.len() + new.len()
    }

    /// What there is to tell now.
    pub fn take(&self) -> Turn {
        let mut waiting = self.line.state();
        waiting.bytes = 0;
        Turn {
            frames: std::mem::take(&mut waiting.frames),
            behind: waiting.behind,
            ending: std::mem::take(&mut waiting.ending),
        }
    }

    /// Waits until there is something to tell. May return without.
    pub async fn changed(&self) {
        self.line.changed.notified().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.cut(self.id);
        state.members.remove(&self.id);
        if state.members.is_empty() {
            self.hub.0.empty.notify_waiters();
        }
    }
}
