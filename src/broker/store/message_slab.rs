//! One slab: equal slots with a free list through them.

use haremq_protocol::blank::Blank;

use super::Content;
use super::size_class::slot_bytes;

/// Bytes of a slab's slots together.
const SLAB_BYTES: usize = 64 * 1024;

/// What a slot costs beside its bytes.
pub(super) const SLOT_OVERHEAD_BYTES: usize = size_of::<Slot>();

const NONE: u16 = u16::MAX;

/// What a slot holds. Free when `references` is 0; `body_len` then names the next free slot.
#[derive(Clone, Copy)]
struct Slot {
    references: u32,
    properties_len: u16,
    body_len: u16,
    exchange_len: u8,
    routing_key_len: u8,
}

const FREE: Slot =
    Slot { references: 0, properties_len: 0, body_len: NONE, exchange_len: 0, routing_key_len: 0 };

/// Equal slots of one size class.
pub(super) struct MessageSlab {
    bytes: Box<[u8]>,
    slots: Box<[Slot]>,
    class: u8,
    /// Slots in use.
    live: u16,
    /// First slot that was in use before; `NONE` if there is none.
    free: u16,
    /// Slots from here on were never in use: their memory has not been touched.
    fresh: u16,
    /// Where the class's partial list names this slab; has no meaning when the slab is full or
    /// empty.
    pub(super) place: u32,
}

impl MessageSlab {
    pub(super) fn new(class: usize) -> MessageSlab {
        let count = SLAB_BYTES / slot_bytes(class);
        assert!(count < usize::from(NONE));
        MessageSlab {
            bytes: vec![0; count * slot_bytes(class)].into(),
            slots: vec![FREE; count].into(),
            class: u8::try_from(class).expect("classes are few"),
            live: 0,
            free: NONE,
            fresh: 0,
            place: 0,
        }
    }

    pub(super) fn class(&self) -> usize {
        usize::from(self.class)
    }

    pub(super) fn is_full(&self) -> bool {
        usize::from(self.live) == self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    pub(super) fn bytes_reserved(&self) -> u64 {
        (self.bytes.len() + size_of_val(&*self.slots)) as u64
    }

    /// Copies the content into a free slot, of which there must be one.
    pub(super) fn insert(&mut self, content: &Content<'_>, references: u32) -> u16 {
        let slot = self.take_free();
        self.live += 1;
        self.slots[usize::from(slot)] = Slot {
            references,
            properties_len: len_u16(content.properties),
            body_len: len_u16(content.body),
            exchange_len: super::short_len(content.exchange),
            routing_key_len: super::short_len(content.routing_key),
        };
        let start = usize::from(slot) * slot_bytes(self.class());
        let mut blank = Blank::new(&mut self.bytes[start..start + content.bytes()]);
        blank.put_octets(content.exchange);
        blank.put_octets(content.routing_key);
        blank.put_octets(content.properties);
        blank.put_octets(content.body);
        blank.finish();
        slot
    }

    fn take_free(&mut self) -> u16 {
        assert!(!self.is_full());
        if self.free == NONE {
            self.fresh += 1;
            return self.fresh - 1;
        }
        let slot = self.free;
        self.free = self.slots[usize::from(slot)].body_len;
        slot
    }

    pub(super) fn content_bytes(&self, slot: u16) -> usize {
        let slot = &self.slots[usize::from(slot)];
        assert!(slot.references > 0);
        usize::from(slot.exchange_len)
            + usize::from(slot.routing_key_len)
            + usize::from(slot.properties_len)
            + usize::from(slot.body_len)
    }

    pub(super) fn content(&self, slot: u16) -> Content<'_> {
        let start = usize::from(slot) * slot_bytes(self.class());
        let slot = &self.slots[usize::from(slot)];
        assert!(slot.references > 0);
        let (exchange, rest) = self.bytes[start..].split_at(usize::from(slot.exchange_len));
        let (routing_key, rest) = rest.split_at(usize::from(slot.routing_key_len));
        let (properties, rest) = rest.split_at(usize::from(slot.properties_len));
        Content { exchange, routing_key, properties, body: &rest[..usize::from(slot.body_len)] }
    }

    /// Gives up one reference; whether it was the last one, and the slot is free.
    pub(super) fn release(&mut self, slot: u16) -> bool {
        let entry = &mut self.slots[usize::from(slot)];
        assert!(entry.references > 0);
        entry.references -= 1;
        if entry.references > 0 {
            return false;
        }
        *entry = Slot { body_len: self.free, ..FREE };
        self.free = slot;
        self.live -= 1;
        true
    }
}

fn len_u16(part: &[u8]) -> u16 {
    u16::try_from(part.len()).expect("contents in slots are at most SLOT_BYTES_MAX long")
}
