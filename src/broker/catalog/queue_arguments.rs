//! Arguments of `queue.declare`: which are known, which have a meaning yet, and their ranges
//! (section 6.3 and 6.4).

use haremq_protocol::reply::ProtocolError;
use haremq_protocol::table::value_type_name;
use haremq_protocol::types::{AMQPValue, FieldTable};

use super::delta::QueueSettings;
use super::identity::integer_of;
use super::refusal::{self, QUEUE_DECLARE};

/// The argument that names the queue's type.
pub(super) const TYPE_KEY: &str = "x-queue-type";
/// The type of a queue that names none (QUE-8).
pub(super) const DEFAULT_TYPE: &str = "classic";
const EXPIRES_KEY: &str = "x-expires";
const MESSAGE_TTL_KEY: &str = "x-message-ttl";
const CONSUMER_TIMEOUT_KEY: &str = "x-consumer-timeout";
/// Which node of a cluster leads a queue: of one node, it is always that one.
const LEADER_LOCATOR_KEY: &str = "x-queue-leader-locator";

/// Ten years: longer is refused (QUE-30).
const DURATION_MS_MAX: i64 = 315_360_000_000;

/// The arguments that classic queues know, in the order in which they are compared (QUE-22).
pub(super) const CLASSIC_KEYS: [&str; 14] = [
    EXPIRES_KEY,
    MESSAGE_TTL_KEY,
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-priority",
    "x-single-active-consumer",
    "x-queue-mode",
    "x-queue-version",
    LEADER_LOCATOR_KEY,
    CONSUMER_TIMEOUT_KEY,
    TYPE_KEY,
];

/// Those of them that mean what they say.
const BUILT_KEYS: [&str; 5] =
    [EXPIRES_KEY, MESSAGE_TTL_KEY, LEADER_LOCATOR_KEY, CONSUMER_TIMEOUT_KEY, TYPE_KEY];

/// Known to queues of other types only (QUE-32).
const FOREIGN_KEYS: [&str; 11] = [
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-quorum-initial-group-size",
    "x-consumer-disconnected-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
];

/// Not known to any type that the broker has, but not unknown either.
const OBSOLETE_KEYS: [&str; 1] = ["x-queue-master-locator"];

/// Checks the arguments of a new queue and reads those with a meaning. Unknown ones are in order:
/// they are kept and mean nothing (QUE-32). Known ones without a meaning yet are refused, so that
/// nobody relies on what does not happen.
pub(super) fn parse(
    arguments: &FieldTable,
    queue: &str,
    vhost: &str,
) -> Result<QueueSettings, ProtocolError> {
    let refuse = |key: &str, reason: String| {
        let text = format!("invalid arg '{key}' for queue '{queue}' in vhost '{vhost}': {reason}");
        refusal::precondition(text, QUEUE_DECLARE)
    };
    let value_of = |key: &str| arguments.inner().get(key);
    if let Some(kind) = value_of(TYPE_KEY) {
        check_type(kind).map_err(|reason| refuse(TYPE_KEY, reason))?;
    }
    let duration_ms = |key, minimum| match value_of(key) {
        None => Ok(None),
        Some(value) => duration(value, minimum).map(Some).map_err(|reason| refuse(key, reason)),
    };
    let settings = QueueSettings {
        expires_ms: duration_ms(EXPIRES_KEY, 1)?,
        message_ttl_ms: duration_ms(MESSAGE_TTL_KEY, 0)?,
        consumer_timeout_ms: duration_ms(CONSUMER_TIMEOUT_KEY, 0)?,
    };
    if let Some(locator) = value_of(LEADER_LOCATOR_KEY) {
        check_locator(locator).map_err(|reason| refuse(LEADER_LOCATOR_KEY, reason))?;
    }
    if let Some(key) = FOREIGN_KEYS.into_iter().find(|key| value_of(key).is_some()) {
        return Err(foreign(key, queue, vhost));
    }
    let has_meaning = |key: &str| BUILT_KEYS.contains(&key);
    let mut known = CLASSIC_KEYS.into_iter().chain(OBSOLETE_KEYS);
    match known.find(|key| value_of(key).is_some() && !has_meaning(key)) {
        Some(key) => Err(refuse(key, "not supported yet".into())),
        None => Ok(settings),
    }
}

/// 406 for a server-named queue of a type that must have a name of the client's (QUE-3).
pub(super) fn check_server_named(arguments: &FieldTable) -> Result<(), ProtocolError> {
    let Some(AMQPValue::LongString(kind)) = arguments.inner().get(TYPE_KEY) else {
        return Ok(());
    };
    let kind = match kind.as_bytes() {
        b"quorum" => "rabbit_quorum_queue",
        b"stream" => "rabbit_stream_queue",
        _ => return Ok(()),
    };
    let text = format!("Cannot declare a server-named queue for type {kind}");
    Err(refusal::precondition(text, QUEUE_DECLARE))
}

fn foreign(key: &str, queue: &str, vhost: &str) -> ProtocolError {
    let text = format!(
        "invalid arg '{key}' for queue '{queue}' in vhost '{vhost}' of queue type \
         rabbit_classic_queue"
    );
    refusal::precondition(text, QUEUE_DECLARE)
}

fn check_type(value: &AMQPValue) -> Result<(), String> {
    let AMQPValue::LongString(name) = value else {
        return Err(format!("{{unacceptable_type,{}}}", value_type_name(value)));
    };
    match name.as_bytes() {
        b"classic" => Ok(()),
        b"quorum" | b"stream" => Err(format!("queue type '{name}' is not supported yet")),
        _ => Err(format!("\"unsupported queue type '{name}'\"")),
    }
}

fn check_locator(value: &AMQPValue) -> Result<(), String> {
    let AMQPValue::LongString(locator) = value else {
        return Err(format!("{{unacceptable_type,{}}}", value_type_name(value)));
    };
    match locator.as_bytes() {
        b"client-local" | b"balanced" => Ok(()),
        _ => Err("invalid_queue_locator_arg".into()),
    }
}

/// Milliseconds from `minimum` (0 or 1) to ten years.
fn duration(value: &AMQPValue, minimum: i64) -> Result<u64, String> {
    let Some(number) = integer_of(value) else {
        return Err(format!("\"expected integer, got {}\"", value_type_name(value)));
    };
    match u64::try_from(number) {
        Err(_) => Err(format!("{{value_negative,{number}}}")),
        Ok(_) if number < minimum => Err(format!("{{value_zero,{number}}}")),
        Ok(_) if number > DURATION_MS_MAX => Err(format!("{{value_too_large,{number}}}")),
        Ok(duration) => Ok(duration),
    }
}
