//! The rings: between every ordered pair of cores, between every core and the catalog writer, and
//! from the accepting core to the others.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use haremq_broker::ids::ShardId;
use haremq_reactor::Waker;
use haremq_shard::mesh::Batch;
use haremq_shard::writer::{FromWriter, ToWriter};
use rtrb::{Consumer, Producer, RingBuffer};

/// Batches under way between two cores. When the ring is full the sender goes on gathering.
const BATCHES: usize = 16;
/// Letters under way between a core and the writer.
const LETTERS: usize = 4096;
/// Connections that wait for a core to take them.
const DEALT: usize = 1024;

/// How long the writer sleeps at most while a full ring holds back its letters.
const FULL_RING_SLEEP: Duration = Duration::from_millis(1);

/// A connection that was accepted for another core.
pub(crate) type Dealt = (OwnedFd, SocketAddr);

/// One core's ends of the rings between it and one peer.
pub(crate) struct PeerLink {
    pub(crate) outgoing: Producer<Batch>,
    pub(crate) incoming: Consumer<Batch>,
    /// Batches of the peer that were read here go back to it.
    pub(crate) returning: Producer<Batch>,
    /// Batches of ours that the peer has read.
    pub(crate) returned: Consumer<Batch>,
}

/// One core's ends of all its rings.
pub(crate) struct CoreLinks {
    pub(crate) shard: ShardId,
    /// By peer; none for the core itself.
    pub(crate) peers: Vec<Option<PeerLink>>,
    pub(crate) to_writer: Producer<ToWriter>,
    pub(crate) from_writer: Consumer<FromWriter>,
    pub(crate) writer: WriterBell,
    /// Towards each core; only the accepting core deals.
    pub(crate) dealing: Vec<Producer<Dealt>>,
    pub(crate) dealt: Option<Consumer<Dealt>>,
    /// By shard, this one's included; known once every core has its reactor.
    pub(crate) wakers: Arc<OnceLock<Vec<Waker>>>,
}

impl CoreLinks {
    /// Whether something has come from outside.
    pub(crate) fn has_inbound(&self) -> bool {
        !self.from_writer.is_empty()
            || self.dealt.as_ref().is_some_and(|dealt| !dealt.is_empty())
            || self
                .peers
                .iter()
                .flatten()
                .any(|peer| !peer.incoming.is_empty() || !peer.returned.is_empty())
    }

    pub(crate) fn wake(&self, shard: ShardId) {
        if let Some(wakers) = self.wakers.get() {
            wakers[shard.index()].wake();
        }
    }

    pub(crate) fn wake_others(&self) {
        for (shard, waker) in self.wakers.get().into_iter().flatten().enumerate() {
            if shard != self.shard.index() {
                waker.wake();
            }
        }
    }
}

/// Wakes the catalog writer's thread. An unpark that comes before the park is not lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriterBell {
    thread: Arc<OnceLock<Thread>>,
}

impl WriterBell {
    pub(crate) fn ring(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// The catalog writer's ends of its rings; for the thread that drives it.
pub struct WriterLink {
    shards: Vec<WriterEnd>,
    bell: WriterBell,
    wakers: Arc<OnceLock<Vec<Waker>>>,
}

struct WriterEnd {
    from_shard: Consumer<ToWriter>,
    to_shard: Producer<FromWriter>,
}

impl WriterLink {
    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        u16::try_from(self.shards.len()).expect("made for a u16 of shards")
    }

    /// Names the calling thread as the one that the shards wake.
    pub fn attach(&self) {
        let attached = self.bell.thread.set(std::thread::current());
        assert!(attached.is_ok(), "one thread drives the writer");
    }

    /// The next letter of a shard.
    pub fn receive(&mut self, shard: ShardId) -> Option<ToWriter> {
        self.shards[shard.index()].from_shard.pop().ok()
    }

    /// Whether a letter to this shard can be sent now.
    pub fn has_room(&self, shard: ShardId) -> bool {
        !self.shards[shard.index()].to_shard.is_full()
    }

    /// Sends a letter.
    ///
    /// # Panics
    /// If there is no room: the caller looks first.
    pub fn send(&mut self, shard: ShardId, letter: FromWriter) {
        let pushed = self.shards[shard.index()].to_shard.push(letter);
        assert!(pushed.is_ok(), "the caller looks for room first");
    }

    /// Wakes a shard that letters were sent to.
    pub fn wake(&self, shard: ShardId) {
        if let Some(wakers) = self.wakers.get() {
            wakers[shard.index()].wake();
        }
    }

    /// Sleeps until a shard has sent something, or the shards have ended; not for long while a
    /// full ring holds letters back. May return early.
    pub fn park(&self, is_held_back: bool) {
        let has_letters = self.shards.iter().any(|end| !end.from_shard.is_empty());
        if has_letters {
            return;
        }
        if is_held_back {
            std::thread::park_timeout(FULL_RING_SLEEP);
        } else {
            std::thread::park();
        }
    }

    /// Whether every shard has ended.
    pub fn is_abandoned(&self) -> bool {
        self.shards.iter().all(|end| end.to_shard.is_abandoned())
    }
}

/// All rings of a broker with this many shards.
pub(crate) fn links(shards: u16) -> (Vec<CoreLinks>, WriterLink) {
    let wakers = Arc::new(OnceLock::new());
    let bell = WriterBell::default();
    let mut ends = Vec::new();
    let mut cores: Vec<CoreLinks> = (0..shards)
        .map(|shard| {
            let (to_writer, from_shard) = RingBuffer::new(LETTERS);
            let (to_shard, from_writer) = RingBuffer::new(LETTERS);
            ends.push(WriterEnd { from_shard, to_shard });
            CoreLinks {
                shard: ShardId(shard),
                peers: (0..shards).map(|_| None).collect(),
                to_writer,
                from_writer,
                writer: bell.clone(),
                dealing: Vec::new(),
                dealt: None,
                wakers: Arc::clone(&wakers),
            }
        })
        .collect();
    for a in 0..usize::from(shards) {
        for b in a + 1..usize::from(shards) {
            let (first, second) = peer_links();
            cores[a].peers[b] = Some(first);
            cores[b].peers[a] = Some(second);
        }
    }
    for shard in 0..usize::from(shards) {
        let (dealing, dealt) = RingBuffer::new(DEALT);
        cores[0].dealing.push(dealing);
        cores[shard].dealt = Some(dealt);
    }
    (cores, WriterLink { shards: ends, bell, wakers })
}

fn peer_links() -> (PeerLink, PeerLink) {
    let (out_a, in_b) = RingBuffer::new(BATCHES);
    let (out_b, in_a) = RingBuffer::new(BATCHES);
    // As many as can be under way, so that returning never waits.
    let (return_a, returned_b) = RingBuffer::new(BATCHES + 2);
    let (return_b, returned_a) = RingBuffer::new(BATCHES + 2);
    (
        PeerLink { outgoing: out_a, incoming: in_a, returning: return_a, returned: returned_a },
        PeerLink { outgoing: out_b, incoming: in_b, returning: return_b, returned: returned_b },
    )
}
