//! `basic.publish`: through which exchange, with which properties, and where it must arrive.

use haremq_protocol::properties::{BasicProperties, encode_properties};

use super::{FIRM_EXCHANGE, KEYS, LOOSE_EXCHANGE, SHORT_LIVED_EXCHANGE};
use crate::channel::Mode;
use crate::model::{Fate, MessageModel, QueueKind};
use crate::simulation::Simulation;
use crate::trace;

/// Where a publish goes.
#[derive(Debug, Default)]
struct Route {
    exchange: &'static str,
    key: String,
    /// Queues that get it for certain.
    targets: Vec<usize>,
    is_unroutable: bool,
    /// The exchange may be missing.
    may_fail: bool,
}

/// Octets of the number at the head of each body.
const HEAD_BYTES: usize = 8;

impl Simulation {
    /// Publishes one message, or a few in a row.
    pub(super) fn publish(&mut self, client: usize, number: u16) {
        let most = self.world.parameters.burst_max;
        let count = if self.workload.chance(100) { self.workload.between(2, most) } else { 1 };
        let route = self.draw_route(client);
        for _ in 0..count {
            self.publish_to(client, number, &route);
        }
    }

    fn draw_route(&mut self, client: usize) -> Route {
        let key = self.workload.pick(&KEYS).to_owned();
        match self.workload.below(20) {
            0..=1 => {
                let targets = self.model.queues_of(|kind| kind == QueueKind::Stable);
                let targets = targets.into_iter().take(2).collect();
                Route { exchange: FIRM_EXCHANGE, key, targets, ..Route::default() }
            }
            2..=4 => Route { exchange: LOOSE_EXCHANGE, key, ..Route::default() },
            5 => Route { key: "nowhere".into(), is_unroutable: true, ..Route::default() },
            6 if self.workload.chance(200) => {
                Route { exchange: SHORT_LIVED_EXCHANGE, key, may_fail: true, ..Route::default() }
            }
            _ => {
                let queue = self.pick_queue(client);
                let is_permanent = self.model.queues[queue].kind.is_permanent();
                let targets = if is_permanent { vec![queue] } else { Vec::new() };
                Route { key: self.queue_name(queue).to_owned(), targets, ..Route::default() }
            }
        }
    }

    fn publish_to(&mut self, client: usize, number: u16, route: &Route) {
        let is_mandatory = self.workload.chance(250);
        let ttl_ms = self.workload.chance(80).then(|| {
            let most = self.world.parameters.ttl_ms_max;
            self.workload.pick(&[0, 1, most])
        });
        let mut properties = BasicProperties::default();
        if self.workload.chance(500) {
            properties = properties.with_delivery_mode(2);
        }
        if let Some(ttl_ms) = ttl_ms {
            properties = properties.with_expiration(ttl_ms.to_string().as_str().into());
        }
        let body = self.draw_body(self.model.messages.len());
        let message = self.model.messages.len();
        trace::note(format!("  message {message}: {route:?}, expiration {ttl_ms:?}"));
        let client = &mut self.clients[client];
        client
            .session
            .publish(
                number,
                route.exchange.as_bytes(),
                route.key.as_bytes(),
                is_mandatory,
                &encode_properties(&properties),
                &body,
            )
            .expect("the connection is open");
        let channel = client.channel(number);
        channel.published += 1;
        if route.may_fail {
            channel.may_fail.insert(404);
        }
        match channel.mode {
            Mode::Plain => {}
            Mode::Confirm => {
                channel.unconfirmed.insert(channel.published, message);
            }
            Mode::Transaction => channel.uncommitted.push(message),
        }
        let is_in_transaction = channel.mode == Mode::Transaction;
        self.model.messages.push(MessageModel {
            publisher: channel.uid,
            sequence: channel.published,
            fate: if is_in_transaction { Fate::Uncommitted } else { Fate::Sent },
            targets: route.targets.clone(),
            ttl_ms,
            confirmed_at: None,
            is_mandatory,
            is_unroutable: route.is_unroutable,
            is_returned: false,
        });
    }

    /// The message's number, and padding that may need several frames or a buffer of its own.
    fn draw_body(&mut self, message: usize) -> Vec<u8> {
        let padding = if self.workload.chance(self.world.parameters.large_body_permille) {
            self.workload.pick(&[4089, 9000, 20_000, 90_000, 400_000])
        } else {
            self.workload.below(40)
        };
        let mut body = (message as u64).to_be_bytes().to_vec();
        body.resize(HEAD_BYTES + padding, message as u8);
        body
    }
}

/// The number of the message that has this body; checks that the body is whole.
pub(super) fn message_of(body: &[u8]) -> Result<usize, String> {
    let Some((head, padding)) = body.split_first_chunk::<HEAD_BYTES>() else {
        return Err(format!("a body of {} octets was never published", body.len()));
    };
    let message = u64::from_be_bytes(*head) as usize;
    if padding.iter().any(|octet| *octet != message as u8) {
        return Err(format!("the body of message {message} is spoilt"));
    }
    Ok(message)
}
