//! Files that are written and synced through the reactor.

mod support;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use haremq_reactor::{FileId, Reactor, ReactorEvent};
use support::{await_event, reactor};

fn await_sync(reactor: &mut Reactor) -> (FileId, u64, io::Result<()>) {
    await_event(reactor, |event| match event {
        ReactorEvent::Synced(file, token, result) => Some((file, token, result)),
        _ => None,
    })
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("haremq-reactor-{}-{name}", std::process::id()))
}

fn open_for_writing(path: &str) -> File {
    File::options().write(true).open(path).expect("the device exists")
}

#[test]
fn what_was_written_is_synced_and_there() {
    let path = path("synced");
    let mut reactor = reactor();
    let file = reactor.adopt_file(File::create(&path).expect("the directory is writable"));
    reactor.write_at(file, b"world", 6).expect("there is room");
    reactor.write_at(file, b"hello ", 0).expect("there is room");
    reactor.sync(file, 41);
    let (synced, token, result) = await_sync(&mut reactor);
    assert_eq!((synced, token), (file, 41));
    result.expect("the medium is healthy");
    assert_eq!(fs::read(&path).expect("it was written"), b"hello world");
    assert_eq!(reactor.file(file).metadata().expect("it is open").len(), 11);
    fs::remove_file(&path).expect("it is ours");
}

#[test]
fn a_failed_write_and_a_failed_sync_are_told() {
    let mut reactor = reactor();
    let full = reactor.adopt_file(open_for_writing("/dev/full"));
    let error = reactor.write_at(full, b"x", 0).expect_err("the device is always full");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    // Devices like this one cannot be synced at all.
    let null = reactor.adopt_file(open_for_writing("/dev/null"));
    reactor.sync(null, 7);
    let (synced, token, result) = await_sync(&mut reactor);
    assert_eq!((synced, token), (null, 7));
    assert_eq!(result.expect_err("it cannot be synced").kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_sync_outlives_the_closing_of_its_file() {
    let path = path("closed");
    let mut reactor = reactor();
    let file = reactor.adopt_file(File::create(&path).expect("the directory is writable"));
    reactor.write_at(file, b"x", 0).expect("there is room");
    reactor.sync(file, 1);
    reactor.close_file(file);
    reactor.close_file(file);
    let other = reactor.adopt_file(open_for_writing("/dev/null"));
    assert_ne!(other, file);
    let (synced, token, result) = await_sync(&mut reactor);
    assert_eq!((synced, token), (file, 1));
    result.expect("it was the right file that was synced");
    fs::remove_file(&path).expect("it is ours");
}

#[test]
fn every_sync_is_told_with_its_own_token() {
    let path = path("many");
    let mut reactor = reactor();
    let file = reactor.adopt_file(File::create(&path).expect("the directory is writable"));
    let mut awaited: Vec<u64> = (0..50).map(|token| token << 40 | token).collect();
    for &token in &awaited {
        reactor.write_at(file, &token.to_le_bytes(), token & 0xff).expect("there is room");
        reactor.sync(file, token);
    }
    while !awaited.is_empty() {
        let (_, token, result) = await_sync(&mut reactor);
        result.expect("the medium is healthy");
        let index = awaited.iter().position(|&other| other == token).expect("told once");
        awaited.swap_remove(index);
    }
    fs::remove_file(&path).expect("it is ours");
}
