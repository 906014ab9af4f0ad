//! Publishers in the middle of a message or transaction cannot be made to wait when memory is over
//! its limit, as they would keep what they hold: what they hold together is bounded instead.

#[path = "load_support/stepped.rs"]
#[allow(dead_code, reason = "other tests and benches use the rest")]
mod stepped;

use haremq_protocol::client::ClientEvent;
use haremq_protocol::method::{AMQPClass, basic, tx, write_method};
use stepped::{CHANNEL, World};

const CLIENTS: usize = 4;
/// What each tries to send: together more than the 256 MiB that they may hold.
const BODY_BYTES: u64 = 100 << 20;
const PIECE_BYTES: usize = 64 << 10;
const HELD_BYTES_MAX: u64 = 257 << 20;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&[kind][..], &CHANNEL.to_be_bytes(), &size, payload, &[0xce]].concat()
}

/// Method and header of a message with a body of so many octets.
fn beginning(body_bytes: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let publish = basic::AMQPMethod::Publish(basic::Publish::default());
    write_method(&mut bytes, CHANNEL, &AMQPClass::Basic(publish));
    let mut header = [0, 60, 0, 0].to_vec();
    header.extend(body_bytes.to_be_bytes());
    header.extend([0, 0]);
    bytes.extend(frame(2, &header));
    bytes
}

/// The codes with which clients are refused, after all that is under way.
fn refusals(world: &mut World) -> Vec<(usize, u16)> {
    let mut codes = Vec::new();
    world.settle(|client, event| match event {
        ClientEvent::ConnectionClosed { close: Some(close) } => {
            codes.push((client, close.reply_code));
        }
        ClientEvent::ChannelClosed { close: Some(close), .. } => {
            codes.push((client, close.reply_code));
        }
        _ => {}
    });
    codes
}

#[test]
fn half_messages_grow_no_further_when_memory_is_used_up_but_small_ones_are_finished() {
    let mut world = World::new(1);
    let clients: Vec<usize> = (0..=CLIENTS).map(|_| world.connect(0)).collect();
    let (small, large) = clients.split_last().expect("there are some");
    let piece = frame(3, &vec![0; PIECE_BYTES]);
    for client in large {
        world.receive(*client, &beginning(BODY_BYTES));
    }
    world.receive(*small, &beginning(2 * PIECE_BYTES as u64));
    world.receive(*small, &piece);
    world.exceed_memory();
    let mut refused = Vec::new();
    for _ in 0..BODY_BYTES as usize / PIECE_BYTES - 1 {
        for client in large {
            world.receive(*client, &piece);
        }
        assert!(world.shards[0].memory_bytes() <= HELD_BYTES_MAX);
        refused.extend(refusals(&mut world));
    }
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|(client, code)| client != small && *code == 506), "{refused:?}");
    world.receive(*small, &piece);
    assert_eq!(refusals(&mut world), []);
}

#[test]
fn transactions_grow_no_further_when_memory_is_used_up() {
    let mut world = World::new(1);
    let clients: Vec<usize> = (0..CLIENTS).map(|_| world.connect(0)).collect();
    let whole = [beginning(PIECE_BYTES as u64), frame(3, &vec![0; PIECE_BYTES])].concat();
    for client in &clients {
        world.call(*client, &AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})));
        world.receive(*client, &whole);
    }
    world.exceed_memory();
    let mut refused = Vec::new();
    for _ in 0..BODY_BYTES as usize / PIECE_BYTES {
        for client in clients.iter().filter(|client| !refused.contains(&(**client, 406))) {
            world.receive(*client, &whole);
        }
        assert!(world.shards[0].memory_bytes() <= HELD_BYTES_MAX);
        refused.extend(refusals(&mut world));
    }
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|(_, code)| *code == 406), "{refused:?}");
}
