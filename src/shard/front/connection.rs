//! A client's connection as its shard keeps it.

use haremq_broker::catalog::UserId;
use haremq_broker::ids::{ConnectionAddress, ShardId, Time, VhostId};
use haremq_protocol::reply::ProtocolError;

use crate::event::{ConnectionSlot, Peer};
use crate::limits::{CHANNELS_PER_CONNECTION_MAX, HANDSHAKE_FRAME_BYTES_MAX};

/// Where a connection stands.
///
/// ```text
/// Header ─► StartOk ─► TuneOk ─► Open ─► Running ─► Draining ─► Flushing ─► (forgotten)
///    │         │          │                             │            ▲
///    └─────────┴──────────┴─► Refused (dropped later)   └─► CloseOk ─┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The protocol header is awaited.
    Header,
    /// `start` was sent.
    StartOk,
    /// `tune` was sent.
    TuneOk,
    /// `open` is awaited.
    Open,
    /// Channels may be used.
    Running,
    /// Nothing is read any more; homes give up what the connection's channels hold, then its
    /// exclusive queues go, then the farewell is sent.
    Draining,
    /// `close` was sent: everything but `close-ok` and `close` is ignored (CONN-91).
    CloseOk,
    /// The last output is under way; then the socket is closed.
    Flushing,
    /// Refused without a frame: the socket is dropped after a while (CONN-26).
    Refused,
}

/// How a draining connection ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Farewell {
    /// The client asked: `close-ok`.
    CloseOk,
    /// The client erred, or the broker stops: `close` with this.
    Close(ProtocolError),
    /// The socket is gone.
    Silence,
}

/// Why a connection's input rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// The next frame is for a channel whose request is unanswered.
    Channel(u32),
    /// The next publish needs credit towards a home.
    Credit(ShardId),
    /// The broker uses more memory than it may.
    Memory,
    /// The client does not read its answers.
    Output,
}

/// What the connection said of itself and was granted.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The authenticated user.
    pub(crate) user: UserId,
    pub(crate) user_name: String,
    /// Content of `client-properties`, for display (CONN-27).
    pub(crate) client_properties: Box<[u8]>,
    /// Capability `authentication_failure_close` (CONN-28).
    pub(crate) wants_failure_close: bool,
    /// Capability `consumer_cancel_notify` (CONN-28).
    pub(crate) wants_cancel_notify: bool,
}

impl Default for Identity {
    fn default() -> Identity {
        Identity {
            user: UserId(u32::MAX),
            user_name: String::new(),
            client_properties: Box::default(),
            wants_failure_close: false,
            wants_cancel_notify: false,
        }
    }
}

/// A client's connection. Owned by the shard that holds its socket, from accept until nothing of
/// it is left at any home.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) peer: Peer,
    pub(crate) state: State,
    pub(crate) farewell: Farewell,
    pub(crate) identity: Box<Identity>,
    pub(crate) vhost: VhostId,

    /// Bytes that were read and not yet parsed; empty unless a frame is incomplete or paused.
    pub(crate) input: Vec<u8>,
    /// How many of them are parsed already.
    pub(crate) parsed: usize,
    /// Bytes to send; the first `sent` of them are gone already.
    pub(crate) output: Vec<u8>,
    pub(crate) sent: usize,
    /// What the shard's sum has of this connection's buffers.
    pub(crate) accounted_bytes: usize,
    /// Whether the connection is in the tick's list of those with output.
    pub(crate) is_dirty: bool,
    pub(crate) pause: Option<Pause>,
    /// Whether it is in the list of those whose input goes on this tick.
    pub(crate) is_resumable: bool,
    /// Whether the runtime was told to stop reading.
    pub(crate) is_reading_stopped: bool,
    /// Whether its stream has made no sense: what still comes is not looked at.
    pub(crate) is_deaf: bool,
    /// Whether the socket exists no more.
    pub(crate) is_socket_gone: bool,

    pub(crate) frame_max: u32,
    pub(crate) channel_max: u16,
    pub(crate) heartbeat_ms: u64,
    pub(crate) received_at: Time,
    pub(crate) sent_at: Time,
    /// What was received when silence was last checked, and how many checks found nothing new.
    pub(crate) silence: Silence,

    /// Channel numbers in use and the slots of their channels, sorted by number.
    pub(crate) channels: Vec<(u16, u32)>,
    /// Place in `channels` of the last look-up.
    last_channel: usize,
    /// What half-received messages hold, in bytes.
    pub(crate) half_received_bytes: usize,
    /// What the publishes of uncommitted transactions hold, in bytes.
    pub(crate) uncommitted_bytes: usize,
    /// Deliveries written to `output` since windows were last given back, per home.
    pub(crate) delivered_bytes: Vec<(ShardId, u32)>,
    /// The homes that have a window for this connection, one bit each.
    pub(crate) homes: u64,
    /// Exclusive queues whose deletion a draining connection waits for.
    pub(crate) draining_queues: usize,
}

/// The count behind CONN-60: two checks in a row without any octet mean a dead peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silence {
    pub(crate) received_at_last_check: Time,
    pub(crate) checked_at: Time,
    pub(crate) silent_checks: u8,
}

impl Connection {
    pub(crate) fn new(generation: u32, peer: Peer, now: Time) -> Connection {
        Connection {
            generation,
            peer,
            state: State::Header,
            farewell: Farewell::Silence,
            identity: Box::default(),
            vhost: VhostId(0),
            input: Vec::new(),
            parsed: 0,
            output: Vec::new(),
            sent: 0,
            accounted_bytes: 0,
            is_dirty: false,
            pause: None,
            is_resumable: false,
            is_reading_stopped: false,
            is_deaf: false,
            is_socket_gone: false,
            frame_max: HANDSHAKE_FRAME_BYTES_MAX,
            channel_max: CHANNELS_PER_CONNECTION_MAX,
            heartbeat_ms: 0,
            received_at: now,
            sent_at: now,
            silence: Silence::default(),
            channels: Vec::new(),
            last_channel: 0,
            half_received_bytes: 0,
            uncommitted_bytes: 0,
            delivered_bytes: Vec::new(),
            homes: 0,
            draining_queues: 0,
        }
    }

    /// The connection's name for other shards.
    pub(crate) fn address(&self, shard: ShardId, slot: u32) -> ConnectionAddress {
        ConnectionAddress { shard, slot, generation: self.generation }
    }

    /// The slot of the channel with this number.
    pub(crate) fn channel(&mut self, number: u16) -> Option<u32> {
        if let Some(&(last, slot)) = self.channels.get(self.last_channel)
            && last == number
        {
            return Some(slot);
        }
        let place = self.channels.binary_search_by_key(&number, |entry| entry.0).ok()?;
        self.last_channel = place;
        Some(self.channels[place].1)
    }

    /// Takes a channel number into use.
    pub(crate) fn add_channel(&mut self, number: u16, slot: u32) {
        let place = self.channels.partition_point(|entry| entry.0 < number);
        let is_free = self.channels.get(place).is_none_or(|entry| entry.0 != number);
        assert!(is_free, "a channel number is used once at a time");
        self.channels.insert(place, (number, slot));
        self.last_channel = place;
    }

    /// Frees a channel number, if it still names this slot.
    pub(crate) fn remove_channel(&mut self, number: u16, slot: u32) {
        if let Ok(place) = self.channels.binary_search(&(number, slot)) {
            self.channels.remove(place);
            self.last_channel = 0;
        }
    }

    /// Bytes to send.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Puts it into the tick's list of those with output.
    pub(crate) fn mark_dirty(&mut self, slot: ConnectionSlot, dirty: &mut Vec<ConnectionSlot>) {
        if !self.is_dirty {
            self.is_dirty = true;
            dirty.push(slot);
        }
    }

    /// Whether frames of channels are still looked at.
    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }
}

/// What has been delivered from a home, of [`Connection::delivered_bytes`].
#[inline]
pub(crate) fn delivered_bytes(all: &mut Vec<(ShardId, u32)>, home: ShardId) -> &mut u32 {
    let known = all.iter().position(|entry| entry.0 == home);
    let place = known.unwrap_or_else(|| {
        all.push((home, 0));
        all.len() - 1
    });
    &mut all[place].1
}
