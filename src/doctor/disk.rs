//! The disk under the data folder: what kind it is, and how long a sync takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::data_dir::nearest_existing;
use crate::doctor::finding::Finding;
use crate::doctor::read;

/// As the log's smallest batches are.
const WRITE_BYTES: usize = 4096;
/// So many give a p99 that is one measured value.
const WRITES: usize = 100;
/// A slow disk must not hold the doctor up for longer, give or take one write.
const MEASURE_MAX: Duration = Duration::from_secs(10);
/// Confirms of durable messages wait for a sync.
const SYNC_P99_GOOD: Duration = Duration::from_millis(20);

/// Parted by how they fail.
const NETWORK: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph"];
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

pub(crate) fn file_system(data_dir: &Path) -> Finding {
    const CHECK: &str = "file system";
    let Ok(folder) = nearest_existing(data_dir).and_then(fs::canonicalize) else {
        return unusable(CHECK, data_dir, "it, or what is above it, is no folder we may enter");
    };
    let kind = mount_kind(&read("/proc/self/mountinfo"), &folder);
    let found = |why: &str| format!("{} is on {kind}, {why}", folder.display());
    let remedy = "put --data-dir on a local disk with ext4 or xfs";
    match kind.as_str() {
        kind if NETWORK.contains(&kind) => {
            Finding::warn(CHECK, found("which syncs over the network"), remedy)
        }
        kind if VOLATILE.contains(&kind) => {
            Finding::warn(CHECK, found("which ends with the host"), remedy)
        }
        "overlay" => Finding::warn(
            CHECK,
            found("which ends with the container"),
            "mount a volume, and put --data-dir there",
        ),
        kind if kind.starts_with("fuse") => {
            Finding::warn(CHECK, found("whose syncs depend on a program"), remedy)
        }
        "" => Finding::warn(CHECK, "unknown", remedy),
        kind => Finding::fit(CHECK, format!("{} is on {kind}", folder.display())),
    }
}

pub(crate) fn sync_latency(data_dir: &Path) -> Finding {
    const CHECK: &str = "sync latency";
    match nearest_existing(data_dir).and_then(|folder| measure(&folder)) {
        Err(error) => unusable(CHECK, data_dir, &error.to_string()),
        Ok(times) => {
            let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
            let found = format!("{} syncs of 4 KiB: p50 {p50:.1?}, p99 {p99:.1?}", times.len());
            if p99 > SYNC_P99_GOOD {
                let remedy = "confirms of durable messages will wait for it: use a local SSD or \
                              NVMe disk";
                Finding::warn(CHECK, found, remedy)
            } else {
                Finding::fit(CHECK, found)
            }
        }
    }
}

fn unusable(check: &'static str, data_dir: &Path, why: &str) -> Finding {
    let found = format!("{} cannot be used ({why})", data_dir.display());
    Finding::unfit(check, found, "make it writable for this user, or choose another --data-dir")
}

/// Times of append and sync, rising; at least one.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".haremq-doctor-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let times = time_syncs(file);
    fs::remove_file(path)?;
    times
}

fn time_syncs(mut file: File) -> io::Result<Vec<Duration>> {
    let block = [0xA5; WRITE_BYTES];
    let begin = Instant::now();
    let mut times = Vec::with_capacity(WRITES);
    while times.len() < WRITES && begin.elapsed() < MEASURE_MAX {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Of rising values, the smallest that `percent` of them do not exceed.
fn percentile(rising: &[Duration], percent: usize) -> Duration {
    assert!(!rising.is_empty() && percent <= 100);
    let rank = (rising.len() * percent).div_ceil(100);
    rising[rank.saturating_sub(1)]
}

/// Type of the file system that `folder` is in, by the text of `/proc/self/mountinfo`. Empty if
/// that names none.
fn mount_kind(mountinfo: &str, folder: &Path) -> String {
    let mounts = mountinfo.lines().filter_map(|line| {
        // id parent device root MOUNT-POINT options [tags ...] - TYPE source options
        let (left, right) = line.split_once(" - ")?;
        let point = unescape(left.split(' ').nth(4)?);
        folder.starts_with(&point).then_some((point, right.split(' ').next()?))
    });
    // Of mounts on the same point the last one is on top.
    let innermost = mounts.max_by_key(|(point, _)| point.components().count());
    innermost.map(|(_, kind)| kind.to_owned()).unwrap_or_default()
}

/// Spaces and the like are written as a backslash and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod disk_tests;
