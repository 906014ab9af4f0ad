//! `basic.cancel`.

use haremq_protocol::method::{AMQPClass, basic};

use crate::channel::Expected;
use crate::simulation::Simulation;

impl Simulation {
    /// One of the channel's consumers ends.
    pub(super) fn cancel(&mut self, client: usize, number: u16) {
        let channel = self.clients[client].channel(number);
        let running = channel.consumers.iter().filter(|(_, consumer)| !consumer.is_cancelling);
        let tags: Vec<String> = running.map(|(tag, _)| tag.clone()).collect();
        if tags.is_empty() {
            return;
        }
        let tag = tags[self.workload.below(tags.len())].clone();
        let nowait = self.workload.chance(100);
        let channel = self.clients[client].channel(number);
        channel.consumers.get_mut(&tag).expect("just seen").is_cancelling = true;
        let consumer_tag = tag.as_str().into();
        let method = basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag, nowait });
        let expected = (!nowait).then_some(Expected::CancelOk { tag });
        self.clients[client].send(number, &AMQPClass::Basic(method), expected);
    }
}
