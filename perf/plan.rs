//! What a run consists of: connections, channels, queues and who reaches whom. Made from the
//! options without a broker, so that wrong options are refused before anything is touched.

use haremq_protocol::properties::BasicProperties;
use haremq_protocol::types::FieldTable;

use crate::arguments::{parse_properties, parse_table};
use crate::body::{BODY_BYTES_MIN, CHECKED_BYTES};
use crate::options::{MessageFlag, RunOptions};
use crate::routing::Matching;
use crate::schedule::Random;

/// More publishers cannot be told apart by two octets of a body.
const PUBLISHERS_MAX: u64 = 65_536;

/// A run that can be set up.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The exchange to publish to; empty is the default one.
    pub(crate) exchange: String,
    /// Declare it, as this type.
    pub(crate) declares_exchange: bool,
    pub(crate) exchange_type: String,
    /// Queues are durable.
    pub(crate) durable: bool,
    pub(crate) queues: Vec<QueuePlan>,
    /// Declare and bind the queues.
    pub(crate) declares_queues: bool,
    pub(crate) queue_arguments: FieldTable,
    pub(crate) bind_arguments: FieldTable,
    pub(crate) consumer_arguments: FieldTable,
    /// One per producer channel.
    pub(crate) publishers: Vec<PublisherPlan>,
    /// Index into `queues`, one per consumer channel.
    pub(crate) consumers: Vec<usize>,
    pub(crate) properties: BasicProperties,
    pub(crate) mandatory: bool,
    /// What queues a message reaches is known, so that losses can be told.
    pub(crate) is_reach_known: bool,
}

/// One queue of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuePlan {
    /// `None`: exclusive and named by the broker, on the connection of its consumer.
    pub(crate) name: Option<String>,
    /// Binding keys; none for the default exchange.
    pub(crate) bindings: Vec<String>,
    /// Some consumer of this run consumes it.
    pub(crate) is_consumed: bool,
}

/// One producer of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublisherPlan {
    /// Used in turns.
    pub(crate) keys: Vec<String>,
    /// Per key, the queues that a message reaches.
    pub(crate) reach: Vec<Vec<usize>>,
}

impl Plan {
    /// Plans the run that `options` ask for.
    ///
    /// # Errors
    /// What cannot be done, for the user.
    pub(crate) fn new(options: &RunOptions) -> Result<Plan, String> {
        check(options)?;
        if options.ledger.is_some() {
            check_ledger(options)?;
        }
        if options.rpc.is_some() {
            return Plan::of_requests(options);
        }
        let names = queue_names(options)?;
        let is_default = options.exchange.as_deref() == Some("");
        let matching = match is_default {
            true => Matching::Direct,
            false => Matching::of_type(
                &options.exchange_type,
                options.headers.as_deref().unwrap_or_default(),
                options.bind_headers.as_deref().unwrap_or_default(),
            ),
        };
        let exchange = options.exchange.clone().unwrap_or_else(|| match options.predeclared {
            true => String::new(),
            false => options.exchange_type.clone(),
        });
        let keys = routing_keys(options);
        let consumer_count =
            options.consumers as usize * usize::from(options.consumer_channel_count);
        let queues = plan_queues(options, &names, consumer_count, &keys);
        let publisher_count =
            options.producers as usize * usize::from(options.producer_channel_count);
        let mut publishers = Vec::with_capacity(publisher_count);
        for number in 0..publisher_count {
            let keys = publisher_keys(options, &names, &keys, number, exchange.is_empty());
            let reach =
                keys.iter().map(|key| reached(&matching, key, &queues, &exchange)).collect();
            publishers.push(PublisherPlan { keys, reach });
        }
        let consumers = (0..consumer_count).map(|number| number % queues.len().max(1)).collect();
        let durable = options.flag.contains(&MessageFlag::Persistent) || options.quorum_queue;
        let is_reach_known = matching != Matching::Unknown
            && !(options.predeclared && !is_default && options.exchange.is_some());
        if options.ledger.is_some() && !is_reach_known {
            return Err(
                "--ledger must know which queue gets what: an exchange whose bindings are \
                        not made by this run, or of a type that is not known, does not do"
                    .to_owned(),
            );
        }
        Ok(Plan {
            declares_exchange: !options.predeclared
                && !exchange.is_empty()
                && !exchange.starts_with("amq."),
            exchange,
            exchange_type: options.exchange_type.clone(),
            durable,
            queues,
            declares_queues: !options.predeclared,
            queue_arguments: queue_arguments(options)?,
            bind_arguments: table(options.bind_headers.as_deref())?,
            consumer_arguments: table(options.consumer_args.as_deref())?,
            publishers,
            consumers,
            properties: properties(options)?,
            mandatory: options.flag.contains(&MessageFlag::Mandatory),
            is_reach_known,
        })
    }
}

impl Plan {
    /// Requests to one queue, and a reply queue per producer behind it.
    fn of_requests(options: &RunOptions) -> Result<Plan, String> {
        let name = options.queue.first().cloned().unwrap_or_else(|| "perf-rpc".to_owned());
        let clients = options.producers as usize * usize::from(options.producer_channel_count);
        let servers = options.consumers as usize * usize::from(options.consumer_channel_count);
        let reply = || QueuePlan { name: None, bindings: Vec::new(), is_consumed: true };
        let mut queues = vec![QueuePlan {
            name: Some(name.clone()),
            bindings: Vec::new(),
            is_consumed: servers > 0,
        }];
        queues.extend((0..clients).map(|_| reply()));
        let publishers = (1..=clients)
            .map(|reply| PublisherPlan { keys: vec![name.clone()], reach: vec![vec![0, reply]] });
        Ok(Plan {
            exchange: String::new(),
            declares_exchange: false,
            exchange_type: options.exchange_type.clone(),
            durable: options.flag.contains(&MessageFlag::Persistent),
            queues,
            declares_queues: !options.predeclared,
            queue_arguments: queue_arguments(options)?,
            bind_arguments: FieldTable::default(),
            consumer_arguments: table(options.consumer_args.as_deref())?,
            publishers: publishers.collect(),
            consumers: vec![0; servers],
            properties: properties(options)?,
            mandatory: options.flag.contains(&MessageFlag::Mandatory),
            is_reach_known: true,
        })
    }
}

/// Everything about the options that must hold for any plan.
fn check(options: &RunOptions) -> Result<(), String> {
    let publishers = u64::from(options.producers) * u64::from(options.producer_channel_count);
    let refusals = [
        (publishers > PUBLISHERS_MAX, "at most 65,536 producers fit into one run"),
        (options.producer_channel_count == 0, "--producer-channel-count is at least 1"),
        (options.consumer_channel_count == 0, "--consumer-channel-count is at least 1"),
        (options.producers == 0 && options.consumers == 0, "neither producers nor consumers"),
        (options.confirm == 0, "--confirm 0 could never send; -1 is without confirms"),
        (options.confirm > 1 << 24, "--confirm is at most 16,777,216"),
        (options.multi_ack_every == 0, "--multi-ack-every is at least 1"),
        (options.interval < 0.01, "--interval is at least 0.01 seconds"),
        (options.key_count == 0, "--key-count is at least 1"),
        (options.polling && options.raw, "--polling and --raw exclude each other"),
        (
            options.qos != 0
                && u32::from(options.qos) < options.multi_ack_every
                && !options.autoack,
            "--multi-ack-every above --qos would stop every consumer",
        ),
        (
            options.predeclared
                && options.queue.is_empty()
                && options.queue_pattern.is_none()
                && options.consumers > 0,
            "--predeclared needs the queues' names (--queue or --queue-pattern)",
        ),
    ];
    match refusals.iter().find(|(holds, _)| *holds) {
        Some((_, text)) => Err((*text).to_owned()),
        None => Ok(()),
    }
}

/// What a run must be like for its ledger to say what a broker owes: see [`crate::ledger`].
fn check_ledger(options: &RunOptions) -> Result<(), String> {
    let is_named = !options.queue.is_empty() || options.queue_pattern.is_some();
    let deletes = options.auto_delete && !options.quorum_queue && !options.predeclared;
    let wants = [
        (options.producers == 0 || options.rate == 0.0, "producers"),
        (options.confirm <= 0, "confirms (-c), as nothing else is a promise"),
        (options.autoack, "acknowledgements (no -a), as else nobody knows what was under way"),
        (!is_named, "named queues (-u or -qp), as others are gone with their connection"),
        (deletes, "queues that outlive their consumers (-ad false)"),
        (smallest_body(options) < CHECKED_BYTES, "bodies that name their producer (16 octets)"),
        (options.rpc.is_some(), "no --rpc, as replies are nobody's to keep"),
        (options.raw, "no --raw"),
    ];
    let missing: Vec<&str> =
        wants.iter().filter(|(is_missing, _)| *is_missing).map(|(_, want)| *want).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("--ledger needs {}", missing.join("; "))),
    }
}

/// Octets of the smallest body that is asked for; 0 if a file of bodies cannot be read.
pub(crate) fn smallest_body(options: &RunOptions) -> usize {
    let sizes = options.variable_size.iter().map(|step| step.value as usize);
    let files = options
        .body
        .iter()
        .map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len() as usize));
    sizes.chain(files).min().unwrap_or(options.size.max(BODY_BYTES_MIN))
}

fn queue_names(options: &RunOptions) -> Result<Vec<String>, String> {
    let Some(pattern) = &options.queue_pattern else { return Ok(options.queue.clone()) };
    let (before, width, after) = split_pattern(pattern)
        .ok_or("--queue-pattern has no %d (or %03d and the like) for the number")?;
    let (from, to) = (options.queue_pattern_from, options.queue_pattern_to);
    let (Some(from), Some(to)) = (from, to) else {
        return Err("--queue-pattern needs --queue-pattern-from and --queue-pattern-to".to_owned());
    };
    if from > to {
        return Err(format!("--queue-pattern-from {from} is above --queue-pattern-to {to}"));
    }
    Ok((from..=to).map(|number| format!("{before}{number:0width$}{after}")).collect())
}

/// What is before the number of a pattern, how many digits it has at least, and what is after it:
/// `%d` or, as PerfTest's users write, `%03d`.
fn split_pattern(pattern: &str) -> Option<(&str, usize, &str)> {
    pattern.match_indices('%').find_map(|(at, _)| {
        let rest = &pattern[at + 1..];
        let (digits, after) = rest.split_once('d')?;
        let width = match digits.strip_prefix('0') {
            Some(width) => width.parse().ok().filter(|width| *width <= 20)?,
            None if digits.is_empty() => 0,
            None => return None,
        };
        Some((&pattern[..at], width, after))
    })
}

/// The keys of all producers, unless each has the name of its queue.
fn routing_keys(options: &RunOptions) -> Vec<String> {
    if options.random_routing_key {
        let mut random = Random::new(0x5EED);
        let key = |_| format!("{:016x}", random.bits());
        return (0..options.routing_key_cache_size.max(1)).map(key).collect();
    }
    let key = options.routing_key.clone().unwrap_or_else(|| options.id.clone());
    match key.contains("%d") {
        true => (0..options.key_count).map(|n| key.replace("%d", &n.to_string())).collect(),
        false => vec![key],
    }
}

fn plan_queues(
    options: &RunOptions,
    names: &[String],
    consumers: usize,
    keys: &[String],
) -> Vec<QueuePlan> {
    let count = if names.is_empty() { consumers } else { names.len() };
    (0..count)
        .map(|number| {
            let name = names.get(number).cloned();
            let bindings = bindings(options, name.as_deref(), number, keys);
            QueuePlan { bindings, is_consumed: number < consumers, name }
        })
        .collect()
}

fn bindings(
    options: &RunOptions,
    name: Option<&str>,
    number: usize,
    keys: &[String],
) -> Vec<String> {
    let numbered = |key: &String| key.replace("%q", &number.to_string());
    let mut bindings: Vec<String> = if !options.bind.is_empty() {
        options.bind.iter().map(numbered).collect()
    } else if options.queue_pattern.is_some() && options.routing_key.is_none() {
        name.map(str::to_owned).into_iter().collect()
    } else if options.random_routing_key && options.exchange_type == "topic" {
        vec!["#".to_owned()]
    } else if matches!(options.exchange_type.as_str(), "fanout" | "headers") {
        vec![keys[0].clone()]
    } else {
        keys.to_vec()
    };
    bindings.extend((0..options.cold_bindings).map(|cold| format!("cold.{number}.{cold}.*.x")));
    bindings
}

fn publisher_keys(
    options: &RunOptions,
    names: &[String],
    keys: &[String],
    number: usize,
    is_default: bool,
) -> Vec<String> {
    let by_name = is_default || (options.queue_pattern.is_some() && options.bind.is_empty());
    match names.get(number % names.len().max(1)) {
        Some(name) if by_name && options.routing_key.is_none() => vec![name.clone()],
        _ => keys.to_vec(),
    }
}

fn reached(matching: &Matching, key: &str, queues: &[QueuePlan], exchange: &str) -> Vec<usize> {
    let passes = |queue: &QueuePlan| match exchange.is_empty() {
        true => queue.name.as_deref() == Some(key),
        false => queue.bindings.iter().any(|bound| matching.passes(key, bound) == Some(true)),
    };
    (0..queues.len()).filter(|index| passes(&queues[*index])).collect()
}

fn queue_arguments(options: &RunOptions) -> Result<FieldTable, String> {
    let mut text = options.queue_args.clone().unwrap_or_default();
    if options.quorum_queue {
        text.push_str(",x-queue-type=quorum");
    }
    parse_table(&text)
}

fn table(text: Option<&str>) -> Result<FieldTable, String> {
    text.map_or(Ok(FieldTable::default()), parse_table)
}

fn properties(options: &RunOptions) -> Result<BasicProperties, String> {
    let text = options.message_properties.as_deref().unwrap_or_default();
    let mut properties: BasicProperties = parse_properties(text)?;
    if options.flag.contains(&MessageFlag::Persistent) {
        properties = properties.with_delivery_mode(2);
    }
    if let Some(content_type) = &options.body_content_type {
        properties = properties.with_content_type(content_type.as_str().into());
    }
    if let Some(headers) = &options.headers {
        properties = properties.with_headers(parse_table(headers)?);
    }
    Ok(properties)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
