//! Resource limits of the process.

use std::io;

/// A soft limit and the hard one that bounds it; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What the kernel enforces.
    pub soft: Option<u64>,
    /// How far the process may raise the soft limit by itself.
    pub hard: Option<u64>,
}

pub(crate) fn open_files() -> io::Result<Limit> {
    read(libc::RLIMIT_NOFILE)
}

pub(crate) fn locked_memory() -> io::Result<Limit> {
    read(libc::RLIMIT_MEMLOCK)
}

/// Sets the soft limit of open descriptors to `wanted`, or to the hard limit where that is lower,
/// and returns what holds now. Each connection takes one descriptor.
///
/// # Errors
/// What `setrlimit` says; the old limit then holds.
pub fn limit_open_files(wanted: u64) -> io::Result<u64> {
    let hard = open_files()?.hard.unwrap_or(libc::RLIM_INFINITY);
    let soft = wanted.min(hard);
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the pointer is to a live value that the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(soft)
}

fn read(resource: libc::__rlimit_resource_t) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value of the type that the call fills.
    if unsafe { libc::getrlimit(resource, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Limit { soft: finite(limit.rlim_cur), hard: finite(limit.rlim_max) })
}

fn finite(value: u64) -> Option<u64> {
    (value != libc::RLIM_INFINITY).then_some(value)
}
