use super::*;

const MOUNTS: &str = "\
21 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a
22 21 8:1 / /var/lib rw shared:1 master:2 - ext4 /dev/sda1 rw
23 22 0:30 / /var/lib/with\\040space rw - tmpfs tmpfs rw
24 21 8:2 / /var/library rw - xfs /dev/sda2 rw
25 22 8:3 / /var/lib rw - btrfs /dev/sda3 rw";

fn check(folder: &str, expected: &str) {
    assert_eq!(mount_kind(MOUNTS, Path::new(folder)), expected, "{folder}");
}

#[test]
fn the_innermost_and_latest_mount_counts() {
    check("/home", "overlay");
    check("/var/library/x", "xfs");
    check("/var/lib/haremq", "btrfs");
    check("/var/lib/with space/haremq", "tmpfs");
}

#[test]
fn without_mounts_the_kind_is_unknown() {
    assert_eq!(mount_kind("", Path::new("/")), "");
    assert_eq!(mount_kind("nonsense", Path::new("/")), "");
}

#[test]
fn percentiles_are_measured_values() {
    let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
    assert_eq!(percentile(&times, 50), Duration::from_millis(50));
    assert_eq!(percentile(&times, 99), Duration::from_millis(99));
    assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
}

#[test]
fn measuring_leaves_nothing_behind() {
    let folder = std::env::temp_dir().join(format!("haremq-disk-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let times = measure(&folder).expect("it is writable");
    assert!(!times.is_empty() && times.is_sorted());
    assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 0);
    fs::remove_dir(&folder).expect("it is empty");
}
