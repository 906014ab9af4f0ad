//! Planning: checks a command against the catalog, in the order that clients can observe, and
//! tells what has to change. Nothing changes here, so a shard may plan on its replica to answer
//! what needs no change by itself.

use std::sync::Arc;

use haremq_protocol::reply::ProtocolError;
use haremq_protocol::table::value_type_name;
use haremq_protocol::types::AMQPValue;

use super::command::{
    Command, DeclareExchange, DeclareQueue, DeleteExchange, DeleteQueue, Origin, Plan,
};
use super::delta::{Delta, ExchangeRecord, QueueRecord};
use super::equivalence::ALTERNATE_EXCHANGE_KEY;
use super::name::{RESERVED_PREFIX, strip_line_ends};
use super::refusal::{self, EXCHANGE_DECLARE, EXCHANGE_DELETE, QUEUE_DECLARE, QUEUE_DELETE};
use super::user::Resource;
use super::{Catalog, queue_arguments};
use crate::exchange::ExchangeKind;
use crate::ids::{ExchangeId, QueueId};

impl Catalog {
    /// What has to change, or the reply to the client whose command is not in order.
    pub fn plan(&self, command: &Command) -> Result<Plan, ProtocolError> {
        match command {
            Command::DeclareExchange(wish) => self.plan_declare_exchange(wish),
            Command::DeleteExchange(wish) => self.plan_delete_exchange(wish),
            Command::DeclareQueue(wish) => self.plan_declare_queue(wish),
            Command::DeleteQueue(wish) => self.plan_delete_queue(wish),
            Command::BindQueue(wish) => self.plan_bind(&wish.into()),
            Command::UnbindQueue(wish) => self.plan_unbind(&wish.into()),
            Command::BindExchange(wish) => self.plan_bind(&wish.into()),
            Command::UnbindExchange(wish) => self.plan_unbind(&wish.into()),
        }
    }

    /// The order of EXC-10.
    fn plan_declare_exchange(&self, wish: &DeclareExchange) -> Result<Plan, ProtocolError> {
        let Origin { vhost, user, .. } = wish.origin;
        let name = &*strip_line_ends(&wish.exchange);
        let kind = ExchangeKind::from_name(&wish.kind).ok_or_else(|| {
            let text = format!("unknown exchange type '{}'", wish.kind);
            refusal::precondition(text, EXCHANGE_DECLARE)
        })?;
        if name.is_empty() {
            return Err(refusal::default_exchange(EXCHANGE_DECLARE));
        }
        self.check_configure(vhost, user, Resource::Exchange(name), EXCHANGE_DECLARE)?;
        if let Some(existing) = self.exchange(vhost, name.as_bytes()) {
            self.check_exchange_redeclare(existing.record(), wish)?;
            return Ok(Plan::Nothing);
        }
        if name.starts_with(RESERVED_PREFIX) {
            return Err(refusal::reserved_prefix("exchange", name, EXCHANGE_DECLARE));
        }
        self.check_alternate_exchange(wish, name)?;
        Ok(Plan::Change(Delta::ExchangeDeclared(Arc::new(ExchangeRecord {
            id: ExchangeId(self.next_index()),
            vhost,
            name: name.into(),
            kind,
            durable: wish.durable,
            auto_delete: wish.auto_delete,
            internal: wish.internal,
            arguments: wish.arguments.clone(),
        }))))
    }

    /// Refused until it has a meaning, so that nobody relies on what does not happen.
    fn check_alternate_exchange(
        &self,
        wish: &DeclareExchange,
        name: &str,
    ) -> Result<(), ProtocolError> {
        let vhost = self.vhost_name(wish.origin.vhost);
        let text = match wish.arguments.inner().get(ALTERNATE_EXCHANGE_KEY) {
            None => return Ok(()),
            Some(AMQPValue::LongString(_)) => format!(
                "invalid arg '{ALTERNATE_EXCHANGE_KEY}' for exchange '{name}' in vhost '{vhost}': \
                 not supported yet"
            ),
            Some(value) => format!(
                "invalid type '{}' for arg '{ALTERNATE_EXCHANGE_KEY}' in exchange '{name}' in \
                 vhost '{vhost}'",
                value_type_name(value)
            ),
        };
        Err(refusal::precondition(text, EXCHANGE_DECLARE))
    }

    /// A missing exchange is deleted already (EXC-20).
    fn plan_delete_exchange(&self, wish: &DeleteExchange) -> Result<Plan, ProtocolError> {
        let Origin { vhost, user, .. } = wish.origin;
        let name = &*strip_line_ends(&wish.exchange);
        if name.is_empty() {
            return Err(refusal::default_exchange(EXCHANGE_DELETE));
        }
        if name.starts_with(RESERVED_PREFIX) {
            return Err(refusal::system_exchange(name, self.vhost_name(vhost)));
        }
        self.check_configure(vhost, user, Resource::Exchange(name), EXCHANGE_DELETE)?;
        let Some(exchange) = self.exchange(vhost, name.as_bytes()) else {
            return Ok(Plan::Nothing);
        };
        if wish.if_unused && exchange.binding_count() > 0 {
            return Err(refusal::exchange_in_use(name, self.vhost_name(vhost)));
        }
        Ok(Plan::Change(Delta::ExchangeDeleted { id: exchange.id() }))
    }

    /// The order of QUE-2.
    fn plan_declare_queue(&self, wish: &DeclareQueue) -> Result<Plan, ProtocolError> {
        let Origin { vhost, user, .. } = wish.origin;
        let name = &*strip_line_ends(&wish.queue);
        self.check_queue_name(wish, name)?;
        self.check_configure(vhost, user, Resource::Queue(name), QUEUE_DECLARE)?;
        if let Some(existing) = self.queue(vhost, name.as_bytes()) {
            self.check_redeclare(existing, wish)?;
            return Ok(Plan::Exists(existing.id));
        }
        let settings = queue_arguments::parse(&wish.arguments, name, self.vhost_name(vhost))?;
        let is_of_connection = wish.exclusive || wish.server_named;
        let slot = if is_of_connection { wish.home_slot_hint } else { self.slot_of(vhost, name) };
        Ok(Plan::Change(Delta::QueueDeclared(Arc::new(QueueRecord {
            id: QueueId(self.next_index()),
            vhost,
            name: name.into(),
            slot,
            durable: wish.durable && !wish.exclusive,
            exclusive_owner: wish.exclusive.then_some(wish.origin.connection),
            auto_delete: wish.auto_delete,
            arguments: wish.arguments.clone(),
            settings,
        }))))
    }

    /// Only the server gives names with its prefix (QUE-4), and every queue has a name.
    fn check_queue_name(&self, wish: &DeclareQueue, name: &str) -> Result<(), ProtocolError> {
        if wish.server_named {
            queue_arguments::check_server_named(&wish.arguments)?;
        } else if name.starts_with(RESERVED_PREFIX) {
            return Err(refusal::reserved_prefix("queue", name, QUEUE_DECLARE));
        }
        if name.is_empty() {
            let vhost = self.vhost_name(wish.origin.vhost);
            return Err(refusal::no_queue(name, vhost, QUEUE_DECLARE));
        }
        Ok(())
    }

    /// A missing queue is deleted already (QUE-70). What only the home knows, it decides.
    fn plan_delete_queue(&self, wish: &DeleteQueue) -> Result<Plan, ProtocolError> {
        let Origin { vhost, user, connection } = wish.origin;
        let name = &*strip_line_ends(&wish.queue);
        self.check_configure(vhost, user, Resource::Queue(name), QUEUE_DELETE)?;
        let Some(queue) = self.queue(vhost, name.as_bytes()) else {
            return Ok(Plan::Nothing);
        };
        self.check_exclusive_access(queue, connection, QUEUE_DELETE)?;
        let DeleteQueue { if_unused, if_empty, .. } = *wish;
        Ok(Plan::Retire { queue: queue.id, slot: queue.slot, if_unused, if_empty })
    }
}
