//! `basic.qos`, for consumers to come and for the whole channel.

use haremq_protocol::method::{AMQPClass, basic};

use crate::channel::Expected;
use crate::simulation::Simulation;

impl Simulation {
    /// Sets a limit, or lifts it.
    pub(super) fn set_qos(&mut self, client: usize, number: u16) {
        let is_limit = self.workload.chance(850);
        let most = self.world.parameters.prefetch_max;
        let prefetch = if is_limit { self.workload.between(1, most) as u16 } else { 0 };
        let is_global = self.workload.chance(400);
        let qos = basic::Qos { prefetch_count: prefetch, global: is_global };
        let channel = self.clients[client].channel(number);
        if is_global {
            channel.global_changes += 1;
        } else {
            channel.prefetch = prefetch;
        }
        let method = AMQPClass::Basic(basic::AMQPMethod::Qos(qos));
        let expected = Expected::QosOk { prefetch, is_global };
        self.clients[client].send(number, &method, Some(expected));
    }
}
