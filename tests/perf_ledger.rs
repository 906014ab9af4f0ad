//! A broker is held against the ledger of a run after one of the two was killed.

mod perf_support;
#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use perf_support::{Running, Told, perf, run};
use process::{Broker, Scratch};

/// More comes than is consumed, so that there are both kinds.
const LOAD: &str = "-u q -ad false -c 200 -q 100 -A 10 -r 5000 -R 1000";
const LIMIT: Duration = Duration::from_secs(10);

fn ledger(scratch: &Scratch) -> PathBuf {
    scratch.path().join("run.ledger")
}

fn check(address: SocketAddr, scratch: &Scratch, words: &str) -> Told {
    let ledger = ledger(scratch);
    perf(&format!("check {} --uri amqp://{address} --quiet 0.1 {words}", ledger.display()))
}

#[test]
fn a_killed_generator_leaves_what_a_good_broker_passes_and_a_loss_does_not() {
    let (broker, scratch) = (Broker::start_on("2", &[]), Scratch::make());
    let address = broker.addresses()[0];
    let words = format!("{LOAD} --ledger {}", ledger(&scratch).display());
    let mut running = Running::start(address, &words);
    running.await_progress();
    running.kill();
    let sound = ["the generator was killed", "confirmed and lost 0", "out of order 0", "ok"];
    let kept = check(address, &scratch, "--keep");
    kept.assert(0, &sound);
    let there = kept.number("queue \"q\": ");
    assert!(there > 100 && kept.number("producers, ") > 100, "{}", kept.text());
    assert!(kept.number(" confirmed, ") > 0, "something was consumed: {}", kept.text());
    // Some of what is owed is taken by somebody else.
    run(address, "-x 0 -y 1 -u q -p -D 100 -q 100").assert(0, &["100 received"]);
    let lossy = check(address, &scratch, "");
    lossy.assert(4, &["FAILED"]);
    // Those of them whose confirm was still under way are not owed.
    let lost = lossy.number("confirmed and lost ");
    assert!((1..=100).contains(&lost), "{}", lossy.text());
    assert_eq!(lossy.number("queue \"q\": "), there - 100);
}

#[test]
fn a_killed_broker_without_a_medium_has_lost_what_it_confirmed() {
    let (mut broker, scratch) = (Broker::start(&[]), Scratch::make());
    let words = format!("{LOAD} --ledger {}", ledger(&scratch).display());
    let mut running = Running::start(broker.addresses()[0], &words);
    running.await_progress();
    broker.signal("KILL");
    assert_eq!(broker.wait(LIMIT), None);
    running.wait().assert(1, &["no fault until the run failed"]);
    let next = Broker::start(&[]);
    let told = check(next.addresses()[0], &scratch, "");
    told.assert(4, &["the run ended by itself", "cannot be read: ", "NOT_FOUND", "FAILED"]);
    let confirmed = told.number("producers, ");
    let consumed = told.number(" confirmed, ");
    let lost = told.number("confirmed and lost ");
    // What was consumed need not have been confirmed yet.
    assert!((confirmed - consumed..=confirmed).contains(&lost), "{}", told.text());
    assert!(lost > 0);
}

#[test]
fn a_run_that_ended_leaves_nothing_open() {
    let broker = Broker::start_on("2", &[]);
    let address = broker.addresses()[0];
    let shared = "-u q -ad false -c 100 -q 200";
    let loads = [
        format!("{shared} -C 2000"),
        format!("{shared} -C 1000 -x 2 -y 3 --cores 2 -A 7"),
        format!("{shared} -C 2000 -y 0"),
        format!("{shared} -C 1000 -D 500"),
        format!("{shared} -C 500 --requeue-once"),
        format!("{shared} -C 500 -na -re false"),
        format!("{shared} -C 200 -po"),
        format!("{shared} -C 200 -L 500"),
        format!("{shared} -C 600 -t topic -k k.%d --key-count 3 --bind k.0 --bind k.1"),
        format!("{shared} -C 600 -f mandatory -t topic -k m.%d --key-count 2 --bind m.0"),
        "-qp q-%d -qpf 1 -qpt 3 -x 3 -y 2 -ad false -c 50 -q 50 -C 500".to_owned(),
    ];
    for load in &loads {
        let scratch = Scratch::make();
        let words = format!("{load} --ledger {}", ledger(&scratch).display());
        run(address, &words).assert(0, &["lost 0"]);
        let told = check(address, &scratch, "");
        told.assert(0, &["the run ended by itself", "\nok\n"]);
        assert!(told.number("producers, ") > 0, "{load}: {}", told.text());
        for open in told.text().split("open ").skip(1) {
            assert!(open.starts_with("0 "), "{load}: {}", told.text());
        }
    }
}
