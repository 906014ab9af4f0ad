//! What is true of a catalog after every delta.

use std::collections::BTreeMap;

use super::Catalog;
use super::bindings::Side;
use super::delta::BindingDestination;
use crate::ids::{ConnectionAddress, QueueId};

impl Catalog {
    /// Panics if an index disagrees with what it is an index of. O(everything): for tests and
    /// simulation, after every step.
    pub fn check_invariants(&self) {
        self.check_names();
        self.check_exclusive();
        self.check_bindings();
        assert!(self.topology_epoch <= self.index);
    }

    fn check_names(&self) {
        assert!(self.exchanges.len() == self.exchange_slots.len());
        for (slot, exchange) in &self.exchanges {
            assert!(exchange.slot as usize == slot);
            assert!(self.exchange_slots[&exchange.id()] as usize == slot);
            let by_name = self.exchange_id(exchange.vhost(), exchange.name().as_bytes());
            assert!(by_name == Some(exchange.id()));
        }
        assert!(self.queues.len() == self.queue_slots.len());
        for (slot, queue) in &self.queues {
            let record = &queue.record;
            assert!(self.queue_slot(record.id) == Some(slot));
            let by_name = self.queue(record.vhost, record.name.as_bytes());
            assert!(by_name.is_some_and(|found| found.id == record.id));
            assert!(record.id.0 <= self.index);
        }
        let exchanges: usize = self.vhosts.iter().map(|vhost| vhost.exchanges.len()).sum();
        let queues: usize = self.vhosts.iter().map(|vhost| vhost.queues.len()).sum();
        assert!((exchanges, queues) == (self.exchanges.len(), self.queues.len()));
    }

    fn check_exclusive(&self) {
        let mut owned: BTreeMap<ConnectionAddress, Vec<QueueId>> = BTreeMap::new();
        for queue in self.queues() {
            if let Some(owner) = queue.exclusive_owner {
                owned.entry(owner).or_default().push(queue.id);
            }
        }
        assert!(owned.len() == self.owned.len());
        for (owner, mut queues) in owned {
            queues.sort();
            assert!(self.exclusive_queues_of(owner).eq(queues));
        }
    }

    fn check_bindings(&self) {
        let mut sourced = 0;
        let mut received = 0;
        for (_, exchange) in &self.exchanges {
            let mut to_exchanges = 0;
            let mut count = 0;
            for record in self.routes_of(exchange.id()) {
                assert!(record.source == exchange.id());
                assert!(self.bindings.find(record).is_some());
                assert!(self.has_destination(record.destination));
                let to_exchange = matches!(record.destination, BindingDestination::Exchange(_));
                to_exchanges += u32::from(to_exchange);
                count += 1;
            }
            assert!(exchange.sourced == count);
            assert!(exchange.sourced_to_exchanges == to_exchanges);
            sourced += count as usize;
            let count = self.count_received(BindingDestination::Exchange(exchange.id()));
            assert!(exchange.received as usize == count);
            received += count;
        }
        for (_, queue) in &self.queues {
            let count = self.count_received(BindingDestination::Queue(queue.record.id));
            assert!(queue.received as usize == count);
            received += count;
        }
        assert!((sourced, received) == (self.bindings.len(), self.bindings.len()));
    }

    fn has_destination(&self, destination: BindingDestination) -> bool {
        match destination {
            BindingDestination::Queue(id) => self.queue_slot(id).is_some(),
            BindingDestination::Exchange(id) => self.exchange_slots.contains_key(&id),
        }
    }

    fn count_received(&self, end: BindingDestination) -> usize {
        let chain = self.bindings.iterate(Side::Destination, self.first_received(end));
        chain.inspect(|record| assert!(record.destination == end)).count()
    }
}
