//! Core loops in their hosts.

mod support;

use std::time::Duration;

use haremq_reactor::{
    CorePlacement, ExecutorError, Reactor, ReactorConfig, Wait, probe, spawn_core,
};

fn placement(cpu: Option<usize>) -> CorePlacement {
    CorePlacement { cpu, name: "core".to_owned() }
}

#[test]
fn a_core_loop_runs_pinned_and_returns_its_result() {
    let cpu = *probe().allowed_cpus.last().expect("at least one CPU");
    let core = spawn_core(placement(Some(cpu)), move || {
        let mut reactor = Reactor::new(ReactorConfig::default()).expect("the machine is fit");
        reactor.wait(Wait::Until(Duration::from_millis(1)), || false);
        probe().allowed_cpus
    });
    assert_eq!(core.expect("the machine is fit").join().expect("it ends in order"), [cpu]);
}

#[test]
fn an_unpinned_core_loop_may_run_anywhere() {
    let core = spawn_core(placement(None), || probe().allowed_cpus);
    let allowed = core.expect("the machine is fit").join().expect("it ends in order");
    assert_eq!(allowed, probe().allowed_cpus);
}

#[test]
fn a_cpu_that_is_not_there_is_refused_with_those_that_are() {
    let Err(error) = spawn_core(placement(Some(9999)), || ()) else { panic!("there is none") };
    assert!(matches!(error, ExecutorError::CpuNotAllowed { cpu: 9999, .. }));
    assert!(error.to_string().contains("choose from [0"), "{error}");
}

#[test]
fn a_panic_of_the_core_loop_is_told_with_its_text() {
    let core = spawn_core(placement(None), || panic!("invariant {} is broken", 7));
    let error = core.expect("the machine is fit").join().map(|(): ()| ()).expect_err("it panicked");
    assert_eq!(error.to_string(), "core panicked: invariant 7 is broken");
}

#[test]
fn a_sync_cpu_that_is_not_there_is_refused() {
    let config = ReactorConfig { sync_cpu: Some(99_999), ..ReactorConfig::default() };
    let Err(error) = Reactor::new(config) else { panic!("there is none") };
    assert!(error.to_string().contains("choose another CPU"), "{error}");
    let cpu = probe().allowed_cpus.first().copied();
    Reactor::new(ReactorConfig { sync_cpu: cpu, ..config }).expect("this one is there");
}
