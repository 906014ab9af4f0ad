//! The ledger: what it must have before something else may happen.

use super::Core;
use crate::consumer::Consumer;

impl Core<'_> {
    /// Once per round: lets happen what has waited for the ledger, and sends on what has gathered.
    pub(super) fn record(&mut self) {
        let Some(recorder) = &mut self.roles.recorder else { return };
        match recorder.poll_synced() {
            Some(Ok(())) => self.release(),
            Some(Err(text)) => return self.roles.fail(text),
            None => {}
        }
        self.reserve();
        self.submit();
    }

    fn reserve(&mut self) {
        let Some(recorder) = &mut self.roles.recorder else { return };
        if recorder.is_under_way() {
            return;
        }
        for publisher in &mut self.roles.publishers {
            if let Some(below) = publisher.poll_reservation() {
                recorder.reserve(publisher.number, below);
            }
        }
    }

    /// Lets a consumer settle something, or as far as the ledger may still not have it, has it
    /// wait for that.
    pub(super) fn settle(
        &mut self,
        index: usize,
        settle: impl FnOnce(&mut Consumer, &mut Vec<u8>),
    ) {
        let consumer = &mut self.roles.consumers[index];
        let link_index = self.link_of_consumer[index];
        let link = &mut self.links[link_index];
        let Some(recorder) = &mut self.roles.recorder else {
            settle(consumer, &mut link.out);
            if !link.out.is_empty() {
                self.mark_dirty(link_index);
            }
            return;
        };
        settle(consumer, &mut link.held.gathering);
        let queue = consumer.queue;
        consumer.drain_settled().for_each(|origin| recorder.consume(queue, origin));
    }

    /// Writes down the rest, and what each producer has sent, and waits until it is on the medium.
    pub(super) fn finish_recording(&mut self) {
        self.await_synced();
        let Some(recorder) = &mut self.roles.recorder else { return };
        for publisher in &self.roles.publishers {
            recorder.end(publisher.number, publisher.next);
        }
        self.submit();
        self.await_synced();
    }

    fn await_synced(&mut self) {
        let Some(recorder) = &mut self.roles.recorder else { return };
        if recorder.is_under_way() {
            match recorder.await_synced() {
                Ok(()) => self.release(),
                Err(text) => self.roles.fail(text),
            }
        }
    }

    /// What was under way is on the medium.
    fn release(&mut self) {
        for (index, publisher) in self.roles.publishers.iter_mut().enumerate() {
            if publisher.handle_reserved() {
                self.roles.woken.push(index);
            }
        }
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            if !link.held.under_way.is_empty() {
                link.out.append(&mut link.held.under_way);
                self.mark_dirty(index);
            }
        }
    }

    fn submit(&mut self) {
        let Some(recorder) = &mut self.roles.recorder else { return };
        // What waits for a batch that failed waits for ever.
        if recorder.is_under_way() || recorder.has_failed() {
            return;
        }
        let is_submitted = recorder.submit(&self.waker);
        for link in &mut self.links {
            let held = &mut link.held;
            assert!(held.under_way.is_empty(), "it was released before");
            std::mem::swap(&mut held.gathering, &mut held.under_way);
        }
        if !is_submitted {
            // Settlements of what is nobody's to record.
            self.release();
        }
    }
}
