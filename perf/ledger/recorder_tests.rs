//! What a core records, and that it allocates nothing per message.

use std::sync::mpsc::channel;

use haremq_reactor::{CorePlacement, Reactor, ReactorConfig, spawn_core};

use super::*;

/// A core's recorder, and the other ends of its ways.
fn recorder() -> (Recorder, Receiver<Batch>, impl Fn(Answer)) {
    let (to_writer, inbox) = channel();
    let (answers, from_writer) = channel();
    let given = Arc::new(AtomicU64::new(0));
    let recorder = Recorder::new(0, 2, to_writer, from_writer, Arc::clone(&given));
    let answer = move |answer: Answer| {
        answers.send(answer).expect("the recorder listens");
        given.fetch_add(1, Ordering::AcqRel);
    };
    (recorder, inbox, answer)
}

/// Runs `test` on a core, with its waker.
fn on_a_core(test: impl FnOnce(&Waker) + Send + 'static) {
    let placement = CorePlacement { cpu: None, name: "test".to_owned() };
    let core = spawn_core(placement, move || {
        let reactor = Reactor::new(ReactorConfig::default()).expect("there is io_uring");
        test(&reactor.waker());
    });
    core.and_then(|core| core.join()).expect("the test passes");
}

fn origin(publisher: u16, seq: u64) -> Origin {
    Origin { publisher, seq }
}

#[test]
fn runs_of_each_kind_and_producer_are_joined() {
    on_a_core(|waker| {
        let (mut recorder, inbox, answer) = recorder();
        assert!(!recorder.submit(waker), "there is nothing yet");
        for seq in 0..100 {
            recorder.settle(Fate::Confirmed, origin(0, seq));
            recorder.settle(Fate::Confirmed, origin(1, seq + 50));
            recorder.consume(3, origin(0, seq));
        }
        // Of another run.
        recorder.consume(3, origin(2, 0));
        recorder.settle(Fate::Confirmed, origin(0, 200));
        assert!(recorder.submit(waker));
        let batch = inbox.recv().expect("it was submitted");
        let run = |fate, publisher, queue, first, last| Entry::Run {
            fate,
            publisher,
            queue,
            first,
            last,
        };
        let expected = [
            run(Fate::Confirmed, 0, 0, 0, 99),
            run(Fate::Confirmed, 1, 0, 50, 149),
            run(Fate::Consumed, 0, 3, 0, 99),
            run(Fate::Confirmed, 0, 0, 200, 200),
        ];
        assert_eq!(batch.entries, expected);
        // What comes while a batch is under way is of the next one.
        recorder.settle(Fate::Confirmed, origin(0, 201));
        assert_eq!(recorder.poll_synced(), None);
        answer(Ok(Vec::new()));
        assert_eq!(recorder.poll_synced(), Some(Ok(())));
        assert!(recorder.submit(waker));
        let batch = inbox.recv().expect("it was submitted");
        assert_eq!(batch.entries, [run(Fate::Confirmed, 0, 0, 201, 201)]);
        answer(Err("no space".to_owned()));
        assert_eq!(recorder.poll_synced(), Some(Err("no space".to_owned())));
    });
}

#[test]
fn recording_allocates_nothing_per_message() {
    on_a_core(|waker| {
        let (mut recorder, inbox, answer) = recorder();
        let record = |recorder: &mut Recorder, from: u64| {
            for seq in from..from + 1000 {
                // Out of order, so that no run is longer than one.
                recorder.settle(Fate::Confirmed, origin(0, seq ^ 1));
                recorder.consume(0, origin(1, seq ^ 1));
            }
        };
        for round in 0..3 {
            let allocations = allocation_counter::measure(|| record(&mut recorder, round * 1000));
            // Both buffers have grown to their size after two rounds.
            assert!(round < 2 || allocations.count_total == 0, "{allocations:?}");
            assert!(recorder.submit(waker));
            let mut entries = inbox.recv().expect("it was submitted").entries;
            entries.clear();
            answer(Ok(entries));
            assert_eq!(recorder.await_synced(), Ok(()));
        }
    });
}
