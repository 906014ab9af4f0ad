//! From publish to confirm nothing is allocated per message: however many messages have passed,
//! the number of allocations is that of the warm-up.

#[path = "load_support/stepped.rs"]
#[allow(dead_code, reason = "the bench steps by hand")]
mod stepped;

use haremq_protocol::client::ClientEvent;
use stepped::{CHANNEL, World};

/// Messages in flight at once.
const WINDOW: u64 = 256;
const WARM_UP: u64 = 10_000;
const MEASURED: u64 = 100_000;

/// How a message goes.
#[derive(Clone, Copy)]
struct Path {
    /// The publisher's and the consumer's shard; the queue lives on shard 0.
    publisher: usize,
    consumer: usize,
    shards: u16,
    no_ack: bool,
    body_bytes: usize,
}

/// A publisher and a consumer of one queue.
struct Flow {
    world: World,
    publisher: usize,
    consumer: usize,
    queue: String,
    body: Vec<u8>,
    no_ack: bool,
    published: u64,
}

impl Flow {
    fn new(path: Path) -> Flow {
        let mut world = World::new(path.shards);
        let publisher = world.connect(path.publisher);
        let consumer = world.connect(path.consumer);
        let queue = world.queue_on(publisher, 0);
        world.select_confirms(publisher);
        world.consume(consumer, &queue, path.no_ack);
        let body = vec![b'x'; path.body_bytes];
        let no_ack = path.no_ack;
        Flow { world, publisher, consumer, queue, body, no_ack, published: 0 }
    }

    /// Publishes a window of messages; expects each of them delivered and confirmed, and acks.
    fn round(&mut self) {
        let session = &mut self.world.clients[self.publisher].session;
        for _ in 0..WINDOW {
            let key = self.queue.as_bytes();
            let sent = session.publish(CHANNEL, b"", key, false, &[0, 0], &self.body);
            sent.expect("it is open");
        }
        self.published += WINDOW;
        let (mut delivered, mut delivered_to, mut confirmed_to) = (0, 0, 0);
        self.world.settle(|_, event| match event {
            ClientEvent::Deliver { deliver, .. } => {
                delivered += 1;
                delivered_to = deliver.delivery_tag;
            }
            ClientEvent::Ack { delivery_tag, .. } => confirmed_to = delivery_tag,
            other => panic!("{other:?}"),
        });
        assert_eq!(delivered, WINDOW);
        assert_eq!((delivered_to, confirmed_to), (self.published, self.published));
        if !self.no_ack {
            let session = &mut self.world.clients[self.consumer].session;
            session.ack(CHANNEL, delivered_to, true).expect("it is open");
        }
    }

    fn run(&mut self, messages: u64) {
        for _ in 0..messages / WINDOW {
            self.round();
        }
    }
}

fn check(path: Path) {
    let mut flow = Flow::new(path);
    flow.run(WARM_UP);
    let measured = allocation_counter::measure(|| flow.run(MEASURED));
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

fn check_both_bodies(path: Path) {
    check(path);
    check(Path { body_bytes: 4096, ..path });
}

const LOCAL: Path = Path { publisher: 0, consumer: 0, shards: 1, no_ack: false, body_bytes: 16 };
const REMOTE: Path = Path { publisher: 1, consumer: 1, shards: 2, no_ack: false, body_bytes: 16 };

#[test]
fn a_message_with_ack_and_confirm_allocates_nothing_on_its_own_core() {
    check_both_bodies(LOCAL);
}

#[test]
fn an_auto_acked_message_allocates_nothing_on_its_own_core() {
    check_both_bodies(Path { no_ack: true, ..LOCAL });
}

#[test]
fn a_message_with_ack_and_confirm_allocates_nothing_across_cores() {
    check_both_bodies(REMOTE);
}

#[test]
fn an_auto_acked_message_allocates_nothing_across_cores() {
    check_both_bodies(Path { no_ack: true, ..REMOTE });
}

#[test]
fn a_message_that_crosses_once_allocates_nothing() {
    check_both_bodies(Path { publisher: 0, ..REMOTE });
    check_both_bodies(Path { consumer: 0, ..REMOTE });
}
