//! A message's place in its queue.

use crate::ids::Time;
use crate::store::MessageId;

/// One message in a queue: 16 bytes, because a long queue is made of these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    slab: u32,
    slot: u16,
    flags: u8,
    deadline: u64,
}

const UNACKED: u8 = 1;
const REDELIVERED: u8 = 2;
const IN_HEAP: u8 = 4;
const IMMEDIATE: u8 = 8;
const NO_DEADLINE: u64 = u64::MAX;

impl Entry {
    /// Ready, never delivered.
    pub(super) fn new(message: MessageId, deadline: Option<Time>) -> Entry {
        let deadline = deadline.map_or(NO_DEADLINE, |at| at.0.min(NO_DEADLINE - 1));
        Entry { slab: message.slab, slot: message.slot, flags: 0, deadline }
    }

    pub(super) fn message(&self) -> MessageId {
        MessageId { slab: self.slab, slot: self.slot }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        (self.deadline != NO_DEADLINE).then_some(Time(self.deadline))
    }

    /// Not to be delivered any more.
    pub(super) fn is_expired(&self, now: Time) -> bool {
        self.deadline <= now.0 && !self.has(IMMEDIATE)
    }

    pub(super) fn is_unacked(&self) -> bool {
        self.has(UNACKED)
    }

    pub(super) fn is_redelivered(&self) -> bool {
        self.has(REDELIVERED)
    }

    /// The deadline is watched by the heap, not by the cursor.
    pub(super) fn is_in_heap(&self) -> bool {
        self.has(IN_HEAP)
    }

    pub(super) fn mark_unacked(&mut self) {
        self.flags |= UNACKED;
        self.flags &= !IMMEDIATE;
    }

    pub(super) fn mark_requeued(&mut self) {
        self.flags &= !UNACKED;
        self.flags |= REDELIVERED;
    }

    pub(super) fn mark_in_heap(&mut self, is_in_heap: bool) {
        self.mark(IN_HEAP, is_in_heap);
    }

    /// Lets a message with time to live 0 be delivered for once.
    pub(super) fn mark_immediate(&mut self, is_immediate: bool) {
        self.mark(IMMEDIATE, is_immediate);
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn mark(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }
}

const _: () = assert!(size_of::<Entry>() == 16);
