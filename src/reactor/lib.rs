//! One core's contact with the kernel: executors, ring, sockets, files, wake-ups, machine probes.
//!
//! This is the only package that names glommio and io_uring. It moves bytes and descriptors and
//! knows nothing of what they mean. A core runs one glommio executor with one task in it, the
//! core loop, which never awaits and so is an ordinary closure ([`spawn_core`]). The loop owns a
//! [`Reactor`]: one ring for readiness, file syncs, wake-ups and deadlines, entered once per tick.
//!
//! Sockets work by readiness, not by completion: the ring says *readable*, and the bytes are then
//! read into one buffer that all sockets of the core share. An idle connection owns no buffer.
//!
//! ```no_run
//! use haremq_reactor::*;
//!
//! let placement = CorePlacement { cpu: Some(0), name: "core 0".to_owned() };
//! let core = spawn_core(placement, || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let mut reactor = Reactor::new(ReactorConfig::default())?;
//!     reactor.listen(([127, 0, 0, 1], 5672).into())?;
//!     let mut readable: Vec<SocketId> = Vec::new();
//!     loop {
//!         let wait = if readable.is_empty() { Wait::Forever } else { Wait::Now };
//!         reactor.wait(wait, || false);
//!         while let Some(event) = reactor.poll_event() {
//!             match event {
//!                 ReactorEvent::Accepted(fd, _peer, _listener) => drop(reactor.adopt(fd)),
//!                 ReactorEvent::Readable(id) => readable.push(id),
//!                 _ => {}
//!             }
//!         }
//!         readable.retain(|&id| {
//!             match reactor.receive(id, 64 * 1024) {
//!                 Received::Bytes(bytes) => println!("{} bytes", bytes.len()),
//!                 Received::WouldBlock => {}
//!                 Received::Closed | Received::Failed(_) => reactor.close(id),
//!             }
//!             reactor.is_readable(id)
//!         });
//!     }
//! })?;
//! core.join()?;
//! # Ok::<(), ExecutorError>(())
//! ```

// The kernel's interfaces that the standard library does not offer (ring entries, eventfd,
// limits) are reached from this package only, so that no other package needs `unsafe`.
#![allow(unsafe_code)]

mod cgroup;
mod executor;
mod heap;
mod listener;
mod machine;
mod reactor;
mod ring;
mod rlimit;
mod slots;
mod socket;
mod token;
mod topology;
mod waker;

pub use executor::{CoreHandle, CorePlacement, ExecutorError, spawn_core};
pub use heap::{map_large_blocks, return_free_pages};
pub use listener::ListenerId;
pub use machine::{
    KernelVersion, MachineProblem, MachineReport, OPEN_FILES_RECOMMENDED, RingSupport, probe,
};
pub use reactor::{Counters, FileId, Reactor, ReactorConfig, ReactorError, ReactorEvent, Wait};
pub use rlimit::{Limit, limit_open_files};
pub use socket::{Received, Sent, SocketId};
pub use topology::{CoreSelection, CoreSelectionError};
pub use waker::Waker;
