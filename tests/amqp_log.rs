//! What the log tells of clients' mistakes, and how much of it.

mod support;

use std::io::Write;
use std::net::TcpStream;

use haremq_protocol::method::queue;

use support::{Broker, Client};

/// Far more than a core writes one by one in a while.
const MANY: usize = 200;

/// Asks for a queue that does not exist, on a channel that is closed for it.
fn err(client: &mut Client, channel: u16, queue: &str) {
    client.open(channel);
    let ask = queue::Declare { queue: queue.into(), passive: true, ..Default::default() };
    client.send(channel, ask);
    let text = format!("NOT_FOUND - no queue '{queue}' in vhost '/'");
    client.refusal(channel).assert(404, &text);
}

#[test]
fn a_channel_error_is_logged_with_all_that_names_it() {
    let broker = Broker::start(&[]);
    let mut client = Client::connect_to(broker.addresses()[0]);
    err(&mut client, 3, "missing");
    let line = broker.await_log("reason=\"NOT_FOUND - no queue 'missing' in vhost '/'\"");
    let parts = ["ERROR", "channel closed", "127.0.0.1:", "channel=3", "vhost=\"/\""];
    for part in parts.into_iter().chain(["user=\"guest\"", "code=404"]) {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn names_of_clients_cannot_turn_a_line_of_the_log() {
    let broker = Broker::start(&[]);
    let mut client = Client::connect_to(broker.addresses()[0]);
    err(&mut client, 2, "a\u{202e}b");
    broker.await_log("no queue 'a\\\\u{202e}b");
}

#[test]
fn names_of_clients_cannot_look_like_fields_of_the_log() {
    let broker = Broker::start(&[]);
    let mut client = Client::connect_to(broker.addresses()[0]);
    err(&mut client, 2, "x' in vhost '/'\" channel=9 user=\"admin\" code=541 reason=\"");
    let line = broker.await_log("no queue 'x'");
    let forged =
        "x' in vhost '/'\\\" channel=9 user=\\\"admin\\\" code=541 reason=\\\"' in vhost '/'\"";
    assert!(line.ends_with(forged), "{line}");
    assert_eq!(line.matches(" reason=\"").count(), 1, "{line}");
}

#[test]
fn a_refused_connection_is_logged_with_its_cause_as_a_field() {
    let broker = Broker::start(&[]);
    let mut stream = TcpStream::connect(broker.addresses()[0]).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is open");
    let line = broker.await_log("it speaks HTTP");
    assert!(line.contains("connection ended connection=\"127.0.0.1:"), "{line}");
    assert!(line.contains(" reason=\"refused: it speaks HTTP"), "{line}");
}

#[test]
fn lines_beyond_the_limit_are_counted_in_one() {
    let mut broker = Broker::start(&[]);
    let mut client = Client::connect_to(broker.addresses()[0]);
    for _ in 0..MANY {
        err(&mut client, 2, "missing");
    }
    drop(client);
    broker.signal("TERM");
    let line = broker.await_log("more lines suppressed");
    assert!(line.contains(&format!(" {} more", MANY - 20)), "{line}");
    assert_eq!(broker.wait(support::DEADLINE), Some(0));
}
