//! The messages that a shard holds, in slabs of equal slots.

mod message_slab;
mod size_class;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use slab::Slab;

use message_slab::{MessageSlab, SLOT_OVERHEAD_BYTES};
use size_class::{CLASSES, class_of, slot_bytes};

pub use size_class::SLOT_BYTES_MAX;

/// A message in this shard's store. Valid until its last reference is released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId {
    /// The slab.
    pub slab: u32,
    /// The slot in it.
    pub slot: u16,
}

/// Stands in for the slot of messages that have an allocation of their own.
const LARGE: u16 = u16::MAX;

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

/// A message whose content is too large for a slot.
struct LargeMessage {
    references: u32,
    exchange_len: u8,
    routing_key_len: u8,
    /// Exchange, routing key and properties, one after the other.
    names: Box<[u8]>,
    body: Bytes,
}

impl LargeMessage {
    fn bytes_used(&self) -> u64 {
        (size_of::<LargeMessage>() + self.names.len() + self.body.len()) as u64
    }

    fn content(&self) -> Content<'_> {
        let (exchange, rest) = self.names.split_at(usize::from(self.exchange_len));
        let (routing_key, properties) = rest.split_at(usize::from(self.routing_key_len));
        Content { exchange, routing_key, properties, body: &self.body }
    }
}

/// The slabs of one size class that are not full.
#[derive(Default)]
struct Class {
    /// Slabs with messages and free slots; each knows its place here.
    partial: Vec<u32>,
    /// Slabs without messages, kept so that a queue that is now empty and now not does not
    /// allocate.
    empty: Vec<u32>,
}

/// Slabs without messages that all classes together keep, beside one of each: as many as hold
/// the messages of 4 KiB that a tick moves.
const EMPTY_SLABS_MAX: usize = 32;

type Trash = Box<dyn Iterator<Item = MessageId> + Send>;

/// All messages of one shard, counted by reference without atomics.
///
/// Contents up to `SLOT_BYTES_MAX` are copied into slots of a few sizes; slabs without messages go
/// back (but for a few). Larger contents keep the allocation that they came in.
#[derive(Default)]
pub struct MessageStore {
    slabs: Slab<MessageSlab>,
    classes: [Class; CLASSES],
    large: Slab<LargeMessage>,
    /// Slabs in all the classes' `empty`.
    empty_slabs: usize,
    trash: VecDeque<Trash>,
    bytes_used: u64,
    message_count: u64,
}

impl fmt::Debug for MessageStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStore")
            .field("message_count", &self.message_count)
            .field("bytes_used", &self.bytes_used)
            .finish_non_exhaustive()
    }
}

impl MessageStore {
    /// An empty store; it holds no memory.
    pub fn new() -> MessageStore {
        MessageStore::default()
    }

    /// Copies a message in, to be released `references` times; not 0.
    pub fn insert(&mut self, content: &Content<'_>, references: u32) -> MessageId {
        if content.bytes() > SLOT_BYTES_MAX {
            return self.insert_large(content, Bytes::copy_from_slice(content.body), references);
        }
        assert!(references > 0);
        let class = class_of(content.bytes());
        let slab = self.slab_with_room(class);
        let slot = self.slabs[slab as usize].insert(content, references);
        if self.slabs[slab as usize].is_full() {
            let popped = self.classes[class].partial.pop();
            assert!(popped == Some(slab));
        }
        self.message_count += 1;
        self.bytes_used += slot_cost(class);
        MessageId { slab, slot }
    }

    /// Takes a message in, to be released `references` times; not 0. A body that makes the content
    /// larger than `SLOT_BYTES_MAX` is not copied.
    pub fn insert_owned(
        &mut self,
        exchange: &[u8],
        routing_key: &[u8],
        properties: &[u8],
        body: Bytes,
        references: u32,
    ) -> MessageId {
        let content = Content { exchange, routing_key, properties, body: &body };
        if content.bytes() <= SLOT_BYTES_MAX {
            return self.insert(&content, references);
        }
        let names = Content { body: &[], ..content };
        self.insert_large(&names, body.clone(), references)
    }

    fn insert_large(&mut self, names: &Content<'_>, body: Bytes, references: u32) -> MessageId {
        assert!(references > 0);
        let message = LargeMessage {
            references,
            exchange_len: short_len(names.exchange),
            routing_key_len: short_len(names.routing_key),
            names: [names.exchange, names.routing_key, names.properties].concat().into(),
            body,
        };
        self.message_count += 1;
        self.bytes_used += message.bytes_used();
        MessageId { slab: index_u32(self.large.insert(message)), slot: LARGE }
    }

    /// The last slab of the class's partial list, which is never left empty.
    fn slab_with_room(&mut self, class: usize) -> u32 {
        if let Some(slab) = self.classes[class].partial.last() {
            return *slab;
        }
        let slab = match self.classes[class].empty.pop() {
            Some(slab) => {
                self.empty_slabs -= 1;
                slab
            }
            None => index_u32(self.slabs.insert(MessageSlab::new(class))),
        };
        self.slabs[slab as usize].place = 0;
        self.classes[class].partial.push(slab);
        slab
    }

    /// The message.
    pub fn content(&self, id: MessageId) -> Content<'_> {
        if id.slot == LARGE {
            return self.large[id.slab as usize].content();
        }
        self.slabs[id.slab as usize].content(id.slot)
    }

    /// Length of the message's content, bytes.
    pub fn content_bytes(&self, id: MessageId) -> usize {
        if id.slot == LARGE {
            let message = &self.large[id.slab as usize];
            return message.names.len() + message.body.len();
        }
        self.slabs[id.slab as usize].content_bytes(id.slot)
    }

    /// Another handle to a large message's body; none for a message in a slab.
    pub fn body_owned(&self, id: MessageId) -> Option<Bytes> {
        (id.slot == LARGE).then(|| self.large[id.slab as usize].body.clone())
    }

    /// Gives up one reference; the last one frees the message.
    pub fn release(&mut self, id: MessageId) {
        if id.slot == LARGE {
            self.release_large(id.slab as usize);
            return;
        }
        let slab = &mut self.slabs[id.slab as usize];
        let was_full = slab.is_full();
        if !slab.release(id.slot) {
            return;
        }
        let class = slab.class();
        self.message_count -= 1;
        self.bytes_used -= slot_cost(class);
        if was_full {
            slab.place = index_u32(self.classes[class].partial.len());
            self.classes[class].partial.push(id.slab);
        }
        if self.slabs[id.slab as usize].is_empty() {
            self.retire_slab(class, id.slab);
        }
    }

    fn release_large(&mut self, index: usize) {
        let message = &mut self.large[index];
        assert!(message.references > 0);
        message.references -= 1;
        if message.references == 0 {
            self.bytes_used -= message.bytes_used();
            self.message_count -= 1;
            self.large.remove(index);
        }
    }

    /// An empty slab leaves the partial list; it is kept if it is the only empty one of its class,
    /// or one of a few.
    fn retire_slab(&mut self, class: usize, slab: u32) {
        let place = self.slabs[slab as usize].place;
        let partial = &mut self.classes[class].partial;
        let removed = partial.swap_remove(place as usize);
        assert!(removed == slab);
        if let Some(moved) = partial.get(place as usize) {
            self.slabs[*moved as usize].place = place;
        }
        let empty = &mut self.classes[class].empty;
        if empty.is_empty() || self.empty_slabs < EMPTY_SLABS_MAX {
            empty.push(slab);
            self.empty_slabs += 1;
        } else {
            self.slabs.remove(slab as usize);
        }
    }

    /// Gives up one reference of each message, later, by `empty_trash`.
    pub fn discard(&mut self, messages: impl Iterator<Item = MessageId> + Send + 'static) {
        self.trash.push_back(Box::new(messages));
    }

    /// Releases up to `limit` discarded messages; whether some may be left.
    pub fn empty_trash(&mut self, limit: usize) -> bool {
        let mut left = limit;
        while left > 0 && !self.trash.is_empty() {
            match self.trash[0].next() {
                Some(message) => {
                    self.release(message);
                    left -= 1;
                }
                None => drop(self.trash.pop_front()),
            }
        }
        !self.trash.is_empty()
    }

    /// Bytes that the messages occupy, rounding to slots and bookkeeping included.
    pub fn bytes_used(&self) -> u64 {
        self.bytes_used
    }

    /// Bytes of the slabs, free slots included, and of the large messages.
    pub fn bytes_reserved(&self) -> u64 {
        let slabs: u64 = self.slabs.iter().map(|(_, slab)| slab.bytes_reserved()).sum();
        let large: u64 = self.large.iter().map(|(_, message)| message.bytes_used()).sum();
        slabs + large
    }

    /// Messages, discarded ones included.
    pub fn message_count(&self) -> u64 {
        self.message_count
    }

    /// Gives back the empty slabs that are kept for reuse.
    pub fn shrink(&mut self) {
        for class in &mut self.classes {
            for slab in std::mem::take(&mut class.empty) {
                self.slabs.remove(slab as usize);
            }
        }
        self.empty_slabs = 0;
        self.slabs.shrink_to_fit();
        self.large.shrink_to_fit();
    }
}

/// What one message of the class counts, bytes.
fn slot_cost(class: usize) -> u64 {
    (slot_bytes(class) + SLOT_OVERHEAD_BYTES) as u64
}

fn short_len(name: &[u8]) -> u8 {
    u8::try_from(name.len()).expect("names are short strings")
}

fn index_u32(index: usize) -> u32 {
    u32::try_from(index).expect("slabs of a shard are fewer than 2^32")
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
