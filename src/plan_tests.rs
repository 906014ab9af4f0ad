use clap::Parser;

use haremq_reactor::{KernelVersion, Limit, RingSupport};

use super::*;
use crate::options::Options;

/// Eight CPUs, 8 GiB, nothing to complain about.
fn machine() -> MachineReport {
    let unlimited = Limit { soft: None, hard: None };
    MachineReport {
        io_uring: Ok(RingSupport::Deferred),
        locked_memory_bytes: unlimited,
        open_files: unlimited,
        allowed_cpus: (0..8).collect(),
        physical_cpus: (0..8).collect(),
        cpu_quota: None,
        cgroup_memory_bytes: None,
        host_memory_bytes: Some(8 << 30),
        kernel: Some(KernelVersion { major: 6, minor: 12 }),
    }
}

fn resolve(words: &[&str], machine: &MachineReport) -> Result<ServerPlan, PlanError> {
    let options = Options::try_parse_from([&["haremq"], words].concat()).expect("usage");
    ServerPlan::resolve(&options.server, machine)
}

#[test]
fn a_fit_machine_is_pinned_and_warned_of_nothing() {
    let plan = resolve(&["--cores", "2"], &machine()).expect("fit");
    assert!(plan.is_pinned);
    assert_eq!((plan.cpus, plan.warnings), (vec![0, 1], vec![]));
}

#[test]
fn pinning_waits_for_a_quota_that_feeds_the_cores() {
    let throttled = MachineReport { cpu_quota: Some(1.5), ..machine() };
    let plan = resolve(&["--cores", "2"], &throttled).expect("it works, with less");
    assert!(!plan.is_pinned);
    assert!(plan.warnings[0].contains("--cores 1"), "{:?}", plan.warnings);
    assert!(plan.warnings[1].contains("--pin"), "{:?}", plan.warnings);
    let pinned = resolve(&["--cores", "2", "--pin"], &throttled).expect("as asked for");
    assert!(pinned.is_pinned);
}

#[test]
fn a_core_that_is_not_allowed_is_refused() {
    let refused = resolve(&["--cores", "8-8"], &machine()).expect_err("there are 0 to 7");
    assert!(refused.to_string().contains("CPU 8"), "{refused}");
}

#[test]
fn a_machine_without_rings_is_refused_with_the_remedy() {
    let without = MachineReport { io_uring: Err(MachineProblem::RingForbidden), ..machine() };
    let refused = resolve(&[], &without).expect_err("nothing works without");
    assert!(refused.to_string().contains("kernel.io_uring_disabled=0"), "{refused}");
}

#[test]
fn a_memory_limit_above_the_machine_is_warned_of() {
    let plan = resolve(&["--memory", "9GiB"], &machine()).expect("as asked for");
    assert!(plan.warnings[0].contains("--memory 60%"), "{:?}", plan.warnings);
}

#[test]
fn a_check_finds_an_address_that_is_named_twice_or_taken() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("it is bound").to_string();
    let plan = resolve(&["--listen", &address], &machine()).expect("not tried yet");
    let error = plan.check().expect_err("it is taken").to_string();
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");

    drop(holder);
    let twice = resolve(&["--listen", &address, "--listen", &address], &machine());
    twice.expect("not tried yet").check().expect_err("its own listener has it");
}
