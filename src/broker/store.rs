//! The messages that a shard holds, in slabs of equal slots.

use bytes::Bytes;

/// A message in this shard's store. Valid until its last reference is released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId {
    /// The slab.
    pub slab: u32,
    /// The slot in it.
    pub slot: u16,
}

/// What a publisher sent, as the queue keeps it: names, raw properties and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// Exchange name as published (at most 255 octets).
    pub exchange: &'a [u8],
    /// Routing key as published (at most 255 octets).
    pub routing_key: &'a [u8],
    /// Property flags and values, verbatim as in the content header.
    pub properties: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl Content<'_> {
    /// All parts together, bytes.
    pub fn bytes(&self) -> usize {
        self.exchange.len() + self.routing_key.len() + self.properties.len() + self.body.len()
    }
}

/// Contents above this many bytes have an allocation of their own.
pub const SLOT_BYTES_MAX: usize = 16 * 1024;

/// All messages of one shard, counted by reference without atomics.
#[derive(Debug, Default)]
pub struct MessageStore {}

impl MessageStore {
    /// An empty store; it holds no memory.
    pub fn new() -> MessageStore {
        MessageStore::default()
    }

    /// Copies a message in, to be released `references` times; not 0.
    pub fn insert(&mut self, content: &Content<'_>, references: u32) -> MessageId {
        let _ = (content, references);
        unimplemented!()
    }

    /// Takes a message in; a large body is not copied.
    pub fn insert_owned(
        &mut self,
        exchange: &[u8],
        routing_key: &[u8],
        properties: &[u8],
        body: Bytes,
        references: u32,
    ) -> MessageId {
        let _ = (exchange, routing_key, properties, body, references);
        unimplemented!()
    }

    /// The message.
    pub fn content(&self, id: MessageId) -> Content<'_> {
        let _ = id;
        unimplemented!()
    }

    /// Another handle to a large message's body; none for a message in a slab.
    pub fn body_owned(&self, id: MessageId) -> Option<Bytes> {
        let _ = id;
        unimplemented!()
    }

    /// Gives up one reference; the last one frees the message.
    pub fn release(&mut self, id: MessageId) {
        let _ = id;
        unimplemented!()
    }

    /// Gives up one reference of each message, later, by `empty_trash`.
    pub fn discard(&mut self, messages: impl Iterator<Item = MessageId> + Send + 'static) {
        let _ = messages.count();
        unimplemented!()
    }

    /// Releases up to `limit` discarded messages; whether some are left.
    pub fn empty_trash(&mut self, limit: usize) -> bool {
        let _ = limit;
        unimplemented!()
    }

    /// Bytes that the messages occupy, rounding and bookkeeping included.
    pub fn bytes_used(&self) -> u64 {
        unimplemented!()
    }

    /// Messages, discarded ones included.
    pub fn message_count(&self) -> u64 {
        unimplemented!()
    }
}
