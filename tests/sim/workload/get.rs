//! `basic.get`.

use haremq_protocol::method::{AMQPClass, basic};

use crate::channel::Expected;
use crate::simulation::Simulation;
use crate::trace;

impl Simulation {
    /// Asks some queue for one message.
    pub(super) fn basic_get(&mut self, client: usize, number: u16) {
        let queue = self.pick_queue(client);
        let no_ack = self.world.parameters.has_no_ack && self.workload.chance(200);
        self.allow_refusals(client, number, queue);
        self.send_get(client, number, queue, no_ack);
    }

    /// Asks this queue for one message.
    pub(crate) fn send_get(&mut self, client: usize, number: u16, queue: usize, no_ack: bool) {
        let queue_name = self.queue_name(queue).into();
        trace::note(format!("  from {queue_name}, no_ack {no_ack}"));
        let method = basic::AMQPMethod::Get(basic::Get { queue: queue_name, no_ack });
        let expected = Expected::Got { queue, no_ack, asked_at: self.world.now };
        self.clients[client].send(number, &AMQPClass::Basic(method), Some(expected));
    }
}
