//! Random histories: replicas agree, and the catalog agrees with a naive model of it.

use std::collections::BTreeSet;

use haremq_protocol::types::{AMQPValue, FieldTable};
use proptest::prelude::*;

use super::command::{
    DeclareExchange, DeclareQueue, DeleteExchange, DeleteQueue, ExchangeBinding, QueueBinding,
};
use super::*;
use crate::ids::ShardId;

const EXCHANGES: [&str; 5] = ["a", "b", "c", "d", "amq.topic"];
const QUEUES: [&str; 4] = ["p", "q", "r", "s"];
const KEYS: [&str; 4] = ["", "k", "#", "k.*"];
const KINDS: [&str; 4] = ["direct", "fanout", "topic", "headers"];

fn origin(connection: u32) -> Origin {
    let connection = ConnectionAddress { shard: ShardId(0), slot: connection, generation: 0 };
    Origin { vhost: DEFAULT_VHOST, user: UserId(0), connection }
}

fn arguments() -> impl Strategy<Value = FieldTable> {
    let value = prop::sample::select(vec![AMQPValue::Void, AMQPValue::LongInt(1)]);
    prop::option::of(value).prop_map(|value| {
        let mut table = FieldTable::default();
        if let Some(value) = value {
            table.insert("h".into(), value);
        }
        table
    })
}

fn name(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(names).prop_map(str::to_owned)
}

fn declare_exchange() -> impl Strategy<Value = Command> {
    (name(&EXCHANGES), name(&KINDS), any::<bool>()).prop_map(|(exchange, kind, auto_delete)| {
        Command::DeclareExchange(DeclareExchange {
            origin: origin(0),
            exchange,
            kind,
            durable: false,
            auto_delete,
            internal: false,
            arguments: FieldTable::default(),
        })
    })
}

fn declare_queue() -> impl Strategy<Value = Command> {
    (name(&QUEUES), 0u32..3, any::<bool>()).prop_map(|(queue, connection, exclusive)| {
        Command::DeclareQueue(DeclareQueue {
            origin: origin(connection),
            queue,
            server_named: false,
            durable: true,
            exclusive,
            auto_delete: false,
            arguments: FieldTable::default(),
            home_slot_hint: SlotId(3),
        })
    })
}

fn queue_binding() -> impl Strategy<Value = QueueBinding> {
    let fields = (name(&QUEUES), name(&EXCHANGES), name(&KEYS), arguments(), 0u32..3);
    fields.prop_map(|(queue, exchange, routing_key, arguments, connection)| QueueBinding {
        origin: origin(connection),
        queue,
        exchange,
        routing_key,
        arguments,
    })
}

fn exchange_binding() -> impl Strategy<Value = ExchangeBinding> {
    let fields = (name(&EXCHANGES), name(&EXCHANGES), name(&KEYS), arguments());
    fields.prop_map(|(destination, source, routing_key, arguments)| ExchangeBinding {
        origin: origin(0),
        destination,
        source,
        routing_key,
        arguments,
    })
}

fn delete_queue() -> impl Strategy<Value = Command> {
    (name(&QUEUES), 0u32..3).prop_map(|(queue, connection)| {
        let origin = origin(connection);
        Command::DeleteQueue(DeleteQueue { origin, queue, if_unused: false, if_empty: false })
    })
}

fn delete_exchange() -> impl Strategy<Value = Command> {
    (name(&EXCHANGES), any::<bool>()).prop_map(|(exchange, if_unused)| {
        Command::DeleteExchange(DeleteExchange { origin: origin(0), exchange, if_unused })
    })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => declare_exchange(),
        4 => declare_queue(),
        1 => delete_exchange(),
        1 => delete_queue(),
        8 => queue_binding().prop_map(Command::BindQueue),
        3 => queue_binding().prop_map(Command::UnbindQueue),
        6 => exchange_binding().prop_map(Command::BindExchange),
        2 => exchange_binding().prop_map(Command::UnbindExchange),
    ]
}

/// The delta that a command comes to, if it is in order and changes something.
pub(crate) fn delta_of(catalog: &Catalog, command: &Command) -> Option<Delta> {
    match catalog.plan(command).ok()? {
        Plan::Change(delta) => Some(delta),
        Plan::Retire { queue, .. } => Some(Delta::QueueDeleted { id: queue }),
        Plan::Exists(_) | Plan::Nothing => None,
    }
}

/// Everything that can be read, in the order in which it is read.
fn listing(catalog: &Catalog) -> Vec<String> {
    let mut lines = vec![format!("{} {}", catalog.index(), catalog.topology_epoch())];
    for exchange in catalog.exchanges() {
        lines.push(format!("{:?}", exchange.record()));
        lines.extend(catalog.routes_of(exchange.id()).map(|record| format!("{record:?}")));
    }
    for queue in catalog.queues() {
        lines.push(format!("{queue:?}"));
        let end = BindingDestination::Queue(queue.id);
        lines.extend(catalog.bindings_to(end).map(|record| format!("{record:?}")));
    }
    lines
}

/// Exchanges, queues and bindings as plain sets of texts.
#[derive(Default, Debug, PartialEq)]
struct Model {
    exchanges: BTreeSet<(ExchangeId, bool)>,
    queues: BTreeSet<QueueId>,
    bindings: BTreeSet<(ExchangeId, BindingDestination, String)>,
}

fn binding_line(record: &BindingRecord) -> (ExchangeId, BindingDestination, String) {
    let rest = format!("{} {:?}", record.routing_key, record.arguments);
    (record.source, record.destination, rest)
}

impl Model {
    fn of(catalog: &Catalog) -> Model {
        let exchanges = || catalog.exchanges().map(Exchange::id);
        Model {
            exchanges: catalog
                .exchanges()
                .map(|exchange| (exchange.id(), exchange.record().auto_delete))
                .collect(),
            queues: catalog.queues().map(|queue| queue.id).collect(),
            bindings: exchanges().flat_map(|id| catalog.routes_of(id)).map(binding_line).collect(),
        }
    }

    fn apply(&mut self, delta: &Delta) {
        match delta {
            Delta::ExchangeDeclared(record) => {
                self.exchanges.insert((record.id, record.auto_delete));
            }
            Delta::QueueDeclared(record) => {
                self.queues.insert(record.id);
            }
            Delta::Bound(record) => {
                self.bindings.insert(binding_line(record));
            }
            Delta::Unbound(record) => self.unbind(|binding| *binding == binding_line(record)),
            Delta::QueueDeleted { id } => {
                self.queues.remove(id);
                self.unbind(|(_, end, _)| *end == BindingDestination::Queue(*id));
            }
            Delta::ExchangeDeleted { id } => self.delete_exchange(*id),
            Delta::BindingsDropped { .. } => unreachable!("no plan says so"),
        }
    }

    fn delete_exchange(&mut self, id: ExchangeId) {
        self.exchanges.retain(|(known, _)| *known != id);
        let end = BindingDestination::Exchange(id);
        self.unbind(|(source, destination, _)| *source == id || *destination == end);
    }

    /// Removes bindings, and what is deleted with the last of them.
    fn unbind(&mut self, is_removed: impl Fn(&(ExchangeId, BindingDestination, String)) -> bool) {
        let removed: Vec<_> = self.bindings.iter().filter(|b| is_removed(b)).cloned().collect();
        self.bindings.retain(|binding| !is_removed(binding));
        for (source, _, _) in removed {
            let is_unused = !self.bindings.iter().any(|(other, _, _)| *other == source);
            if is_unused && self.exchanges.contains(&(source, true)) {
                self.delete_exchange(source);
            }
        }
    }
}

proptest! {
    #[test]
    fn replicas_fed_the_same_deltas_agree(commands in prop::collection::vec(command(), 1..120)) {
        let mut writer = Catalog::new(5);
        let mut replica = Catalog::new(5);
        let mut model = Model::of(&writer);
        for command in &commands {
            prop_assert_eq!(writer.plan(command), replica.plan(command));
            let Some(delta) = delta_of(&writer, command) else { continue };
            let index = writer.index();
            writer.apply(&delta);
            replica.apply(&delta);
            model.apply(&delta);
            prop_assert_eq!(writer.index(), index + 1);
            writer.check_invariants();
            prop_assert_eq!(&Model::of(&writer), &model);
            prop_assert_eq!(listing(&writer), listing(&replica));
        }
    }

    #[test]
    fn what_was_done_needs_not_be_done_again(commands in prop::collection::vec(command(), 1..80)) {
        let mut catalog = Catalog::new(5);
        for command in &commands {
            if let Some(delta) = delta_of(&catalog, command) {
                catalog.apply(&delta);
                let again = catalog.plan(command);
                // An auto-delete exchange may have gone with what was done.
                prop_assert!(!matches!(again, Ok(Plan::Change(_))), "{command:?}: {again:?}");
            }
        }
    }
}
