//! Connections that do nothing cost little memory and no CPU.

mod load_support;

use std::time::Duration;

use load_support::{LoadClient, TwoCores, Usage, resident_bytes};

const CONNECTIONS: u64 = 1000;
const BYTES_EACH_MAX: u64 = 8 << 10;
const CPU_PERCENT_MAX: f64 = 1.0;
const WINDOW: Duration = Duration::from_secs(5);

#[test]
fn idle_connections_cost_eight_kibibytes_and_no_cpu() {
    let cores = TwoCores::start("512MiB");
    let pid = cores.broker.pid();
    // What the first connections make is shared by all.
    let mut first = LoadClient::connect(cores.address());
    let _second = LoadClient::connect(cores.address());
    let before = resident_bytes(pid);

    let connect = |_| LoadClient::connect(cores.address());
    let clients: Vec<LoadClient> = (0..CONNECTIONS).map(connect).collect();
    let bytes_each = resident_bytes(pid).saturating_sub(before) / CONNECTIONS;

    let usage = Usage::from_now(pid);
    let has_come = first.receive(WINDOW, |event| panic!("{event:?}"));
    let percent = usage.percent_of_core();
    println!("{bytes_each} bytes for an idle connection; {percent:.2} % of a core for all");

    assert!(!has_come, "nothing comes on an idle connection");
    assert!(bytes_each <= BYTES_EACH_MAX, "{bytes_each} bytes each");
    assert!(percent < CPU_PERCENT_MAX, "{percent} % of a core");
    drop(clients);
}
