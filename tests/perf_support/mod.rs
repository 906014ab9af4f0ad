//! The load generator of this tree as a process, against the broker.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

/// `haremq-perf`, beside the broker's binary: there it is when the whole workspace is built. If it
/// is not there, or older than its sources, cargo builds it.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let broker = Path::new(env!("CARGO_BIN_EXE_haremq"));
        let path = broker.with_file_name("haremq-perf");
        if changed_at(&path).is_none_or(|built_at| {
            SOURCES.iter().any(|source| {
                is_newer(&Path::new(env!("CARGO_MANIFEST_DIR")).join(source), built_at)
            })
        }) {
            build(broker.parent().expect("it is in a folder"));
        }
        path
    })
}

/// What the generator is made of.
const SOURCES: [&str; 3] = ["perf", "src/protocol", "src/reactor"];

fn changed_at(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn is_newer(path: &Path, built_at: SystemTime) -> bool {
    match path.read_dir() {
        Ok(entries) => entries.flatten().any(|entry| is_newer(&entry.path(), built_at)),
        Err(_) => {
            let is_source = path.extension().is_some_and(|ending| ending == "rs");
            is_source && changed_at(path).is_some_and(|changed_at| changed_at > built_at)
        }
    }
}

fn build(folder: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "-p", "haremq-perf", "--bin", "haremq-perf"]);
    cargo.arg("--target-dir").arg(folder.parent().expect("profiles have a folder each"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo is there").success());
}

/// The generator with these words, unaffected by settings that this process has inherited.
pub(crate) fn generator(words: &str) -> Command {
    let mut command = Command::new(binary());
    let kept = ["PATH", "HOME", "TMPDIR"].map(|name| (name, env::var_os(name)));
    command.env_clear();
    for (name, value) in kept {
        command.envs(value.map(|value| (name, value)));
    }
    command.args(words.split_whitespace()).stdin(Stdio::null());
    command
}

/// How a program ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Told {
    code: Option<i32>,
    text: String,
}

impl Told {
    fn of(output: &Output) -> Told {
        let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        Told { code: output.status.code(), text: texts.concat() }
    }

    /// The exit code, and texts that were printed.
    pub(crate) fn assert(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.text);
        texts.iter().for_each(|text| assert!(self.text.contains(text), "{text:?}: {}", self.text));
    }

    /// The number behind a text.
    pub(crate) fn number(&self, before: &str) -> u64 {
        let (_, rest) = self.text.split_once(before).unwrap_or_else(|| panic!("{}", self.text));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{before:?}: {}", self.text))
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Runs the generator to its end.
pub(crate) fn perf(words: &str) -> Told {
    Told::of(&generator(words).output().expect("the generator starts"))
}

/// `haremq-perf run` against a broker.
pub(crate) fn run(address: SocketAddr, words: &str) -> Told {
    perf(&format!("run -h amqp://{address} --format quiet {words}"))
}

/// A run that goes on until it, or its broker, is killed.
pub(crate) struct Running {
    process: Child,
    output: BufReader<ChildStdout>,
    text: String,
}

impl Running {
    pub(crate) fn start(address: SocketAddr, words: &str) -> Running {
        let words = format!("run -h amqp://{address} --format perftest -i 0.1 {words}");
        let mut command = generator(&words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the generator starts");
        let output = process.stdout.take().expect("it is a pipe");
        Running { process, output: BufReader::new(output), text: String::new() }
    }

    /// Returns when the line of an interval tells that messages are confirmed and received.
    pub(crate) fn await_progress(&mut self) {
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).expect("it prints lines");
            assert!(!line.is_empty(), "it ended early: {}", self.text);
            self.text.push_str(&line);
            let is_moving =
                |what: &str| line.split_once(what).is_some_and(|(_, rest)| !rest.starts_with("0 "));
            if is_moving(" confirmed: ") && is_moving(" received: ") {
                return;
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it still runs");
        self.process.wait().expect("it is our child");
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Told {
        self.output.read_to_string(&mut self.text).expect("it prints text");
        let mut output = self.process.wait_with_output().expect("it is our child");
        output.stdout = std::mem::take(&mut self.text).into_bytes();
        Told::of(&output)
    }
}
