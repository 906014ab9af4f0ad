//! What a count is worth beside the committed one.

use super::toolchain::Toolchain;

/// What a count may differ by, as a part of the committed one.
const MARGIN: f64 = 0.03;
/// The same where another compiler made the code: only leaps can be told from its doing.
const MARGIN_OF_OTHER_COMPILER: f64 = 0.15;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    Dearer,
    Cheaper,
    /// Nothing is committed to compare it with.
    New,
}

pub(crate) fn judge(committed: Option<f64>, now: f64, margin: f64) -> Verdict {
    let Some(committed) = committed else { return Verdict::New };
    assert!(committed > 0.0, "a message costs something");
    let change = now / committed - 1.0;
    if change > margin {
        Verdict::Dearer
    } else if change < -margin {
        Verdict::Cheaper
    } else {
        Verdict::Kept
    }
}

/// None if the counts are of different instruction sets.
pub(crate) fn margin(recorded: &Toolchain, here: &Toolchain) -> Option<f64> {
    if recorded.host != here.host {
        None
    } else if recorded.rustc != here.rustc {
        Some(MARGIN_OF_OTHER_COMPILER)
    } else {
        Some(MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(rustc: &str, host: &str) -> Toolchain {
        Toolchain { rustc: rustc.into(), host: host.into(), libc: "glibc 2.36".into() }
    }

    #[test]
    fn more_than_the_margin_fails_either_way() {
        assert_eq!(judge(Some(1_000.0), 1_029.0, MARGIN), Verdict::Kept);
        assert_eq!(judge(Some(1_000.0), 1_031.0, MARGIN), Verdict::Dearer);
        assert_eq!(judge(Some(1_000.0), 971.0, MARGIN), Verdict::Kept);
        assert_eq!(judge(Some(1_000.0), 969.0, MARGIN), Verdict::Cheaper);
        assert_eq!(judge(None, 1_000.0, MARGIN), Verdict::New);
    }

    #[test]
    fn other_compilers_have_a_wider_margin_and_other_hosts_none() {
        let recorded = toolchain("1.95", "x86_64");
        assert_eq!(margin(&recorded, &toolchain("1.95", "x86_64")), Some(MARGIN));
        let other = margin(&recorded, &toolchain("1.96", "x86_64"));
        assert_eq!(other, Some(MARGIN_OF_OTHER_COMPILER));
        assert_eq!(margin(&recorded, &toolchain("1.95", "aarch64")), None);
    }
}
