//! The generator against the relays: a clean one passes, and each mistake is found.

mod support;

use support::{Relay, check};

#[test]
fn a_frame_relay_passes_the_check() {
    let relay = Relay::start(&[]);
    check(&relay.run("-C 20000 -a -s 24"), 0, "lost 0, duplicated 0");
    check(&relay.run("-C 50 -a -s 400000"), 0, "50 sent, 50 received");
}

#[test]
fn a_byte_relay_passes_the_check() {
    let relay = Relay::start(&["--mode", "bytes"]);
    check(&relay.run("-C 20000 -a --raw -s 24"), 0, "lost 0, duplicated 0");
}

#[test]
fn a_relay_with_books_confirms_and_takes_acks() {
    let relay = Relay::start(&["--mode", "confirms"]);
    check(&relay.run("-C 20000 -c 100 -q 100 -A 10"), 0, "confirm latency");
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let relay = Relay::start(&[]);
    let output = relay.run("-r 2000 -C 1000 -a --arrivals poisson");
    check(&output, 0, "1,000 sent, 1,000 received");
    check(&output, 0, "generator's own lag");
}

#[test]
fn a_lost_message_is_found() {
    let relay = Relay::start(&["--fault", "lose"]);
    check(&relay.run("-C 2000 -a"), 4, "lost 2, duplicated 0 (redelivered 0), out of order 0");
}

#[test]
fn a_doubled_message_is_found() {
    let relay = Relay::start(&["--fault", "double"]);
    check(&relay.run("-C 2000 -a"), 4, "lost 0, duplicated 2 (redelivered 0), out of order 0");
}

#[test]
fn a_reordered_message_is_found() {
    let relay = Relay::start(&["--fault", "reorder"]);
    check(&relay.run("-C 2000 -a"), 4, "lost 0, duplicated 0 (redelivered 0), out of order 2");
}

#[test]
fn a_corrupted_message_is_found() {
    let relay = Relay::start(&["--fault", "corrupt"]);
    check(&relay.run("-C 2000 -a -s 100"), 4, "out of order 0, corrupted 2");
}

#[test]
fn what_a_relay_cannot_do_is_said() {
    let relay = Relay::start(&[]);
    check(&relay.run("-C 10 -c 5"), 1, "NOT_IMPLEMENTED");
    check(&relay.run("--confrm 5"), 2, "--confirm");
    for cores in ["1,", ",1", "0,,1"] {
        check(&relay.run(&format!("--cores {cores} -C 1")), 2, "a comma with nothing beside it");
    }
}

#[test]
fn many_pairs_share_the_one_queue_of_a_relay() {
    let relay = Relay::start(&["--mode", "confirms"]);
    check(&relay.run("-x 20 -y 20 -u shared -C 500 -c 50 -q 100"), 0, "10,000 received; lost 0");
    let bytes = Relay::start(&["--mode", "bytes"]);
    check(&bytes.run("-x 20 -y 20 -u shared -C 500 -a --raw"), 0, "10,000 received; lost 0");
    for flags in ["-y 2", "-y 2 -qp q-%d -qpf 1 -qpt 2", "-t fanout -y 3"] {
        check(&relay.run(&format!("{flags} -C 10")), 1, "a relay has one queue: name it (-u)");
    }
    // What was refused has left nothing behind.
    check(&relay.run("-C 10 -u other"), 0, "10 received; lost 0");
}
