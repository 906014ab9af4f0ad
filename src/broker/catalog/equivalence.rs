//! Is what exists the same as what is declared once more? (QUE-20 to QUE-22, EXC-12, ERR-41)

use std::fmt::Display;

use haremq_protocol::reply::ProtocolError;
use haremq_protocol::table::value_type_name;
use haremq_protocol::types::AMQPValue;

use super::Catalog;
use super::command::{DeclareExchange, DeclareQueue};
use super::delta::{ExchangeRecord, QueueRecord};
use super::identity::{integer_of, is_same_value};
use super::queue_arguments::{CLASSIC_KEYS, DEFAULT_TYPE, TYPE_KEY};
use super::refusal::{self, EXCHANGE_DECLARE, MethodIds, QUEUE_DECLARE};
use super::text::plain;

/// The argument of `exchange.declare` that is compared.
pub(super) const ALTERNATE_EXCHANGE_KEY: &str = "alternate-exchange";

impl Catalog {
    /// May the queue be declared like this once more? The exclusive lock comes first (QUE-20).
    pub fn check_redeclare(
        &self,
        existing: &QueueRecord,
        wish: &DeclareQueue,
    ) -> Result<(), ProtocolError> {
        let vhost = self.vhost_name(existing.vhost);
        let owner = wish.exclusive.then_some(wish.origin.connection);
        if existing.exclusive_owner != owner {
            return Err(refusal::exclusive_lock(&existing.name, vhost, QUEUE_DECLARE));
        }
        let compared = Comparison {
            resource: format!("queue '{}' in vhost '{vhost}'", existing.name),
            method: QUEUE_DECLARE,
        };
        compared.property("durable", wish.durable && !wish.exclusive, existing.durable)?;
        compared.property("auto_delete", wish.auto_delete, existing.auto_delete)?;
        let default_type = AMQPValue::LongString(DEFAULT_TYPE.into());
        for key in CLASSIC_KEYS {
            let default = (key == TYPE_KEY).then_some(&default_type);
            let received = wish.arguments.inner().get(key).or(default);
            let current = existing.arguments.inner().get(key).or(default);
            compared.argument(key, received, current)?;
        }
        Ok(())
    }

    /// May the exchange be declared like this once more? (EXC-12)
    pub(super) fn check_exchange_redeclare(
        &self,
        existing: &ExchangeRecord,
        wish: &DeclareExchange,
    ) -> Result<(), ProtocolError> {
        let vhost = self.vhost_name(existing.vhost);
        let compared = Comparison {
            resource: format!("exchange '{}' in vhost '{vhost}'", existing.name),
            method: EXCHANGE_DECLARE,
        };
        compared.property("type", wish.kind.as_str(), existing.kind.name())?;
        compared.property("durable", wish.durable, existing.durable)?;
        compared.property("auto_delete", wish.auto_delete, existing.auto_delete)?;
        compared.property("internal", wish.internal, existing.internal)?;
        let received = wish.arguments.inner().get(ALTERNATE_EXCHANGE_KEY);
        let current = existing.arguments.inner().get(ALTERNATE_EXCHANGE_KEY);
        compared.argument(ALTERNATE_EXCHANGE_KEY, received, current)
    }
}

/// What is compared, for the text of the first difference.
struct Comparison {
    resource: String,
    method: MethodIds,
}

impl Comparison {
    fn property<T: PartialEq + Display>(
        &self,
        name: &str,
        received: T,
        current: T,
    ) -> Result<(), ProtocolError> {
        if received == current {
            return Ok(());
        }
        Err(self.inequivalent(name, &format!("'{received}'"), &format!("'{current}'")))
    }

    fn argument(
        &self,
        key: &str,
        received: Option<&AMQPValue>,
        current: Option<&AMQPValue>,
    ) -> Result<(), ProtocolError> {
        let (received, current) = match (received, current) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) if is_equivalent(a, b) => return Ok(()),
            (Some(a), Some(b)) => (format!("'{}'", plain(a)), format!("'{}'", plain(b))),
            (a, b) => (one_sided(a), one_sided(b)),
        };
        Err(self.inequivalent(key, &received, &current))
    }

    fn inequivalent(&self, key: &str, received: &str, current: &str) -> ProtocolError {
        let resource = &self.resource;
        let text = format!(
            "inequivalent arg '{key}' for {resource}: received {received} but current is {current}"
        );
        refusal::precondition(text, self.method)
    }
}

/// Integers compare by number (QUE-22), all else by type and value.
fn is_equivalent(one: &AMQPValue, other: &AMQPValue) -> bool {
    match (integer_of(one), integer_of(other)) {
        (Some(one), Some(other)) => one == other,
        _ => is_same_value(one, other),
    }
}

fn one_sided(value: Option<&AMQPValue>) -> String {
    value.map_or("none".into(), |value| {
        format!("the value '{}' of type '{}'", plain(value), value_type_name(value))
    })
}
