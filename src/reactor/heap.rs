//! The C library's heap: memory that is freed is to go back to the system.
//!
//! By itself it keeps what was freed below anything that is still in use, and raises the size from
//! which blocks are mapped singly to that of the largest block freed. Of a long queue that has been
//! drained nearly everything would stay.

/// Blocks from this size on are mapped singly, so that they go back as soon as they are freed.
/// Smaller ones, as bodies of 64 KiB, come and go with each message: to map and unmap them costs
/// three times what else their message does. They go back by [`return_free_pages`].
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 1 << 20;

/// Lets large blocks go back to the system as soon as they are freed. Once, at start.
pub fn map_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: changes a number of the allocator, under its own lock.
    let is_known = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN) };
    #[cfg(target_env = "gnu")]
    assert_eq!(is_known, 1, "the allocator knows its own parameter");
}

/// Gives the heap's free pages back to the system. Takes milliseconds per 100 MiB, in which threads
/// that allocate may have to wait.
pub fn return_free_pages() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches only pages that nobody has allocated, under the allocator's locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
