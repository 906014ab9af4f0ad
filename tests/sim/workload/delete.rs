//! `queue.delete` and `exchange.delete`.

use haremq_protocol::method::{AMQPClass, exchange, queue};

use super::SHORT_LIVED_EXCHANGE;
use crate::channel::Expected;
use crate::simulation::Simulation;

impl Simulation {
    /// Deletes something that may be deleted.
    pub(super) fn delete(&mut self, client: usize, number: u16) {
        if self.workload.chance(200) {
            return self.send_delete_exchange(client, number, SHORT_LIVED_EXCHANGE);
        }
        let queues = self.model.queues_of(|kind| !kind.is_permanent());
        let queue = self.workload.pick(&queues);
        let (if_unused, if_empty) = (self.workload.chance(200), self.workload.chance(200));
        self.allow_refusals(client, number, queue);
        if if_unused || if_empty {
            self.clients[client].channel(number).may_fail.insert(406);
        }
        self.send_delete(client, number, queue, if_unused, if_empty, false);
    }

    pub(crate) fn send_delete(
        &mut self,
        client: usize,
        number: u16,
        queue: usize,
        if_unused: bool,
        if_empty: bool,
        must_be_empty: bool,
    ) {
        let method = AMQPClass::Queue(queue::AMQPMethod::Delete(queue::Delete {
            queue: self.queue_name(queue).into(),
            if_unused,
            if_empty,
            nowait: false,
        }));
        let expected = Expected::QueueDeleteOk { must_be_empty };
        self.clients[client].send(number, &method, Some(expected));
    }

    pub(crate) fn send_delete_exchange(&mut self, client: usize, number: u16, name: &str) {
        let method = AMQPClass::Exchange(exchange::AMQPMethod::Delete(exchange::Delete {
            exchange: name.into(),
            if_unused: false,
            nowait: false,
        }));
        self.clients[client].send(number, &method, Some(Expected::ExchangeDeleteOk));
    }
}
