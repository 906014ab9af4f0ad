use super::*;
use crate::machine::RingSupport;
use crate::rlimit::Limit;

fn machine(allowed: &[usize], physical: &[usize], cpu_quota: Option<f64>) -> MachineReport {
    let unlimited = Limit { soft: None, hard: None };
    MachineReport {
        io_uring: Ok(RingSupport::Deferred),
        kernel: None,
        locked_memory_bytes: unlimited,
        open_files: unlimited,
        allowed_cpus: allowed.to_vec(),
        physical_cpus: physical.to_vec(),
        cpu_quota,
        cgroup_memory_bytes: None,
        host_memory_bytes: None,
    }
}

fn check(text: &str, machine: &MachineReport, expected: Result<&[usize], CoreSelectionError>) {
    let resolved = text.parse::<CoreSelection>().and_then(|cores| cores.resolve(machine));
    assert_eq!(resolved, expected.map(<[usize]>::to_vec), "{text}");
}

#[test]
fn a_bare_number_is_a_count_and_a_dash_or_comma_makes_a_list() {
    let machine = machine(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4], None);
    check("2", &machine, Ok(&[0, 1]));
    check("2-2", &machine, Ok(&[2]));
    check(" 4,0-1 ", &machine, Ok(&[0, 1, 4]));
}

#[test]
fn what_is_not_understood_is_refused_with_the_whole_text() {
    let machine = machine(&[0, 1], &[0, 1], None);
    for text in ["", "-", "-1", "1-", "a", "all", "numa:0", "+1", "1-2-3", "99999"] {
        let text = text.to_owned();
        check(&text.clone(), &machine, Err(CoreSelectionError::Malformed { text }));
    }
    for text in [",", "0,", "0-0,", ",1", "0,,1"] {
        let text = text.to_owned();
        check(&text.clone(), &machine, Err(CoreSelectionError::EmptyPart { text }));
    }
    check("0", &machine, Err(CoreSelectionError::Zero));
    check("3-1", &machine, Err(CoreSelectionError::Reversed { first: 3, last: 1 }));
    check("0-1,1", &machine, Err(CoreSelectionError::Repeated { cpu: 1 }));
}

#[test]
fn what_the_machine_lacks_is_refused() {
    let machine = machine(&[2, 3], &[2, 3], None);
    check("3", &machine, Err(CoreSelectionError::TooMany { wanted: 3, available: 2 }));
    check("0-2", &machine, Err(CoreSelectionError::NotAllowed { cpu: 0, allowed: vec![2, 3] }));
}

#[test]
fn auto_takes_physical_cores_and_spares_one_of_many() {
    check("auto", &machine(&[0, 1], &[0, 1], None), Ok(&[0, 1]));
    check("auto", &machine(&[0, 1, 2, 3], &[0, 1], None), Ok(&[0, 1]));
    check("auto", &machine(&[4, 5, 6, 7], &[4, 5, 6, 7], None), Ok(&[4, 5, 6]));
}

#[test]
fn auto_obeys_the_quota_and_keeps_at_least_one_core() {
    let four = [0, 1, 2, 3];
    check("auto", &machine(&four, &four, Some(2.5)), Ok(&[0, 1]));
    check("auto", &machine(&four, &four, Some(0.5)), Ok(&[0]));
    check("3", &machine(&four, &four, Some(0.5)), Ok(&[0, 1, 2]));
    assert!(machine(&four, &four, Some(2.5)).is_throttled(3));
    assert!(!machine(&four, &four, Some(2.5)).is_throttled(2));
}

#[test]
fn a_count_takes_physical_cores_before_their_siblings() {
    check("3", &machine(&[0, 1, 2, 3], &[0, 2], None), Ok(&[0, 2, 1]));
}
