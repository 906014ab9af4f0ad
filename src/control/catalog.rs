//! The thread that drives the catalog writer.

use std::thread::JoinHandle;

use haremq_runtime::WriterLink;
use haremq_shard::ShardId;
use haremq_shard::limits::BINDINGS_PER_DELTA;
use haremq_shard::writer::{Catalog, CatalogWriter};

/// Letters taken from one shard before the others have their turn.
const LETTERS_PER_TURN: usize = 256;

/// The running thread. It ends when all shards have ended.
#[derive(Debug)]
pub struct CatalogThread {
    thread: JoinHandle<()>,
}

impl CatalogThread {
    /// Waits until the thread has ended.
    ///
    /// # Panics
    /// If the thread has panicked.
    pub fn join(self) {
        self.thread.join().expect("the catalog writer panicked");
    }
}

/// Starts the thread. `seed` is the one that the shards were started with.
///
/// # Panics
/// If the system gives no further thread.
pub fn start_catalog(link: WriterLink, seed: u64) -> CatalogThread {
    let thread = std::thread::Builder::new()
        .name("catalog".into())
        .spawn(move || drive(link, seed))
        .expect("a thread more can be started");
    CatalogThread { thread }
}

fn drive(mut link: WriterLink, seed: u64) {
    link.attach();
    let shards: Vec<ShardId> = (0..link.shards()).map(ShardId).collect();
    let mut writer = CatalogWriter::new(Catalog::new(seed), link.shards(), BINDINGS_PER_DELTA);
    while !link.is_abandoned() {
        let mut has_some = false;
        for &shard in &shards {
            has_some |= receive(&mut link, &mut writer, shard);
        }
        for &shard in &shards {
            has_some |= send(&mut link, &mut writer, shard);
        }
        if !has_some {
            link.park(writer.has_letters());
        }
    }
}

fn receive(link: &mut WriterLink, writer: &mut CatalogWriter, shard: ShardId) -> bool {
    let mut count = 0;
    while count < LETTERS_PER_TURN
        && let Some(letter) = link.receive(shard)
    {
        writer.handle(shard, letter);
        count += 1;
    }
    count > 0
}

fn send(link: &mut WriterLink, writer: &mut CatalogWriter, shard: ShardId) -> bool {
    let mut has_some = false;
    while link.has_room(shard)
        && let Some(letter) = writer.poll_outbox(shard)
    {
        link.send(shard, letter);
        has_some = true;
    }
    if has_some {
        link.wake(shard);
    }
    has_some
}
