//! Planning of bind and unbind, which are alike for queues and exchanges (BND-1 to BND-8).

use std::borrow::Cow;
use std::sync::Arc;

use haremq_protocol::reply::ProtocolError;
use haremq_protocol::table::value_type_name;
use haremq_protocol::types::FieldTable;

use super::Catalog;
use super::command::{ExchangeBinding, Origin, Plan, QueueBinding};
use super::delta::{BindingDestination, BindingRecord, Delta};
use super::name::strip_line_ends;
use super::refusal::{self, EXCHANGE_BIND, EXCHANGE_UNBIND, MethodIds, QUEUE_BIND, QUEUE_UNBIND};
use super::text::term;
use super::user::Resource;
use crate::exchange::{Exchange, ExchangeKind, Pattern, PatternRefusal};

/// A binding as a client names it.
pub(super) struct Wish<'a> {
    origin: Origin,
    source: Cow<'a, str>,
    destination: Destination<'a>,
    routing_key: &'a str,
    arguments: &'a FieldTable,
}

enum Destination<'a> {
    Queue(Cow<'a, str>),
    Exchange(Cow<'a, str>),
}

impl<'a> From<&'a QueueBinding> for Wish<'a> {
    fn from(wish: &'a QueueBinding) -> Wish<'a> {
        Wish {
            origin: wish.origin,
            source: strip_line_ends(&wish.exchange),
            destination: Destination::Queue(strip_line_ends(&wish.queue)),
            routing_key: &wish.routing_key,
            arguments: &wish.arguments,
        }
    }
}

impl<'a> From<&'a ExchangeBinding> for Wish<'a> {
    fn from(wish: &'a ExchangeBinding) -> Wish<'a> {
        Wish {
            origin: wish.origin,
            source: strip_line_ends(&wish.source),
            destination: Destination::Exchange(strip_line_ends(&wish.destination)),
            routing_key: &wish.routing_key,
            arguments: &wish.arguments,
        }
    }
}

impl Wish<'_> {
    fn bind_method(&self) -> MethodIds {
        match self.destination {
            Destination::Queue(_) => QUEUE_BIND,
            Destination::Exchange(_) => EXCHANGE_BIND,
        }
    }

    fn unbind_method(&self) -> MethodIds {
        match self.destination {
            Destination::Queue(_) => QUEUE_UNBIND,
            Destination::Exchange(_) => EXCHANGE_UNBIND,
        }
    }

    fn names_default_exchange(&self) -> bool {
        let is_destination =
            matches!(&self.destination, Destination::Exchange(name) if name.is_empty());
        self.source.is_empty() || is_destination
    }

    fn resource(&self) -> Resource<'_> {
        match &self.destination {
            Destination::Queue(name) => Resource::Queue(name),
            Destination::Exchange(name) => Resource::Exchange(name),
        }
    }
}

impl Catalog {
    /// Permissions, existence (the source first), exclusive access, the type's own check (BND-4).
    pub(super) fn plan_bind(&self, wish: &Wish<'_>) -> Result<Plan, ProtocolError> {
        let method = wish.bind_method();
        self.check_binding_access(wish, method)?;
        let vhost = self.vhost_name(wish.origin.vhost);
        let source = self
            .source_of(wish)
            .ok_or_else(|| refusal::no_exchange(&wish.source, vhost, method))?;
        let destination = self.destination_of(wish).ok_or_else(|| match &wish.destination {
            Destination::Queue(name) => refusal::no_queue(name, vhost, method),
            Destination::Exchange(name) => refusal::no_exchange(name, vhost, method),
        })?;
        self.check_destination_lock(destination, wish, method)?;
        check_pattern(source.kind(), wish.arguments, method)?;
        let record = record(source, destination, wish);
        match self.bindings.find(&record) {
            Some(_) => Ok(Plan::Nothing),
            None => Ok(Plan::Change(Delta::Bound(Arc::new(record)))),
        }
    }

    /// What is not there is unbound already (BND-2).
    pub(super) fn plan_unbind(&self, wish: &Wish<'_>) -> Result<Plan, ProtocolError> {
        let method = wish.unbind_method();
        self.check_binding_access(wish, method)?;
        let ends = self.source_of(wish).zip(self.destination_of(wish));
        let Some((source, destination)) = ends else { return Ok(Plan::Nothing) };
        let record = record(source, destination, wish);
        if self.bindings.find(&record).is_none() {
            return Ok(Plan::Nothing);
        }
        self.check_destination_lock(destination, wish, method)?;
        Ok(Plan::Change(Delta::Unbound(Arc::new(record))))
    }

    /// BND-3, after the refusal of the default exchange (EXC-2).
    fn check_binding_access(
        &self,
        wish: &Wish<'_>,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        if wish.names_default_exchange() {
            return Err(refusal::default_exchange(method));
        }
        let Origin { vhost, user, .. } = wish.origin;
        self.check_write(vhost, user, wish.resource(), method)?;
        self.check_read(vhost, user, Resource::Exchange(&wish.source), method)
    }

    fn source_of(&self, wish: &Wish<'_>) -> Option<&Exchange> {
        self.exchange(wish.origin.vhost, wish.source.as_bytes())
    }

    fn destination_of(&self, wish: &Wish<'_>) -> Option<BindingDestination> {
        let vhost = wish.origin.vhost;
        match &wish.destination {
            Destination::Queue(name) => {
                self.queue(vhost, name.as_bytes()).map(|queue| BindingDestination::Queue(queue.id))
            }
            Destination::Exchange(name) => {
                self.exchange_id(vhost, name.as_bytes()).map(BindingDestination::Exchange)
            }
        }
    }

    fn check_destination_lock(
        &self,
        destination: BindingDestination,
        wish: &Wish<'_>,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        let BindingDestination::Queue(id) = destination else { return Ok(()) };
        let queue = self.queue_by_id(id).expect("the queue was just found by its name");
        self.check_exclusive_access(queue, wish.origin.connection, method)
    }
}

fn record(source: &Exchange, destination: BindingDestination, wish: &Wish<'_>) -> BindingRecord {
    BindingRecord {
        source: source.id(),
        destination,
        routing_key: wish.routing_key.into(),
        arguments: wish.arguments.clone(),
    }
}

/// HDR-1; the other types take any arguments.
fn check_pattern(
    kind: ExchangeKind,
    arguments: &FieldTable,
    method: MethodIds,
) -> Result<(), ProtocolError> {
    if kind != ExchangeKind::Headers {
        return Ok(());
    }
    let text = match Pattern::parse(arguments) {
        Ok(_) => return Ok(()),
        Err(PatternRefusal::UnknownMode(value)) => format!(
            "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
            term(value)
        ),
        Err(PatternRefusal::NotAString(value)) => format!(
            "Invalid x-match field type {} (value {}); expected longstr",
            value_type_name(value),
            term(value)
        ),
    };
    Err(refusal::precondition(text, method))
}
