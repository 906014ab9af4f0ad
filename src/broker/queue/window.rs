//! How much of a connection's deliveries may be on the way to its socket.

use slab::Slab;

use crate::ids::QueueId;
use crate::store::Content;

use super::command::ConsumerIndex;

/// Bytes that may be on the way from one shard to one connection.
pub const WINDOW_BYTES: u64 = 256 * 1024;

/// What a delivery costs beyond its content: so that empty messages are bounded too.
pub const DELIVERY_OVERHEAD_BYTES: u64 = 64;

/// What a delivery takes from its window, and what is to be given back for it.
pub fn delivery_bytes(content: &Content<'_>) -> u64 {
    content.bytes() as u64 + DELIVERY_OVERHEAD_BYTES
}

/// The byte window of one connection at this shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WindowId(pub u32);

/// A consumer that waits for its window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Its queue.
    pub queue: QueueId,
    /// The consumer; to be told `WindowOpened`.
    pub consumer: ConsumerIndex,
}

#[derive(Debug)]
struct Window {
    used: u64,
    waiting: Vec<Waiting>,
}

/// The byte windows of all connections that consume from this shard.
///
/// A window is opened at a connection's first consumer here and closed with the connection. A
/// message always passes an empty window, however large it is.
#[derive(Debug)]
pub struct Windows {
    windows: Slab<Window>,
    limit: u64,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows::new(WINDOW_BYTES)
    }
}

impl Windows {
    /// Windows of `limit` bytes each; not 0.
    pub fn new(limit: u64) -> Windows {
        assert!(limit > 0);
        Windows { windows: Slab::new(), limit }
    }

    /// A new, empty window.
    pub fn open(&mut self) -> WindowId {
        let slot = self.windows.insert(Window { used: 0, waiting: Vec::new() });
        WindowId(u32::try_from(slot).expect("connections of a shard are fewer than 2^32"))
    }

    /// The connection is gone; all its channels have been closed at their queues before.
    pub fn close(&mut self, window: WindowId) {
        self.windows.remove(window.0 as usize);
    }

    /// Bytes on the way.
    pub fn used(&self, window: WindowId) -> u64 {
        self.windows[window.0 as usize].used
    }

    /// Takes `bytes` if they fit.
    pub(super) fn charge(&mut self, window: WindowId, bytes: u64) -> bool {
        let limit = self.limit;
        let window = &mut self.windows[window.0 as usize];
        if window.used > 0 && window.used + bytes > limit {
            return false;
        }
        window.used += bytes;
        true
    }

    /// The consumer is to be named when the window has room.
    pub(super) fn wait(&mut self, window: WindowId, waiting: Waiting) {
        self.windows[window.0 as usize].waiting.push(waiting);
    }

    /// The consumer is gone and waits no longer.
    pub(super) fn stop_waiting(&mut self, window: WindowId, waiting: Waiting) {
        self.windows[window.0 as usize].waiting.retain(|other| *other != waiting);
    }

    /// `bytes` have left for the socket (or were dropped on the way). Appends the consumers to wake
    /// to `woken`; none before half of the window is free, so that they are not woken for one
    /// message each.
    pub fn give_back(&mut self, window: WindowId, bytes: u64, woken: &mut Vec<Waiting>) {
        let half = self.limit / 2;
        let window = &mut self.windows[window.0 as usize];
        assert!(window.used >= bytes);
        window.used -= bytes;
        if window.used <= half {
            woken.append(&mut window.waiting);
        }
    }
}
