//! `basic.publish`: checks, routing, and the way to the queues' homes (SEMANTICS.md section 7).

use haremq_broker::catalog::refusal::BASIC_PUBLISH;
use haremq_broker::ids::{ExchangeId, ShardId};
use haremq_broker::router::Destination;
use haremq_broker::store::Content;
use haremq_protocol::deliver::{Return, write_return};
use haremq_protocol::reply::{ProtocolError, ReplyCode};
use haremq_protocol::table::TableReader;

use super::Flow;
use super::connection::Pause;
use super::content::Message;
use super::transactions::TransactionPublish;
use crate::event::ConnectionSlot;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::mesh::Arrival;
use crate::shard::Shard;

/// Longest time to live, ten years in milliseconds (TTL-1).
const EXPIRATION_MS_MAX: u128 = 315_360_000_000;
/// The reserved name of direct reply-to, which is not built yet.
const REPLY_TO: &[u8] = b"amq.rabbitmq.reply-to";

impl Shard {
    /// Publishes a whole message; `Pause` leaves no trace of it.
    pub(crate) fn publish(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        message: &Message<'_>,
    ) -> Result<Flow, ProtocolError> {
        // A message may be delivered at once, but not before a consume-ok at hand.
        if !self.local_answers.is_empty() {
            self.handle_local_answers();
        }
        check_publish(message)?;
        let epoch = self.catalog.index();
        let (exchange, routing_key) = (message.publish.exchange, message.publish.routing_key);
        let last_route = &self.front.channels[channel as usize].last_route;
        if let Some(destination) = last_route.destination(exchange, routing_key, epoch) {
            let expiration_ms = check_content(message)?;
            self.check_user_id(slot, message)?;
            return self.publish_routed(slot, channel, message, expiration_ms, &[destination]);
        }
        let exchange = self.find_exchange(slot, channel, exchange)?;
        let expiration_ms = check_content(message)?;
        self.check_user_id(slot, message)?;
        let mut destinations = std::mem::take(&mut self.front.destinations);
        self.route(channel, exchange, message, &mut destinations);
        let flow = self.publish_routed(slot, channel, message, expiration_ms, &destinations);
        destinations.clear();
        self.front.destinations = destinations;
        flow
    }

    /// PUB-3 to PUB-5.
    fn find_exchange(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        name: &[u8],
    ) -> Result<ExchangeId, ProtocolError> {
        let epoch = self.catalog.index();
        let last_route = &self.front.channels[channel as usize].last_route;
        if let Some(exchange) = last_route.exchange(name, epoch) {
            return Ok(exchange);
        }
        let (vhost, user) = self.vhost_and_user(slot);
        let text = std::str::from_utf8(name).expect("method fields were checked to be UTF-8");
        let exchange = self.catalog.check_publish(vhost, user, text)?.id();
        let last_route = &mut self.front.channels[channel as usize].last_route;
        last_route.set_exchange(name, exchange, epoch);
        Ok(exchange)
    }

    /// PUB-10.
    fn check_user_id(
        &mut self,
        slot: ConnectionSlot,
        message: &Message<'_>,
    ) -> Result<(), ProtocolError> {
        let Some(user_id) = message.properties.user_id() else {
            return Ok(());
        };
        let user = &self.connection_mut(slot).identity.user_name;
        if user_id == user.as_bytes() {
            return Ok(());
        }
        let text = format!(
            "user_id property set to '{}' but authenticated user was '{user}'",
            String::from_utf8_lossy(user_id)
        );
        Err(publish_error(ReplyCode::PreconditionFailed, text))
    }

    fn route(
        &mut self,
        channel: u32,
        exchange: ExchangeId,
        message: &Message<'_>,
        destinations: &mut Vec<Destination>,
    ) {
        let exchange = self.catalog.exchange_by_id(exchange).expect("it was just looked up");
        let headers = message.properties.headers();
        let key = message.publish.routing_key;
        let routed = self.router.route(&self.catalog, exchange, key, headers);
        destinations.extend_from_slice(routed.queues);
        if let (false, &[destination]) = (routed.depend_on_headers, routed.queues) {
            let last_route = &mut self.front.channels[channel as usize].last_route;
            last_route.set_destination(key, destination);
        }
    }

    /// The message has destinations, or none: return it, keep it for a commit, or send it.
    fn publish_routed(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        message: &Message<'_>,
        expiration_ms: Option<u64>,
        destinations: &[Destination],
    ) -> Result<Flow, ProtocolError> {
        if self.front.channels[channel as usize].transaction.is_some() {
            let publish = TransactionPublish::new(message, expiration_ms, destinations);
            self.add_to_transaction(channel, publish)?;
            self.counters.published += 1;
            return Ok(Flow::Continue);
        }
        if let Some(peer) = self.home_without_credit(destinations) {
            self.pause(slot, Pause::Credit(peer));
            return Ok(Flow::Pause);
        }
        self.counters.published += 1;
        if destinations.is_empty() {
            self.counters.unroutable += 1;
            if message.publish.mandatory {
                self.send_return(slot, channel, message);
            }
        }
        let homes = homes_of(destinations);
        let sequence = self.open_confirm(channel, homes);
        self.send_to_homes(channel, sequence, message, expiration_ms, destinations);
        Ok(Flow::Continue)
    }

    /// A home that the message goes to and that takes no more publishes at present.
    pub(crate) fn home_without_credit(&self, destinations: &[Destination]) -> Option<ShardId> {
        let is_short = |home: ShardId| home != self.id && !self.outboxes[home.index()].has_credit();
        destinations.iter().map(|destination| destination.shard).find(|&home| is_short(home))
    }

    /// Hands the message to each home once, with all queues that it has there.
    pub(crate) fn send_to_homes(
        &mut self,
        channel: u32,
        sequence: u64,
        message: &Message<'_>,
        expiration_ms: Option<u64>,
        destinations: &[Destination],
    ) {
        let address = self.front.channels[channel as usize].address(self.id, channel);
        let content = Content {
            exchange: message.publish.exchange,
            routing_key: message.publish.routing_key,
            properties: message.properties.raw(),
            body: message.body,
        };
        let is_persistent = message.properties.is_persistent();
        let arrival = Arrival { channel: address, sequence, expiration_ms, is_persistent };
        for group in destinations.chunk_by(|a, b| a.shard == b.shard) {
            let queues = group.iter().map(|destination| destination.queue);
            let home = group[0].shard;
            if home == self.id {
                self.enqueue(&arrival, queues, &content, message.owned_body);
            } else {
                self.outboxes[home.index()].publish(&arrival, queues, &content, message.owned_body);
            }
        }
    }

    /// PUB-21: unroutable and mandatory.
    pub(crate) fn send_return(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        message: &Message<'_>,
    ) {
        let number = self.front.channels[channel as usize].number;
        let frame_max = self.connection_mut(slot).frame_max;
        let returned = Return {
            reply_code: ReplyCode::NoRoute.code(),
            reply_text: ReplyCode::NoRoute.name().as_bytes(),
            exchange: message.publish.exchange,
            routing_key: message.publish.routing_key,
        };
        let output = self.front.output(slot);
        let properties = message.properties.raw();
        write_return(output, number, frame_max, &returned, properties, message.body);
        self.front.mark_dirty(slot);
    }
}

/// How many homes a message goes to.
pub(crate) fn homes_of(destinations: &[Destination]) -> u16 {
    let homes = destinations.chunk_by(|a, b| a.shard == b.shard).count();
    u16::try_from(homes).expect("there are at most as many homes as slots")
}

/// PUB-1 and PUB-2.
fn check_publish(message: &Message<'_>) -> Result<(), ProtocolError> {
    if message.publish.immediate {
        return Err(immediate_unsupported());
    }
    let size = message.body.len() as u64;
    if size > MESSAGE_BYTES_MAX {
        return Err(too_large(size));
    }
    Ok(())
}

/// PUB-6 to PUB-8: what the content's properties ask for.
fn check_content(message: &Message<'_>) -> Result<Option<u64>, ProtocolError> {
    let properties = &message.properties;
    if properties.reply_to() == Some(REPLY_TO) {
        let text = "fast reply consumer does not exist";
        return Err(publish_error(ReplyCode::PreconditionFailed, text));
    }
    let expiration_ms = properties.expiration().map(parse_expiration).transpose()?;
    if let Some(headers) = properties.headers() {
        refuse_extra_keys(headers)?;
    }
    Ok(expiration_ms)
}

/// TTL-1.
fn parse_expiration(text: &[u8]) -> Result<u64, ProtocolError> {
    let refuse = |reason: String| {
        let shown = String::from_utf8_lossy(text);
        let text = format!("invalid expiration '{shown}': {reason}");
        Err(publish_error(ReplyCode::PreconditionFailed, text))
    };
    let (is_negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let digits = unsigned.iter().take_while(|octet| octet.is_ascii_digit()).count();
    if digits == 0 {
        return refuse("no_integer".into());
    }
    if digits < unsigned.len() {
        let leftover = String::from_utf8_lossy(&unsigned[digits..]);
        return refuse(format!("{{leftover_string,\"{leftover}\"}}"));
    }
    let number = std::str::from_utf8(unsigned).expect("digits").trim_start_matches('0');
    let shown = if number.is_empty() { "0" } else { number };
    if is_negative && !number.is_empty() {
        return refuse(format!("{{value_negative,-{shown}}}"));
    }
    match shown.parse::<u128>() {
        Ok(ms) if ms <= EXPIRATION_MS_MAX => Ok(u64::try_from(ms).expect("ten years fit")),
        _ => refuse(format!("{{value_too_large,{shown}}}")),
    }
}

/// CC and BCC are further routing keys, which are not built yet: refused rather than ignored.
fn refuse_extra_keys(headers: &[u8]) -> Result<(), ProtocolError> {
    for (key, value) in TableReader::new(headers) {
        if key != b"CC" && key != b"BCC" {
            continue;
        }
        let name = if key == b"CC" { "CC" } else { "BCC" };
        let text = if value.type_name() == "array" {
            format!("invalid message: header '{name}' is not supported yet")
        } else {
            let kind = value.type_name();
            format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}")
        };
        return Err(publish_error(ReplyCode::PreconditionFailed, text));
    }
    Ok(())
}

/// PUB-1.
pub(crate) fn immediate_unsupported() -> ProtocolError {
    publish_error(ReplyCode::NotImplemented, "immediate=true")
}

/// PUB-2.
pub(crate) fn too_large(size: u64) -> ProtocolError {
    let text =
        format!("message size {size} is larger than configured max size {MESSAGE_BYTES_MAX}");
    publish_error(ReplyCode::PreconditionFailed, text)
}

fn publish_error(code: ReplyCode, text: impl AsRef<str>) -> ProtocolError {
    ProtocolError::new(code, text).of(BASIC_PUBLISH.0, BASIC_PUBLISH.1)
}

#[cfg(test)]
mod tests {
    use super::parse_expiration;

    fn check(text: &str, expected: Result<u64, &str>) {
        let parsed = parse_expiration(text.as_bytes()).map_err(|error| error.text);
        let expected = expected.map_err(|reason| {
            format!("PRECONDITION_FAILED - invalid expiration '{text}': {reason}")
        });
        assert_eq!(parsed, expected);
    }

    #[test]
    fn expiration_is_digits_up_to_ten_years() {
        check("0", Ok(0));
        check("+5", Ok(5));
        check("0060000", Ok(60_000));
        check("315360000000", Ok(315_360_000_000));
        check("315360000001", Err("{value_too_large,315360000001}"));
        check("-1", Err("{value_negative,-1}"));
        check("10s", Err("{leftover_string,\"s\"}"));
        check("1.5", Err("{leftover_string,\".5\"}"));
        check("", Err("no_integer"));
        check("abc", Err("no_integer"));
        let digits = "9".repeat(50);
        check(&digits, Err(&format!("{{value_too_large,{digits}}}")));
    }
}
