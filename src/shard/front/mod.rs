//! The client's side of a shard: connections, channels, and what their methods do.

mod ack_timeout;
mod answers;
mod catalog_methods;
pub(crate) mod channel;
mod channel_methods;
mod close;
pub(crate) mod commands;
mod confirms;
pub(crate) mod connection;
mod consumers;
pub(crate) mod content;
mod deliver;
mod flow;
mod frames;
mod handshake;
mod publish;
mod remains;
mod settle;
#[cfg(test)]
mod settle_tests;
mod transactions;

use std::collections::VecDeque;

use haremq_broker::catalog::Origin;
use haremq_broker::catalog::UserId;
use haremq_broker::channel::Run;
use haremq_broker::ids::{ChannelAddress, ShardId, VhostId};
use haremq_broker::router::Destination;
use haremq_protocol::method::{AMQPClass, write_method};
use slab::Slab;

use crate::event::ConnectionSlot;
use crate::limits::IDLE_BUFFER_BYTES_MAX;
use crate::report::Reports;
use crate::shard::Shard;
use channel::Channel;
use connection::Connection;
use remains::Remains;

/// Whether a connection's input goes on after a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// The frame was used.
    Continue,
    /// The frame was not used: it is looked at again when what is waited for has come.
    Pause,
}

/// All connections and channels of one shard.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) shard: ShardId,
    connections: Vec<Option<Box<Connection>>>,
    next_generation: u32,
    pub(crate) channels: Slab<Box<Channel>>,
    /// Connections with output, in the order in which they got it this tick.
    pub(crate) dirty: Vec<ConnectionSlot>,
    /// Connections whose paused input may go on.
    pub(crate) resumable: VecDeque<ConnectionSlot>,
    /// Channels with confirms to send at the end of the tick.
    pub(crate) confirming: Vec<u32>,
    /// Per peer: connections that wait for publish credit.
    pub(crate) credit_waiters: Vec<Vec<ConnectionSlot>>,
    /// Connections that wait for memory.
    pub(crate) memory_waiters: Vec<ConnectionSlot>,
    /// Channels whose commit waits for credit.
    pub(crate) commit_waiters: Vec<u32>,
    /// Channels that settle more than the tick's budget sufficed for.
    pub(crate) settling: VecDeque<u32>,
    /// What the settlements of this tick may still go through.
    pub(crate) bulk_left: u32,
    pub(crate) bulk_per_tick: u32,
    /// Destinations of the publish at hand; kept for its memory.
    pub(crate) destinations: Vec<Destination>,
    /// Runs of the settlement at hand; kept for its memory.
    pub(crate) runs: Vec<Run>,
    spares: Spares,
    /// Memory of channels that are gone.
    pub(crate) remains: Remains,
    /// Lines for the log.
    pub(crate) reports: Reports,
    /// Unsent output and half-received messages of all connections, in bytes.
    pub(crate) buffered_bytes: usize,
    /// Half-received messages and uncommitted transactions among them.
    pub(crate) unfinished_bytes: usize,
}

/// Buffers for reuse, all of them empty.
#[derive(Debug, Default)]
struct Spares {
    /// For output, and for input that is being parsed.
    buffers: Vec<Vec<u8>>,
    /// Small ones, which hold the heads of frames between two reads.
    heads: Vec<Vec<u8>>,
}

impl Spares {
    /// Gives an output a buffer if it has none and there is one.
    fn equip(&mut self, output: &mut Vec<u8>) {
        if output.capacity() == 0
            && let Some(buffer) = self.buffers.pop().or_else(|| self.heads.pop())
        {
            *output = buffer;
        }
    }

    fn of(&mut self, is_small: bool) -> &mut Vec<Vec<u8>> {
        if is_small { &mut self.heads } else { &mut self.buffers }
    }
}

/// The channel that an address of this shard names, unless its slot has passed on.
fn find_channel(
    channels: &mut Slab<Box<Channel>>,
    address: ChannelAddress,
) -> Option<&mut Channel> {
    let channel = channels.get_mut(address.slot as usize)?;
    (channel.generation == address.generation).then_some(&mut **channel)
}

/// Buffers kept for reuse, and how large each may be.
const SPARE_BUFFERS_MAX: usize = 64;
const SPARE_BUFFER_BYTES_MAX: usize = 1 << 20;

impl Front {
    pub(crate) fn new(shard: ShardId, shards: u16, bulk_per_tick: u32) -> Front {
        Front {
            shard,
            connections: Vec::new(),
            next_generation: 1,
            channels: Slab::new(),
            dirty: Vec::new(),
            resumable: VecDeque::new(),
            confirming: Vec::new(),
            credit_waiters: (0..shards).map(|_| Vec::new()).collect(),
            memory_waiters: Vec::new(),
            commit_waiters: Vec::new(),
            settling: VecDeque::new(),
            bulk_left: bulk_per_tick,
            bulk_per_tick,
            destinations: Vec::new(),
            runs: Vec::new(),
            spares: Spares::default(),
            remains: Remains::default(),
            reports: Reports::default(),
            buffered_bytes: 0,
            unfinished_bytes: 0,
        }
    }

    /// A number that no earlier connection or channel had.
    pub(crate) fn next_generation(&mut self) -> u32 {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        generation
    }

    /// Takes a slot into use.
    pub(crate) fn insert(&mut self, slot: ConnectionSlot, connection: Connection) {
        if self.connections.len() <= slot.index() {
            self.connections.resize_with(slot.index() + 1, || None);
        }
        let place = &mut self.connections[slot.index()];
        assert!(place.is_none(), "a slot is used by one connection at a time");
        *place = Some(Box::new(connection));
    }

    /// Frees a slot.
    pub(crate) fn remove(&mut self, slot: ConnectionSlot) -> Option<Box<Connection>> {
        self.connections[slot.index()].take()
    }

    /// The connection in a slot, if there is one.
    pub(crate) fn connection(&mut self, slot: ConnectionSlot) -> Option<&mut Connection> {
        self.connections.get_mut(slot.index())?.as_deref_mut()
    }

    /// The connection in a slot.
    pub(crate) fn connection_ref(&self, slot: ConnectionSlot) -> Option<&Connection> {
        self.connections.get(slot.index())?.as_deref()
    }

    /// All slots in use.
    pub(crate) fn slots(&self) -> Vec<ConnectionSlot> {
        let in_use = self.connections.iter().enumerate().filter(|(_, place)| place.is_some());
        in_use.map(|(index, _)| ConnectionSlot(u32::try_from(index).expect("a slot"))).collect()
    }

    /// The output buffer of a connection; takes one from the spare ones when it has none.
    pub(crate) fn output(&mut self, slot: ConnectionSlot) -> &mut Vec<u8> {
        let connection = self.connections[slot.index()].as_deref_mut().expect("the slot is in use");
        self.spares.equip(&mut connection.output);
        &mut connection.output
    }

    /// Keeps an empty buffer for reuse, if it is worth it.
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes == 0 || bytes > SPARE_BUFFER_BYTES_MAX {
            return;
        }
        let is_small = bytes <= IDLE_BUFFER_BYTES_MAX;
        let spares = self.spares.of(is_small);
        if spares.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            spares.push(buffer);
        }
    }

    /// A buffer with room for so many bytes, to keep input in. What is small gets a small one, as
    /// an idle connection may hold it for long.
    pub(crate) fn input_buffer(&mut self, bytes: usize) -> Vec<u8> {
        let is_small = bytes <= IDLE_BUFFER_BYTES_MAX;
        let spares = self.spares.of(is_small);
        let mut buffer = spares.pop().unwrap_or_default();
        if is_small {
            buffer.reserve_exact(bytes);
        } else {
            buffer.reserve(bytes);
        }
        buffer
    }

    /// Puts a connection into the tick's list of those with output.
    pub(crate) fn mark_dirty(&mut self, slot: ConnectionSlot) {
        let connection = self.connections[slot.index()].as_deref_mut().expect("the slot is in use");
        connection.mark_dirty(slot, &mut self.dirty);
    }

    /// Puts a channel into the tick's list of those with confirms to send.
    pub(crate) fn mark_confirming(&mut self, channel: u32) {
        let entry = &mut self.channels[channel as usize];
        if !entry.is_confirming {
            entry.is_confirming = true;
            self.confirming.push(channel);
        }
    }

    /// The channel that an address names, unless its slot has passed on.
    pub(crate) fn channel_at(&mut self, address: ChannelAddress) -> Option<&mut Channel> {
        assert_eq!(address.shard, self.shard, "an answer came to another shard");
        find_channel(&mut self.channels, address)
    }
}

impl Front {
    /// The vhost that a channel works in.
    pub(crate) fn vhost_of(&self, channel: u32) -> VhostId {
        let slot = self.channels[channel as usize].connection;
        self.connection_ref(slot).expect("it outlives its channels").vhost
    }
}

impl Shard {
    /// The connection in a slot that is in use.
    pub(crate) fn connection_mut(&mut self, slot: ConnectionSlot) -> &mut Connection {
        self.front.connection(slot).expect("the slot is in use")
    }

    /// Who asks, on a connection.
    pub(crate) fn origin(&mut self, slot: ConnectionSlot) -> Origin {
        let own = self.id;
        let connection = self.connection_mut(slot);
        let (vhost, user) = (connection.vhost, connection.identity.user);
        Origin { vhost, user, connection: connection.address(own, slot.0) }
    }

    pub(crate) fn vhost_and_user(&mut self, slot: ConnectionSlot) -> (VhostId, UserId) {
        let connection = self.connection_mut(slot);
        (connection.vhost, connection.identity.user)
    }

    pub(crate) fn output_mut(&mut self, slot: ConnectionSlot) -> &mut Vec<u8> {
        self.front.output(slot)
    }

    pub(crate) fn mark_dirty(&mut self, slot: ConnectionSlot) {
        self.front.mark_dirty(slot);
    }

    pub(crate) fn stop_waiting(&mut self, channel: u32) {
        self.front.stop_waiting(channel);
    }

    /// Writes a method to a connection's output.
    pub(crate) fn send(&mut self, slot: ConnectionSlot, channel: u16, method: &AMQPClass) {
        if self.connection_mut(slot).is_socket_gone {
            return;
        }
        write_method(self.front.output(slot), channel, method);
        self.front.mark_dirty(slot);
    }

    /// Writes a method to the output of a channel's connection.
    pub(crate) fn send_on_channel(&mut self, channel: u32, method: &AMQPClass) {
        let entry = &self.front.channels[channel as usize];
        self.send(entry.connection, entry.number, method);
    }
}
