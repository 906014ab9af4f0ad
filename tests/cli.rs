//! The binary as its users meet it: flags, banner, exit codes, signals.

#[path = "support/process.rs"]
mod process;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use haremq_protocol::client::{ClientConfig, ClientSession};
use process::{Broker, Ended, Scratch, haremq};
use serde_json::Value;

/// Exit code for what trying again does not mend.
const CONFIG: i32 = 78;
const LOOPBACK: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Runs `haremq` with the words, expects the exit code, and returns what it wrote.
fn check(words: &[&str], exit_code: i32) -> Ended {
    let ended = Ended::of(haremq().args(words));
    assert_eq!(ended.code, Some(exit_code), "{words:?}: {ended:?}");
    ended
}

/// The binary with this limit of open files, set by the shell that it replaces.
fn haremq_with_open_files(count: u32) -> Command {
    let inner = haremq();
    let mut shell = Command::new("sh");
    for (name, value) in inner.get_envs() {
        assert!(value.is_none(), "settings are only taken away");
        shell.env_remove(name);
    }
    let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(inner.get_program());
    shell
}

#[test]
fn version_and_help_are_told() {
    assert!(check(&["--version"], 0).stdout.contains(env!("CARGO_PKG_VERSION")));
    for words in [&["--help"][..], &["server", "--help"]] {
        let help = check(words, 0).stdout;
        for expected in ["--listen", "HAREMQ_LISTEN", "--memory", "--cores", "--check-config"] {
            assert!(help.contains(expected), "{expected} is missing in {help}");
        }
    }
    assert!(check(&["doctor", "--help"], 0).stdout.contains("--json"));
}

#[test]
fn an_unknown_flag_names_the_nearest() {
    assert!(check(&["server", "--lisen", "127.0.0.1:0"], 2).stderr.contains("--listen"));
    assert!(check(&["docter"], 2).stderr.contains("doctor"));
}

#[test]
fn a_good_configuration_is_printed_and_starts_nothing() {
    let scratch = Scratch::make();
    let data_dir = scratch.path().join("data");
    let text = data_dir.to_str().expect("the temporary folder is UTF-8");
    let words = ["--check-config", "--memory", "64MiB", "--data-dir", text];
    let ended = check(&[&words[..], &LOOPBACK].concat(), 0);
    assert!(ended.stdout.contains("64 MiB"), "{ended:?}");
    assert!(ended.stdout.contains("nothing was started"), "{ended:?}");
    assert!(!data_dir.exists());
}

#[test]
fn a_bad_configuration_is_refused_with_one_line() {
    let scratch = Scratch::make();
    let file = scratch.path().join("file");
    std::fs::write(&file, "").expect("the folder is writable");
    let file = file.to_str().expect("the temporary folder is UTF-8");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let cases = [
        (["--cores", "8191-8191"], "CPU 8191"),
        (["--data-dir", file], "--data-dir"),
        (["--listen", &taken], "--listen"),
    ];
    for (words, expected) in cases {
        let data_dir = scratch.path().join("data");
        let ended =
            Ended::of(haremq().env("HAREMQ_DATA_DIR", data_dir).arg("--check-config").args(words));
        assert_eq!(ended.code, Some(CONFIG), "{words:?}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{words:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{words:?}: {ended:?}");
    }
}

#[test]
fn environment_names_stand_for_flags() {
    let scratch = Scratch::make();
    let ended = Ended::of(
        haremq()
            .env("HAREMQ_DATA_DIR", scratch.path())
            .env("HAREMQ_LISTEN", "127.0.0.1:0,127.0.0.2:0")
            .env("HAREMQ_MEMORY", "64MiB")
            .env("HAREMQ_CORES", "1")
            .env("HAREMQ_PIN", "false")
            .env("HAREMQ_LOG_FORMAT", "json")
            .args(["server", "--check-config", "--memory", "96MiB"]),
    );
    let event: Value = serde_json::from_str(&ended.stdout).expect("one JSON event");
    assert_eq!(event["listeners"].as_array().map(Vec::len), Some(2), "{event}");
    assert_eq!(event["pinned"], false);
    assert_eq!(event["shards"], 1);
    assert_eq!(event["memory_limit_bytes"], 96 << 20, "a flag wins over the environment");
}

#[test]
fn a_flag_wins_over_the_environment_also_where_it_says_no() {
    let scratch = Scratch::make();
    let pinned = |environment: &str, words: &[&str]| {
        let ended = Ended::of(
            haremq()
                .env("HAREMQ_DATA_DIR", scratch.path())
                .env("HAREMQ_PIN", environment)
                .env("HAREMQ_CHECK_CONFIG", "true")
                .args(["--log-format", "json"])
                .args(LOOPBACK)
                .args(words),
        );
        let event: Value = serde_json::from_str(&ended.stdout).expect("one JSON event");
        assert_eq!(event["event"], "checked", "{event}");
        event["pinned"].clone()
    };
    assert_eq!(pinned("true", &["--no-pin"]), false);
    assert_eq!(pinned("false", &["--pin"]), true);
    assert_eq!(pinned("false", &[]), false);
}

#[test]
fn too_few_descriptors_are_told_in_one_line() {
    for open_files in [10, 14, 18, 255] {
        let scratch = Scratch::make();
        let mut haremq = haremq_with_open_files(open_files);
        haremq.env("HAREMQ_DATA_DIR", scratch.path()).args(LOOPBACK);
        let ended = Ended::of(haremq.args(["--cores", "2", "--no-pin"]));
        assert_eq!(ended.code, Some(CONFIG), "{open_files}: {ended:?}");
        assert!(ended.stderr.contains("nofile"), "{open_files}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{open_files}: {ended:?}");
    }
}

#[test]
fn port_0_is_picked_printed_and_accepts() {
    let broker = Broker::start(&[]);
    for address in broker.addresses() {
        assert_ne!(address.port(), 0);
        TcpStream::connect(address).expect("it was printed as listening");
    }
}

#[test]
fn the_banner_has_at_most_20_lines() {
    let broker = Broker::start(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    assert!(broker.banner().len() <= 20, "{:#?}", broker.banner());
    assert_eq!(broker.addresses().len(), 3);
    assert!(broker.banner()[0].contains(env!("CARGO_PKG_VERSION")), "{:#?}", broker.banner());
}

#[test]
fn the_banner_is_one_event_where_logs_are_json() {
    let broker = Broker::start(&["--log-format", "json"]);
    let event: Value = serde_json::from_str(&broker.banner()[0]).expect("one JSON event");
    assert_eq!(event["event"], "started");
    assert_eq!(event["listeners"][0], format!("amqp://{}", broker.addresses()[0]));
}

#[test]
fn a_second_broker_on_the_same_data_is_refused() {
    let broker = Broker::start(&[]);
    let data_dir = broker.data_dir().to_str().expect("the temporary folder is UTF-8");
    let ended = check(&[&["--data-dir", data_dir][..], &LOOPBACK].concat(), CONFIG);
    assert!(ended.stderr.contains(&format!("(pid {})", broker.pid())), "{ended:?}");
    assert!(ended.stderr.contains("--data-dir"), "{ended:?}");
}

#[test]
fn a_second_broker_on_the_same_port_is_refused() {
    let broker = Broker::start(&[]);
    let address = broker.addresses()[0].to_string();
    let scratch = Scratch::make();
    let data_dir = scratch.path().to_str().expect("the temporary folder is UTF-8");
    let ended = check(&["--data-dir", data_dir, "--listen", &address], CONFIG);
    assert!(ended.stderr.contains(&address), "{ended:?}");
    assert!(ended.stderr.contains("--listen"), "{ended:?}");
}

#[test]
fn sigterm_and_sigint_end_in_order() {
    for signal in ["TERM", "INT"] {
        let mut broker = Broker::start(&[]);
        let _idle = TcpStream::connect(broker.addresses()[0]).expect("it listens");
        broker.signal(signal);
        assert_eq!(broker.wait(Duration::from_secs(10)), Some(0), "SIG{signal}");
    }
}

/// A client that has logged in, and answers nothing from then on.
fn silent_client(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("not zero");
    let mut session = ClientSession::new(ClientConfig::default());
    let mut buffer = [0; 4096];
    while !session.is_open() {
        let mut output = Vec::new();
        session.poll_output(&mut output);
        stream.write_all(&output).expect("the broker reads");
        let count = stream.read(&mut buffer).expect("the broker answers");
        assert!(count > 0, "the broker closed the connection");
        session.handle_received(&buffer[..count], |_| {}).expect("the broker speaks AMQP");
    }
    stream
}

#[test]
fn why_a_connection_was_refused_is_logged_on_one_line() {
    let broker = Broker::start(&[]);
    let mut browser = TcpStream::connect(broker.addresses()[0]).expect("it listens");
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("the broker reads");
    broker.await_log("it speaks HTTP");
    let user = b"no\nbody".to_vec();
    let mut session = ClientSession::new(ClientConfig { user, ..Default::default() });
    let mut stream = TcpStream::connect(broker.addresses()[0]).expect("it listens");
    let mut buffer = [0; 4096];
    // The header, then the answer to the broker's start.
    for _ in 0..2 {
        let mut output = Vec::new();
        session.poll_output(&mut output);
        stream.write_all(&output).expect("the broker reads");
        let count = stream.read(&mut buffer).expect("the broker answers");
        let _ = session.handle_received(&buffer[..count], |_| {});
    }
    broker.await_log("login of user 'no\\\\nbody' refused: there is no such user");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut broker = Broker::start(&[]);
    let _silent = silent_client(broker.addresses()[0]);
    broker.signal("TERM");
    broker.await_log("SIGTERM: shutting down");
    broker.signal("TERM");
    assert_eq!(broker.wait(Duration::from_secs(10)), Some(143));
}

#[test]
fn the_data_folder_is_free_after_the_end() {
    let mut broker = Broker::start(&[]);
    broker.signal("TERM");
    assert_eq!(broker.wait(Duration::from_secs(10)), Some(0));
    let data_dir = broker.data_dir().to_str().expect("the temporary folder is UTF-8");
    check(&[&["--check-config", "--data-dir", data_dir][..], &LOOPBACK].concat(), 0);
}

#[test]
fn sighup_is_survived_and_logged() {
    let mut broker = Broker::start(&[]);
    broker.signal("HUP");
    broker.await_log("SIGHUP");
    TcpStream::connect(broker.addresses()[0]).expect("it still listens");
    broker.signal("TERM");
    assert_eq!(broker.wait(Duration::from_secs(10)), Some(0));
}

#[test]
fn a_reader_that_leaves_does_not_end_the_broker() {
    let mut broker = Broker::start(&["--log-level", "trace"]);
    broker.stop_reading_logs();
    broker.signal("HUP");
    TcpStream::connect(broker.addresses()[0]).expect("it still listens");
    broker.signal("TERM");
    assert_eq!(broker.wait(Duration::from_secs(10)), Some(0));
}

#[test]
fn the_doctor_answers_in_json_and_by_exit_code() {
    let scratch = Scratch::make();
    let data_dir = scratch.path().to_str().expect("the temporary folder is UTF-8");
    let words = ["doctor", "--json", "--data-dir", data_dir];
    let ended = Ended::of(haremq().args(words));
    let answer: Value = serde_json::from_str(&ended.stdout).expect("one JSON object");
    let expected = match answer["verdict"].as_str() {
        Some("fit") => 0,
        Some("warn") => 1,
        Some("unfit") => 2,
        other => panic!("no such verdict: {other:?}"),
    };
    assert_eq!(ended.code, Some(expected), "{ended:?}");
    let findings = answer["findings"].as_array().expect("a list");
    for check in ["kernel", "io_uring", "memlock", "nofile", "cpu.max", "sync latency", "port"] {
        assert!(findings.iter().any(|finding| finding["check"] == check), "{check}: {answer}");
    }
}
