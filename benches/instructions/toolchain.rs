//! What turned the source into instructions.

use std::fmt;
use std::process::Command;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Version and commit of the compiler.
    pub(crate) rustc: String,
    /// Architecture and system.
    pub(crate) host: String,
    /// Has its part in the counts: `memcpy` and the like.
    pub(crate) libc: String,
}

impl Toolchain {
    /// That of this machine, as cargo used it just now.
    pub(crate) fn here() -> Result<Toolchain, String> {
        let told = said("rustc", &["-vV"])?;
        let host = told.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(Toolchain {
            rustc: told.lines().next().unwrap_or("").to_owned(),
            host: host.ok_or("rustc -vV names no host")?.to_owned(),
            libc: said("getconf", &["GNU_LIBC_VERSION"])?.trim().to_owned(),
        })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}, {}", self.rustc, self.host, self.libc)
    }
}

fn said(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    String::from_utf8(output.stdout).map_err(|_| format!("{program} did not write text"))
}
