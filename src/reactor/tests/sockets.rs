//! What the reactor promises about single sockets.

#![allow(unsafe_code, reason = "urgent data and socket options are for libc only")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use haremq_reactor::{Reactor, ReactorEvent, Received, Sent, SocketId, Wait};
use support::{
    DEADLINE, accepted_pair, await_event, await_readable, connected_pair, events_within, localhost,
    reactor,
};

const A_WHILE: Duration = Duration::from_millis(30);

fn is_readable_event(event: &ReactorEvent, id: SocketId) -> bool {
    matches!(event, ReactorEvent::Readable(readable) if *readable == id)
}

fn bytes(received: Received<'_>) -> Vec<u8> {
    match received {
        Received::Bytes(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Fills the way to the client until the kernel takes no more.
fn fill(reactor: &mut Reactor, id: SocketId) -> usize {
    let block = vec![7; 1 << 16];
    let mut count = 0;
    loop {
        match reactor.send(id, &block) {
            Sent::All => count += block.len(),
            Sent::Partial(taken) => return count + taken,
            Sent::Failed(error) => panic!("{error}"),
        }
    }
}

/// A connection that the standard library accepts, so that the reactor runs no round meanwhile.
fn adopted_pair(reactor: &mut Reactor) -> (TcpStream, SocketId) {
    let listener = TcpListener::bind(localhost()).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let client = TcpStream::connect(address).expect("the backlog takes it");
    let (accepted, _) = listener.accept().expect("it is connected");
    (client, reactor.adopt(accepted.into()).expect("it is connected"))
}

fn option(socket: &impl AsRawFd, level: libc::c_int, name: libc::c_int) -> libc::c_int {
    let mut value: libc::c_int = -1;
    let mut bytes = size_of_val(&value) as libc::socklen_t;
    let into = (&raw mut value).cast();
    // SAFETY: the descriptor is open, and both pointers are to live values of the right size.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, into, &mut bytes) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    value
}

#[test]
fn a_peer_that_is_gone_while_nothing_is_under_way_to_it_is_noticed_within_three_minutes() {
    let mut reactor = reactor();
    let (_client, accepted) = accepted_pair(&mut reactor);
    assert_eq!(option(&accepted, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
    let tcp = |name| option(&accepted, libc::IPPROTO_TCP, name);
    let probing = tcp(libc::TCP_KEEPINTVL) * tcp(libc::TCP_KEEPCNT);
    assert_eq!(tcp(libc::TCP_KEEPIDLE) + probing, 180);
    assert_eq!(tcp(libc::TCP_USER_TIMEOUT), 0, "a peer that takes nothing for a while is not gone");
}

#[test]
fn readable_is_told_once_until_the_socket_is_empty() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    client.write_all(b"abcdef").expect("room");
    await_readable(&mut reactor, id);
    assert_eq!(bytes(reactor.receive(id, 4)), b"abcd");
    assert!(reactor.is_readable(id), "two bytes are left in the caller's hands");
    client.write_all(b"gh").expect("room");
    let events = events_within(&mut reactor, A_WHILE);
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(bytes(reactor.receive(id, 100)), b"efgh");
    assert!(!reactor.is_readable(id), "a short read has emptied it");
    client.write_all(b"i").expect("room");
    await_readable(&mut reactor, id);
    assert_eq!(bytes(reactor.receive(id, 1)), b"i");
    assert!(reactor.is_readable(id), "nothing says yet that it is empty");
    assert!(matches!(reactor.receive(id, 1), Received::WouldBlock));
    assert!(!reactor.is_readable(id));
}

#[test]
fn the_end_of_the_stream_behind_data_is_not_lost() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    client.write_all(b"last words").expect("room");
    drop(client);
    await_readable(&mut reactor, id);
    let end = Instant::now() + DEADLINE;
    let mut received = Vec::new();
    loop {
        match reactor.receive(id, 100) {
            Received::Bytes(bytes) => received.extend_from_slice(bytes),
            Received::Closed => break,
            Received::WouldBlock => {}
            Received::Failed(error) => panic!("{error}"),
        }
        if !reactor.is_readable(id) {
            await_readable(&mut reactor, id);
        }
        assert!(Instant::now() < end);
    }
    assert_eq!(received, b"last words");
}

#[test]
fn data_behind_urgent_data_comes_with_the_next_data_at_the_latest() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    client.write_all(b"ab").expect("room");
    let urgent = b"!";
    // SAFETY: the pointer and the length are those of a live slice.
    let sent = unsafe {
        libc::send(client.as_raw_fd(), urgent.as_ptr().cast(), urgent.len(), libc::MSG_OOB)
    };
    assert_eq!(sent, 1);
    client.write_all(b"cd").expect("room");
    let mut received = Vec::new();
    while received != b"abcdef" {
        if reactor.is_readable(id) {
            match reactor.receive(id, 100) {
                Received::Bytes(bytes) => received.extend_from_slice(bytes),
                Received::WouldBlock => {}
                other => panic!("{other:?}"),
            }
        } else if received == b"ab" {
            client.write_all(b"ef").expect("room");
            await_readable(&mut reactor, id);
        } else {
            await_readable(&mut reactor, id);
        }
    }
}

#[test]
fn a_reset_is_told_to_a_caller_that_does_not_read() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    client.write_all(b"unread").expect("room");
    assert!(matches!(reactor.send(id, b"unread by the client"), Sent::All));
    client.peek(&mut [0]).expect("it has come");
    drop(client);
    await_event(&mut reactor, |event| {
        matches!(event, ReactorEvent::HungUp(hung_up) if hung_up == id).then_some(())
    });
    assert!(reactor.is_readable(id));
    let events = events_within(&mut reactor, A_WHILE);
    assert!(!events.iter().any(|event| matches!(event, ReactorEvent::HungUp(_))), "told once");
}

#[test]
fn writable_follows_a_partial_send_once_there_is_room() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    let count = fill(&mut reactor, id);
    let events = events_within(&mut reactor, A_WHILE);
    assert!(!events.iter().any(|event| matches!(event, ReactorEvent::Writable(_))), "no room yet");
    client.read_exact(&mut vec![0; count]).expect("all of it has been sent");
    await_event(&mut reactor, |event| {
        matches!(event, ReactorEvent::Writable(writable) if writable == id).then_some(())
    });
    assert!(matches!(reactor.send(id, b"on"), Sent::All));
    let counters = reactor.counters();
    assert_eq!(counters.sent_bytes, count as u64 + 2);
}

#[test]
fn a_shutdown_lets_the_peer_finish() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    assert!(matches!(reactor.send(id, b"bye"), Sent::All));
    reactor.shutdown(id);
    let mut received = Vec::new();
    client.read_to_end(&mut received).expect("an orderly end");
    assert_eq!(received, b"bye");
    client.write_all(b"one more thing").expect("our direction is open");
    await_readable(&mut reactor, id);
    assert_eq!(bytes(reactor.receive(id, 100)), b"one more thing");
}

#[test]
fn a_closed_socket_ends_at_the_next_wait_although_it_was_polled() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    fill(&mut reactor, id);
    reactor.close(id);
    reactor.wait(Wait::Now, || false);
    client.set_read_timeout(Some(DEADLINE)).expect("it can be set");
    client.read_to_end(&mut Vec::new()).expect("an orderly end");
}

#[test]
fn a_late_completion_never_reaches_a_new_socket_in_the_same_slot() {
    let mut reactor = reactor();
    for _ in 0..100 {
        let (mut old_client, old) = connected_pair(&mut reactor);
        let count = fill(&mut reactor, old);
        reactor.wait(Wait::Now, || false);
        let events: Vec<_> = std::iter::from_fn(|| reactor.poll_event()).collect();
        assert!(events.is_empty(), "{events:?}");
        // Now completions of both polls of the old socket wait in the kernel.
        old_client.write_all(b"late").expect("room");
        old_client.read_exact(&mut vec![0; count]).expect("it was filled");
        reactor.close(old);
        let (_new_client, new) = adopted_pair(&mut reactor);
        assert_eq!(new.slot, old.slot);
        assert_ne!(new, old);
        for _ in 0..3 {
            reactor.wait(Wait::Now, || false);
            let event = reactor.poll_event();
            assert!(event.is_none(), "{event:?}");
        }
        assert!(!reactor.is_readable(new));
        reactor.close(new);
    }
}

#[test]
fn an_event_that_was_noted_before_the_close_is_not_told_after_it() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    client.write_all(b"x").expect("room");
    let end = Instant::now() + DEADLINE;
    while !reactor.is_readable(id) {
        assert!(Instant::now() < end);
        reactor.wait(Wait::Until(DEADLINE), || false);
    }
    reactor.close(id);
    assert!(reactor.poll_event().is_none());
}

#[test]
fn a_stale_id_is_refused_and_does_no_harm() {
    let mut reactor = reactor();
    let (_client, id) = connected_pair(&mut reactor);
    assert!(reactor.peer(id).is_some() && reactor.local(id).is_some());
    reactor.close(id);
    reactor.close(id);
    reactor.shutdown(id);
    assert!(!reactor.is_readable(id));
    assert_eq!((reactor.peer(id), reactor.local(id)), (None, None));
    let received = reactor.receive(id, 1);
    assert!(matches!(received, Received::Failed(error) if error.kind() == ErrorKind::NotConnected));
    let sent = reactor.send(id, b"x");
    assert!(matches!(sent, Sent::Failed(error) if error.kind() == ErrorKind::NotConnected));
}

#[test]
fn one_round_tells_of_all_readable_sockets() {
    let mut reactor = reactor();
    let mut pairs: Vec<_> = (0..300).map(|_| connected_pair(&mut reactor)).collect();
    for (client, _) in &mut pairs {
        client.write_all(b"x").expect("room");
    }
    let enters = reactor.counters().enters;
    reactor.wait(Wait::Now, || false);
    let events: Vec<_> = std::iter::from_fn(|| reactor.poll_event()).collect();
    for (_, id) in &pairs {
        assert!(events.iter().any(|event| is_readable_event(event, *id)));
    }
    assert!(reactor.counters().enters - enters <= 300 / 16 + 2);
}

#[test]
fn a_second_listener_on_the_port_is_refused() {
    let mut first = reactor();
    let (_, address) = first.listen(localhost()).expect("a free port");
    let mut second = reactor();
    let error = second.listen(address).expect_err("the port is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_closed_listener_frees_its_port() {
    let mut reactor = reactor();
    let (listener, address) = reactor.listen(localhost()).expect("a free port");
    reactor.wait(Wait::Now, || false);
    reactor.close_listener(listener);
    reactor.wait(Wait::Now, || false);
    let refused = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    reactor.listen(address).expect("the port is free");
}

#[test]
fn a_dropped_reactor_leaves_nothing_open() {
    let mut reactor = reactor();
    let (_, address) = reactor.listen(localhost()).expect("a free port");
    let (mut client, _) = connected_pair(&mut reactor);
    drop(reactor);
    client.set_read_timeout(Some(DEADLINE)).expect("it can be set");
    client.read_to_end(&mut Vec::new()).expect("an orderly end");
    TcpListener::bind(address).expect("the port is free");
}

#[test]
fn ipv6_is_listened_on_where_the_machine_has_it() {
    let mut reactor = reactor();
    let address = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0));
    let Ok((_, bound)) = reactor.listen(address) else {
        // Without IPv6 the standard library must fail alike.
        assert!(TcpListener::bind(address).is_err());
        return;
    };
    let client = TcpStream::connect(bound).expect("it listens");
    let peer = await_event(&mut reactor, |event| match event {
        ReactorEvent::Accepted(_, peer, _) => Some(peer),
        _ => None,
    });
    assert_eq!(Some(peer), client.local_addr().ok());
}

#[test]
fn the_end_of_the_peer_is_known_without_receiving() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    client.write_all(b"unread").expect("room");
    await_readable(&mut reactor, id);
    assert!(!reactor.has_peer_ended(id));
    client.shutdown(std::net::Shutdown::Write).expect("it is connected");
    while !reactor.has_peer_ended(id) {
        events_within(&mut reactor, A_WHILE);
    }
    assert!(matches!(reactor.receive(id, 100), Received::Bytes(b"unread")));
    assert!(matches!(reactor.receive(id, 100), Received::Closed));
}
