//! The data folder: made on first use, and owned by one broker at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Holds the owner's process id, and the lock that ends with the owner, however it ends.
const LOCK_FILE: &str = "haremq.lock";
/// Longest process id is 7 digits; a file that we did not write is not read in full.
const PID_BYTES_MAX: u64 = 20;

/// The data folder of this process. Dropping it, or dying, lets the next broker in.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error(
        "data folder {} is in use by another broker{}: stop that one, or give this one its own \
         with --data-dir",
        path.display(),
        owner.as_ref().map_or(String::new(), |pid| format!(" (pid {pid})"))
    )]
    InUse { path: PathBuf, owner: Option<u32> },
    #[error(
        "data folder {} cannot be used: {source}; make it writable for this user, or choose \
         another with --data-dir",
        path.display()
    )]
    Unusable { path: PathBuf, source: io::Error },
}

impl DataDir {
    /// Makes the folder if it is not there, and locks it for this process.
    ///
    /// # Errors
    /// [`DataDirError`], also if another broker has it.
    pub(crate) fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        // Not truncated: until the lock is ours, the content is the owner's.
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(path.join(LOCK_FILE)).map_err(unusable)?;
        take(&mut lock, path)?;
        write_pid(&mut lock).map_err(unusable)?;
        Ok(DataDir { _lock: lock })
    }

    /// Whether [`DataDir::open`] would succeed, tried without making the folder.
    ///
    /// # Errors
    /// What `open` would say.
    pub(crate) fn check(path: &Path) -> Result<(), DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        match OpenOptions::new().read(true).write(true).open(path.join(LOCK_FILE)) {
            Ok(mut lock) => return take(&mut lock, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(error)),
        }
        let folder = nearest_existing(path).map_err(unusable)?;
        try_write(&folder).map_err(unusable)
    }
}

/// `path` if it exists, else the folder above it that does, in which it would be made.
///
/// # Errors
/// If that is not a folder, or cannot be looked at.
pub(crate) fn nearest_existing(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for candidate in absolute.ancestors() {
        match fs::metadata(candidate) {
            Ok(found) if found.is_dir() => return Ok(candidate.to_owned()),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn take(lock: &mut File, path: &Path) -> Result<(), DataDirError> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(DataDirError::InUse { path: path.to_owned(), owner: read_pid(lock) })
        }
        Err(TryLockError::Error(source)) => {
            Err(DataDirError::Unusable { path: path.to_owned(), source })
        }
    }
}

/// `None` if the owner has not written it yet.
fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())
}

/// Permissions alone do not tell (read-only mounts, quotas, access lists): a file is made.
fn try_write(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".haremq-check-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
#[path = "data_dir_tests.rs"]
mod data_dir_tests;
