//! What the main thread hears of a core, and the core's last words to the broker.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haremq_protocol::method::{AMQPClass, connection, write_method};
use haremq_reactor::Wait;

use super::{Core, CoreReport};
use crate::consumer::Consumer;
use crate::meter::Meter;

/// For the last words of all connections.
const CLOSE_NS_MAX: u64 = 1_000_000_000;

impl Core<'_> {
    pub(super) fn tell_counters(&self) {
        let roles = &self.roles;
        let counters = &roles.shared.cores[self.index];
        counters.expected.store(roles.expected, Ordering::Relaxed);
        counters.first_deliveries.store(roles.first_deliveries, Ordering::Relaxed);
        let (before, now) = (&self.reported, &roles.meter.counts);
        let settled = before.confirmed + now.confirmed + before.nacked + now.nacked;
        let moved = settled + before.received + now.received + before.returned + now.returned;
        counters.progress.store(moved, Ordering::Relaxed);
        if self.has_confirms {
            let unconfirmed = before.sent + now.sent - settled;
            counters.unconfirmed.store(unconfirmed, Ordering::Relaxed);
        }
        if self.done_publishers == roles.publishers.len() {
            counters.publishers_done.store(true, Ordering::Release);
        }
        if roles.done_consumers == roles.consumers.len() {
            counters.consumers_done.store(true, Ordering::Release);
        }
    }

    /// Sends the meter of an interval that is over, or of the last one.
    pub(super) fn report(&mut self, now_ns: u64, is_last: bool) {
        let Some(start_ns) = self.roles.shared.start_ns() else { return };
        let elapsed_ns = now_ns.saturating_sub(start_ns);
        while elapsed_ns >= (self.interval + 1) * self.interval_ns || is_last {
            self.reported.add(&self.roles.meter.counts);
            let meter = std::mem::replace(&mut self.roles.meter, Meter::new());
            let report = CoreReport {
                core: self.index,
                interval: self.interval,
                meter,
                cpu_ns: thread_cpu_ns(),
            };
            // Nobody listens any more only if the main thread has ended.
            let _ = self.reports.send(report);
            self.interval += 1;
            if is_last {
                return;
            }
        }
    }

    pub(super) fn close(&mut self) {
        for index in 0..self.roles.consumers.len() {
            self.settle(index, Consumer::settle_all);
        }
        self.finish_recording();
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            let close = connection::Close {
                reply_code: 200,
                reply_text: "Goodbye".into(),
                class_id: 0,
                method_id: 0,
            };
            let method = AMQPClass::Connection(connection::AMQPMethod::Close(close));
            write_method(&mut link.out, 0, &method);
            self.mark_dirty(index);
        }
        let failure = self.roles.failure.take();
        let end_ns = self.roles.clock.now_ns() + CLOSE_NS_MAX;
        while self.links.iter().any(|link| !link.is_closed) && self.roles.clock.now_ns() < end_ns {
            self.flush();
            let wait =
                if self.readable.is_empty() { Duration::from_millis(1) } else { Duration::ZERO };
            self.reactor.wait(Wait::Until(wait), || false);
            self.handle_events();
            self.receive();
        }
        self.roles.failure = failure;
    }
}

/// CPU time of the calling thread, in ns.
fn thread_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|run_ns| run_ns.parse().ok()).unwrap_or(0)
}
