//! SIGTERM: clients are told, and the process ends soon and well (CONN-93).

mod support;

use std::net::TcpStream;
use std::time::Duration;

use haremq_protocol::frame::PROTOCOL_HEADER;
use haremq_protocol::method::basic;

use support::{Broker, Client, Raw};

const TOLD: &str = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
/// However its clients behave.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn clients_are_told_and_the_process_ends_well() {
    let mut broker = Broker::start_on("2", &[]);
    let address = broker.addresses()[0];
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect_to(address)).collect();
    for (place, client) in clients.iter_mut().enumerate() {
        let queue = client.declare(1, &format!("shutdown-{place}"));
        client.consume(1, &queue, "t");
        client.post(1, &queue, "unsettled");
        client.delivery(1);
    }
    broker.signal("TERM");
    for client in &mut clients {
        let refusal = client.refusal(1);
        refusal.assert(320, TOLD);
        assert_eq!(refusal.class_and_method, (0, 0));
        client.await_end();
    }
    assert_eq!(broker.wait(LIMIT), Some(0));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn clients_that_do_not_answer_do_not_hold_it_up() {
    let mut broker = Broker::start_on("2", &[]);
    let address = broker.addresses()[0];
    let silent = Raw::connect_to(address);
    let mut begun = Raw::connect_to(address);
    begun.send(&PROTOCOL_HEADER);
    begun.method();
    let mut client = Client::connect_to(address);
    // Deaf: more is sent to it than sockets hold, and it reads nothing and never answers.
    client.declare(1, "shutdown-deaf");
    let body = "x".repeat(1 << 20);
    for _ in 0..16 {
        client.post(1, "shutdown-deaf", &body);
    }
    client.settle_down(1, "shutdown-deaf");
    client.send(1, basic::Consume { queue: "shutdown-deaf".into(), ..Default::default() });
    broker.signal("TERM");
    assert_eq!(broker.wait(LIMIT), Some(0));
    drop((silent, begun, client));
}

#[test]
fn a_broker_under_load_ends_well() {
    let mut broker = Broker::start_on("2", &[]);
    let address = broker.addresses()[0];
    let publishers: Vec<_> = (0..2)
        .map(|place| {
            let mut client = Client::connect_to(address);
            let queue = client.declare(1, &format!("shutdown-load-{place}"));
            client.consume_as(
                1,
                basic::Consume { queue: queue.as_str().into(), no_ack: true, ..Default::default() },
            );
            std::thread::spawn(move || {
                // Until it is told.
                loop {
                    for _ in 0..100 {
                        if !client.try_post(1, &queue, "x") {
                            return;
                        }
                    }
                    if client.has_been_refused() {
                        return;
                    }
                }
            })
        })
        .collect();
    broker.signal("TERM");
    assert_eq!(broker.wait(LIMIT), Some(0));
    for publisher in publishers {
        publisher.join().expect("its client ends too");
    }
}
