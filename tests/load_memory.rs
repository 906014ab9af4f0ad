//! A million messages through one queue: none is lost, order is kept, and the memory goes back.

mod load_support;

use std::time::{Duration, Instant};

use load_support::{Publisher, TwoCores, alone, await_resident_below, resident_bytes};

const WARM_UP: u64 = 10_000;
const MESSAGES: u64 = 1_000_000;
const BODY_BYTES: usize = 16;
/// What may stay, and for how long it is waited that the rest goes.
const GROWTH_BYTES_MAX: u64 = 32 << 20;
const SETTLE: Duration = Duration::from_secs(10);

/// The queue lives on core 0, its clients on `client_core`.
fn check(client_core: usize) {
    let _turn = alone();
    let mut cores = TwoCores::start("512MiB");
    let pid = cores.broker.pid();
    let queue = cores.queue_on(0);
    let mut publisher = Publisher::new(cores.connect_on(client_core), &queue, BODY_BYTES);
    publisher.publish_all(WARM_UP);
    cores.connect_on(client_core).drain(&queue, 0, WARM_UP);
    let before = resident_bytes(pid);

    let start = Instant::now();
    publisher.publish_all(MESSAGES);
    let published = start.elapsed();
    let full = resident_bytes(pid);
    cores.connect_on(client_core).drain(&queue, WARM_UP, MESSAGES);
    let drained = start.elapsed() - published;
    let after = await_resident_below(pid, before + GROWTH_BYTES_MAX / 4, SETTLE);

    println!(
        "clients on core {client_core}: published in {published:.1?}, drained in {drained:.1?}; \
         resident KiB: {} before, {} full, {} after",
        before >> 10,
        full >> 10,
        after >> 10
    );
    assert!(after <= before + GROWTH_BYTES_MAX, "memory stays: {after} of {before} before");
}

#[test]
fn a_million_messages_leave_no_memory_behind_on_their_core() {
    check(0);
}

#[test]
fn a_million_messages_leave_no_memory_behind_across_cores() {
    check(1);
}
