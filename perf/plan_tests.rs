//! What options plan, and what is refused.

use clap::Parser;

use super::*;
use crate::flag_names::rewrite;
use crate::options::RunCommand;
use clap::CommandFactory;

fn plan(flags: &str) -> Result<Plan, String> {
    let flags = flags.split_whitespace().map(str::to_owned);
    let flags = rewrite(&RunCommand::command(), flags).map_err(|error| error.to_string())?;
    let arguments = std::iter::once("run".to_owned()).chain(flags);
    let parsed = RunCommand::try_parse_from(arguments).map_err(|error| error.to_string())?;
    Plan::new(&parsed.options)
}

fn reach(flags: &str) -> Vec<Vec<Vec<usize>>> {
    let plan = plan(flags).expect("the flags are sound");
    plan.publishers.into_iter().map(|publisher| publisher.reach).collect()
}

#[test]
fn without_a_queue_each_consumer_gets_every_message() {
    assert_eq!(reach("-x 2 -y 3"), [[vec![0, 1, 2]], [vec![0, 1, 2]]]);
}

#[test]
fn a_named_queue_is_shared() {
    let plan = plan("-x 2 -y 3 -u q").expect("sound");
    assert_eq!((plan.queues.len(), plan.consumers), (1, vec![0, 0, 0]));
    assert_eq!(plan.publishers[1].reach, [[0]]);
}

#[test]
fn a_pattern_deals_the_queues() {
    let plan = plan("-x 4 -y 2 -qp q-%d -qpf 1 -qpt 2").expect("sound");
    assert_eq!(plan.queues[1].name.as_deref(), Some("q-2"));
    assert_eq!(plan.publishers[1].keys, ["q-2"]);
    assert_eq!(plan.publishers[2].reach, [[0]]);
    assert_eq!(plan.consumers, [0, 1]);
}

#[test]
fn numbers_of_a_pattern_may_have_leading_zeros() {
    let name = |pattern: &str| {
        let plan = plan(&format!("-qp {pattern} -qpf 7 -qpt 7"))?;
        Ok::<_, String>(plan.queues[0].name.clone().unwrap_or_default())
    };
    assert_eq!(name("q-%03d.x"), Ok("q-007.x".to_owned()));
    assert_eq!(name("100%-%d"), Ok("100%-7".to_owned()));
    assert!(name("q-%3x").is_err() && name("q-%099d").is_err());
}

#[test]
fn topics_reach_what_they_match() {
    let reach = reach("-y 2 -t topic -k a.%d --key-count 2 --bind a.%q");
    assert_eq!(reach, [[vec![0], vec![1]]]);
}

#[test]
fn a_ledger_needs_promises_that_last() {
    assert!(plan("--ledger x -u q -ad false -c 10").is_ok());
    assert!(plan("--ledger x -qp q-%d -qpf 1 -qpt 2 -qq -c 10").is_ok());
    for (flags, named) in [
        ("-u q -ad false -c 10 -x 0", "producers"),
        ("-u q -ad false", "confirms"),
        ("-u q -ad false -c 10 -a", "acknowledgements"),
        ("-u q -c 10", "outlive"),
        ("-ad false -c 10", "named queues"),
        ("-u q -ad false -c 10 -s 15", "16 octets"),
        ("-u q -ad false -c 10 -vs 100:1 -vs 15:1", "16 octets"),
        ("-u q -ad false -c 10 --rpc private", "--rpc"),
        ("-u q -p -c 10 -e made-by-others", "bindings"),
        ("-u q -ad false -c 10 -t x-random", "bindings"),
    ] {
        let refusal = plan(&format!("--ledger x {flags}")).expect_err(flags);
        assert!(refusal.contains(named), "{flags}: {refusal}");
    }
    let all = plan("--ledger x").expect_err("much is missing");
    assert!(all.contains("confirms") && all.contains("named queues"), "{all}");
}

#[test]
fn what_cannot_work_is_refused() {
    for flags in [
        "-x 0 -y 0",
        "-c 0",
        "-qp q",
        "-qp q-%d -qpf 3 -qpt 1",
        "-p",
        "-q 10 -A 20",
        "-mp priority=high",
        "-x 70000",
        "-h amqps://x",
    ] {
        assert!(plan(flags).is_err(), "{flags}");
    }
}
