//! A publisher and a consumer on shards that are stepped in one thread.

#[path = "../../tests/load_support/stepped.rs"]
#[allow(dead_code, reason = "the tests read what clients get")]
mod stepped;

use haremq_protocol::ack::write_ack;
use haremq_protocol::publish::write_publish;

use stepped::{CHANNEL, World};

/// What a connection is read for in one tick, in bytes.
pub(crate) const READ_BYTES: usize = 64 << 10;
const FRAME_BYTES_MAX: u32 = 131_072;

/// Both clients with all that they will send, encoded beforehand.
pub(crate) struct Flow {
    world: World,
    publisher: usize,
    consumer: usize,
    publishes: Vec<u8>,
    /// Messages in a round.
    messages: u64,
    /// One ack for all that was delivered so far, and confirms; none if the consumer needs none.
    acks: bool,
    ack: Vec<u8>,
    delivered: u64,
}

impl Flow {
    /// The queue lives on shard 0, its clients on the last one. A round is so many messages with
    /// bodies of so many bytes.
    pub(crate) fn new(shards: u16, acks: bool, messages: u64, body_bytes: usize) -> Flow {
        Flow::by_turns(shards, acks, messages, body_bytes, 1)
    }

    /// The same, to so many queues in turn.
    pub(crate) fn by_turns(
        shards: u16,
        acks: bool,
        messages: u64,
        body_bytes: usize,
        queues: usize,
    ) -> Flow {
        let mut world = World::new(shards);
        let away = usize::from(shards) - 1;
        let (publisher, consumer) = (world.connect(away), world.connect(away));
        let queues = world.queues_on(publisher, 0, queues);
        if acks {
            world.select_confirms(publisher);
        }
        for (queue, tag) in queues.iter().zip('c'..) {
            world.consume_as(consumer, queue, &tag.to_string(), !acks);
        }
        let (mut publishes, body) = (Vec::new(), vec![b'b'; body_bytes]);
        for queue in queues.iter().cycle().take(messages as usize) {
            let key = queue.as_bytes();
            let frame_max = FRAME_BYTES_MAX;
            write_publish(&mut publishes, CHANNEL, frame_max, b"", key, false, &[0, 0], &body);
        }
        Flow {
            world,
            publisher,
            consumer,
            publishes,
            messages,
            acks,
            ack: Vec::new(),
            delivered: 0,
        }
    }

    /// Everything that the messages of a round set off, until all shards are quiet.
    pub(crate) fn round(&mut self) {
        let world = &mut self.world;
        for read in self.publishes.chunks(READ_BYTES) {
            world.receive(self.publisher, read);
        }
        loop {
            (0..world.shards.len()).for_each(|shard| world.tick(shard));
            let sent = world.send(self.publisher) + world.send(self.consumer);
            if sent == 0 && !world.has_work() {
                break;
            }
        }
        self.delivered += self.messages;
        if self.acks {
            self.ack.clear();
            write_ack(&mut self.ack, CHANNEL, self.delivered, true);
            world.receive(self.consumer, &self.ack);
        }
    }

    pub(crate) fn check(&self) {
        let delivered: u64 = self.world.shards.iter().map(|it| it.counters().delivered).sum();
        assert_eq!(delivered, self.delivered, "every message was delivered");
    }
}
