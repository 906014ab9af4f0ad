//! What the process's control groups allow: CPU time and memory, in versions 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

/// The tightest limit on the way from the process's group to the root; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CgroupLimits {
    /// CPU time per time, in CPUs.
    pub(crate) cpus: Option<f64>,
    pub(crate) memory_bytes: Option<u64>,
}

impl CgroupLimits {
    /// Reads the limits below `root` (`/sys/fs/cgroup`); `membership` is the text of
    /// `/proc/self/cgroup`. What is not there limits nothing.
    pub(crate) fn read(root: &Path, membership: &str) -> CgroupLimits {
        let mut limits = CgroupLimits::default();
        for line in membership.lines() {
            // hierarchy number : controllers (empty in version 2) : path
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let has = |name| controllers.split(',').any(|controller| controller == name);
            if controllers.is_empty() {
                // Beside version 1 hierarchies, version 2 is mounted one level deeper.
                for mount in [root.to_owned(), root.join("unified")] {
                    limits.tighten_along(&mount, path, v2_limits);
                }
            } else if has("cpu") || has("memory") {
                limits.tighten_along(&root.join(controllers), path, v1_limits);
            }
        }
        limits
    }

    /// Applies each group from `path` up to `mount`. Inside a container the path may be the
    /// host's and lead nowhere; `mount` itself is then the container's group.
    fn tighten_along(&mut self, mount: &Path, path: &str, read: fn(&Path) -> CgroupLimits) {
        let mut group: PathBuf = mount.join(path.trim_start_matches('/'));
        while group.starts_with(mount) {
            self.tighten(read(&group));
            if !group.pop() {
                break;
            }
        }
    }

    fn tighten(&mut self, other: CgroupLimits) {
        let cpus = self.cpus.into_iter().chain(other.cpus);
        self.cpus = cpus.reduce(f64::min);
        let memory = self.memory_bytes.into_iter().chain(other.memory_bytes);
        self.memory_bytes = memory.min();
    }
}

fn v2_limits(group: &Path) -> CgroupLimits {
    let cpu_max = text(group, "cpu.max");
    let mut words = cpu_max.split_whitespace();
    CgroupLimits {
        cpus: ratio(words.next().unwrap_or(""), words.next().unwrap_or("")),
        memory_bytes: text(group, "memory.max").parse().ok(),
    }
}

fn v1_limits(group: &Path) -> CgroupLimits {
    let quota = text(group, "cpu.cfs_quota_us");
    let memory: Option<u64> = text(group, "memory.limit_in_bytes").parse().ok();
    CgroupLimits {
        cpus: ratio(&quota, &text(group, "cpu.cfs_period_us")),
        // "No limit" is written as the largest multiple of a page.
        memory_bytes: memory.filter(|&bytes| bytes < 1 << 62),
    }
}

/// `None` for "max", -1, and what is not there.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let quota: u64 = quota.parse().ok()?;
    let period: u64 = period.parse().ok()?;
    (period > 0).then(|| quota as f64 / period as f64)
}

fn text(group: &Path, file: &str) -> String {
    fs::read_to_string(group.join(file)).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod cgroup_tests;
