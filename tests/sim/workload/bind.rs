//! Bindings of the loose exchange come and go.

use haremq_protocol::method::{AMQPClass, exchange, queue};
use haremq_protocol::types::FieldTable;

use super::{KEYS, LOOSE_EXCHANGE, SHORT_LIVED_EXCHANGE};
use crate::channel::Expected;
use crate::simulation::Simulation;

impl Simulation {
    /// Binds or unbinds a queue, or the two exchanges.
    pub(super) fn bind(&mut self, client: usize, number: u16) {
        match self.workload.below(8) {
            0 => self.bind_exchange(client, number),
            1..=4 => {
                let (queue, key) = (self.pick_queue(client), self.workload.pick(&KEYS));
                self.allow_refusals(client, number, queue);
                self.send_bind(client, number, queue, LOOSE_EXCHANGE, key);
            }
            _ => self.unbind(client, number),
        }
    }

    pub(crate) fn send_bind(
        &mut self,
        client: usize,
        number: u16,
        queue: usize,
        exchange: &str,
        key: &str,
    ) {
        let method = AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
            queue: self.queue_name(queue).into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            nowait: false,
            arguments: FieldTable::default(),
        }));
        self.clients[client].send(number, &method, Some(Expected::QueueBindOk));
    }

    fn unbind(&mut self, client: usize, number: u16) {
        let queue = self.pick_queue(client);
        self.allow_refusals(client, number, queue);
        let method = AMQPClass::Queue(queue::AMQPMethod::Unbind(queue::Unbind {
            queue: self.queue_name(queue).into(),
            exchange: LOOSE_EXCHANGE.into(),
            routing_key: self.workload.pick(&KEYS).into(),
            arguments: FieldTable::default(),
        }));
        self.clients[client].send(number, &method, Some(Expected::QueueUnbindOk));
    }

    fn bind_exchange(&mut self, client: usize, number: u16) {
        self.clients[client].channel(number).may_fail.insert(404);
        let (destination, source) = (SHORT_LIVED_EXCHANGE.into(), LOOSE_EXCHANGE.into());
        let routing_key = self.workload.pick(&KEYS).into();
        let arguments = FieldTable::default();
        let is_bind = self.workload.chance(500);
        let (method, expected) = if is_bind {
            let nowait = false;
            let bind = exchange::Bind { destination, source, routing_key, nowait, arguments };
            (exchange::AMQPMethod::Bind(bind), Expected::ExchangeBindOk)
        } else {
            let nowait = false;
            let unbind = exchange::Unbind { destination, source, routing_key, nowait, arguments };
            (exchange::AMQPMethod::Unbind(unbind), Expected::ExchangeUnbindOk)
        };
        self.clients[client].send(number, &AMQPClass::Exchange(method), Some(expected));
    }
}
