//! Waking a core that sleeps in its ring, and not paying for it when the core is awake.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes one core from any thread.
///
/// First put the work where the core looks for it, then call [`Waker::wake`]. The core, in turn,
/// announces its sleep and only then looks once more (the `has_work` of [`crate::Reactor::wait`]).
/// Both sides have a full fence between their write and their read, so at least one of them sees
/// the other: either the core finds the work, or the waker finds the core asleep.
#[derive(Clone, Debug)]
pub struct Waker {
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    sleeping: AtomicBool,
    /// Never read: each write is an edge that the ring's multishot poll reports, and a counter
    /// that grows by one per wake does not overflow in 64 bits.
    eventfd: File,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Waker> {
        // SAFETY: eventfd takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let bell = Bell { sleeping: AtomicBool::new(false), eventfd: File::from(fd) };
        Ok(Waker { bell: Arc::new(bell) })
    }

    /// Ends the core's sleep, if it sleeps; otherwise costs a fence and a load. Of several threads
    /// that wake a sleeping core at once, one pays for the system call.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        let bell = &*self.bell;
        if bell.sleeping.load(Ordering::Relaxed) && bell.sleeping.swap(false, Ordering::AcqRel) {
            bell.ring();
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.bell.eventfd.as_raw_fd()
    }

    /// The core is about to sleep and must look for work once more after this.
    pub(crate) fn announce_sleep(&self) {
        self.bell.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn retract_sleep(&self) {
        self.bell.sleeping.store(false, Ordering::Relaxed);
    }
}

impl Bell {
    fn ring(&self) {
        #[expect(clippy::host_endian_bytes, reason = "eventfd counts in the host's byte order")]
        let one = 1u64.to_ne_bytes();
        let written = (&self.eventfd).write(&one);
        assert!(matches!(written, Ok(8)), "an eventfd far from overflow takes every write");
    }
}
