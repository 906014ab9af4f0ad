use super::*;

#[test]
fn the_worst_finding_decides() {
    let fit = Finding::fit("a", "well");
    let warn = Finding::warn("b", "slow", "be fast");
    let unfit = Finding::unfit("c", "broken", "mend it");
    assert_eq!(worst(&[]).exit_code(), 0);
    assert_eq!(worst(&[fit.clone(), warn.clone()]).exit_code(), 1);
    assert_eq!(worst(&[unfit, warn, fit]).exit_code(), 2);
}

#[test]
fn a_line_says_what_to_do() {
    let line = Finding::warn("swap", "on", "swapoff -a").to_string();
    assert_eq!(line, "warn   swap               on: swapoff -a");
}

#[test]
fn everything_bad_on_this_machine_has_a_remedy() {
    let options = MachineOptions {
        listen: vec![([127, 0, 0, 1], 0).into()],
        data_dir: Some(std::env::temp_dir()),
        cores: haremq_reactor::CoreSelection::Auto,
    };
    for finding in examine(&options, &haremq_reactor::probe()) {
        assert_eq!(finding.remedy.is_empty(), finding.verdict == Verdict::Fit, "{finding}");
    }
}

#[test]
fn too_few_files_are_told_with_the_number_that_is_enough() {
    let mut machine = haremq_reactor::probe();
    machine.open_files.hard = Some(20_000);
    let finding = host::open_files(&machine);
    assert_eq!(finding.verdict, Verdict::Warn);
    assert_eq!(finding.found, "up to 20000 connections and files, fewer than 65536");
    machine.open_files.hard = Some(65_536);
    assert_eq!(host::open_files(&machine).verdict, Verdict::Fit);
}
