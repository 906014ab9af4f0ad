//! One core's contact with the kernel: executors, ring, sockets, files, wake-ups, machine probes.
//!
//! This is the only package that names glommio and io_uring. It moves bytes and descriptors and
//! knows nothing of what they mean. A core runs one glommio executor with one task in it, the
//! core loop, which never awaits and so is an ordinary closure ([`spawn_core`]). The loop owns a
//! [`Reactor`]: one ring for readiness, file syncs, wake-ups and deadlines, entered once per tick.
//!
//! Sockets work by readiness, not by completion: the ring says *readable*, and the bytes are then
//! read into one buffer that all sockets of the core share. An idle connection owns no buffer.

// The kernel's interfaces that the standard library does not offer (ring entries, eventfd,
// limits) are reached from this package only, so that no other package needs `unsafe`.
#![allow(unsafe_code)]

mod cgroup;
mod executor;
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
pub use listener::ListenerId;
pub use machine::{KernelVersion, MachineProblem, MachineReport, RingSupport, probe};
pub use reactor::{Counters, FileId, Reactor, ReactorConfig, ReactorError, ReactorEvent, Wait};
pub use rlimit::{Limit, limit_open_files};
pub use socket::{Received, Sent, SocketId};
pub use topology::{CoreSelection, CoreSelectionError};
pub use waker::Waker;
