use super::*;

/// A directory tree of the test's own, removed at its end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Tree {
        let root = std::env::temp_dir().join(format!("haremq-{}-{name}", std::process::id()));
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("files are below the root"))
                .expect("the temporary directory is writable");
            fs::write(path, content).expect("the temporary directory is writable");
        }
        Tree(root)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_tightest_limit_of_all_parents_holds() {
    let tree = Tree::new(
        "v2",
        &[
            ("a/cpu.max", "150000 100000\n"),
            ("a/memory.max", "max\n"),
            ("a/b/cpu.max", "max 100000\n"),
            ("a/b/memory.max", "1048576\n"),
            ("a/b/c/memory.max", "2097152\n"),
        ],
    );
    let limits = CgroupLimits::read(&tree.0, "0::/a/b/c\n");
    assert_eq!(limits, CgroupLimits { cpus: Some(1.5), memory_bytes: Some(1 << 20) });
}

#[test]
fn version_1_limits_are_read_from_their_hierarchies() {
    let tree = Tree::new(
        "v1",
        &[
            ("cpu,cpuacct/x/cpu.cfs_quota_us", "50000"),
            ("cpu,cpuacct/x/cpu.cfs_period_us", "100000"),
            ("cpu,cpuacct/cpu.cfs_quota_us", "-1"),
            ("cpu,cpuacct/cpu.cfs_period_us", "100000"),
            ("memory/x/memory.limit_in_bytes", "536870912"),
            ("memory/memory.limit_in_bytes", "9223372036854771712"),
        ],
    );
    let membership = "5:cpu,cpuacct:/x\n3:memory:/x\n1:name=systemd:/x\n";
    let limits = CgroupLimits::read(&tree.0, membership);
    assert_eq!(limits, CgroupLimits { cpus: Some(0.5), memory_bytes: Some(512 << 20) });
}

#[test]
fn a_path_of_the_host_falls_back_to_the_containers_own_group() {
    let tree = Tree::new("container", &[("cpu.max", "200000 100000"), ("memory.max", "4096")]);
    let limits = CgroupLimits::read(&tree.0, "0::/system.slice/docker-0123.scope\n");
    assert_eq!(limits, CgroupLimits { cpus: Some(2.0), memory_bytes: Some(4096) });
}

#[test]
fn no_group_is_no_limit() {
    let tree = Tree::new("none", &[("cpu.max", "max 100000")]);
    assert_eq!(CgroupLimits::read(&tree.0, "0::/\nnonsense\n"), CgroupLimits::default());
}
