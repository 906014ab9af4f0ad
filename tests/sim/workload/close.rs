//! Channels open and close; connections close and break.

use haremq_protocol::method::{AMQPClass, channel, confirm, connection, tx};

use crate::channel::{Channel, Expected, Mode};
use crate::client::State;
use crate::model::Ending;
use crate::simulation::Simulation;
use crate::trace;

impl Simulation {
    /// Opens a channel in one of the modes.
    pub(crate) fn open_channel(&mut self, client: usize, number: u16) {
        let mode =
            self.workload.pick(&[Mode::Plain, Mode::Confirm, Mode::Confirm, Mode::Transaction]);
        self.open_channel_as(client, number, mode);
    }

    pub(crate) fn open_channel_as(&mut self, client: usize, number: u16, mode: Mode) {
        let uid = self.model.open_channel();
        trace::note(format!("client {client} opens channel {number} as {uid}, {mode:?}"));
        let client = &mut self.clients[client];
        client.channels.insert(number, Channel::new(uid, mode));
        let open = AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
        client.send(number, &open, Some(Expected::OpenOk));
        match mode {
            Mode::Plain => {}
            Mode::Confirm => {
                let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
                let expected = Some(Expected::ConfirmSelectOk);
                client.send(number, &AMQPClass::Confirm(select), expected);
            }
            Mode::Transaction => {
                let select = AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {}));
                client.send(number, &select, Some(Expected::TxSelectOk));
            }
        }
        client.flush(&mut self.world);
    }

    /// Closes a channel; what it holds may come to others from now on.
    pub(crate) fn close_channel(&mut self, client: usize, number: u16) {
        self.clients[client].session.close_channel(number).expect("the connection is open");
        self.prepare_end(client, number);
        self.clients[client].channel(number).is_closing = true;
    }

    /// Closes the connection with all its channels.
    pub(crate) fn close_connection(&mut self, client: usize) {
        let numbers: Vec<u16> = self.clients[client].channels.keys().copied().collect();
        for number in numbers {
            self.prepare_end(client, number);
        }
        let client = &mut self.clients[client];
        client.session.close().expect("the connection is open");
        client.state = State::Closing;
    }

    /// Deliveries that nobody will read are lost if they are not to be acknowledged; counts that
    /// nobody will read are unknown.
    fn prepare_end(&mut self, client: usize, number: u16) {
        let channel = self.clients[client].channel(number);
        if channel.is_closing {
            return;
        }
        for consumer in channel.consumers.values().filter(|consumer| consumer.no_ack) {
            self.model.queues[consumer.queue].is_lossy = true;
        }
        for expected in &channel.expected {
            match expected {
                Expected::Got { queue, no_ack: true, .. } => {
                    self.model.queues[*queue].is_lossy = true
                }
                Expected::PurgeOk { queue } => self.model.queues[*queue].has_uncounted_purge = true,
                _ => {}
            }
        }
        self.model.release(channel.uid);
    }

    /// The connection breaks.
    pub(crate) fn reset_connection(&mut self, client: usize) {
        if self.clients[client].state == State::Idle {
            return;
        }
        trace::note(format!("client {client} resets"));
        self.world.reset(self.clients[client].socket);
        let numbers: Vec<u16> = self.clients[client].channels.keys().copied().collect();
        for number in numbers {
            self.end_channel(client, number, Ending::Abrupt);
        }
        self.clients[client].state = State::Idle;
    }

    /// A channel is no more.
    pub(super) fn end_channel(&mut self, client: usize, number: u16, ending: Ending) {
        self.prepare_end(client, number);
        let channel = self.clients[client].channels.remove(&number).expect("it was open");
        self.model.end_channel(channel.uid, ending);
    }

    /// The broker has answered our close, or closed by itself.
    pub(super) fn handle_channel_closed(
        &mut self,
        client: usize,
        number: u16,
        close: Option<channel::Close>,
    ) -> Result<(), String> {
        let must_break = self.clients[client].must_break;
        let channel = self.clients[client].channel(number);
        // When both close at once only our own close is told of.
        let mut ending = Ending::Clean;
        if let Some(close) = close {
            if !channel.may_fail.contains(&close.reply_code) {
                return Err(format!("channel {} is closed: {}", channel.uid, close.reply_text));
            }
            ending = Ending::Abrupt;
        } else if !channel.may_fail.is_empty() || must_break {
            ending = Ending::Abrupt;
        }
        self.end_channel(client, number, ending);
        Ok(())
    }

    /// The broker has answered our close, or closes by itself.
    pub(crate) fn handle_connection_closed(
        &mut self,
        client: usize,
        close: Option<connection::Close>,
    ) -> Result<(), String> {
        let is_broken = self.clients[client].must_break || self.clients[client].may_break;
        if let Some(close) = close
            && !is_broken
        {
            return Err(format!("the broker closes the connection: {}", close.reply_text));
        }
        let numbers: Vec<u16> = self.clients[client].channels.keys().copied().collect();
        for number in numbers {
            let has_refusals = !self.clients[client].channel(number).may_fail.is_empty();
            let ending = if has_refusals || is_broken { Ending::Abrupt } else { Ending::Clean };
            self.end_channel(client, number, ending);
        }
        self.clients[client].state = State::Idle;
        Ok(())
    }
}
