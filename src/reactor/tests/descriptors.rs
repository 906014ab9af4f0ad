//! Running out of descriptors. The only test of its process, whose limit it changes.

mod support;

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use haremq_reactor::{ReactorEvent, limit_open_files};
use support::{await_event, events_within, localhost, reactor};

#[test]
fn accepting_without_descriptors_backs_off_and_recovers() {
    const CLIENTS: usize = 5;
    let mut reactor = reactor();
    let (_, address) = reactor.listen(localhost()).expect("a free port");
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| TcpStream::connect(address).expect("the backlog takes it")).collect();
    let next_fd = File::open("/dev/null").expect("a descriptor is left").as_raw_fd();
    let was = limit_open_files(u64::MAX).expect("it may be raised");
    limit_open_files(next_fd as u64).expect("it may be lowered");

    let (start, enters) = (Instant::now(), reactor.counters().enters);
    let events = events_within(&mut reactor, Duration::from_millis(100));
    let attempts = start.elapsed().as_millis() as usize / 10 + 2;
    assert!((1..=attempts).contains(&events.len()), "{} failures", events.len());
    for event in &events {
        let is_limit = |error: &std::io::Error| error.raw_os_error() == Some(libc::EMFILE);
        assert!(matches!(event, ReactorEvent::AcceptFailed(error) if is_limit(error)), "{event:?}");
    }
    let enters = reactor.counters().enters - enters;
    assert!(enters <= 2 * attempts as u64, "it entered the kernel {enters} times");

    limit_open_files(was).expect("it may be raised again");
    let mut accepted = Vec::new();
    while accepted.len() < CLIENTS {
        accepted.push(await_event(&mut reactor, |event| match event {
            ReactorEvent::Accepted(fd, ..) => Some(fd),
            _ => None,
        }));
    }
    drop(clients);
}
