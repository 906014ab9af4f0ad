//! The core's io_uring: requests in, completions out, one entry into the kernel per tick.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use crate::token::{Kind, Token};

/// Linux 6.13 and later make so many deferred completions per entry, give or take a few.
const DEFERRED_BATCH: usize = 16;
/// Bounds one round at about 1,300 completions, so that a flood cannot keep the core in here.
const EXTRA_ENTERS_MAX: usize = 64;

/// Which way of running completions the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingSupport {
    /// `SINGLE_ISSUER` and `DEFER_TASKRUN` (kernel 6.1): completions are made when the core asks.
    Deferred,
    /// Plain rings (kernel 5.15): completions interrupt the core. Works, costs more.
    Plain,
}

/// A completion, translated from the kernel's form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) token: Token,
    /// Not negative: the request's result; negative: an errno.
    pub(crate) result: i32,
    /// More completions of the same request will follow; false also ends a multishot request.
    pub(crate) has_more: bool,
}

/// Owned by one core and entered only by the thread that made it.
pub(crate) struct Uring {
    ring: IoUring,
    support: RingSupport,
    /// Calls of `io_uring_enter`.
    enters: u64,
}

impl Uring {
    /// A ring with room for `entries` requests per submission and `completions` unread
    /// completions. More than that is kept by the kernel, only slower.
    pub(crate) fn new(entries: u32, completions: u32) -> io::Result<Uring> {
        match deferred(completions).build(entries) {
            Ok(ring) => Ok(Uring { ring, support: RingSupport::Deferred, enters: 0 }),
            // An older kernel does not know the flags.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Uring::new_plain(entries, completions)
            }
            Err(error) => Err(error),
        }
    }

    /// As `new`, in the way that Linux 5.15 knows already.
    pub(crate) fn new_plain(entries: u32, completions: u32) -> io::Result<Uring> {
        let ring = plain(completions).build(entries)?;
        let params = ring.params();
        if !params.is_feature_ext_arg() || !params.is_feature_nodrop() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Uring { ring, support: RingSupport::Plain, enters: 0 })
    }

    pub(crate) fn support(&self) -> RingSupport {
        self.support
    }

    pub(crate) fn enters(&self) -> u64 {
        self.enters
    }

    /// Lets the kernel's own workers (which run file syncs) run on `cpu` only.
    pub(crate) fn place_workers(&self, cpu: usize) -> io::Result<()> {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a cpu set is a bit array, for which all zeroes is the empty set, and the index
        // is within it.
        let set = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            set
        };
        self.ring.submitter().register_iowq_aff(&set)
    }

    /// Asks for a completion each time that one of `events` newly holds for `fd`.
    pub(crate) fn poll_multishot(&mut self, fd: RawFd, events: u32, token: Token) {
        let request = opcode::PollAdd::new(Fd(fd), events).multi(true).build();
        self.push(request, token);
    }

    /// Asks for one completion when one of `events` holds for `fd`.
    pub(crate) fn poll_once(&mut self, fd: RawFd, events: u32, token: Token) {
        self.push(opcode::PollAdd::new(Fd(fd), events).build(), token);
    }

    /// Asks for a completion when all that was written to `fd` is on the medium.
    pub(crate) fn sync_data(&mut self, fd: RawFd, token: Token) {
        let request = opcode::Fsync::new(Fd(fd)).flags(FsyncFlags::DATASYNC).build();
        self.push(request, token);
    }

    /// Ends the request that was submitted under `token`. `POLL_REMOVE` would not do: it refuses
    /// a poll that is just about to complete, which would then go on holding its file.
    pub(crate) fn cancel(&mut self, token: Token) {
        self.push(opcode::AsyncCancel::new(token.encode()).build(), Token::single(Kind::Cancel));
    }

    /// Everything pushed so far has been taken by the kernel.
    pub(crate) fn is_submitted(&mut self) -> bool {
        self.ring.submission().is_empty()
    }

    /// Submits and collects what has completed, without waiting; does not enter the kernel when
    /// there is nothing to do in it.
    pub(crate) fn enter(&mut self) {
        let queue = self.ring.submission();
        let count = queue.len() as u32;
        if count == 0 && !queue.taskrun() && !queue.cq_overflow() {
            return;
        }
        drop(queue);
        self.enter_for_events(count);
        self.enter_for_the_rest();
    }

    /// Submits and sleeps until something has completed or the time is over. May return early.
    pub(crate) fn enter_and_sleep(&mut self, timeout: Option<Duration>) {
        self.enters += 1;
        let submitter = self.ring.submitter();
        let result = match timeout {
            None => submitter.submit_and_wait(1),
            Some(timeout) => {
                let timespec = Timespec::from(timeout);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timespec))
            }
        };
        check(result);
        self.enter_for_the_rest();
    }

    /// Fetches what the kernel has left over. Newer ones make only some deferred completions per
    /// entry; a round that took no more than those would spend its whole cost on a few sockets.
    fn enter_for_the_rest(&mut self) {
        let mut count = 0;
        for _ in 0..EXTRA_ENTERS_MAX {
            let gained = self.ring.completion().len() - count;
            if gained < DEFERRED_BATCH || !self.ring.submission().taskrun() {
                return;
            }
            count += gained;
            self.enter_for_events(0);
        }
    }

    fn enter_for_events(&mut self, submit_count: u32) {
        self.enters += 1;
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: the count is that of the pushed requests, and there is no argument to point to.
        // The safe calls ask for deferred completions only from the second round on.
        let result =
            unsafe { self.ring.submitter().enter::<libc::sigset_t>(submit_count, 0, flags, None) };
        check(result);
    }

    pub(crate) fn poll_completion(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        Some(Completion {
            token: Token::decode(entry.user_data()),
            result: entry.result(),
            has_more: cqueue::more(entry.flags()),
        })
    }

    fn push(&mut self, request: squeue::Entry, token: Token) {
        let request = request.user_data(token.encode());
        // One turn makes room, unless the kernel is short of memory for requests.
        loop {
            // SAFETY: our requests carry no pointers, and their descriptors are kept open until
            // the submission (`Reactor::closing`); the kernel holds the files from then on.
            if unsafe { self.ring.submission().push(&request) }.is_ok() {
                return;
            }
            self.enters += 1;
            check(self.ring.submit());
        }
    }
}

fn deferred(completions: u32) -> io_uring::Builder {
    let mut builder = plain(completions);
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    builder
}

fn plain(completions: u32) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder.setup_cqsize(completions).setup_clamp();
    builder
}

/// Time over, a signal and a passing shortage all mean that the round goes on; what was not
/// submitted stays in the queue for the next one.
fn check(result: io::Result<usize>) {
    let Err(error) = result else { return };
    match error.raw_os_error() {
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM) => {}
        // Among these EBADR: the kernel has lost completions, perhaps that of a sync.
        _ => panic!("io_uring_enter failed: {error}"),
    }
}
