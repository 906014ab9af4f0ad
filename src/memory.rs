//! How much memory the broker may fill with messages and buffers.

use std::fmt;
use std::str::FromStr;

use haremq_reactor::MachineReport;

/// Below this not even the buffers of a few connections fit.
const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// Longest suffixes first: `B` ends all of them.
const UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// What `--memory` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryRequest {
    /// So many bytes.
    Bytes(u64),
    /// A share of what the control group or the host has, 1 to 100.
    Percent(u8),
}

/// A limit, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    /// At least one MiB.
    pub(crate) bytes: u64,
    /// The share was taken of this; `None` if bytes were asked for.
    pub(crate) share: Option<(u8, MemorySource)>,
    /// What the machine has, in bytes, if it tells.
    pub(crate) machine_bytes: Option<u64>,
}

/// Who sets the bound that a share is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemorySource {
    /// The control group's limit is the tighter one.
    Cgroup,
    /// The host's memory.
    Host,
}

/// Why `--memory` cannot be understood or fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MemoryError {
    #[error("write a size such as 512MiB or 2GiB, or a share such as 60%")]
    Malformed,
    #[error("a share of memory is 1% to 100%")]
    Share,
    #[error("the memory limit is below 1MiB: write a size such as 512MiB, or a share such as 60%")]
    TooSmall,
    #[error("this machine does not tell its memory: write --memory as a size, such as 2GiB")]
    Unknown,
}

impl FromStr for MemoryRequest {
    type Err = MemoryError;

    fn from_str(text: &str) -> Result<MemoryRequest, MemoryError> {
        let text = text.trim();
        match text.strip_suffix('%') {
            Some(share) => parse_share(share.trim()),
            None => parse_bytes(text),
        }
    }
}

fn parse_share(text: &str) -> Result<MemoryRequest, MemoryError> {
    match text.parse() {
        Ok(percent @ 1..=100) => Ok(MemoryRequest::Percent(percent)),
        _ => Err(MemoryError::Share),
    }
}

fn parse_bytes(text: &str) -> Result<MemoryRequest, MemoryError> {
    let with_unit = |&(unit, factor): &(&str, u64)| Some((text.strip_suffix(unit)?, factor));
    let (number, factor) = UNITS.iter().find_map(with_unit).unwrap_or((text, 1));
    let number: u64 = number.trim().parse().map_err(|_| MemoryError::Malformed)?;
    let bytes = number.checked_mul(factor).ok_or(MemoryError::Malformed)?;
    if bytes < MEMORY_BYTES_MIN {
        Err(MemoryError::TooSmall)
    } else {
        Ok(MemoryRequest::Bytes(bytes))
    }
}

impl MemoryRequest {
    /// Applies the request to a machine.
    ///
    /// # Errors
    /// If it is a share of something unknown or tiny.
    pub(crate) fn resolve(self, machine: &MachineReport) -> Result<MemoryLimit, MemoryError> {
        let machine_bytes = machine.memory_bytes();
        match self {
            MemoryRequest::Bytes(bytes) => Ok(MemoryLimit { bytes, share: None, machine_bytes }),
            MemoryRequest::Percent(percent) => {
                let whole = machine_bytes.ok_or(MemoryError::Unknown)?;
                let bytes = (u128::from(whole) * u128::from(percent) / 100) as u64;
                if bytes < MEMORY_BYTES_MIN {
                    return Err(MemoryError::TooSmall);
                }
                let share = Some((percent, source(machine, whole)));
                Ok(MemoryLimit { bytes, share, machine_bytes })
            }
        }
    }
}

fn source(machine: &MachineReport, bytes: u64) -> MemorySource {
    let is_cgroup = machine.cgroup_memory_bytes == Some(bytes)
        && machine.host_memory_bytes.is_none_or(|host| host > bytes);
    if is_cgroup { MemorySource::Cgroup } else { MemorySource::Host }
}

impl MemoryLimit {
    /// More than the machine has: the kernel would kill the broker before the limit is reached.
    pub(crate) fn exceeds_machine(&self) -> bool {
        self.machine_bytes.is_some_and(|whole| self.bytes > whole)
    }

    /// Where the limit comes from, in words.
    pub(crate) fn origin(&self) -> String {
        let whole = self.machine_bytes.map(Bytes);
        match (self.share, whole) {
            (Some((percent, MemorySource::Cgroup)), Some(whole)) => {
                format!("{percent}% of the control group's {whole}")
            }
            (Some((percent, MemorySource::Host)), Some(whole)) => {
                format!("{percent}% of the host's {whole}")
            }
            (_, Some(whole)) => format!("--memory; the machine has {whole}"),
            (_, None) => "--memory".to_owned(),
        }
    }
}

/// A number of bytes, written for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scales = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match scales.into_iter().find(|&(scale, _)| self.0 >= scale) {
            Some((scale, unit)) if self.0.is_multiple_of(scale) => {
                write!(formatter, "{} {unit}", self.0 / scale)
            }
            Some((scale, unit)) => write!(formatter, "{:.1} {unit}", self.0 as f64 / scale as f64),
            None => write!(formatter, "{} B", self.0),
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod memory_tests;
