//! What channels ask of the queues here.

use haremq_broker::ids::{ChannelAddress, ConnectionAddress, QueueId};
use haremq_broker::queue::{Command, Consume, ConsumerIndex, Waiting, WindowId};

use super::effects::Asker;
use crate::mesh::{Answer, Request};
use crate::shard::Shard;

impl Shard {
    /// A request without content.
    pub(crate) fn handle_request(&mut self, request: &Request) {
        match *request {
            Request::Publish(_) => unreachable!("a publish is read with its content"),
            Request::Settle { channel, queue, consumer, first, last, outcome } => {
                self.apply_and_carry_out(
                    queue,
                    Command::Settle { channel, consumer, first, last, outcome },
                    None,
                );
            }
            Request::Consume { .. } => self.handle_consume(request),
            Request::Cancel { channel, front_consumer, queue, consumer } => {
                self.handle_cancel(channel, front_consumer, queue, consumer);
            }
            Request::Get { channel, queue, no_ack } => self.handle_get(channel, queue, no_ack),
            Request::Purge { channel, queue } => {
                let asker = Asker { channel, front_consumer: 0 };
                self.home.has_trash = true;
                if !self.apply_and_carry_out(queue, Command::Purge, Some(asker)) {
                    self.answer(channel.shard, Answer::Gone { channel });
                }
            }
            Request::Count { channel, queue, request } => {
                self.handle_count(channel, queue, request);
            }
            Request::CloseChannel { channel } => self.handle_close_channel(channel),
            Request::GiveBack { connection, bytes } => self.handle_give_back(connection, bytes),
            Request::ForgetConnection { connection } => self.handle_forget_connection(connection),
            Request::Recall { queue, consumer, channel } => {
                self.apply_and_carry_out(queue, Command::Recall { channel, consumer }, None);
            }
            Request::Grant { queue, consumer, channel, count, keep } => {
                let command = Command::Grant { channel, consumer, count, keep };
                if !self.apply_and_carry_out(queue, command, None) {
                    self.answer(channel.shard, Answer::GrantsReturned { channel, count });
                }
            }
            Request::SetGlobal { channel, queue, consumer, on } => {
                self.apply_and_carry_out(queue, Command::SetGlobal { channel, consumer, on }, None);
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
        if !self.home.queues.contains_key(&queue) {
            return self.answer(channel.shard, Answer::Gone { channel });
        }
        let window = self.window_of(connection);
        self.home.note_channel(channel, queue);
        let command = Command::Consume(Consume {
            channel,
            front_consumer,
            no_ack,
            exclusive,
            prefetch,
            global,
            window,
        });
        self.apply_and_carry_out(queue, command, Some(Asker { channel, front_consumer }));
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
        self.apply_and_carry_out(queue, Command::Cancel { channel, consumer }, None);
        self.answer_after_retirements(channel, Answer::Cancelled { channel, front_consumer });
    }

    fn handle_get(&mut self, channel: ChannelAddress, queue: QueueId, no_ack: bool) {
        let asker = Asker { channel, front_consumer: 0 };
        if !self.home.queues.contains_key(&queue) {
            return self.answer(channel.shard, Answer::Gone { channel });
        }
        if !no_ack {
            self.home.note_channel(channel, queue);
        }
        self.apply_and_carry_out(queue, Command::Get { channel, no_ack }, Some(asker));
    }

    fn handle_count(&mut self, channel: ChannelAddress, queue: QueueId, request: u32) {
        if !self.apply_and_carry_out(queue, Command::Touch, None) {
            return self.answer(channel.shard, Answer::CountGone { channel, request, queue });
        }
        let entry = &self.home.queues[&queue];
        let messages = saturate(entry.queue.ready_count());
        let consumers = entry.queue.consumer_count();
        let answer = Answer::Counted { channel, request, messages, consumers };
        self.answer(channel.shard, answer);
    }

    fn handle_close_channel(&mut self, channel: ChannelAddress) {
        for queue in self.home.channels.remove(&channel).unwrap_or_default() {
            self.apply_and_carry_out(queue, Command::CloseChannel { channel }, None);
        }
        self.answer_after_retirements(channel, Answer::ChannelClosed { channel });
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
            self.apply_and_carry_out(queue, Command::WindowOpened { consumer }, None);
        }
        self.home.woken = woken;
    }
}

/// A count as the protocol carries it.
pub(crate) fn saturate(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
