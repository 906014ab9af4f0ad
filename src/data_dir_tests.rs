use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A folder of one test, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("haremq-data-dir-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_folder_is_made_and_owned_by_one() {
    let scratch = Scratch::make();
    let path = scratch.0.join("a/b");
    let owner = DataDir::open(&path).expect("nobody else has it");

    let expected = format!("(pid {})", std::process::id());
    for refused in [DataDir::open(&path).map(drop), DataDir::check(&path)] {
        let error = refused.expect_err("it is in use").to_string();
        assert!(error.contains(&expected) && error.contains("--data-dir"), "{error}");
    }

    drop(owner);
    DataDir::check(&path).expect("it is free again");
    DataDir::open(&path).expect("it is free again");
}

#[test]
fn a_check_leaves_nothing_behind() {
    let scratch = Scratch::make();
    DataDir::check(&scratch.0.join("not/yet")).expect("it could be made");
    assert_eq!(fs::read_dir(&scratch.0).expect("it is there").count(), 0);
}

#[test]
fn a_file_is_no_data_folder() {
    let scratch = Scratch::make();
    let file = scratch.0.join("file");
    fs::write(&file, "").expect("the folder is writable");
    for path in [file.clone(), file.join("below")] {
        for refused in [DataDir::open(&path).map(drop), DataDir::check(&path)] {
            let error = refused.expect_err("it is a file");
            assert!(matches!(error, DataDirError::Unusable { .. }), "{error}");
        }
    }
}

#[test]
fn the_process_id_of_a_dead_owner_is_overwritten() {
    let scratch = Scratch::make();
    let lock = scratch.0.join(LOCK_FILE);
    fs::write(&lock, "123456789012345\n").expect("the folder is writable");
    let _owner = DataDir::open(&scratch.0).expect("a file alone is no lock");
    let text = fs::read_to_string(&lock).expect("it is there");
    assert_eq!(text, format!("{}\n", std::process::id()));
}
