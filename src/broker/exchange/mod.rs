//! Exchanges: what each type keeps about its bindings and how it finds those that match.
//!
//! One file per type. Every type offers the same three things: `insert`, `remove` and `collect`;
//! [`Routes`] picks among them.

mod direct;
mod fanout;
mod headers;
mod targets;
mod topic;

use std::sync::Arc;

use ahash::RandomState;
use haremq_protocol::types::FieldTable;

use crate::catalog::delta::ExchangeRecord;
use crate::ids::{ExchangeId, QueueId, SlotId, VhostId};
use direct::Direct;
use fanout::Fanout;
use headers::{Headers, HeadersScratch};
pub(crate) use headers::{Pattern, PatternRefusal};
pub(crate) use targets::{End, Moved, Place, Target};
use topic::{Topic, TopicScratch};

/// "No such place" in links between slab entries.
pub(crate) const NONE: u32 = u32::MAX;

/// A type of exchange (EXC-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// Binding key equals routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// Binding key is a pattern of words.
    Topic,
    /// Binding arguments are a pattern of headers.
    Headers,
}

impl ExchangeKind {
    /// The type that a client names, if it is one that is known.
    pub fn from_name(name: &str) -> Option<ExchangeKind> {
        match name {
            "direct" => Some(ExchangeKind::Direct),
            "fanout" => Some(ExchangeKind::Fanout),
            "topic" => Some(ExchangeKind::Topic),
            "headers" => Some(ExchangeKind::Headers),
            _ => None,
        }
    }

    /// The type's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
        }
    }
}

/// An exchange with its bindings. Owned by the catalog, one copy on every shard; lives from
/// `exchange.declare` to its deletion.
pub struct Exchange {
    /// A copy of its own, as every publish looks at it.
    record: ExchangeRecord,
    /// Index among the catalog's exchanges; may be used again after the deletion.
    pub(crate) slot: u32,
    /// What the type knows about the bindings with this source.
    pub(crate) routes: Routes,
    /// First of the bindings with this source.
    pub(crate) first_sourced: u32,
    /// Number of the bindings with this source.
    pub(crate) sourced: u32,
    /// Number of those among them that lead to an exchange.
    pub(crate) sourced_to_exchanges: u32,
    /// First of the bindings with this destination.
    pub(crate) first_received: u32,
    /// Number of the bindings with this destination.
    pub(crate) received: u32,
    /// Catalog index of the last change of the bindings with this source.
    pub(crate) routes_epoch: u64,
}

impl Exchange {
    pub(crate) fn new(record: ExchangeRecord, slot: u32, hash: &RandomState) -> Exchange {
        Exchange {
            routes: Routes::new(record.kind, hash),
            record,
            slot,
            first_sourced: NONE,
            sourced: 0,
            sourced_to_exchanges: 0,
            first_received: NONE,
            received: 0,
            routes_epoch: 0,
        }
    }

    /// What it was declared as.
    pub fn record(&self) -> &ExchangeRecord {
        &self.record
    }

    /// Identity.
    pub fn id(&self) -> ExchangeId {
        self.record.id
    }

    /// Namespace.
    pub fn vhost(&self) -> VhostId {
        self.record.vhost
    }

    /// Name; empty for the default exchange.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Type.
    pub fn kind(&self) -> ExchangeKind {
        self.record.kind
    }

    /// The exchange that every queue is bound to under its name (EXC-2).
    pub fn is_default(&self) -> bool {
        self.record.name.is_empty()
    }

    /// Number of the bindings with this source.
    pub fn binding_count(&self) -> u32 {
        self.sourced
    }

    /// Do all messages take the same way from here, whatever their routing key?
    pub(crate) fn ignores_keys(&self) -> bool {
        self.record.kind == ExchangeKind::Fanout && self.sourced_to_exchanges == 0
    }

    /// Changes when the way from here may have changed: with the bindings from here, or with any
    /// binding if some of these lead to other exchanges.
    pub(crate) fn epoch(&self, topology_epoch: u64) -> u64 {
        if self.sourced_to_exchanges == 0 { self.routes_epoch } else { topology_epoch }
    }
}

/// What a type keeps about the bindings with one source.
pub(crate) enum Routes {
    Direct(Direct),
    Fanout(Fanout),
    Topic(Topic),
    Headers(Headers),
}

impl Routes {
    fn new(kind: ExchangeKind, hash: &RandomState) -> Routes {
        match kind {
            ExchangeKind::Direct => Routes::Direct(Direct::new(hash)),
            ExchangeKind::Fanout => Routes::Fanout(Fanout::default()),
            ExchangeKind::Topic => Routes::Topic(Topic::new(hash)),
            ExchangeKind::Headers => Routes::Headers(Headers::new(hash)),
        }
    }

    /// Takes up a binding and tells where it is kept.
    pub(crate) fn insert(
        &mut self,
        key: &Arc<str>,
        arguments: &FieldTable,
        target: Target,
    ) -> Place {
        match self {
            Routes::Direct(routes) => routes.insert(key, target),
            Routes::Fanout(routes) => routes.insert(target),
            Routes::Topic(routes) => routes.insert(key.as_bytes(), target),
            Routes::Headers(routes) => routes.insert(arguments, target),
        }
    }

    /// Lets a binding go, and names the one that now has its place, if there is one.
    pub(crate) fn remove(&mut self, key: &[u8], place: Place) -> Option<Moved> {
        match self {
            Routes::Direct(routes) => routes.remove(key, place),
            Routes::Fanout(routes) => routes.remove(place),
            Routes::Topic(routes) => routes.remove(place),
            Routes::Headers(routes) => routes.remove(place),
        }
    }

    /// Adds the destinations of all bindings that match. Those with several matching bindings may
    /// be added several times.
    pub(crate) fn collect(
        &self,
        key: &[u8],
        headers: Option<&[u8]>,
        scratch: &mut Scratch,
        found: &mut Found,
    ) {
        match self {
            Routes::Direct(routes) => routes.collect(key, found),
            Routes::Fanout(routes) => routes.collect(found),
            Routes::Topic(routes) => routes.collect(key, &mut scratch.topic, found),
            Routes::Headers(routes) => routes.collect(headers, &mut scratch.headers, found),
        }
    }
}

/// Destinations found so far; reused from message to message.
#[derive(Default)]
pub(crate) struct Found {
    /// Queues, possibly several times.
    pub(crate) queues: Vec<(QueueId, SlotId)>,
    /// Exchanges by slot, possibly several times.
    pub(crate) exchanges: Vec<u32>,
}

/// Memory that matching works in; reused from message to message.
#[derive(Default)]
pub(crate) struct Scratch {
    topic: TopicScratch,
    headers: HeadersScratch,
}

#[cfg(test)]
pub(crate) mod headers_tests;
#[cfg(test)]
pub(crate) mod topic_tests;
