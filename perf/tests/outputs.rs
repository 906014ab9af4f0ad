//! What a run writes, and what is made of it.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{PROGRAM, Relay, check};

/// A file of one test, in the folder that cargo keeps for that.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).expect("the run has written it")
}

#[test]
fn an_outcome_says_all_that_matters() {
    let relay = Relay::start(&[]);
    let output = relay.run("-r 2000 -C 1000 -a -o json");
    let outcome: Value = serde_json::from_slice(&output.stdout).expect("it is JSON, nothing else");
    assert_eq!(outcome["schema"], 1);
    assert_eq!(outcome["broker"]["product"], "haremq-perf relay");
    assert_eq!(outcome["totals"]["received"], 1000);
    assert_eq!(outcome["judgement"]["lost"], 0);
    assert_eq!(outcome["latency"]["consume"]["count"], 1000);
    for kind in ["consume", "consume_raw", "lag"] {
        for quantile in ["p50", "p99", "p99_9", "p99_999", "max"] {
            assert!(outcome["latency"][kind][quantile].is_f64(), "{kind} {quantile}");
        }
    }
    // The relay is found by its port.
    assert!(outcome["broker"]["pid"].is_u64());
    assert!(outcome["broker_process"]["rss_peak"].as_u64().expect("a number") > 1 << 20);
}

#[test]
fn files_are_written_in_their_forms() {
    let relay = Relay::start(&[]);
    let (html, hlog, csv) = (file("run.html"), file("run.hlog"), file("run.csv"));
    let flags = format!(
        "-C 5000 -a -i 0.05 --html {} --hlog {} -o {}",
        html.display(),
        hlog.display(),
        csv.display()
    );
    check(&relay.run(&flags), 0, "5,000 received");
    assert!(read(&html).contains("<svg"));
    assert!(read(&hlog).contains("Tag=consume"));
    assert!(read(&csv).starts_with("id,time_s,sent_per_s"));
}

#[test]
fn two_brokers_are_compared_in_turns() {
    let (a, b) = (Relay::start(&[]), Relay::start(&[]));
    let json = file("ab.json");
    let output = Command::new(PROGRAM)
        .args(["ab", "--a", &a.uri, "--b", &b.uri, "--rounds", "4", "--json"])
        .arg(&json)
        .args(["--", "-C", "1000", "-a"])
        .output()
        .expect("the program starts");
    check(&output, 0, "consumer p50");
    let text = String::from_utf8_lossy(&output.stdout);
    let order: String = text
        .lines()
        .filter(|line| line.starts_with("round "))
        .filter_map(|line| line.split(' ').nth(2)?.chars().next())
        .collect();
    assert_eq!(order, "ABBAABBA");
    let written: Value = serde_json::from_str(&read(&json)).expect("it is JSON");
    let (of_a, of_b) = (file("a.json"), file("b.json"));
    fs::write(&of_a, written["a"].to_string()).expect("the folder can be written");
    fs::write(&of_b, written["b"].to_string()).expect("the folder can be written");
    let compared =
        Command::new(PROGRAM).arg("compare").args([of_a, of_b]).output().expect("it starts");
    check(&compared, 0, "4 runs");
}

#[test]
fn an_interrupted_run_still_checks_what_it_sent() {
    let relay = Relay::start(&[]);
    let mut run = Command::new(PROGRAM)
        .args(["run", "-h", &relay.uri, "-r", "1000", "-a", "-i", "0.1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut output = BufReader::new(run.stdout.take().expect("its output is a pipe"));
    let mut text = String::new();
    output.read_line(&mut text).expect("it prints a line per interval");
    let interrupt = Command::new("kill").args(["-INT", &run.id().to_string()]).status();
    assert!(interrupt.expect("kill is there").success());
    output.read_to_string(&mut text).expect("it prints a summary");
    assert_eq!(run.wait().expect("it ends").code(), Some(0), "{text}");
    assert!(text.contains("-> ok") && !text.contains("not checked"), "{text}");
}

#[test]
fn what_would_be_ignored_is_refused() {
    let relay = Relay::start(&[]);
    check(&relay.run("--churn queue --html x.html"), 2, "--churn cannot write --html");
    check(&relay.run("--sweep 10:20 --hlog x.hlog"), 2, "--sweep cannot write --hlog");
}

#[test]
fn a_sweep_finds_a_knee() {
    let relay = Relay::start(&[]);
    let output = relay.run("--sweep 200:800 -a -z 0.2 --knee-p99 1000");
    check(&output, 0, "knee: ");
}

#[test]
fn an_ab_run_without_an_end_is_refused() {
    let uri = "amqp://127.0.0.1:1";
    let output = Command::new(PROGRAM)
        .args(["ab", "--a", uri, "--b", uri, "--", "-a"])
        .output()
        .expect("the program starts");
    check(&output, 2, "--time");
}

#[test]
fn what_an_ab_run_would_ignore_is_refused() {
    let uri = "amqp://127.0.0.1:1";
    for flag in ["--html=x.html", "--ledger=x", "--churn=queue", "-o=json", "-H=amqp://h"] {
        let output = Command::new(PROGRAM)
            .args(["ab", "--a", uri, "--b", uri, "--", "-C", "1", flag])
            .output()
            .expect("the program starts");
        check(&output, 2, "ab does not take");
    }
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let output = Command::new(PROGRAM)
        .args(["run", "-h", "amqp://127.0.0.1:1", "-z", "1"])
        .output()
        .expect("the program starts");
    check(&output, 1, "cannot connect to amqp://127.0.0.1:1");
}

#[test]
fn a_ledger_is_kept_while_the_run_goes_on() {
    let relay = Relay::start(&["--mode", "confirms"]);
    let ledger = file("whole.ledger");
    let flags = format!("-u q -ad false -c 100 -q 100 -C 5000 --ledger {}", ledger.display());
    check(&relay.run(&flags), 0, "5,000 received; lost 0");
    let bytes = fs::read(&ledger).expect("the run has written it");
    assert!(bytes.starts_with(b"HMQLEDG1"), "its first octets tell the format");
}

#[test]
fn a_ledger_that_cannot_be_written_fails_the_run() {
    let relay = Relay::start(&["--mode", "confirms"]);
    let flags = "-u q -ad false -c 100 -q 100";
    check(&relay.run(&format!("{flags} --ledger /dev/full -C 10")), 1, "cannot be written");
    // It grows beyond what it may while the run, which has no other end, goes on.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {PROGRAM} run -h {} --format quiet {flags} --ledger {}",
        relay.uri,
        file("limited.ledger").display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("there is a shell");
    check(&output, 1, "cannot be written");
    check(&output, 1, "no fault until the run failed");
}

#[test]
fn a_ledger_without_promises_is_refused() {
    let relay = Relay::start(&[]);
    check(&relay.run("--ledger x -C 10"), 2, "--ledger needs confirms (-c)");
}

#[test]
fn what_is_no_ledger_is_said() {
    let path = file("no.ledger");
    fs::write(&path, "{}").expect("the folder can be written");
    let output = Command::new(PROGRAM).arg("check").arg(&path).output().expect("it starts");
    check(&output, 1, "no ledger of haremq-perf run");
}
