//! Which socket is which connection, and which of them have something to read.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use haremq_reactor::SocketId;
use haremq_shard::ConnectionSlot;
use slab::Slab;

/// How long a socket rests before it is looked at whether its peer is gone, and what has not been
/// read is given up with it. Far longer than a connection rests but for want of memory.
const STOPPED_LOOK: Duration = Duration::from_secs(5);

/// A connection's socket, from accept until the shard has forgotten the connection.
#[derive(Debug)]
pub(crate) struct Entry {
    /// None once the socket is closed.
    pub(crate) socket: Option<SocketId>,
    /// Not to be read at present.
    pub(crate) is_stopped: bool,
    /// When it was stopped last.
    stopped_at: Option<Instant>,
    /// In the list of sockets that were stopped.
    is_watched: bool,
    /// In the list of sockets to read.
    is_listed: bool,
    /// The kernel took only a part of the output: `Writable` follows.
    pub(crate) awaits_writable: bool,
}

/// The sockets of one core.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    entries: Slab<Entry>,
    /// By slot of the socket.
    connections: Vec<Option<ConnectionSlot>>,
    /// Sockets with something to read, those that had their turn longest ago first.
    readable: VecDeque<ConnectionSlot>,
    /// Sockets that were stopped, and when each is looked at: soonest first.
    watched: VecDeque<(SocketId, Instant)>,
}

impl Sockets {
    /// Takes a socket in and names its connection.
    pub(crate) fn insert(&mut self, socket: SocketId) -> ConnectionSlot {
        let entry = Entry {
            socket: Some(socket),
            is_stopped: false,
            stopped_at: None,
            is_watched: false,
            is_listed: false,
            awaits_writable: false,
        };
        let slot = u32::try_from(self.entries.insert(entry)).expect("fewer than 2^32 sockets");
        let place = socket.slot as usize;
        if self.connections.len() <= place {
            self.connections.resize(place + 1, None);
        }
        self.connections[place] = Some(ConnectionSlot(slot));
        ConnectionSlot(slot)
    }

    /// The connection of a socket; none if the socket was given up.
    pub(crate) fn connection(&self, socket: SocketId) -> Option<ConnectionSlot> {
        let slot = (*self.connections.get(socket.slot as usize)?)?;
        (self.entries[slot.0 as usize].socket == Some(socket)).then_some(slot)
    }

    pub(crate) fn entry(&mut self, slot: ConnectionSlot) -> &mut Entry {
        &mut self.entries[slot.0 as usize]
    }

    /// The connection gives its socket up.
    pub(crate) fn detach(&mut self, slot: ConnectionSlot) -> Option<SocketId> {
        let socket = self.entries[slot.0 as usize].socket.take()?;
        self.connections[socket.slot as usize] = None;
        Some(socket)
    }

    /// The shard has forgotten the connection.
    pub(crate) fn remove(&mut self, slot: ConnectionSlot) {
        assert!(self.entries[slot.0 as usize].socket.is_none(), "sockets are closed first");
        self.entries.remove(slot.0 as usize);
    }

    /// Puts a socket at the end of those to read, unless it is stopped.
    pub(crate) fn list(&mut self, slot: ConnectionSlot) {
        let entry = &mut self.entries[slot.0 as usize];
        if !entry.is_listed && !entry.is_stopped {
            entry.is_listed = true;
            self.readable.push_back(slot);
        }
    }

    /// The socket is not to be read for the time being. Meanwhile it is looked at now and
    /// then, as nobody would see that the peer is gone.
    pub(crate) fn stop(&mut self, slot: ConnectionSlot, now: Instant) {
        let entry = &mut self.entries[slot.0 as usize];
        entry.is_stopped = true;
        entry.stopped_at = Some(now);
        if let (Some(socket), false) = (entry.socket, entry.is_watched) {
            entry.is_watched = true;
            self.watched.push_back((socket, now + STOPPED_LOOK));
        }
    }

    /// When the next stopped socket is to be looked at.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.watched.front().map(|(_, at)| *at)
    }

    /// A socket that has been stopped for a while, and still is; it is looked at again later.
    pub(crate) fn next_stopped(&mut self, now: Instant) -> Option<(ConnectionSlot, SocketId)> {
        while self.next_look().is_some_and(|at| at <= now) {
            let (socket, _) = self.watched.pop_front().expect("just seen");
            let Some(slot) = self.connection(socket) else {
                continue;
            };
            let entry = self.entry(slot);
            entry.is_watched = entry.is_stopped;
            if !entry.is_stopped {
                continue;
            }
            let rests_for_long = entry.stopped_at.is_some_and(|at| now >= at + STOPPED_LOOK);
            self.watched.push_back((socket, now + STOPPED_LOOK));
            if rests_for_long {
                return Some((slot, socket));
            }
        }
        None
    }

    /// How many sockets are to be read in this round.
    pub(crate) fn readable_count(&self) -> usize {
        self.readable.len()
    }

    /// The next socket to read. A connection that has ended or stopped meanwhile is passed over.
    pub(crate) fn next_readable(&mut self) -> Option<(ConnectionSlot, SocketId)> {
        let slot = self.readable.pop_front()?;
        let entry = self.entries.get_mut(slot.0 as usize)?;
        entry.is_listed = false;
        match entry.socket {
            Some(socket) if !entry.is_stopped => Some((slot, socket)),
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
