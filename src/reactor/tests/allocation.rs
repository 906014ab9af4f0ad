//! The steady state of the core loop allocates nothing. The only test of its process, which counts
//! what is allocated.

#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use haremq_reactor::{ReactorEvent, Received, Sent, Wait};
use support::{DEADLINE, connected_pair, reactor};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn receiving_sending_and_syncing_allocate_nothing() {
    let mut reactor = reactor();
    let (mut client, id) = connected_pair(&mut reactor);
    let path = std::env::temp_dir().join(format!("haremq-allocation-{}", std::process::id()));
    let file = reactor.adopt_file(File::create(&path).expect("the directory is writable"));
    let mut echo = [0; 64];
    let mut round = |token: u64| {
        client.write_all(&[token as u8; 64]).expect("room");
        reactor.write_at(file, &echo, 64 * token).expect("room");
        reactor.sync(file, token);
        let (mut is_synced, mut is_echoed) = (false, false);
        while !(is_synced && is_echoed) {
            reactor.wait(Wait::Until(DEADLINE), || false);
            while let Some(event) = reactor.poll_event() {
                match event {
                    ReactorEvent::Synced(_, synced, Ok(())) => is_synced = synced == token,
                    ReactorEvent::Readable(readable) => {
                        let Received::Bytes(bytes) = reactor.receive(readable, 1 << 16) else {
                            panic!("it is readable")
                        };
                        echo.copy_from_slice(bytes);
                        assert!(matches!(reactor.send(id, &echo), Sent::All));
                        is_echoed = true;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        client.read_exact(&mut [0; 64]).expect("the echo has been sent");
    };
    (0..10).for_each(&mut round);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (10..200).for_each(&mut round);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
    std::fs::remove_file(&path).expect("it is ours");
}
