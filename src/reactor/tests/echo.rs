//! A server on a hosted, pinned core, end to end over loopback.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use haremq_reactor::ReactorConfig;
use support::{DEADLINE, EchoServer};

fn connect(server: &EchoServer) -> TcpStream {
    let stream = TcpStream::connect(server.address).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    stream.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
    stream
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + seed * 7 + (index >> 10)) as u8).collect()
}

/// Sends, ends its direction, and reads to the end, at the same time, once it `may_read`.
fn echo_all(mut stream: TcpStream, sent: &[u8], may_read: impl Fn() -> bool) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("descriptors are left");
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(sent).expect("the server reads");
            writer.shutdown(Shutdown::Write).expect("the server is there");
        });
        let end = Instant::now() + DEADLINE;
        while !may_read() {
            assert!(Instant::now() < end);
            thread::yield_now();
        }
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("the server answers");
        received
    })
}

#[test]
fn many_connections_get_their_bytes_back() {
    check_many_connections(ReactorConfig::default());
}

#[test]
fn a_plain_ring_serves_as_well() {
    check_many_connections(ReactorConfig {
        deferred_completions: false,
        ..ReactorConfig::default()
    });
}

fn check_many_connections(config: ReactorConfig) {
    const THREADS: usize = 4;
    const CONNECTIONS: usize = 50;
    let server = EchoServer::start(config);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect(server)).collect();
                for round in 0..20 {
                    for (index, stream) in streams.iter_mut().enumerate() {
                        let sent = pattern(100 + 97 * round, thread * 1000 + index);
                        stream.write_all(&sent).expect("the server reads");
                    }
                    for (index, stream) in streams.iter_mut().enumerate() {
                        let sent = pattern(100 + 97 * round, thread * 1000 + index);
                        let mut received = vec![0; sent.len()];
                        stream.read_exact(&mut received).expect("the server answers");
                        assert!(received == sent);
                    }
                }
            });
        }
    });
    let outcome = server.stop();
    assert_eq!((outcome.closed, outcome.failed), (THREADS * CONNECTIONS, 0));
    assert_eq!(outcome.counters.received_bytes, outcome.counters.sent_bytes);
}

#[test]
fn a_large_transfer_survives_a_half_closed_peer() {
    let server = EchoServer::start(ReactorConfig::default());
    let sent = pattern(32 << 20, 1);
    let stream = connect(&server);
    assert!(echo_all(stream, &sent, || true) == sent);
    let outcome = server.stop();
    assert_eq!((outcome.closed, outcome.failed), (1, 0));
    assert_eq!(outcome.counters.received_bytes, sent.len() as u64);
}

#[test]
fn a_client_that_reads_late_still_gets_everything() {
    let server = EchoServer::start(ReactorConfig::default());
    // More than the kernel buffers: the server cannot send, so it stops reading.
    let sent = pattern(32 << 20, 2);
    let stream = connect(&server);
    assert!(echo_all(stream, &sent, || server.partial_sends() > 0) == sent);
    let outcome = server.stop();
    assert_eq!((outcome.closed, outcome.failed), (1, 0));
}

#[test]
fn a_reset_ends_only_its_own_connection() {
    let server = EchoServer::start(ReactorConfig::default());
    let mut healthy = connect(&server);
    for _ in 0..20 {
        let mut rude = connect(&server);
        rude.write_all(&pattern(100, 3)).expect("the server reads");
        while let Err(error) = rude.peek(&mut [0]) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "the server answers");
        }
        // Dropped with the answer unread: the kernel resets the connection.
        drop(rude);
    }
    healthy.write_all(b"still here").expect("the server reads");
    let mut received = [0; 10];
    healthy.read_exact(&mut received).expect("the server answers");
    assert_eq!(&received, b"still here");
    drop(healthy);
    let outcome = server.stop();
    assert_eq!((outcome.closed, outcome.failed), (1, 20));
}

#[test]
fn a_ring_too_small_for_its_sockets_loses_nothing() {
    let config =
        ReactorConfig { ring_entries: 4, completion_entries: 8, ..ReactorConfig::default() };
    let server = EchoServer::start(config);
    let mut streams: Vec<_> = (0..150).map(|_| connect(&server)).collect();
    for round in 0..20 {
        let sent = pattern(1000, round);
        streams.iter_mut().for_each(|stream| stream.write_all(&sent).expect("the server reads"));
        for stream in &mut streams {
            let mut received = vec![0; sent.len()];
            stream.read_exact(&mut received).expect("the server answers");
            assert!(received == sent);
        }
    }
    drop(streams);
    let outcome = server.stop();
    assert_eq!((outcome.closed, outcome.failed), (150, 0));
}
