//! Which CPUs the cores' loops run on: the text of `--cores`, applied to a machine.

use std::str::FromStr;

use crate::machine::MachineReport;

/// More CPUs than any machine has; keeps a mistyped range from filling the memory.
const CPU_MAX: usize = 8191;
/// From so many physical cores on, `auto` leaves one to the control threads.
const CORES_TO_SPARE_ONE: usize = 4;

/// What `--cores` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreSelection {
    /// One loop per physical core that the process may use, less one for the control threads
    /// where there are four or more, and no more than the control group's quota feeds.
    Auto,
    /// So many, at least one; physical cores first.
    Count(usize),
    /// Exactly these CPUs, rising, none twice.
    Cpus(Vec<usize>),
}

/// Why a core selection cannot be understood or fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreSelectionError {
    /// The text has none of the three forms.
    #[error("--cores {text:?} is not understood: write auto, a count such as 4, or CPUs as 0-3,8")]
    Malformed {
        /// What was written.
        text: String,
    },
    /// A comma with nothing before or behind it.
    #[error(
        "--cores {text:?} has a comma with nothing beside it: write CPUs as 0-3,8 (CPU 2 alone is \
         2-2)"
    )]
    EmptyPart {
        /// What was written.
        text: String,
    },
    /// A count of 0.
    #[error("--cores 0 leaves no core: write auto or at least 1 (CPU 0 alone is 0-0)")]
    Zero,
    /// The last CPU of a range is below its first.
    #[error("--cores has the range {first}-{last}: write {last}-{first}")]
    Reversed {
        /// As written.
        first: usize,
        /// As written.
        last: usize,
    },
    /// A CPU is in the list twice.
    #[error("--cores names CPU {cpu} twice: name each once, a core has one loop")]
    Repeated {
        /// The CPU.
        cpu: usize,
    },
    /// More cores than there are.
    #[error("--cores asks for {wanted} cores, {available} are available: write auto or less")]
    TooMany {
        /// The count that was asked for.
        wanted: usize,
        /// How many the scheduler allows.
        available: usize,
    },
    /// A CPU that does not exist or is not allowed.
    #[error("--cores names CPU {cpu}, available are {allowed:?}: see also taskset and cpuset")]
    NotAllowed {
        /// The CPU.
        cpu: usize,
        /// Those that the scheduler allows.
        allowed: Vec<usize>,
    },
}

impl FromStr for CoreSelection {
    type Err = CoreSelectionError;

    /// `auto`, a bare number (a count), or a list, which has a comma or a dash: `2-2` is CPU 2.
    fn from_str(text: &str) -> Result<CoreSelection, CoreSelectionError> {
        let text = text.trim();
        if text == "auto" {
            return Ok(CoreSelection::Auto);
        }
        if text.contains([',', '-']) {
            return parse_list(text).map(CoreSelection::Cpus);
        }
        match parse_number(text, text)? {
            0 => Err(CoreSelectionError::Zero),
            count => Ok(CoreSelection::Count(count)),
        }
    }
}

impl CoreSelection {
    /// The CPUs, one per core loop, at least one. A count or a list may exceed the quota of the
    /// control group ([`MachineReport::is_throttled`]); only `auto` obeys it.
    ///
    /// # Errors
    /// [`CoreSelectionError`] if the machine does not have them.
    pub fn resolve(&self, machine: &MachineReport) -> Result<Vec<usize>, CoreSelectionError> {
        let allowed = &machine.allowed_cpus;
        match self {
            CoreSelection::Auto => Ok(automatic(machine)),
            CoreSelection::Count(wanted) => {
                let mut cpus = physical_first(machine);
                if *wanted > cpus.len() {
                    let available = cpus.len();
                    return Err(CoreSelectionError::TooMany { wanted: *wanted, available });
                }
                cpus.truncate(*wanted);
                Ok(cpus)
            }
            CoreSelection::Cpus(cpus) => match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                Some(&cpu) => Err(CoreSelectionError::NotAllowed { cpu, allowed: allowed.clone() }),
                None => Ok(cpus.clone()),
            },
        }
    }
}

fn automatic(machine: &MachineReport) -> Vec<usize> {
    let mut cpus = machine.physical_cpus.clone();
    if cpus.len() >= CORES_TO_SPARE_ONE {
        cpus.pop();
    }
    if let Some(quota) = machine.cpu_quota {
        cpus.truncate((quota as usize).max(1));
    }
    cpus
}

fn physical_first(machine: &MachineReport) -> Vec<usize> {
    let mut cpus = machine.physical_cpus.clone();
    let others = machine.allowed_cpus.iter().filter(|cpu| !machine.physical_cpus.contains(cpu));
    cpus.extend(others);
    cpus
}

fn parse_list(text: &str) -> Result<Vec<usize>, CoreSelectionError> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        if part.is_empty() {
            return Err(CoreSelectionError::EmptyPart { text: text.to_owned() });
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_number(first, text)?, parse_number(last, text)?);
        if first > last {
            return Err(CoreSelectionError::Reversed { first, last });
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    match cpus.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(CoreSelectionError::Repeated { cpu: pair[0] }),
        None => Ok(cpus),
    }
}

/// A number within `text`, which is the whole that an error shows.
fn parse_number(number: &str, text: &str) -> Result<usize, CoreSelectionError> {
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if is_plain { number.parse().ok() } else { None };
    parsed
        .filter(|&number| number <= CPU_MAX)
        .ok_or_else(|| CoreSelectionError::Malformed { text: text.to_owned() })
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod topology_tests;
