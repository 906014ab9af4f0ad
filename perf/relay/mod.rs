//! Stand-ins for a broker: what the sockets, and then the frames, cost without any queue.
//!
//! R0 copies what a publisher sends to a consumer, octet by octet. R1 answers the handshake and
//! makes a delivery of each publish. R2 also confirms, and keeps the books of acknowledgements.
//! All run on the core loop that the broker runs on. A publishing connection gets a consumer
//! of its own (R0), or dealt to the consumers in turns (R1, R2).

mod answer;
mod fault;
mod link;
mod queue;

use std::io::Write as _;
use std::time::{Duration, Instant};

use haremq_reactor::{
    CorePlacement, Reactor, ReactorConfig, ReactorEvent, Received, Sent, SocketId, Wait,
    limit_open_files, spawn_core,
};

use crate::options::{RelayMode, RelayOptions};
use crate::relay::link::{Commons, Heard, Outlet, RelayLink};

/// A consumer that leaves so much unread makes its publishers wait.
const OUT_BYTES_MAX: usize = 1024 * 1024;

/// Runs a relay for ever.
///
/// # Errors
/// Why it cannot listen, for the user.
pub(crate) fn execute(options: &RelayOptions) -> Result<(), String> {
    let _ = limit_open_files(1 << 20);
    let placement = CorePlacement { cpu: options.cpu, name: "relay".to_owned() };
    let options = options.clone();
    let core = spawn_core(placement, move || Relay::listen(&options).map(|relay| relay.run()));
    core.and_then(|core| core.join()).map_err(|error| error.to_string())?.map(|_: ()| ())
}

struct Relay {
    reactor: Reactor,
    mode: RelayMode,
    commons: Commons,
    /// By slot of the reactor.
    links: Vec<Option<RelayLink>>,
    readable: Vec<usize>,
    dirty: Vec<usize>,
    /// Slots of the consuming connections, in the order in which they came.
    consumers: Vec<usize>,
    publishers: usize,
    spin: Duration,
}

impl Relay {
    fn listen(options: &RelayOptions) -> Result<Relay, String> {
        let config = ReactorConfig {
            receive_buffer_bytes: options.receive_buffer.max(4096),
            ..ReactorConfig::default()
        };
        let mut reactor = Reactor::new(config).map_err(|error| error.to_string())?;
        let listening = reactor.listen(options.listen);
        let (_, bound) = listening.map_err(|error| format!("{}: {error}", options.listen))?;
        println!("relay ({:?}) listens on {bound}", options.mode);
        let _ = std::io::stdout().flush();
        Ok(Relay {
            reactor,
            mode: options.mode,
            commons: Commons::new(options.fault),
            links: Vec::new(),
            readable: Vec::new(),
            dirty: Vec::new(),
            consumers: Vec::new(),
            publishers: 0,
            spin: Duration::from_micros(options.spin_us),
        })
    }

    fn run(mut self) {
        let mut active = Instant::now();
        loop {
            let has_work = self.readable.iter().any(|slot| !self.is_paused(*slot));
            let is_spinning = !self.spin.is_zero() && active.elapsed() < self.spin;
            let wait = if has_work || is_spinning { Wait::Now } else { Wait::Forever };
            self.reactor.wait(wait, || false);
            let has_events = self.handle_events();
            if (has_work || has_events) && !self.spin.is_zero() {
                active = Instant::now();
            }
            self.receive();
            self.flush();
        }
    }

    fn handle_events(&mut self) -> bool {
        let mut is_any = false;
        while let Some(event) = self.reactor.poll_event() {
            is_any = true;
            match event {
                ReactorEvent::Accepted(fd, ..) => {
                    if let Ok(socket) = self.reactor.adopt(fd) {
                        self.add_link(socket);
                    }
                }
                ReactorEvent::Readable(socket) => {
                    let slot = socket.slot as usize;
                    if let Some(link) = &mut self.links[slot]
                        && !std::mem::replace(&mut link.is_readable, true)
                    {
                        self.readable.push(slot);
                    }
                }
                ReactorEvent::Writable(socket) => {
                    let slot = socket.slot as usize;
                    if let Some(link) = &mut self.links[slot] {
                        link.is_blocked = false;
                        self.mark_dirty(slot);
                    }
                }
                ReactorEvent::AcceptFailed(error) => eprintln!("haremq-perf relay: {error}"),
                _ => {}
            }
        }
        is_any
    }

    fn add_link(&mut self, socket: SocketId) {
        let slot = socket.slot as usize;
        if self.links.len() <= slot {
            self.links.resize_with(slot + 1, || None);
        }
        self.links[slot] = Some(RelayLink::new(socket, self.mode));
    }

    fn mark_dirty(&mut self, slot: usize) {
        if let Some(link) = &mut self.links[slot]
            && !std::mem::replace(&mut link.is_dirty, true)
        {
            self.dirty.push(slot);
        }
    }

    /// The consumer of this publisher does not read.
    fn is_paused(&self, slot: usize) -> bool {
        let target = self.links[slot].as_ref().and_then(|link| link.target);
        let target = target.and_then(|target| self.links[target].as_ref());
        target.is_some_and(|target| target.outlet.out.len() - target.outlet.sent > OUT_BYTES_MAX)
    }

    fn receive(&mut self) {
        let mut readable = std::mem::take(&mut self.readable);
        readable.retain(|slot| {
            if self.links[*slot].is_none() {
                return false;
            }
            if self.is_paused(*slot) {
                return true;
            }
            self.receive_one(*slot);
            let Some(link) = &mut self.links[*slot] else { return false };
            link.is_readable = self.reactor.is_readable(link.socket);
            link.is_readable
        });
        readable.append(&mut self.readable);
        self.readable = readable;
    }

    fn receive_one(&mut self, slot: usize) {
        let Some(mut link) = self.links[slot].take() else { return };
        let target = link.target.filter(|target| *target != slot);
        let mut outlet = target.and_then(|target| self.take_outlet(target));
        let heard = match self.reactor.receive(link.socket, usize::MAX) {
            Received::Bytes(bytes) => {
                link.handle_received(bytes, outlet.as_mut(), &mut self.commons)
            }
            Received::WouldBlock => Heard::Nothing,
            Received::Closed | Received::Failed(_) => Heard::End,
        };
        if let (Some(target), Some(outlet)) = (target, outlet) {
            self.put_outlet(target, outlet);
            self.mark_dirty(target);
        }
        match heard {
            Heard::Nothing => {}
            Heard::Consumer => self.consumers.push(slot),
            Heard::ConsumerLeft => self.consumers.retain(|consumer| *consumer != slot),
            Heard::Publisher => {
                link.target = self.partner();
                self.publishers += 1;
                // What made it a publisher was kept, and is handled with its target in place.
                let kept = std::mem::take(&mut link.kept);
                self.links[slot] = Some(link);
                return self.handle_kept(slot, &kept);
            }
            Heard::End => {
                if link.has_consumer() {
                    self.consumers.retain(|consumer| *consumer != slot);
                    self.commons.queue.end();
                }
                return self.reactor.close(link.socket);
            }
        }
        self.links[slot] = Some(link);
        self.mark_dirty(slot);
    }

    fn handle_kept(&mut self, slot: usize, kept: &[u8]) {
        let Some(mut link) = self.links[slot].take() else { return };
        let target = link.target;
        let mut outlet = target.and_then(|target| self.take_outlet(target));
        link.handle_received(kept, outlet.as_mut(), &mut self.commons);
        if let (Some(target), Some(outlet)) = (target, outlet) {
            self.put_outlet(target, outlet);
            self.mark_dirty(target);
        }
        self.links[slot] = Some(link);
        self.mark_dirty(slot);
    }

    fn partner(&self) -> Option<usize> {
        match self.mode {
            RelayMode::Bytes => {
                let taken =
                    |slot: usize| self.links.iter().flatten().any(|link| link.target == Some(slot));
                self.consumers.iter().copied().find(|slot| !taken(*slot))
            }
            _ if self.consumers.is_empty() => None,
            _ => Some(self.consumers[self.publishers % self.consumers.len()]),
        }
    }

    fn take_outlet(&mut self, slot: usize) -> Option<Outlet> {
        self.links[slot].as_mut().map(|link| std::mem::take(&mut link.outlet))
    }

    fn put_outlet(&mut self, slot: usize, outlet: Outlet) {
        if let Some(link) = &mut self.links[slot] {
            link.outlet = outlet;
        }
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            let Some(link) = &mut self.links[slot] else { continue };
            link.is_dirty = false;
            let outlet = &mut link.outlet;
            if link.is_blocked || outlet.sent == outlet.out.len() {
                continue;
            }
            match self.reactor.send(link.socket, &outlet.out[outlet.sent..]) {
                Sent::All => {
                    outlet.out.clear();
                    outlet.sent = 0;
                }
                Sent::Partial(count) => {
                    outlet.sent += count;
                    link.is_blocked = true;
                }
                // Receiving tells the same, and ends the connection.
                Sent::Failed(_) => {}
            }
        }
        self.dirty = dirty;
    }
}
