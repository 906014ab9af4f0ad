//! tx.select, commit, rollback (SEMANTICS.md 9).

use bytes::Bytes;
use haremq_broker::channel::{Run, Transaction};
use haremq_broker::queue::Outcome;
use haremq_broker::router::Destination;
use haremq_protocol::method::{AMQPClass, tx};
use haremq_protocol::properties::Properties;
use haremq_protocol::publish::Publish;
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::channel::{Channel, Settling, Waiting};
use super::content::Message;
use super::publish::homes_of;
use crate::limits::{BODY_COPY_BYTES_MAX, UNCOMMITTED_BYTES_MAX};
use crate::shard::Shard;

const PUBLISH: (u16, u16) = (60, 40);
const COMMIT: (u16, u16) = (90, 20);
const ROLLBACK: (u16, u16) = (90, 30);
const SELECT: (u16, u16) = (90, 10);
/// Bookkeeping of a publish in a transaction, beside its content.
const PUBLISH_OVERHEAD_BYTES: usize = 160;

/// A publish that waits for the commit; routed already (TXN-2).
#[derive(Debug)]
pub(crate) struct TransactionPublish {
    exchange: Box<[u8]>,
    routing_key: Box<[u8]>,
    properties: Box<[u8]>,
    body: Bytes,
    mandatory: bool,
    expiration_ms: Option<u64>,
    destinations: Box<[Destination]>,
}

impl TransactionPublish {
    pub(crate) fn new(
        message: &Message<'_>,
        expiration_ms: Option<u64>,
        destinations: &[Destination],
    ) -> TransactionPublish {
        let body = message.owned_body.cloned();
        TransactionPublish {
            exchange: message.publish.exchange.into(),
            routing_key: message.publish.routing_key.into(),
            properties: message.properties.raw().into(),
            body: body.unwrap_or_else(|| Bytes::copy_from_slice(message.body)),
            mandatory: message.publish.mandatory,
            expiration_ms,
            destinations: destinations.into(),
        }
    }

    fn bytes(&self) -> usize {
        let names = self.exchange.len() + self.routing_key.len();
        let queues = size_of_val(&*self.destinations);
        PUBLISH_OVERHEAD_BYTES + names + self.properties.len() + self.body.len() + queues
    }
}

/// The transaction of a channel in tx mode; a new one begins with each commit and rollback.
#[derive(Debug, Default)]
pub(crate) struct OpenTransaction {
    pub(crate) settled: Transaction,
    publishes: Vec<TransactionPublish>,
    /// Memory that the publishes hold.
    bytes: usize,
    /// While committing: publishes handed to their homes.
    sent: usize,
    /// While committing: answers that homes owe.
    owed: u64,
}

impl Channel {
    /// Whether publishes wait for a commit.
    pub(crate) fn has_uncommitted(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.publishes.is_empty())
    }
}

impl Shard {
    pub(crate) fn handle_tx_method(
        &mut self,
        channel: u32,
        method: &tx::AMQPMethod,
    ) -> Result<(), ProtocolError> {
        match method {
            tx::AMQPMethod::Select(_) => self.select_transactions(channel),
            tx::AMQPMethod::Commit(_) => self.commit(channel),
            tx::AMQPMethod::Rollback(_) => self.roll_back(channel),
            _ => Err(super::channel_methods::unimplemented()),
        }
    }

    /// TXN-1.
    fn select_transactions(&mut self, channel: u32) -> Result<(), ProtocolError> {
        let entry = &mut self.front.channels[channel as usize];
        if entry.unconfirmed.is_some() {
            let text = "cannot switch from confirm to tx mode";
            let error = ProtocolError::new(ReplyCode::PreconditionFailed, text);
            return Err(error.of(SELECT.0, SELECT.1));
        }
        entry.transaction.get_or_insert_default();
        entry.tags.set_transactional();
        let method = tx::AMQPMethod::SelectOk(tx::SelectOk {});
        self.send_on_channel(channel, &AMQPClass::Tx(method));
        Ok(())
    }

    /// Keeps a publish for the commit.
    pub(crate) fn add_to_transaction(
        &mut self,
        channel: u32,
        publish: TransactionPublish,
    ) -> Result<(), ProtocolError> {
        let bytes = publish.bytes();
        let slot = self.front.channels[channel as usize].connection;
        let held = self.connection_mut(slot).uncommitted_bytes + bytes;
        let refuse = |text| {
            let error = ProtocolError::new(ReplyCode::PreconditionFailed, text);
            Err(error.of(PUBLISH.0, PUBLISH.1))
        };
        if held > UNCOMMITTED_BYTES_MAX {
            return refuse(format!("transactions hold more than {UNCOMMITTED_BYTES_MAX} bytes"));
        }
        if self.is_out_of_memory_for(held, bytes) {
            return refuse(format!("transactions hold {held} bytes, and memory is used up"));
        }
        self.connection_mut(slot).uncommitted_bytes = held;
        self.front.unfinished_bytes += bytes;
        let entry = &mut self.front.channels[channel as usize];
        let transaction = entry.transaction.as_mut().expect("the caller has looked");
        transaction.bytes += bytes;
        transaction.publishes.push(publish);
        self.front.buffered_bytes += bytes;
        Ok(())
    }

    /// TXN-4: publishes in order, then settlements in order; commit-ok when every home has
    /// taken responsibility.
    fn commit(&mut self, channel: u32) -> Result<(), ProtocolError> {
        let entry = &mut self.front.channels[channel as usize];
        if entry.transaction.is_none() {
            return Err(not_transactional(COMMIT));
        }
        // As with a publish outside of a transaction.
        self.handle_local_answers();
        let entry = &mut self.front.channels[channel as usize];
        entry.waiting = Waiting::Commit;
        self.continue_commit(channel);
        Ok(())
    }

    /// Hands publishes to their homes as far as credit allows; the rest waits for credit.
    pub(crate) fn continue_commit(&mut self, channel: u32) {
        let entry = &mut self.front.channels[channel as usize];
        if !entry.is_open() || entry.waiting != Waiting::Commit {
            return;
        }
        let mut transaction = entry.transaction.take().expect("a commit is under way");
        let is_sent = self.send_transaction(channel, &mut transaction);
        self.front.channels[channel as usize].transaction = Some(transaction);
        if !is_sent {
            self.front.commit_waiters.push(channel);
            return;
        }
        self.settle_transaction(channel);
    }

    /// Returns whether everything is handed over.
    fn send_transaction(&mut self, channel: u32, transaction: &mut OpenTransaction) -> bool {
        while let Some(publish) = transaction.publishes.get(transaction.sent) {
            if self.home_without_credit(&publish.destinations).is_some() {
                return false;
            }
            let message = Message {
                publish: &Publish {
                    exchange: &publish.exchange,
                    routing_key: &publish.routing_key,
                    mandatory: publish.mandatory,
                    immediate: false,
                },
                properties: &Properties::parse(&publish.properties).expect("parsed before"),
                body: &publish.body,
                owned_body: (publish.body.len() > BODY_COPY_BYTES_MAX).then_some(&publish.body),
            };
            if publish.destinations.is_empty() {
                self.counters.unroutable += 1;
                if publish.mandatory {
                    let connection = self.front.channels[channel as usize].connection;
                    self.send_return(connection, channel, &message);
                }
            }
            transaction.owed += u64::from(homes_of(&publish.destinations));
            transaction.sent += 1;
            // Acceptances are answers: they are taken in when the transaction is back in its place.
            let sequence = transaction.sent as u64;
            let destinations = &publish.destinations;
            self.send_to_homes(channel, sequence, &message, publish.expiration_ms, destinations);
        }
        true
    }

    pub(crate) fn settle_transaction(&mut self, channel: u32) {
        let left = &mut self.front.bulk_left;
        let entry = &mut self.front.channels[channel as usize];
        let transaction = entry.transaction.as_mut().expect("a commit is under way");
        let mut runs: Vec<(Run, Outcome)> = Vec::new();
        transaction.settled.commit(left, |run, outcome| runs.push((run, outcome)));
        let is_done = transaction.settled.is_empty();
        for (run, outcome) in runs {
            self.send_settle(channel, run, outcome);
        }
        if self.front.channels[channel as usize].global.is_on() {
            self.send_grants(channel);
        }
        if !is_done {
            return self.settle_later(channel, Settling::Commit);
        }
        self.end_commit_if_accepted(channel);
        self.end_settlement(channel);
    }

    /// Homes have taken responsibility for so many of the publishes.
    pub(crate) fn handle_commit_accepted(&mut self, channel: u32, count: u64) {
        let entry = &mut self.front.channels[channel as usize];
        let transaction = entry.transaction.as_mut().expect("the caller has looked");
        assert!(transaction.owed >= count, "a home answers once");
        transaction.owed -= count;
        self.end_commit_if_accepted(channel);
    }

    fn end_commit_if_accepted(&mut self, channel: u32) {
        let entry = &mut self.front.channels[channel as usize];
        let transaction = entry.transaction.as_mut().expect("a commit is under way");
        let is_sent = transaction.sent == transaction.publishes.len();
        let is_settled = transaction.settled.is_empty();
        if entry.waiting != Waiting::Commit || !is_sent || !is_settled || transaction.owed > 0 {
            return;
        }
        self.forget_publishes(channel);
        let method = tx::AMQPMethod::CommitOk(tx::CommitOk {});
        self.send_on_channel(channel, &AMQPClass::Tx(method));
        self.stop_waiting(channel);
    }

    /// TXN-5.
    fn roll_back(&mut self, channel: u32) -> Result<(), ProtocolError> {
        if self.front.channels[channel as usize].transaction.is_none() {
            return Err(not_transactional(ROLLBACK));
        }
        self.forget_publishes(channel);
        self.restore_transaction(channel);
        Ok(())
    }

    /// What the transaction has settled is outstanding again.
    pub(crate) fn restore_transaction(&mut self, channel: u32) {
        let left = &mut self.front.bulk_left;
        let entry = &mut *self.front.channels[channel as usize];
        let transaction = entry.transaction.as_mut().expect("it is never left");
        transaction.settled.rollback(&mut entry.tags, left);
        if let Some(marks) = &mut entry.ack_marks {
            marks.restart();
        }
        if !transaction.settled.is_empty() {
            return self.settle_later(channel, Settling::Rollback);
        }
        if entry.is_open() {
            let method = tx::AMQPMethod::RollbackOk(tx::RollbackOk {});
            self.send_on_channel(channel, &AMQPClass::Tx(method));
        }
        self.end_settlement(channel);
    }

    /// Frees what a transaction's publishes hold.
    pub(crate) fn forget_publishes(&mut self, channel: u32) {
        let entry = &mut self.front.channels[channel as usize];
        let Some(transaction) = &mut entry.transaction else {
            return;
        };
        let bytes = std::mem::take(&mut transaction.bytes);
        transaction.publishes = Vec::new();
        transaction.sent = 0;
        transaction.owed = 0;
        let slot = entry.connection;
        self.front.buffered_bytes -= bytes;
        self.front.unfinished_bytes -= bytes;
        self.connection_mut(slot).uncommitted_bytes -= bytes;
    }
}

fn not_transactional(method: (u16, u16)) -> ProtocolError {
    let text = "channel is not transactional";
    ProtocolError::new(ReplyCode::PreconditionFailed, text).of(method.0, method.1)
}
