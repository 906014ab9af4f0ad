//! Replays the inputs that the fuzz targets have collected, through the same entry points.

use std::{fs, path::Path};

use haremq_protocol::fuzz;

fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).expect("the corpus of each target is in the repository");
    let mut inputs = 0;
    for file in files {
        let path = file.expect("the folder is readable").path();
        let bytes = fs::read(&path).expect("an input is a readable file");
        println!("{}", path.display());
        entry(&bytes);
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

#[test]
fn frames_of_the_corpus_hold() {
    replay("frame", fuzz::frame);
}

#[test]
fn methods_of_the_corpus_hold() {
    replay("method", fuzz::method);
}

#[test]
fn tables_of_the_corpus_hold() {
    replay("table", fuzz::table);
}

#[test]
fn content_headers_of_the_corpus_hold() {
    replay("content_header", fuzz::content_header);
}

#[test]
fn servers_of_the_corpus_hold() {
    replay("client", fuzz::client);
}
