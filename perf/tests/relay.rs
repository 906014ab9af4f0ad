//! The generator against the relays: a clean one passes, and each mistake is found.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_haremq-perf");

struct Relay {
    process: Child,
    uri: String,
}

impl Relay {
    fn start(flags: &[&str]) -> Relay {
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

    fn run(&self, flags: &str) -> Output {
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

fn check(output: &Output, code: i32, contains: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    assert!(text.contains(contains) || errors.contains(contains), "{text}{errors}");
}

#[test]
fn a_frame_relay_passes_the_check() {
    let relay = Relay::start(&[]);
    check(&relay.run("-C 20000 -a -s 24"), 0, "lost 0, duplicated 0");
    check(&relay.run("-C 50 -a -s 400000"), 0, "50 sent, 50 received");
}

#[test]
fn a_byte_relay_passes_the_check() {
    let relay = Relay::start(&["--mode", "bytes"]);
    check(&relay.run("-C 20000 -a --raw -s 24"), 0, "lost 0, duplicated 0");
}

#[test]
fn a_relay_with_books_confirms_and_takes_acks() {
    let relay = Relay::start(&["--mode", "confirms"]);
    check(&relay.run("-C 20000 -c 100 -q 100 -A 10"), 0, "confirm latency");
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let relay = Relay::start(&[]);
    let output = relay.run("-r 2000 -C 1000 -a --arrivals poisson");
    check(&output, 0, "1,000 sent, 1,000 received");
    check(&output, 0, "generator's own lag");
}

#[test]
fn a_lost_message_is_found() {
    let relay = Relay::start(&["--fault", "lose"]);
    check(&relay.run("-C 2000 -a"), 4, "lost 2, duplicated 0 (redelivered 0), out of order 0");
}

#[test]
fn a_doubled_message_is_found() {
    let relay = Relay::start(&["--fault", "double"]);
    check(&relay.run("-C 2000 -a"), 4, "lost 0, duplicated 2 (redelivered 0), out of order 0");
}

#[test]
fn a_reordered_message_is_found() {
    let relay = Relay::start(&["--fault", "reorder"]);
    check(&relay.run("-C 2000 -a"), 4, "lost 0, duplicated 0 (redelivered 0), out of order 2");
}

#[test]
fn a_corrupted_message_is_found() {
    let relay = Relay::start(&["--fault", "corrupt"]);
    check(&relay.run("-C 2000 -a -s 100"), 4, "out of order 0, corrupted 2");
}

#[test]
fn what_a_relay_cannot_do_is_said() {
    let relay = Relay::start(&[]);
    check(&relay.run("-C 10 -c 5"), 1, "NOT_IMPLEMENTED");
    check(&relay.run("--confrm 5"), 2, "--confirm");
}
