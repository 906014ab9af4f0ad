use super::*;

fn fit_machine() -> MachineReport {
    let unlimited = Limit { soft: None, hard: None };
    MachineReport {
        io_uring: Ok(RingSupport::Deferred),
        kernel: Some(KernelVersion { major: 6, minor: 12 }),
        locked_memory_bytes: unlimited,
        open_files: unlimited,
        allowed_cpus: vec![0, 1],
        physical_cpus: vec![0, 1],
        cpu_quota: None,
        cgroup_memory_bytes: None,
        host_memory_bytes: Some(1 << 30),
    }
}

#[test]
fn kernel_releases_are_understood() {
    let version = |major, minor| Some(KernelVersion { major, minor });
    assert_eq!(KernelVersion::parse("6.1.0-18-amd64"), version(6, 1));
    assert_eq!(KernelVersion::parse("5.15.0-1057-aws\n"), version(5, 15));
    assert_eq!(KernelVersion::parse("6.18-rc3"), version(6, 18));
    assert_eq!(KernelVersion::parse("unknown"), None);
}

#[test]
fn a_fit_machine_has_no_problems() {
    assert_eq!(fit_machine().problems(), []);
}

#[test]
fn fatal_problems_come_first() {
    let report = MachineReport {
        io_uring: Err(MachineProblem::RingForbidden),
        kernel: Some(KernelVersion { major: 5, minor: 15 }),
        locked_memory_bytes: Limit { soft: Some(65_536), hard: None },
        open_files: Limit { soft: Some(1024), hard: Some(4096) },
        ..fit_machine()
    };
    let problems = report.problems();
    let is_fatal: Vec<bool> = problems.iter().map(MachineProblem::is_fatal).collect();
    assert_eq!(is_fatal, [true, true, false, false]);
}

#[test]
fn every_problem_is_one_line_with_a_remedy() {
    let kernel = KernelVersion { major: 5, minor: 4 };
    let problems = [
        MachineProblem::RingMissing,
        MachineProblem::RingForbidden,
        MachineProblem::RingMemory,
        MachineProblem::NoDescriptor,
        MachineProblem::RingTooOld,
        MachineProblem::RingRefused { errno: 5 },
        MachineProblem::KernelTooOld { kernel },
        MachineProblem::KernelSlow { kernel },
        MachineProblem::LockedMemory { bytes: 1 },
        MachineProblem::OpenFiles { count: 1 },
    ];
    for problem in problems {
        let text = problem.to_string();
        assert!(text.contains(": ") && !text.contains('\n'), "{text}");
    }
}

#[test]
fn the_tighter_memory_limit_holds() {
    let mut report = fit_machine();
    assert_eq!(report.memory_bytes(), Some(1 << 30));
    report.cgroup_memory_bytes = Some(1 << 20);
    assert_eq!(report.memory_bytes(), Some(1 << 20));
}

#[test]
fn only_the_first_allowed_sibling_counts_as_a_core() {
    let siblings = |cpu| parse_cpu_list(["0,2", "1,3", "0,2", "1,3"][cpu]).expect("a list");
    assert_eq!(first_of_each_core(&[0, 1, 2, 3], siblings), [0, 1]);
    assert_eq!(first_of_each_core(&[1, 2, 3], siblings), [1, 2]);
}

#[test]
fn memory_of_the_host_is_read_in_bytes() {
    let meminfo = "MemTotal:        4019496 kB\nMemFree:          100 kB\n";
    assert_eq!(total_memory_bytes(meminfo), Some(4_019_496 * 1024));
    assert_eq!(total_memory_bytes(""), None);
}

#[test]
fn this_machine_can_be_probed() {
    let report = probe();
    assert!(report.io_uring.is_ok(), "{:?}", report.io_uring);
    assert!(report.kernel >= Some(KERNEL_MIN));
    assert!(!report.physical_cpus.is_empty());
    assert!(report.memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    assert_eq!(check_executor_needs(), Ok(()));
}
