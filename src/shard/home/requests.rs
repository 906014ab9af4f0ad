//! What channels ask of the queues here.

use haremq_broker::ids::{ChannelAddress, ConnectionAddress, QueueId};
use haremq_broker::queue::{Command, Consume, ConsumerIndex, Waiting, WindowId};

use crate::mesh::{Answer, Request};
use crate::shard::Shard;

impl Shard {
    /// A request without content.
    pub(crate) fn handle_request(&mut self, request: &Request) {
        match *request {
            Request::Publish { .. } => unreachable!("a publish is read with its content"),
            Request::Settle { channel, queue, consumer, first, last, outcome } => {
                let command = Command::Settle { channel, consumer, first, last, outcome };
                self.apply_and_carry_out(queue, command);
            }
            Request::Consume { .. } => self.handle_consume(request),
            Request::Cancel { channel, front_consumer, queue, consumer } => {
                self.handle_cancel(channel, front_consumer, queue, consumer);
            }
            Request::Get { channel, queue, no_ack } => {
                self.ask(channel, queue, Command::Get { channel, no_ack });
            }
            Request::Purge { channel, queue } => {
                self.ask(channel, queue, Command::Purge { channel });
            }
            Request::Count { channel, queue, request } => {
                self.ask(channel, queue, Command::Count { channel, request });
            }
            Request::StopChannel { channel } => self.handle_stop_channel(channel),
            Request::CloseChannel { channel } => self.handle_close_channel(channel),
            Request::GiveBack { connection, bytes } => self.handle_give_back(connection, bytes),
            Request::ForgetConnection { connection } => self.handle_forget_connection(connection),
            Request::Recall { queue, consumer, channel } => {
                self.apply_and_carry_out(queue, Command::Recall { channel, consumer });
            }
            Request::Grant { queue, consumer, channel, count, keep } => {
                let command = Command::Grant { channel, consumer, count, keep };
                if !self.apply_and_carry_out(queue, command) {
                    self.answer(channel.shard, Answer::GrantsReturned { channel, count });
                }
            }
            Request::SetGlobal { channel, queue, consumer, on } => {
                self.apply_and_carry_out(queue, Command::SetGlobal { channel, consumer, on });
                self.answer(channel.shard, Answer::GlobalSet { channel });
            }
        }
    }

    fn handle_consume(&mut self, request: &Request) {
        let &Request::Consume {
            channel,
            connection,
            front_consumer,
            queue,
            no_ack,
            exclusive,
            prefetch,
            global,
        } = request
        else {
            unreachable!("the caller has looked")
        };
        let window = self.window_of(connection);
        let command = Command::Consume(Consume {
            channel,
            front_consumer,
            no_ack,
            exclusive,
            prefetch,
            global,
            window,
        });
        self.ask(channel, queue, command);
    }

    /// Applies a command that is answered, also if there is no such queue (any more).
    fn ask(&mut self, channel: ChannelAddress, queue: QueueId, command: Command) {
        if !self.home.queues.contains_key(&queue) {
            return self.answer_for_gone(queue, command);
        }
        self.apply_and_carry_out(queue, command);
        let holds = matches!(command, Command::Consume(_) | Command::Get { no_ack: false, .. });
        let entry = self.home.queues.get(&queue);
        // What waits its turn is to be answered before the channel is let go of.
        if holds || entry.is_some_and(|entry| entry.queue.is_unfinished()) {
            self.home.note_channel(channel, queue);
        }
    }

    /// What a command is answered whose queue is gone.
    pub(crate) fn answer_for_gone(&mut self, queue: QueueId, command: Command) {
        match command {
            Command::Consume(Consume { channel, .. })
            | Command::Get { channel, .. }
            | Command::Purge { channel } => {
                self.answer(channel.shard, Answer::Gone { channel });
            }
            Command::Count { channel, request } => {
                self.answer(channel.shard, Answer::CountGone { channel, request, queue });
            }
            Command::CloseChannel { channel } => self.handle_closed_at_queue(channel),
            _ => {}
        }
    }

    /// The window that a connection's consumers share here.
    fn window_of(&mut self, connection: ConnectionAddress) -> WindowId {
        let windows = &mut self.home.windows;
        *self.home.connection_windows.entry(connection).or_insert_with(|| windows.open())
    }

    /// The connection has closed all its channels and given back all it will.
    fn handle_forget_connection(&mut self, connection: ConnectionAddress) {
        if let Some(window) = self.home.connection_windows.remove(&connection) {
            self.home.windows.close(window);
        }
    }

    fn handle_cancel(
        &mut self,
        channel: ChannelAddress,
        front_consumer: u32,
        queue: QueueId,
        consumer: ConsumerIndex,
    ) {
        self.apply_and_carry_out(queue, Command::Cancel { channel, consumer });
        self.answer_after_retirements(channel, Answer::Cancelled { channel, front_consumer });
    }

    fn handle_give_back(&mut self, connection: ConnectionAddress, bytes: u32) {
        let window = *self
            .home
            .connection_windows
            .get(&connection)
            .expect("a window lives until its connection is forgotten");
        let mut woken = std::mem::take(&mut self.home.woken);
        self.home.windows.give_back(window, u64::from(bytes), &mut woken);
        for Waiting { queue, consumer } in woken.drain(..) {
            self.apply_and_carry_out(queue, Command::WindowOpened { consumer });
        }
        self.home.woken = woken;
    }
}

/// A count as the protocol carries it.
pub(crate) fn saturate(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
