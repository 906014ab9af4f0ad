//! Sockets: pipes of bytes that may be cut anywhere, in both directions.

use std::collections::VecDeque;

use haremq_shard::{ConnectionSlot, Event, Peer};

use super::World;
use crate::trace;

/// A socket; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SocketId(pub(crate) usize);

/// Both directions of a connection and how far either end is.
pub(super) struct Socket {
    pub(super) shard: usize,
    pub(super) slot: ConnectionSlot,
    pub(super) to_server: VecDeque<u8>,
    pub(super) to_client: VecDeque<u8>,
    /// The shard reads it.
    pub(super) is_read: bool,
    /// The shard has said that there is output.
    pub(super) wants_send: bool,
    /// The client is gone; the shard does not know yet.
    pub(super) is_reset: bool,
    /// The shard has closed it.
    pub(super) is_closed: bool,
    /// The shard has freed its slot.
    pub(super) is_forgotten: bool,
}

impl Socket {
    pub(super) fn handle_closed(&mut self) {
        assert!(!self.is_closed, "a socket is closed once");
        self.is_closed = true;
        self.wants_send = false;
        self.to_server.clear();
    }
}

impl World {
    /// A client connects.
    pub(crate) fn connect(&mut self) -> SocketId {
        let shard = self.scheduling.below(self.shards.len());
        let slots = &mut self.slots[shard];
        let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        if free == slots.len() {
            slots.push(None);
        }
        let id = SocketId(self.sockets.len());
        slots[free] = Some(id);
        let slot = ConnectionSlot(u32::try_from(free).expect("a few slots"));
        self.sockets.push(Socket {
            shard,
            slot,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            is_read: true,
            wants_send: false,
            is_reset: false,
            is_closed: false,
            is_forgotten: false,
        });
        trace::note(format!("socket {} connects to slot {free} of {shard}", id.0));
        let peer = Peer { name: format!("127.0.0.1:{} -> sim", id.0), is_loopback: true };
        self.tell(shard, Event::Accepted { connection: slot, peer });
        id
    }

    pub(super) fn socket_at(&mut self, shard: usize, slot: ConnectionSlot) -> &mut Socket {
        let owner = self.slots[shard][slot.0 as usize].expect("effects name slots in use");
        &mut self.sockets[owner.0]
    }

    /// The client writes.
    pub(crate) fn write(&mut self, id: SocketId, bytes: &[u8]) {
        let socket = &mut self.sockets[id.0];
        if !socket.is_closed {
            socket.to_server.extend(bytes);
        }
    }

    /// What the client may read now, up to a random cut.
    pub(crate) fn read(&mut self, id: SocketId) -> Vec<u8> {
        let length = self.sockets[id.0].to_client.len();
        let count = self.draw_chunk(length);
        trace::note(format!("socket {}: client reads {count}", id.0));
        self.sockets[id.0].to_client.drain(..count).collect()
    }

    /// The client goes away without a word; what it sent last may be lost at any octet.
    pub(crate) fn reset(&mut self, id: SocketId) {
        let length = self.sockets[id.0].to_server.len();
        let kept = self.scheduling.below(length + 1);
        let socket = &mut self.sockets[id.0];
        socket.to_server.truncate(kept);
        socket.to_client.clear();
        socket.is_reset = true;
        trace::note(format!("socket {} is reset, {kept} of {length} on the way", id.0));
    }

    /// Whether the server has closed the socket and the client has read everything.
    pub(crate) fn is_at_end(&self, id: SocketId) -> bool {
        let socket = &self.sockets[id.0];
        socket.is_closed && socket.to_client.is_empty()
    }

    /// Whether the broker has forgotten the connection.
    pub(crate) fn is_forgotten(&self, id: SocketId) -> bool {
        self.sockets[id.0].is_forgotten
    }

    fn draw_chunk(&mut self, length: usize) -> usize {
        let most = length.min(self.parameters.chunk_bytes_max);
        if self.scheduling.chance(500) { most } else { 1 + self.scheduling.below(most) }
    }

    pub(super) fn can_receive(&self, id: usize) -> bool {
        let socket = &self.sockets[id];
        socket.is_read && !socket.is_closed && !socket.to_server.is_empty()
    }

    pub(super) fn receive(&mut self, id: usize) {
        let count = self.draw_chunk(self.sockets[id].to_server.len());
        let bytes: Vec<u8> = self.sockets[id].to_server.drain(..count).collect();
        let (shard, connection) = (self.sockets[id].shard, self.sockets[id].slot);
        trace::note(format!("socket {id}: {shard} receives {count}"));
        self.tell(shard, Event::Received { connection, bytes: &bytes });
    }

    pub(super) fn can_send(&self, id: usize) -> bool {
        let socket = &self.sockets[id];
        let has_room = socket.is_reset || socket.to_client.len() < self.parameters.socket_bytes;
        socket.wants_send && !socket.is_closed && has_room
    }

    pub(super) fn send(&mut self, id: usize) {
        let (shard, connection) = (self.sockets[id].shard, self.sockets[id].slot);
        let length = self.shards[shard].output(connection).len();
        if length == 0 {
            self.sockets[id].wants_send = false;
            return;
        }
        let mut count = self.draw_chunk(length);
        let socket = &mut self.sockets[id];
        if !socket.is_reset {
            count = count.min(self.parameters.socket_bytes - socket.to_client.len());
            socket.to_client.extend(&self.shards[shard].output(connection)[..count]);
        }
        socket.wants_send = count < length;
        trace::note(format!("socket {id}: {shard} has sent {count} of {length}"));
        self.tell(shard, Event::Sent { connection, bytes: count });
    }

    pub(super) fn can_disconnect(&self, id: usize) -> bool {
        self.sockets[id].is_reset && !self.sockets[id].is_closed
    }

    pub(super) fn disconnect(&mut self, id: usize) {
        let (shard, connection) = (self.sockets[id].shard, self.sockets[id].slot);
        trace::note(format!("socket {id}: {shard} sees the reset"));
        self.tell(shard, Event::Disconnected { connection });
    }

    pub(super) fn can_read(&self, id: usize) -> bool {
        !self.sockets[id].to_client.is_empty()
    }
}
