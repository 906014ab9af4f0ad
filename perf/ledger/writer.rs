//! The thread that writes the file, so that no core waits for the medium.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::file::{write_entry, write_frame};
use super::recorder::{Answer, Batch, Recorder};
use super::{Header, MAGIC};

/// The ledger of a run that goes on.
pub(crate) struct LedgerWriter {
    thread: JoinHandle<()>,
    recorders: Vec<Recorder>,
}

/// The way back to one core.
struct Core {
    answers: Sender<Answer>,
    given: Arc<AtomicU64>,
}

impl LedgerWriter {
    /// Makes the file anew, with its header on the medium, and starts the thread.
    ///
    /// # Errors
    /// What cannot be written, for the user.
    pub(crate) fn create(
        path: &Path,
        header: &Header,
        cores: usize,
    ) -> Result<LedgerWriter, String> {
        let file = begin(path, header).map_err(|error| told(path, &error))?;
        let (to_writer, inbox) = channel();
        let (mut recorders, mut ways) = (Vec::new(), Vec::new());
        for core in 0..cores {
            let (answers, from_writer) = channel();
            let given = Arc::new(AtomicU64::new(0));
            let (to_writer, theirs) = (to_writer.clone(), Arc::clone(&given));
            let publishers = header.reach.len();
            recorders.push(Recorder::new(core, publishers, to_writer, from_writer, theirs));
            ways.push(Core { answers, given });
        }
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("perf ledger".to_owned())
            .spawn(move || write_batches(file, &path, &inbox, &ways))
            .map_err(|error| format!("no thread for the ledger: {error}"))?;
        Ok(LedgerWriter { thread, recorders })
    }

    /// The end of the next core.
    pub(crate) fn next_recorder(&mut self) -> Recorder {
        assert!(!self.recorders.is_empty(), "there is one for each core");
        self.recorders.remove(0)
    }

    /// Returns when the thread has ended, which it does after all cores have.
    pub(crate) fn join(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A file with nothing but its header, which survives as a whole or not at all.
fn begin(path: &Path, header: &Header) -> io::Result<File> {
    let mut file = File::create(path)?;
    let mut bytes = MAGIC.to_vec();
    write_frame(&mut bytes, |out| {
        serde_json::to_writer(out, header).expect("a header has only texts and numbers");
    });
    file.write_all(&bytes)?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Without this the file's name may be gone after a power cut.
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

/// Until all cores have ended. What comes while a frame is being synced is the next frame. After a
/// failure nothing is written any more: what a sync that failed has left is not known.
fn write_batches(mut file: File, path: &Path, inbox: &Receiver<Batch>, cores: &[Core]) {
    let mut failure: Option<String> = None;
    let (mut batches, mut bytes): (Vec<Batch>, Vec<u8>) = (Vec::new(), Vec::new());
    while let Ok(first) = inbox.recv() {
        batches.push(first);
        batches.extend(inbox.try_iter());
        if failure.is_none() {
            bytes.clear();
            let entries = batches.iter().flat_map(|batch| &batch.entries);
            write_frame(&mut bytes, |out| entries.for_each(|entry| write_entry(out, entry)));
            let synced = file.write_all(&bytes).and_then(|()| file.sync_data());
            failure = synced.err().map(|error| told(path, &error));
        }
        for mut batch in batches.drain(..) {
            batch.entries.clear();
            let core = &cores[batch.core];
            // A core that has ended does not listen any more.
            let _ = core.answers.send(failure.clone().map_or(Ok(batch.entries), Err));
            core.given.fetch_add(1, Ordering::AcqRel);
            batch.waker.wake();
        }
    }
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("the ledger {} cannot be written: {error}", path.display())
}
