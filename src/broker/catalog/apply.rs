//! Applying deltas: the only thing that changes a catalog, and never fails.

use std::sync::Arc;

use super::bindings::{Link, Side, UNLINKED};
use super::delta::{BindingDestination, BindingRecord, Delta, ExchangeRecord, QueueRecord};
use super::{Catalog, Owned, Queue, namespace_mut};
use crate::exchange::{End, Exchange, NONE, Target};
use crate::ids::{ConnectionAddress, ExchangeId, QueueId};

impl Catalog {
    /// Applies the next delta. Deltas come from `plan` on a catalog with the same history (or, for
    /// a deleted queue, from its home), so one that does not fit is a bug of ours.
    pub fn apply(&mut self, delta: &Delta) {
        self.index += 1;
        match delta {
            Delta::ExchangeDeclared(record) => self.declare_exchange(record),
            Delta::ExchangeDeleted { id } => self.delete_exchanges(vec![*id]),
            Delta::QueueDeclared(record) => self.declare_queue(record),
            Delta::QueueDeleted { id } => self.delete_queue(*id),
            Delta::Bound(record) => self.bind(record),
            Delta::Unbound(record) => self.unbind(record),
            Delta::BindingsDropped { end, count } => self.drop_bindings(*end, *count),
        }
    }

    fn declare_exchange(&mut self, record: &Arc<ExchangeRecord>) {
        assert!(record.id.0 == self.index);
        let slot = slot(self.exchanges.vacant_key());
        let known = namespace_mut(&mut self.vhosts, record.vhost);
        let previous = known.exchanges.insert(record.name.as_bytes().into(), slot);
        assert!(previous.is_none());
        self.exchange_slots.insert(record.id, slot);
        self.exchanges.insert(Exchange::new(ExchangeRecord::clone(record), slot, &self.hash));
    }

    fn declare_queue(&mut self, record: &Arc<QueueRecord>) {
        assert!(record.id.0 == self.index);
        assert!(!(record.durable && record.exclusive_owner.is_some()));
        let slot = slot(self.queues.vacant_key());
        assert!(self.queue(record.vhost, record.name.as_bytes()).is_none());
        self.queues.insert(Queue {
            id: record.id,
            record: Arc::clone(record),
            first_received: NONE,
            received: 0,
            owned: UNLINKED,
        });
        let (hash, queues) = (&self.hash, &self.queues);
        let hash_of_id = |id: QueueId| hash.hash_one(id);
        let id_in = |slot: &u32| hash_of_id(queues[*slot as usize].id);
        self.queue_slots.insert_unique(hash_of_id(record.id), slot, id_in);
        let hash_of_name = |record: &Arc<QueueRecord>| hash.hash_one(record.name.as_bytes());
        let known = namespace_mut(&mut self.vhosts, record.vhost);
        known.queues.insert_unique(hash_of_name(record), Arc::clone(record), hash_of_name);
        if let Some(owner) = record.exclusive_owner {
            self.link_to_owner(owner, slot);
        }
    }

    fn link_to_owner(&mut self, owner: ConnectionAddress, slot: u32) {
        let owned = self.owned.entry(owner).or_insert(Owned { oldest: slot, newest: NONE });
        let previous = std::mem::replace(&mut owned.newest, slot);
        if previous != NONE {
            self.queues[previous as usize].owned.next = slot;
        }
        self.queues[slot as usize].owned = Link { previous, next: NONE };
    }

    fn unlink_from_owner(&mut self, owner: ConnectionAddress, slot: usize) {
        let Link { previous, next } = self.queues[slot].owned;
        let owned = self.owned.get_mut(&owner).expect("an owner of queues is known");
        assert!((previous == NONE) == (owned.oldest as usize == slot));
        assert!((next == NONE) == (owned.newest as usize == slot));
        match previous {
            NONE => owned.oldest = next,
            _ => self.queues[previous as usize].owned.next = next,
        }
        match next {
            NONE => owned.newest = previous,
            _ => self.queues[next as usize].owned.previous = previous,
        }
        if owned.oldest == NONE {
            self.owned.remove(&owner);
        }
    }

    fn delete_queue(&mut self, id: QueueId) {
        let slot = self.known_queue_slot(id);
        let mut doomed = Vec::new();
        while self.queues[slot].first_received != NONE {
            let binding = self.queues[slot].first_received;
            self.remove_binding(binding, Some(slot), &mut doomed);
        }
        self.forget_queue(slot);
        self.delete_exchanges(doomed);
    }

    /// Takes a queue without bindings out of all tables.
    fn forget_queue(&mut self, slot: usize) {
        let record = Arc::clone(&self.queues[slot].record);
        if let Some(owner) = record.exclusive_owner {
            self.unlink_from_owner(owner, slot);
        }
        let by_id = self.hash.hash_one(record.id);
        let by_id = self.queue_slots.find_entry(by_id, |other| *other as usize == slot);
        by_id.expect("a queue is found by its id").remove();
        let by_name = self.hash.hash_one(record.name.as_bytes());
        let known = &mut namespace_mut(&mut self.vhosts, record.vhost).queues;
        let by_name = known.find_entry(by_name, |other| other.id == record.id);
        by_name.expect("a queue is found by its name").remove();
        assert!(self.queues.remove(slot).received == 0);
    }

    fn known_queue_slot(&self, id: QueueId) -> usize {
        self.queue_slot(id).expect("a delta names a queue that is there")
    }

    /// Deletes exchanges and those that are auto-deleted in consequence (EXC-15).
    fn delete_exchanges(&mut self, mut doomed: Vec<ExchangeId>) {
        while let Some(id) = doomed.pop() {
            // An exchange may be doomed by several bindings, or by its own end.
            let Some(slot) = self.exchange_slots.get(&id).map(|slot| *slot as usize) else {
                continue;
            };
            while self.exchanges[slot].first_sourced != NONE {
                self.remove_binding(self.exchanges[slot].first_sourced, None, &mut doomed);
            }
            while self.exchanges[slot].first_received != NONE {
                self.remove_binding(self.exchanges[slot].first_received, None, &mut doomed);
            }
            self.exchange_slots.remove(&id);
            let exchange = self.exchanges.remove(slot);
            assert!(exchange.sourced == 0);
            namespace_mut(&mut self.vhosts, exchange.vhost())
                .exchanges
                .remove(exchange.name().as_bytes());
        }
    }

    fn bind(&mut self, record: &Arc<BindingRecord>) {
        debug_assert!(self.bindings.find(record).is_none());
        let target =
            Target { end: self.end_of(record.destination), binding: self.bindings.next_slot() };
        let source = &mut self.exchanges[self.exchange_slots[&record.source] as usize];
        let place = source.routes.insert(&record.routing_key, &record.arguments, target);
        let binding = self.bindings.insert(Arc::clone(record), place);
        assert!(binding == target.binding);

        self.bindings.link(Side::Source, &mut source.first_sourced, binding);
        source.sourced += 1;
        source.routes_epoch = self.index;
        self.topology_epoch = self.index;
        match target.end {
            End::Queue(id, _) => {
                let slot = self.known_queue_slot(id);
                let queue = &mut self.queues[slot];
                queue.received += 1;
                self.bindings.link(Side::Destination, &mut queue.first_received, binding);
            }
            End::Exchange(slot) => {
                source.sourced_to_exchanges += 1;
                let exchange = &mut self.exchanges[slot as usize];
                exchange.received += 1;
                self.bindings.link(Side::Destination, &mut exchange.first_received, binding);
            }
        }
    }

    fn drop_bindings(&mut self, end: BindingDestination, count: u32) {
        let mut doomed = Vec::new();
        for _ in 0..count {
            let binding = match end {
                BindingDestination::Queue(id) => self.queue_by_slot(id).first_received,
                BindingDestination::Exchange(id) => {
                    let exchange = self.exchange_by_id(id).expect("it goes after its bindings");
                    let sourced = exchange.first_sourced;
                    if sourced == NONE { exchange.first_received } else { sourced }
                }
            };
            if binding == NONE {
                break; // One from an exchange to itself counts twice.
            }
            self.remove_binding(binding, None, &mut doomed);
        }
        // It goes with the next delta.
        doomed.retain(|id| BindingDestination::Exchange(*id) != end);
        self.delete_exchanges(doomed);
    }

    fn queue_by_slot(&self, id: QueueId) -> &Queue {
        &self.queues[self.known_queue_slot(id)]
    }

    fn end_of(&self, destination: BindingDestination) -> End {
        match destination {
            BindingDestination::Queue(id) => End::Queue(id, self.queue_by_slot(id).record.slot),
            BindingDestination::Exchange(id) => End::Exchange(self.exchange_slots[&id]),
        }
    }

    fn unbind(&mut self, record: &BindingRecord) {
        let binding = self.bindings.find(record).expect("a removed binding was there");
        let mut doomed = Vec::new();
        self.remove_binding(binding, None, &mut doomed);
        self.delete_exchanges(doomed);
    }

    /// Takes a binding out of everything that knows it. An auto-delete source that has lost its
    /// last binding is added to `doomed`. `queue` is the destination's slot, if the caller knows.
    fn remove_binding(&mut self, binding: u32, queue: Option<usize>, doomed: &mut Vec<ExchangeId>) {
        let destination = self.bindings.record(binding).destination;
        match destination {
            BindingDestination::Queue(id) => {
                let slot = queue.unwrap_or_else(|| self.known_queue_slot(id));
                let queue = &mut self.queues[slot];
                queue.received -= 1;
                self.bindings.unlink(Side::Destination, &mut queue.first_received, binding);
            }
            BindingDestination::Exchange(id) => {
                let exchange = &mut self.exchanges[self.exchange_slots[&id] as usize];
                exchange.received -= 1;
                let head = &mut exchange.first_received;
                self.bindings.unlink(Side::Destination, head, binding);
            }
        }
        self.remove_from_source(binding, doomed);
    }

    fn remove_from_source(&mut self, binding: u32, doomed: &mut Vec<ExchangeId>) {
        let place = self.bindings.place(binding);
        let slot = self.exchange_slots[&self.bindings.record(binding).source] as usize;
        let source = &mut self.exchanges[slot];
        self.bindings.unlink(Side::Source, &mut source.first_sourced, binding);
        let record = self.bindings.remove(binding);
        if let Some(moved) = source.routes.remove(record.routing_key.as_bytes(), place) {
            self.bindings.note_position(moved.binding, moved.position);
        }
        source.sourced -= 1;
        if matches!(record.destination, BindingDestination::Exchange(_)) {
            source.sourced_to_exchanges -= 1;
        }
        source.routes_epoch = self.index;
        self.topology_epoch = self.index;
        if source.record().auto_delete && source.sourced == 0 {
            doomed.push(source.id());
        }
    }
}

fn slot(index: usize) -> u32 {
    let slot = u32::try_from(index).expect("fewer than 2^32 queues and exchanges fit in memory");
    assert!(slot != NONE);
    slot
}
