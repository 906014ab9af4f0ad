//! The handshake and all that is declared: answered as a broker would, and forgotten.

use haremq_protocol::method::{
    AMQPClass, basic, channel, confirm, connection, exchange, queue, write_method,
};
use haremq_protocol::types::{AMQPValue, FieldTable};

use crate::relay::queue::OneQueue;

const CHANNEL_MAX: u16 = 2047;
const FRAME_MAX: u32 = 131_072;

/// `connection.start`, after the protocol header.
pub(crate) fn write_start(out: &mut Vec<u8>) {
    let mut server_properties = FieldTable::default();
    for (name, value) in [
        ("product", "haremq-perf relay"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "Rust"),
    ] {
        server_properties.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let start = connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties,
        mechanisms: "PLAIN AMQPLAIN".into(),
        locales: "en_US".into(),
    };
    write_method(out, 0, &AMQPClass::Connection(connection::AMQPMethod::Start(start)));
}

/// The answer to a method; `None` if it has none. An error text if the relay cannot do it.
pub(crate) fn answer(
    method: &AMQPClass,
    queue: &mut OneQueue,
) -> Result<Option<AMQPClass>, String> {
    let answer = match method {
        AMQPClass::Connection(method) => return Ok(answer_connection(method)),
        AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}))
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
        }
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(_)) => {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))
        }
        AMQPClass::Queue(method) => return answer_queue(method, queue).map(Some),
        AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) => {
            AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}))
        }
        AMQPClass::Basic(basic::AMQPMethod::Qos(_)) => {
            AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {}))
        }
        AMQPClass::Basic(basic::AMQPMethod::Consume(consume)) => {
            let consumer_tag = consume.consumer_tag.clone();
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag }))
        }
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
            let consumer_tag = cancel.consumer_tag.clone();
            AMQPClass::Basic(basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag }))
        }
        other => {
            let (class, method) = (other.get_amqp_class_id(), other.get_amqp_method_id());
            return Err(format!("a relay has no method {class}.{method}"));
        }
    };
    Ok(Some(answer))
}

fn answer_connection(method: &connection::AMQPMethod) -> Option<AMQPClass> {
    let answer = match method {
        connection::AMQPMethod::StartOk(_) => connection::AMQPMethod::Tune(connection::Tune {
            channel_max: CHANNEL_MAX,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        }),
        connection::AMQPMethod::Open(_) => connection::AMQPMethod::OpenOk(connection::OpenOk {}),
        connection::AMQPMethod::Close(_) => connection::AMQPMethod::CloseOk(connection::CloseOk {}),
        _ => return None,
    };
    Some(AMQPClass::Connection(answer))
}

fn answer_queue(method: &queue::AMQPMethod, queue: &mut OneQueue) -> Result<AMQPClass, String> {
    let answer = match method {
        queue::AMQPMethod::Declare(declare) => {
            let name = match declare.queue.as_str() {
                "" => queue.generate_name(),
                name => name.to_owned(),
            };
            queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                queue: name.as_str().into(),
                message_count: 0,
                consumer_count: 0,
            })
        }
        queue::AMQPMethod::Bind(_) => queue::AMQPMethod::BindOk(queue::BindOk {}),
        queue::AMQPMethod::Purge(_) => {
            queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: 0 })
        }
        queue::AMQPMethod::Delete(_) => {
            queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 0 })
        }
        _ => return Err("a relay has no such method of queues".to_owned()),
    };
    Ok(AMQPClass::Queue(answer))
}

/// A `connection.close` for what a relay cannot do.
pub(crate) fn write_refusal(out: &mut Vec<u8>, text: &str) {
    let close = connection::Close {
        reply_code: 540,
        reply_text: format!("NOT_IMPLEMENTED - {text}").as_str().into(),
        class_id: 0,
        method_id: 0,
    };
    write_method(out, 0, &AMQPClass::Connection(connection::AMQPMethod::Close(close)));
}
