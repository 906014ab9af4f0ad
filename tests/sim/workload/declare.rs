//! `queue.declare` and `exchange.declare`.

use haremq_protocol::method::{AMQPClass, exchange, queue};
use haremq_protocol::types::{AMQPValue, FieldTable};

use super::{LOOSE_EXCHANGE, SHORT_LIVED_EXCHANGE};
use crate::channel::Expected;
use crate::model::QueueKind;
use crate::simulation::Simulation;

impl Simulation {
    /// Declares a queue, again or anew, passively, or one that the broker names.
    pub(super) fn declare_queue(&mut self, client: usize, number: u16) {
        if self.workload.chance(100) {
            return self.declare_server_named(client, number);
        }
        let queue = self.pick_queue(client);
        let passive = self.workload.chance(250);
        let nowait = self.workload.chance(100);
        self.allow_refusals(client, number, queue);
        self.send_declare(client, number, queue, passive, nowait);
    }

    /// Declares this queue as its kind says.
    pub(crate) fn send_declare(
        &mut self,
        client: usize,
        number: u16,
        queue: usize,
        passive: bool,
        nowait: bool,
    ) {
        let model = &self.model.queues[queue];
        let name = model.name.clone();
        let mut declare = declaration(model.kind, self.world.parameters.ttl_ms_max);
        declare.queue = name.as_str().into();
        declare.durable = queue.is_multiple_of(2) && model.kind != QueueKind::Exclusive;
        (declare.passive, declare.nowait) = (passive, nowait);
        let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        let expected = (!nowait).then_some(Expected::QueueDeclareOk { name: Some(name) });
        self.clients[client].send(number, &method, expected);
    }

    /// It goes with the connection, so that none is left whose name nobody learnt.
    fn declare_server_named(&mut self, client: usize, number: u16) {
        let declare = declaration(QueueKind::Exclusive, 0);
        let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        let expected = Expected::QueueDeclareOk { name: None };
        self.clients[client].send(number, &method, Some(expected));
    }

    /// Declares an exchange that comes and goes, or one that is there.
    pub(super) fn declare_exchange(&mut self, client: usize, number: u16) {
        let name = self.workload.pick(&[LOOSE_EXCHANGE, SHORT_LIVED_EXCHANGE]);
        self.send_declare_exchange(client, number, name, "topic");
    }

    pub(crate) fn send_declare_exchange(
        &mut self,
        client: usize,
        number: u16,
        name: &str,
        kind: &str,
    ) {
        let method = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange: name.into(),
            kind: kind.into(),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        let method = AMQPClass::Exchange(method);
        self.clients[client].send(number, &method, Some(Expected::ExchangeDeclareOk));
    }
}

/// A declaration of this kind, without a name.
fn declaration(kind: QueueKind, ttl_ms_max: u64) -> queue::Declare {
    let mut arguments = FieldTable::default();
    let ttl_ms = AMQPValue::LongLongInt(ttl_ms_max as i64);
    let key = match kind {
        QueueKind::Expiring => Some("x-message-ttl"),
        QueueKind::Leased => Some("x-expires"),
        _ => None,
    };
    if let Some(key) = key {
        arguments.insert(key.into(), ttl_ms);
    }
    queue::Declare {
        queue: "".into(),
        passive: false,
        durable: false,
        exclusive: kind == QueueKind::Exclusive,
        auto_delete: kind == QueueKind::AutoDelete,
        nowait: false,
        arguments,
    }
}
