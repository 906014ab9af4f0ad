//! Faults have stopped: everything asked for must be answered, everybody drains, the sum comes
//! out, and nothing is left.

use crate::channel::Mode;
use crate::client::State;
use crate::model::QueueKind;
use crate::simulation::Simulation;
use crate::trace;
use crate::workload::{FIRM_EXCHANGE, LOOSE_EXCHANGE, SHORT_LIVED_EXCHANGE};

/// Rounds of acks and commits within which all consumers must have drained their queues.
const ROUNDS_MAX: usize = 2_000;
/// After this, in virtual milliseconds, every deadline of the workload has passed.
const DEADLINES_PASS_MS: u64 = 1_000;

/// After this, in virtual milliseconds, the broker has given up on clients that say nothing.
const TIMEOUTS_PASS_MS: u64 = 40_000;

impl Simulation {
    /// From the last operation to an empty broker.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        self.drain()?;
        self.run_for_ms(DEADLINES_PASS_MS)?;
        self.drain()?;
        if self.workload.chance(100) {
            return self.stop_broker();
        }
        self.note_drained_queues();
        self.close_all()?;
        self.check_queues()?;
        self.model.check_at_rest()?;
        self.world.check_empty()
    }

    /// The broker stops: every client is told, and no connection is left.
    fn stop_broker(&mut self) -> Result<(), String> {
        trace::note("the broker stops".into());
        self.clients.iter_mut().for_each(|client| client.may_break = true);
        self.world.stop();
        self.run_for_ms(TIMEOUTS_PASS_MS)?;
        self.check_forgotten()?;
        self.world.check_drained()
    }

    /// Every client acks what it gets and commits, until nothing more comes.
    fn drain(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            self.run_to_idle()?;
            self.check_answered()?;
            let mut has_acted = false;
            for client in 0..self.clients.len() {
                has_acted |= self.drain_client(client);
            }
            if !has_acted {
                return Ok(());
            }
        }
        Err("consumers do not come to an end".into())
    }

    fn drain_client(&mut self, client: usize) -> bool {
        if self.clients[client].state != State::Open {
            return false;
        }
        let mut has_acted = false;
        let numbers: Vec<u16> = self.clients[client].channels.keys().copied().collect();
        for number in numbers {
            has_acted |= !self.clients[client].channel(number).unacked.is_empty();
            self.ack_all(client, number);
            let channel = self.clients[client].channel(number);
            let is_open = !channel.uncommitted.is_empty() || !channel.pending.is_empty();
            if channel.mode == Mode::Transaction && is_open {
                self.commit(client, number);
                has_acted = true;
            }
        }
        self.clients[client].flush(&mut self.world);
        has_acted
    }

    /// Nothing is under way: whatever was asked for has been answered.
    pub(crate) fn check_answered(&self) -> Result<(), String> {
        for (index, client) in self.clients.iter().enumerate() {
            if matches!(client.state, State::Opening | State::Closing) {
                return Err(format!("client {index} waits, {:?}", client.state));
            }
            if client.state == State::Open && client.must_break {
                return Err(format!("client {index} was not told what it did wrong"));
            }
            for (number, channel) in &client.channels {
                let name = format!("client {index} channel {number} ({})", channel.uid);
                if channel.must_fail || channel.is_closing {
                    return Err(format!("{name} is not closed"));
                }
                if let Some(expected) = channel.expected.front() {
                    return Err(format!("{name} waits for {expected:?}"));
                }
                if let Some((tag, message)) = channel.unconfirmed.first_key_value() {
                    return Err(format!("{name}: {tag} is not confirmed, message {message}"));
                }
            }
        }
        Ok(())
    }

    /// A queue with a consumer that has room must be empty now.
    fn note_drained_queues(&mut self) {
        let channels = self.clients.iter().flat_map(|client| client.channels.values());
        for consumer in channels.flat_map(|channel| channel.consumers.values()) {
            if consumer.is_confirmed && !consumer.is_cancelling {
                self.model.queues[consumer.queue].must_be_drained = true;
            }
        }
    }

    /// Every connection ends, one way or the other; the broker must forget all.
    fn close_all(&mut self) -> Result<(), String> {
        for client in 0..self.clients.len() {
            if self.clients[client].state != State::Open {
                continue;
            }
            if self.workload.chance(500) {
                let numbers: Vec<u16> = self.clients[client].channels.keys().copied().collect();
                numbers.into_iter().for_each(|number| self.close_channel(client, number));
                self.clients[client].flush(&mut self.world);
                self.run_to_idle()?;
            }
            self.close_connection(client);
            self.clients[client].flush(&mut self.world);
        }
        self.run_for_ms(TIMEOUTS_PASS_MS)?;
        self.check_forgotten()
    }

    fn check_forgotten(&self) -> Result<(), String> {
        for (index, client) in self.clients.iter().enumerate() {
            let was_used = client.socket.0 != usize::MAX;
            if client.state != State::Idle || (was_used && !self.world.is_forgotten(client.socket))
            {
                return Err(format!("client {index} is not forgotten, {:?}", client.state));
            }
        }
        Ok(())
    }

    /// A last client takes everything, looks whether what should be gone is gone, and deletes.
    fn check_queues(&mut self) -> Result<(), String> {
        trace::note("the checker looks at what is left".into());
        self.model.has_all_expired = true;
        self.clients[0].connect(&mut self.world);
        self.run_to_idle()?;
        for queue in 0..self.model.queues.len() {
            self.open_channel_as(0, 1, Mode::Plain);
            self.run_to_idle()?;
            match self.model.queues[queue].kind {
                kind if kind.is_permanent() => self.empty_queue(queue)?,
                QueueKind::Exclusive | QueueKind::Leased => self.check_gone(queue)?,
                _ => self.send_delete(0, 1, queue, false, false, false),
            }
            self.clients[0].flush(&mut self.world);
            self.run_to_idle()?;
            self.check_answered()?;
            if self.clients[0].channels.contains_key(&1) {
                self.close_channel(0, 1);
                self.clients[0].flush(&mut self.world);
                self.run_to_idle()?;
            }
        }
        self.delete_exchanges()?;
        self.close_connection(0);
        self.clients[0].flush(&mut self.world);
        self.run_to_idle()?;
        self.check_forgotten()
    }

    fn empty_queue(&mut self, queue: usize) -> Result<(), String> {
        self.send_declare(0, 1, queue, true, false);
        self.clients[0].flush(&mut self.world);
        self.run_to_idle()?;
        self.check_answered()?;
        let (counted, mut count) = (self.counted, 0);
        loop {
            let before = self.model.delivered;
            self.send_get(0, 1, queue, true);
            self.clients[0].flush(&mut self.world);
            self.run_to_idle()?;
            self.check_answered()?;
            if self.model.delivered == before {
                break;
            }
            count += 1;
        }
        let model = &self.model.queues[queue];
        if count != counted {
            return Err(format!("{counted} counted in {}, {count} came", model.name));
        }
        if count > 0 && model.must_be_drained {
            return Err(format!("{count} left in {} though it had a consumer", model.name));
        }
        if count > 0 && model.kind == QueueKind::Expiring {
            return Err(format!("{count} left in {} though all have expired", model.name));
        }
        self.send_delete(0, 1, queue, false, false, true);
        Ok(())
    }

    /// The queue must have gone with its connection or its lease.
    fn check_gone(&mut self, queue: usize) -> Result<(), String> {
        self.clients[0].channel(1).may_fail.insert(404);
        self.send_declare(0, 1, queue, true, false);
        self.clients[0].flush(&mut self.world);
        self.run_to_idle()?;
        if self.clients[0].channels.contains_key(&1) {
            return Err(format!("{} is still there", self.model.queues[queue].name));
        }
        Ok(())
    }

    fn delete_exchanges(&mut self) -> Result<(), String> {
        self.open_channel_as(0, 1, Mode::Plain);
        for name in [LOOSE_EXCHANGE, FIRM_EXCHANGE, SHORT_LIVED_EXCHANGE] {
            self.send_delete_exchange(0, 1, name);
        }
        self.clients[0].flush(&mut self.world);
        self.run_to_idle()?;
        self.check_answered()
    }
}
