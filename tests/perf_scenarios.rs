//! The load generator's own scenarios on the broker: each runs, or says what the broker lacks.

mod perf_support;
#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;

use std::collections::BTreeSet;

use perf_support::{perf, run};
use process::Broker;

/// Short enough for a test: the load is the scenario's, its time is not.
const SHORT: &str = "-z 0.3 --warmup 0 -i 0.1";

/// Name, further flags, exit code, and what is printed.
const SCENARIOS: [(&str, &str, i32, &str); 23] = [
    ("throughput", SHORT, 0, "lost 0, duplicated 0"),
    ("work-queue", SHORT, 0, "confirm latency"),
    ("latency-at-rate", SHORT, 0, "generator's own lag"),
    ("confirm-window", SHORT, 0, "confirm latency"),
    ("rate-sweep", "--sweep 500:1000 -z 0.3 --warmup 0 --knee-p99 5000", 0, "knee: "),
    ("fan-out", SHORT, 0, "lost 0, duplicated 0"),
    ("fan-in", "-x 50 -z 0.3 --warmup 0", 0, "lost 0, duplicated 0"),
    ("many-queues", SHORT, 0, "lost 0, duplicated 0"),
    ("topic-storm", "--cold-bindings 50 -z 0.3 --warmup 0", 0, "lost 0, duplicated 0"),
    ("headers", SHORT, 0, "lost 0, duplicated 0"),
    ("rpc", SHORT, 0, "lost 0, duplicated 0"),
    ("rpc-direct", SHORT, 1, "540 NOT_IMPLEMENTED - direct reply-to is not supported yet"),
    // The first fills what the second takes.
    ("backlog-fill", "-C 5000", 0, "5,000 sent"),
    ("backlog-drain", "-D 5000", 0, "5,000 received"),
    ("requeue-storm", SHORT, 0, "lost 0, duplicated 0"),
    ("slow-consumer", SHORT, 0, "lost 0, duplicated 0"),
    ("large-messages", SHORT, 0, "lost 0, duplicated 0"),
    ("connection-churn", SHORT, 0, "Connection: "),
    ("channel-churn", SHORT, 0, "Channel: "),
    ("queue-churn", SHORT, 0, "Queue: "),
    ("binding-churn", SHORT, 0, "Binding: "),
    ("consumer-churn", SHORT, 0, "Consumer: "),
    ("idle-connections", "-x 20 -z 0.1", 0, "IdleConnections: 20"),
];

#[test]
fn every_scenario_runs_or_names_what_is_missing() {
    let broker = Broker::start_on("2", &[]);
    let listed = perf("scenarios");
    listed.assert(0, &[]);
    let names = listed.text().lines().filter_map(|line| line.split_whitespace().next());
    let tried: BTreeSet<&str> = SCENARIOS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(tried, names.collect::<BTreeSet<_>>(), "each is tried");
    for (name, flags, code, text) in SCENARIOS {
        let words = format!("--scenario {name} {flags}");
        run(broker.addresses()[0], &words).assert(code, &[text]);
    }
}

#[test]
fn requests_get_their_replies() {
    let broker = Broker::start_on("2", &[]);
    let address = broker.addresses()[0];
    // The round trips are what counts: 2 clients with 2 channels each, 500 requests per channel.
    let told = run(address, "--rpc private -x 2 -X 2 -y 3 -C 500 --rpc-window 4");
    told.assert(0, &["2,000 sent, 2,000 received; lost 0", "-> ok"]);
    let open_loop = run(address, "--rpc private -r 1000 -C 300 -c 10");
    open_loop.assert(0, &["300 sent, 300 received; lost 0", "confirm latency"]);
    // Without anybody who replies there is a standstill, and that is told.
    let alone = run(address, "--rpc private -y 0 -C 3 -u nobody-replies -ct 1");
    alone.assert(4, &["1 sent, 0 received; lost 1"]);
}
