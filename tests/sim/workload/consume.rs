//! `basic.consume`.

use std::collections::BTreeMap;

use haremq_protocol::method::{AMQPClass, basic};

use crate::channel::{Consumer, Expected};
use crate::model::QueueKind;
use crate::simulation::Simulation;
use crate::trace;

/// More would take long to drain, and show nothing new.
const CONSUMERS_PER_CHANNEL_MAX: usize = 4;

impl Simulation {
    /// A new consumer on some queue.
    pub(super) fn consume(&mut self, client: usize, number: u16) {
        if self.clients[client].channel(number).consumers.len() >= CONSUMERS_PER_CHANNEL_MAX {
            return;
        }
        let queue = self.pick_queue(client);
        let no_ack = self.world.parameters.has_no_ack && self.workload.chance(200);
        let is_deletable = self.model.queues[queue].kind == QueueKind::Deletable;
        let exclusive = is_deletable && self.workload.chance(200);
        let nowait = self.workload.chance(100);
        self.allow_refusals(client, number, queue);
        let tag = format!("c{}", self.next_name());
        trace::note(format!("  {tag} of {}, no_ack {no_ack}", self.queue_name(queue)));
        let method = basic::AMQPMethod::Consume(basic::Consume {
            queue: self.queue_name(queue).into(),
            consumer_tag: tag.as_str().into(),
            no_local: false,
            no_ack,
            exclusive,
            nowait,
            arguments: Default::default(),
        });
        let asked_at = self.world.now;
        let channel = self.clients[client].channel(number);
        let consumer = Consumer {
            queue,
            no_ack,
            asked_at,

            prefetch: channel.prefetch,
            unacked: 0,
            is_confirmed: nowait,
            is_cancelling: false,
            last: BTreeMap::new(),
        };
        channel.consumers.insert(tag.clone(), consumer);
        let expected = (!nowait).then_some(Expected::ConsumeOk { tag });
        self.clients[client].send(number, &AMQPClass::Basic(method), expected);
    }
}
