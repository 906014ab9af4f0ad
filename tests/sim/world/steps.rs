//! What could happen next, and doing it.

use haremq_broker::ids::Time;
use haremq_shard::{Event, Shard};

use super::{SocketId, World};
use crate::trace;

/// Something that may happen now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// A shard gets bytes.
    Receive(usize),
    /// The kernel takes output.
    Send(usize),
    /// A client reads.
    Read(SocketId),
    /// A shard learns of a reset.
    Disconnect(usize),
    /// A shard's tick ends.
    Tick(usize),
    /// A batch arrives.
    Batch(usize, usize),
    /// A batch comes back.
    Return(usize, usize),
    /// A letter arrives at the writer.
    ToWriter(usize),
    /// A letter arrives at a shard.
    FromWriter(usize),
    /// A sync returns.
    Sync(usize),
    /// A shard learns of the memory alarm.
    Memory(usize),
}

impl Step {
    /// Which weight counts for it.
    pub(crate) fn kind(self) -> usize {
        match self {
            Step::Receive(_) => 0,
            Step::Send(_) => 1,
            Step::Read(_) => 2,
            Step::Tick(_) => 3,
            Step::Batch(..) => 4,
            Step::ToWriter(_) | Step::FromWriter(_) => 5,
            Step::Sync(_) | Step::Memory(_) => 6,
            Step::Disconnect(_) | Step::Return(..) => 7,
        }
    }
}

impl World {
    /// Everything that may happen now, for one of it to be chosen.
    pub(crate) fn list_steps(&self, steps: &mut Vec<Step>) {
        steps.clear();
        for (id, socket) in self.sockets.iter().enumerate() {
            if socket.is_forgotten && socket.to_client.is_empty() {
                continue;
            }
            let mut offer = |is_ready: bool, step| is_ready.then(|| steps.push(step));
            offer(self.can_receive(id), Step::Receive(id));
            offer(self.can_send(id), Step::Send(id));
            offer(self.can_read(id), Step::Read(SocketId(id)));
            offer(self.can_disconnect(id), Step::Disconnect(id));
        }
        for shard in 0..self.shards.len() {
            self.list_steps_of_shard(shard, steps);
        }
    }

    fn list_steps_of_shard(&self, shard: usize, steps: &mut Vec<Step>) {
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= self.now);
        let mut offer = |is_ready: bool, step| is_ready.then(|| steps.push(step));
        let machine = &self.shards[shard];
        let needs_tick =
            self.is_dirty[shard] || machine.has_work() || is_due(machine.next_deadline());
        offer(needs_tick, Step::Tick(shard));
        offer(is_due(self.to_writer[shard].front().map(|it| it.0)), Step::ToWriter(shard));
        offer(is_due(self.from_writer[shard].front().map(|it| it.0)), Step::FromWriter(shard));
        offer(is_due(self.syncs[shard].map(|it| it.0)), Step::Sync(shard));
        offer(self.told_over_limit[shard] != self.is_over_limit, Step::Memory(shard));
        for from in self.peers(shard) {
            let link = &self.links[from][shard];
            let has_room = machine.has_room_for_batch(super::links::shard_id(from));
            offer(link.has_arrived(self.now) && has_room, Step::Batch(from, shard));
            offer(link.is_returning(), Step::Return(from, shard));
        }
    }

    /// Does a step; reading is the client's.
    pub(crate) fn take_step(&mut self, step: Step) {
        match step {
            Step::Receive(socket) => self.receive(socket),
            Step::Send(socket) => self.send(socket),
            Step::Read(_) => unreachable!("clients read"),
            Step::Disconnect(socket) => self.disconnect(socket),
            Step::Tick(shard) => {
                trace::note(format!("{shard} ticks"));
                self.tell(shard, Event::TickEnded);
                self.send_batches(shard);
            }
            Step::Batch(from, to) => self.deliver_batch(from, to),
            Step::Return(from, to) => self.return_batch(from, to),
            Step::ToWriter(shard) => self.deliver_to_writer(shard),
            Step::FromWriter(shard) => self.deliver_from_writer(shard),
            Step::Sync(shard) => {
                let (_, lsn) = self.syncs[shard].take().expect("it is due");
                trace::note(format!("{shard}: log synced to {lsn:?}"));
                self.tell(shard, Event::LogSynced(lsn));
            }
            Step::Memory(shard) => {
                let is_over_limit = self.is_over_limit;
                self.told_over_limit[shard] = is_over_limit;
                trace::note(format!("{shard}: over limit {is_over_limit}"));
                self.tell(shard, Event::MemoryChanged { is_over_limit });
            }
        }
    }

    /// Checks all machines.
    pub(crate) fn check_invariants(&self) {
        self.shards.iter().for_each(Shard::check_invariants);
    }
}
