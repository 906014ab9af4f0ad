//! A relay as a process, and runs against it.

// Each test program uses a part of it.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_haremq-perf");

pub struct Relay {
    process: Child,
    pub uri: String,
}

impl Relay {
    /// On a free port.
    pub fn start(flags: &[&str]) -> Relay {
        let mut process = Command::new(PROGRAM)
            .args(["relay", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the relay starts");
        let output = process.stdout.take().expect("its output is a pipe");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("it tells its address");
        let address = line.trim().rsplit(' ').next().expect("the address is the last word");
        Relay { uri: format!("amqp://{address}"), process }
    }

    /// A run of the generator against it.
    pub fn run(&self, flags: &str) -> Output {
        Command::new(PROGRAM)
            .args(["run", "-h", &self.uri, "--format", "quiet"])
            .args(flags.split_whitespace())
            .output()
            .expect("the generator starts")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.process.kill().expect("the relay still runs");
        self.process.wait().expect("it is our child");
    }
}

/// The exit code, and a text that was printed.
pub fn check(output: &Output, code: i32, contains: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    assert!(text.contains(contains) || errors.contains(contains), "{text}{errors}");
}
