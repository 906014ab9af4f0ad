//! What has many bindings loses them in slices before it goes, so that no shard is held up. The next
//! slice goes when every shard has applied the last one: none falls behind, and no batch between
//! shards has to wait for one that has.

use haremq_broker::catalog::{BindingDestination, Delta, strip_line_ends};
use haremq_broker::ids::{ExchangeId, ShardId};

use super::CatalogWriter;
use super::catalog_writer::Wish;
use super::letters::{RetireOutcome, ToWriter};

/// A queue or exchange that loses its bindings.
#[derive(Debug)]
pub(super) struct Unbinding {
    end: BindingDestination,
    /// Index of the last slice; 0 before the first.
    index: u64,
    /// What is done when the rest fits into one change, in order.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    /// What a home said of its queue.
    Letter(ShardId, ToWriter),
    /// A client's deletion of an exchange.
    Wish(Wish),
}

impl CatalogWriter {
    /// Keeps a letter for later that says that a queue with many bindings is gone, and the letters
    /// after it that concern the queue's end; returns any other.
    pub(super) fn hold_for_unbinding(
        &mut self,
        from: ShardId,
        letter: ToWriter,
    ) -> Option<ToWriter> {
        let (queue, is_gone) = match letter {
            ToWriter::Retired { queue } => (queue, true),
            ToWriter::RetireAnswered { queue, outcome } => {
                (queue, matches!(outcome, RetireOutcome::Retired(_)))
            }
            _ => return Some(letter),
        };
        let end = BindingDestination::Queue(queue);
        if let Some(known) = self.unbinding.iter_mut().find(|known| known.end == end) {
            known.waiting.push(Waiting::Letter(from, letter));
            return None;
        }
        if !is_gone || !self.has_many_bindings(end) {
            return Some(letter);
        }
        self.begin_unbinding(end, Waiting::Letter(from, letter));
        None
    }

    /// Keeps a wish for later that names what loses its bindings: a bind would keep it from ever
    /// losing the last, and would mean nothing. Returns any other.
    pub(super) fn hold_wish_for_unbinding(&mut self, wish: Wish) -> Option<Wish> {
        let named = |unbinding: &Unbinding| self.names(&wish, unbinding.end);
        let Some(place) = self.unbinding.iter().position(named) else { return Some(wish) };
        self.unbinding[place].waiting.push(Waiting::Wish(wish));
        None
    }

    fn names(&self, wish: &Wish, end: BindingDestination) -> bool {
        let (origin, queue, exchanges) = wish.command.ends();
        match end {
            BindingDestination::Queue(id) => {
                let queue = queue.map(strip_line_ends);
                let queue =
                    queue.and_then(|name| self.catalog.queue(origin.vhost, name.as_bytes()));
                queue.is_some_and(|queue| queue.id == id)
            }
            BindingDestination::Exchange(id) => exchanges
                .into_iter()
                .flatten()
                .map(strip_line_ends)
                .any(|name| self.catalog.exchange_id(origin.vhost, name.as_bytes()) == Some(id)),
        }
    }

    /// The wish to delete an exchange is considered again when few of its bindings are left.
    pub(super) fn unbind_first(&mut self, exchange: ExchangeId, wish: Wish) {
        self.begin_unbinding(BindingDestination::Exchange(exchange), Waiting::Wish(wish));
    }

    /// More than go at once.
    pub(super) fn has_many_bindings(&self, end: BindingDestination) -> bool {
        self.catalog.binding_count(end) > self.bindings_per_delta
    }

    fn begin_unbinding(&mut self, end: BindingDestination, waiting: Waiting) {
        self.unbinding.push_back(Unbinding { end, index: 0, waiting: vec![waiting] });
        if self.unbinding.len() == 1 {
            self.continue_unbinding();
        }
    }

    /// Publishes the next slice, or does what has waited for the last one.
    pub(super) fn continue_unbinding(&mut self) {
        while let Some(first) = self.unbinding.front() {
            if first.index > self.applied_everywhere() {
                return;
            }
            let end = first.end;
            if self.has_many_bindings(end) {
                let count = self.bindings_per_delta;
                self.publish_delta(Delta::BindingsDropped { end, count });
                let index = self.catalog.index();
                self.unbinding.front_mut().expect("just seen").index = index;
                continue;
            }
            let done = self.unbinding.pop_front().expect("just seen");
            for waiting in done.waiting {
                match waiting {
                    Waiting::Letter(from, letter) => self.consider_letter(from, letter),
                    Waiting::Wish(wish) => self.release(wish),
                }
            }
        }
    }
}
