use haremq_reactor::MachineReport;

use super::*;

fn machine(cgroup: Option<u64>, host: Option<u64>) -> MachineReport {
    let mut machine = haremq_reactor::probe();
    (machine.cgroup_memory_bytes, machine.host_memory_bytes) = (cgroup, host);
    machine
}

fn check(text: &str, expected: Result<MemoryRequest, MemoryError>) {
    assert_eq!(text.parse(), expected, "{text:?}");
}

#[test]
fn sizes_and_shares_have_the_forms_people_write() {
    check("512MiB", Ok(MemoryRequest::Bytes(512 << 20)));
    check("2GiB", Ok(MemoryRequest::Bytes(2 << 30)));
    check("2 GB", Ok(MemoryRequest::Bytes(2_000_000_000)));
    check("1048576", Ok(MemoryRequest::Bytes(1 << 20)));
    check("1048576B", Ok(MemoryRequest::Bytes(1 << 20)));
    check("60%", Ok(MemoryRequest::Percent(60)));
    check(" 100 % ", Ok(MemoryRequest::Percent(100)));
}

#[test]
fn what_is_no_size_is_refused() {
    check("", Err(MemoryError::Malformed));
    check("lots", Err(MemoryError::Malformed));
    check("-1GiB", Err(MemoryError::Malformed));
    check("1.5GiB", Err(MemoryError::Malformed));
    check("99999999999999TiB", Err(MemoryError::Malformed));
    check("0%", Err(MemoryError::Share));
    check("101%", Err(MemoryError::Share));
    check("1023KiB", Err(MemoryError::TooSmall));
}

#[test]
fn a_share_is_of_the_tighter_of_control_group_and_host() {
    let limit = MemoryRequest::Percent(50).resolve(&machine(Some(2 << 30), Some(8 << 30)));
    let limit = limit.expect("both are known");
    assert_eq!(limit.bytes, 1 << 30);
    assert_eq!(limit.origin(), "50% of the control group's 2 GiB");

    let limit = MemoryRequest::Percent(50).resolve(&machine(None, Some(8 << 30)));
    assert_eq!(limit.expect("known").origin(), "50% of the host's 8 GiB");
}

#[test]
fn a_share_of_the_unknown_is_refused_and_a_size_is_not() {
    let unknown = machine(None, None);
    assert_eq!(MemoryRequest::Percent(60).resolve(&unknown), Err(MemoryError::Unknown));
    let limit = MemoryRequest::Bytes(1 << 30).resolve(&unknown).expect("needs no machine");
    assert!(!limit.exceeds_machine());
    assert_eq!(limit.origin(), "--memory");
}

#[test]
fn a_size_above_the_machine_is_noticed() {
    let small = machine(Some(1 << 30), Some(8 << 30));
    let limit = MemoryRequest::Bytes(2 << 30).resolve(&small).expect("a size always resolves");
    assert!(limit.exceeds_machine());
    assert_eq!(limit.origin(), "--memory; the machine has 1 GiB");
}

#[test]
fn bytes_are_written_for_people() {
    let texts = [0, 1023, 1 << 10, 1536 << 20, 3 << 40].map(|bytes| Bytes(bytes).to_string());
    assert_eq!(texts, ["0 B", "1023 B", "1 KiB", "1.5 GiB", "3 TiB"]);
}
