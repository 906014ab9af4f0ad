//! `queue.purge`.

use haremq_protocol::method::{AMQPClass, queue};

use crate::channel::Expected;
use crate::model::QueueKind;
use crate::simulation::Simulation;

impl Simulation {
    /// Drops what waits in a queue of which nobody expects that all arrives.
    pub(super) fn purge(&mut self, client: usize, number: u16) {
        let queues =
            self.model.queues_of(|kind| !matches!(kind, QueueKind::Stable | QueueKind::Exclusive));
        let queue = self.workload.pick(&queues);
        self.allow_refusals(client, number, queue);
        let name = self.queue_name(queue).into();
        let method = queue::AMQPMethod::Purge(queue::Purge { queue: name, nowait: false });
        let expected = Expected::PurgeOk { queue };
        self.clients[client].send(number, &AMQPClass::Queue(method), Some(expected));
    }
}
