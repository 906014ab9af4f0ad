//! What one check found, and what to do about it.

use std::fmt;

use serde_json::json;

/// How bad it is, rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing to do.
    Fit,
    /// Works, with less.
    Warn,
    /// The broker would not start.
    Unfit,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at; stable, for scripts.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) verdict: Verdict,
    /// What is the case.
    pub(crate) found: String,
    /// What to do; empty if and only if the verdict is fit.
    pub(crate) remedy: String,
}

impl Verdict {
    /// The process's exit code if this is the worst.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Verdict::Fit => 0,
            Verdict::Warn => 1,
            Verdict::Unfit => 2,
        }
    }

    /// Stable, for scripts.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Fit => "fit",
            Verdict::Warn => "warn",
            Verdict::Unfit => "unfit",
        }
    }
}

impl Finding {
    pub(crate) fn fit(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Fit, found: found.into(), remedy: String::new() }
    }

    pub(crate) fn warn(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { check, verdict: Verdict::Warn, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn unfit(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { check, verdict: Verdict::Unfit, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({
            "check": self.check,
            "verdict": self.verdict.word(),
            "found": self.found,
            "remedy": self.remedy,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<6} {:<18} {}", self.verdict.word(), self.check, self.found)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.remedy) }
    }
}
