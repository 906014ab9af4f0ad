//! The way of a message through the generator, and that it allocates nothing.

use haremq_protocol::deliver::{Deliver, write_deliver};

use super::*;
use crate::body::BodyFormat;
use crate::confirm_window::ConfirmWindow;
use crate::consumer::ConsumerRules;
use crate::publisher::{Pause, Publisher, Round, Template, TemplateParts};
use crate::walker::Walker;

const MESSAGES: u64 = 2000;
const BODY: [u8; 64] = [0x5A; 64];

fn roles(shared: &Shared) -> Roles<'_> {
    let rules = ConsumerRules { no_ack: false, ..ConsumerRules::of_replies() };
    Roles {
        clock: Clock::new(),
        shared,
        publishers: Vec::new(),
        consumers: vec![Consumer::new(1, 0, rules)],
        checks: vec![QueueCheck::default()],
        rules: Rules { start_unix_ns: 0, knows_publishers: true, expects_redelivery: false },
        tally: Tally::default(),
        meter: Meter::new(),
        expected: 0,
        first_deliveries: 0,
        woken: Vec::new(),
        empty_gets: Vec::new(),
        done_consumers: 0,
        is_raw: false,
        has_lag: true,
        recorder: None,
        blocked: 0,
        failure: None,
    }
}

/// What a broker sends for messages `from..to`.
fn deliveries(from: u64, to: u64) -> Vec<u8> {
    let format = BodyFormat::new(&BODY);
    let mut bytes = Vec::new();
    for seq in from..to {
        let mut body = BODY;
        let stamp = Stamp { seq: seq as u32, time: 1, publisher: 0, lag: 0 };
        format.write(&mut body[..format.head_bytes()], &stamp);
        let deliver = Deliver {
            consumer_tag: b"perf-1",
            delivery_tag: seq + 1,
            redelivered: false,
            exchange: b"direct",
            routing_key: b"test",
        };
        write_deliver(&mut bytes, 1, 131_072, &deliver, &[0, 0], &body);
    }
    bytes
}

fn receive(
    roles: &mut Roles<'_>,
    walker: &mut Walker,
    channels: &mut [Channel],
    bytes: &[u8],
    out: &mut Vec<u8>,
) {
    let mut is_closed = false;
    let (held, is_closed) = (&mut Vec::new(), &mut is_closed);
    let mut ends = Ends { channels, out, held, is_closed, now_ns: 1 };
    // Cut anywhere, as the kernel does.
    for piece in bytes.chunks(1000) {
        let walked = walker.handle_received(piece, |part| roles.handle_part(&mut ends, part));
        walked.expect("the frames are sound");
    }
}

#[test]
fn receiving_allocates_nothing_per_message() {
    let shared = Shared::new(1);
    let mut roles = roles(&shared);
    let mut channels = [Channel::new(Role::Consumer(0), None)];
    let (mut walker, mut out) = (Walker::new(131_072), Vec::with_capacity(1 << 20));
    let (warm_up, measured) = (deliveries(0, MESSAGES), deliveries(MESSAGES, 2 * MESSAGES));
    receive(&mut roles, &mut walker, &mut channels, &warm_up, &mut out);
    let allocations = allocation_counter::measure(|| {
        receive(&mut roles, &mut walker, &mut channels, &measured, &mut out);
    });
    assert_eq!(roles.failure, None);
    assert_eq!((roles.first_deliveries, roles.tally), (2 * MESSAGES, Tally::default()));
    assert_eq!(out.len() as u64, 2 * MESSAGES * 21, "each is acknowledged");
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn publishing_allocates_nothing_per_message() {
    let parts = TemplateParts {
        channel: 1,
        frame_max: 131_072,
        exchange: b"direct",
        mandatory: false,
        properties: &[0, 0],
    };
    let mut publisher = Publisher::new(0);
    publisher.templates = vec![vec![Template::new(&parts, "test", &BODY)]];
    publisher.deliveries = vec![1];
    publisher.window = Some(ConfirmWindow::new(100));
    let mut meter = Meter::new();
    let mut out = Vec::with_capacity(1 << 20);
    let allocations = allocation_counter::measure(|| {
        for _ in 0..MESSAGES / 100 {
            out.clear();
            let mut round = Round {
                out: &mut out,
                out_bytes_max: 1 << 20,
                now_ns: 5,
                start_unix_ns: 0,
                meter: &mut meter,
            };
            assert_eq!(publisher.publish(&mut round), (Pause::Window, 100));
            let settled = publisher.settle(publisher.next, true, true, 6, &mut meter, None);
            assert_eq!(settled, Some(0));
        }
    });
    assert_eq!((meter.counts.sent, meter.counts.confirmed), (MESSAGES, MESSAGES));
    assert_eq!(allocations.count_total, 0);
}
