//! The messages that a shard holds, in slabs of equal slots.

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
