//! What clients do: each operation samples itself, sends, and says what answer must come.

mod bind;
mod cancel;
mod close;
mod consume;
mod declare;
mod delete;
mod get;
mod misbehave;
mod publish;
mod purge;
mod qos;
mod replies;
mod settle;
mod tx;

use crate::client::State;
use crate::model::QueueKind;
use crate::simulation::Simulation;
use crate::trace;

/// A kind of operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Publish,
    Consume,
    Settle,
    Get,
    Cancel,
    Declare,
    DeclareExchange,
    Bind,
    Delete,
    Purge,
    Qos,
    Transaction,
    Recover,
    CloseChannel,
    CloseConnection,
    Misbehave,
}

/// All operations, how often they come, and whether a world may do without.
pub(crate) const OPERATIONS: [(Operation, u64, bool); 16] = [
    (Operation::Publish, 30, false),
    (Operation::Consume, 8, false),
    (Operation::Settle, 20, false),
    (Operation::Get, 6, true),
    (Operation::Cancel, 4, true),
    (Operation::Declare, 4, true),
    (Operation::DeclareExchange, 1, true),
    (Operation::Bind, 3, true),
    (Operation::Delete, 2, true),
    (Operation::Purge, 2, true),
    (Operation::Qos, 4, true),
    (Operation::Transaction, 5, true),
    (Operation::Recover, 1, true),
    (Operation::CloseChannel, 2, true),
    (Operation::CloseConnection, 1, true),
    (Operation::Misbehave, 1, true),
];

/// Bindings to it come and go.
pub(crate) const LOOSE_EXCHANGE: &str = "loose";
/// Bound to the first two stable queues for good.
pub(crate) const FIRM_EXCHANGE: &str = "firm";
/// Declared and deleted by anybody.
pub(crate) const SHORT_LIVED_EXCHANGE: &str = "short-lived";
/// Routing keys in use.
pub(crate) const KEYS: [&str; 3] = ["a", "b", "a.b"];

/// What may go wrong with a queue that others delete, own, or use exclusively.
const QUEUE_REFUSALS: [u16; 3] = [403, 404, 405];

impl Simulation {
    /// One client does one thing.
    pub(crate) fn operate(&mut self) {
        let index = self.workload.below(self.clients.len());
        match self.clients[index].state {
            State::Idle => return self.clients[index].connect(&mut self.world),
            State::Opening | State::Closing => return,
            State::Open => {}
        }
        let most = u64::from(self.world.parameters.channels_max);
        let number = self.workload.between(1, most) as u16;
        let Some(channel) = self.clients[index].channels.get(&number) else {
            return self.open_channel(index, number);
        };
        if !channel.is_usable() {
            return;
        }
        let choice = self.workload.weighted(&self.world.parameters.weights.clone());
        let operation = OPERATIONS[choice].0;
        trace::note(format!("client {index} channel {number}: {operation:?}"));
        self.operate_on(index, number, operation);
        self.clients[index].flush(&mut self.world);
    }

    fn operate_on(&mut self, client: usize, number: u16, operation: Operation) {
        match operation {
            Operation::Publish => self.publish(client, number),
            Operation::Consume => self.consume(client, number),
            Operation::Settle => self.settle(client, number),
            Operation::Get => self.basic_get(client, number),
            Operation::Cancel => self.cancel(client, number),
            Operation::Declare => self.declare_queue(client, number),
            Operation::DeclareExchange => self.declare_exchange(client, number),
            Operation::Bind => self.bind(client, number),
            Operation::Delete => self.delete(client, number),
            Operation::Purge => self.purge(client, number),
            Operation::Qos => self.set_qos(client, number),
            Operation::Transaction => self.end_transaction(client, number),
            Operation::Recover => self.recover(client, number),
            Operation::CloseChannel => self.close_channel(client, number),
            Operation::CloseConnection => self.close_connection(client),
            Operation::Misbehave => self.misbehave(client, number),
        }
    }

    /// A queue to work with: mostly one that is always there.
    fn pick_queue(&mut self, client: usize) -> usize {
        let is_permanent = self.workload.chance(750);
        let own = format!("exclusive-{client}-");
        let may_stray = self.workload.chance(50);
        let queues: Vec<usize> = (0..self.model.queues.len())
            .filter(|index| {
                let queue = &self.model.queues[*index];
                let is_foreign =
                    queue.kind == QueueKind::Exclusive && !queue.name.starts_with(&own);
                queue.kind.is_permanent() == is_permanent && (may_stray || !is_foreign)
            })
            .collect();
        self.workload.pick(&queues)
    }

    /// Notes what an operation on this queue may be refused with.
    fn allow_refusals(&mut self, client: usize, number: u16, queue: usize) {
        if !self.model.queues[queue].kind.is_permanent() {
            self.clients[client].channel(number).may_fail.extend(QUEUE_REFUSALS);
        }
    }

    fn queue_name(&self, queue: usize) -> &str {
        &self.model.queues[queue].name
    }
}
