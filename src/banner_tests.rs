use crate::memory::MemoryLimit;

use super::*;

fn plan(cpus: Vec<usize>, warnings: usize) -> ServerPlan {
    ServerPlan {
        listeners: vec![],
        cpus,
        is_pinned: true,
        memory: MemoryLimit { bytes: 1 << 30, share: None, machine_bytes: None },
        data_dir: "./haremq-data".into(),
        spin_us: 0,
        warnings: (0..warnings).map(|number| format!("number {number}")).collect(),
    }
}

fn addresses(count: u16) -> Vec<SocketAddr> {
    (0..count).map(|port| SocketAddr::from(([127, 0, 0, 1], 5672 + port))).collect()
}

#[test]
fn a_banner_fits_on_a_terminal() {
    for (listeners, warnings) in [(1, 0), (5, 6), (100, 100)] {
        let lines = lines(&plan(vec![0], warnings), &addresses(listeners), Stage::Started);
        assert!(lines.len() <= LINES_MAX, "{lines:#?}");
    }
}

#[test]
fn a_banner_names_urls_and_ends_with_the_stage() {
    let lines = lines(&plan(vec![0], 0), &addresses(1), Stage::Started);
    assert_eq!(lines[1].trim(), "listening    amqp://127.0.0.1:5672");
    assert_eq!(lines.last().map(String::as_str), Some("Ready."));
}

#[test]
fn fixed_lines_are_as_many_as_reckoned_with() {
    assert_eq!(lines(&plan(vec![0], 0), &[], Stage::Checked).len(), FIXED_LINES);
}

#[test]
fn cores_are_told_in_ranges() {
    assert_eq!(cores(&plan(vec![0, 1, 2, 8], 0)), "4: shards 0-3 pinned to CPUs 0-2,8");
    assert_eq!(cores(&plan(vec![3], 0)), "1: shard 0 pinned to CPU 3");
    let free = ServerPlan { is_pinned: false, ..plan(vec![0, 1], 0) };
    assert_eq!(cores(&free), "2: shards 0-1, not pinned");
}

#[test]
fn an_event_shows_all_warnings() {
    let event = event(&plan(vec![0], 30), &addresses(2), Stage::Started);
    assert_eq!(event["warnings"].as_array().map(Vec::len), Some(30));
    assert_eq!(event["listeners"][1], "amqp://127.0.0.1:5673");
}
