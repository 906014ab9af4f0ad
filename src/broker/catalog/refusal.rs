//! The texts with which the model refuses a client, each as SEMANTICS.md has it. A client library
//! may parse them, so they are compared octet by octet in the tests.

use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::user::Resource;

/// Class and method id of the method that is refused (ERR-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodIds(pub u16, pub u16);

/// `connection.open`.
pub const CONNECTION_OPEN: MethodIds = MethodIds(10, 40);
/// `exchange.declare`.
pub const EXCHANGE_DECLARE: MethodIds = MethodIds(40, 10);
/// `exchange.delete`.
pub const EXCHANGE_DELETE: MethodIds = MethodIds(40, 20);
/// `exchange.bind`.
pub const EXCHANGE_BIND: MethodIds = MethodIds(40, 30);
/// `exchange.unbind`.
pub const EXCHANGE_UNBIND: MethodIds = MethodIds(40, 40);
/// `queue.declare`.
pub const QUEUE_DECLARE: MethodIds = MethodIds(50, 10);
/// `queue.bind`.
pub const QUEUE_BIND: MethodIds = MethodIds(50, 20);
/// `queue.purge`.
pub const QUEUE_PURGE: MethodIds = MethodIds(50, 30);
/// `queue.delete`.
pub const QUEUE_DELETE: MethodIds = MethodIds(50, 40);
/// `queue.unbind`.
pub const QUEUE_UNBIND: MethodIds = MethodIds(50, 50);
/// `basic.consume`.
pub const BASIC_CONSUME: MethodIds = MethodIds(60, 20);
/// `basic.publish`.
pub const BASIC_PUBLISH: MethodIds = MethodIds(60, 40);
/// `basic.get`.
pub const BASIC_GET: MethodIds = MethodIds(60, 70);

/// A refusal with the ids of the method that earned it.
fn refuse(code: ReplyCode, explanation: String, method: MethodIds) -> ProtocolError {
    ProtocolError::new(code, explanation).of(method.0, method.1)
}

/// 406 with any explanation.
pub(super) fn precondition(explanation: String, method: MethodIds) -> ProtocolError {
    refuse(ReplyCode::PreconditionFailed, explanation, method)
}

/// 530: `connection.open` of a vhost that is not there.
pub fn no_vhost(vhost: &str) -> ProtocolError {
    refuse(ReplyCode::NotAllowed, format!("vhost {vhost} not found"), CONNECTION_OPEN)
}

/// 530: `connection.open` of a vhost for which the user has no permission entry.
pub fn vhost_refused(vhost: &str, user: &str) -> ProtocolError {
    let text = format!("access to vhost '{vhost}' refused for user '{user}'");
    refuse(ReplyCode::NotAllowed, text, CONNECTION_OPEN)
}

/// 403: a permission is missing (ERR-42).
pub fn access(
    permission: &str,
    resource: Resource<'_>,
    vhost: &str,
    user: &str,
    method: MethodIds,
) -> ProtocolError {
    let (sort, name) = match resource {
        Resource::Exchange("") => ("exchange", "amq.default"),
        Resource::Exchange(name) => ("exchange", name),
        Resource::Queue(name) => ("queue", name),
    };
    let text = format!(
        "{permission} access to {sort} '{name}' in vhost '{vhost}' refused for user '{user}'"
    );
    refuse(ReplyCode::AccessRefused, text, method)
}

/// 404: the queue is not there.
pub fn no_queue(queue: &str, vhost: &str, method: MethodIds) -> ProtocolError {
    refuse(ReplyCode::NotFound, format!("no queue '{queue}' in vhost '{vhost}'"), method)
}

/// 404: the exchange is not there.
pub fn no_exchange(exchange: &str, vhost: &str, method: MethodIds) -> ProtocolError {
    refuse(ReplyCode::NotFound, format!("no exchange '{exchange}' in vhost '{vhost}'"), method)
}

/// 404: an empty queue name on a channel that has declared none (CHN-8).
pub fn no_previously_declared_queue(method: MethodIds) -> ProtocolError {
    refuse(ReplyCode::NotFound, "no previously declared queue".into(), method)
}

/// 405: the exclusive queue of another connection, or another `exclusive` value (ERR-40).
pub fn exclusive_lock(queue: &str, vhost: &str, method: MethodIds) -> ProtocolError {
    let text = format!(
        "cannot obtain exclusive access to locked queue '{queue}' in vhost '{vhost}'. It could be \
         originally declared on another connection or the exclusive property value does not match \
         that of the original declaration."
    );
    refuse(ReplyCode::ResourceLocked, text, method)
}

/// 403: `basic.consume` on a queue with an exclusive consumer, or exclusively on one in use.
pub fn exclusive_use(queue: &str, vhost: &str) -> ProtocolError {
    let text = format!("queue '{queue}' in vhost '{vhost}' in exclusive use");
    refuse(ReplyCode::AccessRefused, text, BASIC_CONSUME)
}

/// 406: `queue.delete` with if-empty of a queue with ready messages.
pub fn queue_not_empty(queue: &str, vhost: &str) -> ProtocolError {
    precondition(format!("queue '{queue}' in vhost '{vhost}' not empty"), QUEUE_DELETE)
}

/// 406: `queue.delete` with if-unused of a queue with consumers.
pub fn queue_in_use(queue: &str, vhost: &str) -> ProtocolError {
    precondition(format!("queue '{queue}' in vhost '{vhost}' in use"), QUEUE_DELETE)
}

/// 406: `exchange.delete` with if-unused of an exchange that is the source of a binding (EXC-20).
pub(super) fn exchange_in_use(exchange: &str, vhost: &str) -> ProtocolError {
    precondition(format!("exchange '{exchange}' in vhost '{vhost}' in use"), EXCHANGE_DELETE)
}

/// 403: what is not to be done with the default exchange (EXC-2).
pub(super) fn default_exchange(method: MethodIds) -> ProtocolError {
    let text = "operation not permitted on the default exchange";
    refuse(ReplyCode::AccessRefused, text.into(), method)
}

/// 403: a predeclared exchange stays (EXC-3).
pub(super) fn system_exchange(exchange: &str, vhost: &str) -> ProtocolError {
    let text = format!("deletion of system exchange '{exchange}' in vhost '{vhost}' not allowed");
    refuse(ReplyCode::AccessRefused, text, EXCHANGE_DELETE)
}

/// 403: a publish to an internal exchange (EXC-14).
pub(super) fn internal_exchange(exchange: &str, vhost: &str) -> ProtocolError {
    let text = format!("cannot publish to internal exchange '{exchange}' in vhost '{vhost}'");
    refuse(ReplyCode::AccessRefused, text, BASIC_PUBLISH)
}

/// 403: a new exchange (EXC-3) or any queue (QUE-4) with a name of ours.
pub(super) fn reserved_prefix(sort: &str, name: &str, method: MethodIds) -> ProtocolError {
    let text = format!("{sort} name '{name}' contains reserved prefix 'amq.*'");
    refuse(ReplyCode::AccessRefused, text, method)
}
