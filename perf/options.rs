//! The command line. Flags that PerfTest has are named and mean as there.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use haremq_reactor::CoreSelection;

use crate::schedule::{Arrivals, Step};
use crate::uri::BrokerUri;

/// A load generator for AMQP 0-9-1 brokers that checks every message.
#[derive(Debug, Parser)]
#[command(
    name = "haremq-perf",
    version,
    after_help = "Exit codes: 0 all messages arrived as sent (or could not be expected to), \
                  1 the run failed, 2 wrong usage, 4 messages were lost, duplicated, reordered or \
                  corrupted."
)]
pub(crate) struct Options {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Subcommands,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// Put load on a broker and measure.
    Run(Box<RunOptions>),
    /// Stand in for a broker with less: the honest limit that a broker can be held against.
    Relay(RelayOptions),
    /// Run the same load on two brokers in turns, and say which differences are real.
    Ab(AbOptions),
    /// Compare the outcomes of two runs (or lists of runs), as written by `run -o json`.
    Compare(CompareOptions),
    /// Check a ledger of `run --ledger` against what the queues still hold.
    Check(CheckOptions),
    /// List the named scenarios.
    Scenarios,
}

/// The flags of `run` alone, for rewriting them.
#[derive(Debug, Parser)]
#[command(name = "haremq-perf run", disable_help_flag = true)]
pub(crate) struct RunCommand {
    #[command(flatten)]
    pub(crate) options: RunOptions,
}

/// What load to put on which broker, and what to tell of it.
#[derive(Clone, Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct RunOptions {
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    pub(crate) help: Option<bool>,

    // Where.
    /// Broker: amqp://user:password@host:port/vhost
    #[arg(short = 'h', long, env = "URI", value_name = "URI", default_value = "amqp://localhost")]
    pub(crate) uri: BrokerUri,
    /// Several nodes, separated by commas; connections take them in turns. Overrides --uri
    #[arg(short = 'H', long, env = "URIS", value_name = "URIS", value_delimiter = ',')]
    pub(crate) uris: Vec<BrokerUri>,
    /// Name of the run in its output
    #[arg(short = 'd', long, env = "ID", value_name = "NAME", default_value = "test")]
    pub(crate) id: String,
    /// A named scenario (see `haremq-perf scenarios`) or a TOML file; other flags override it
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) scenario: Option<String>,

    // Who.
    /// Producer connections
    #[arg(short = 'x', long, env = "PRODUCERS", default_value_t = 1)]
    pub(crate) producers: u32,
    /// Consumer connections
    #[arg(short = 'y', long, env = "CONSUMERS", default_value_t = 1)]
    pub(crate) consumers: u32,
    /// Channels, each with a producer, per producer connection
    #[arg(short = 'X', long, env = "PRODUCER_CHANNEL_COUNT", default_value_t = 1)]
    pub(crate) producer_channel_count: u16,
    /// Channels, each with a consumer, per consumer connection
    #[arg(short = 'Y', long, env = "CONSUMER_CHANNEL_COUNT", default_value_t = 1)]
    pub(crate) consumer_channel_count: u16,

    // Topology.
    /// Queue; repeatable. Without it (and without -qp) each consumer has an exclusive queue
    #[arg(short = 'u', long, env = "QUEUE", value_name = "NAME")]
    pub(crate) queue: Vec<String>,
    /// Exchange; empty is the default one [default: direct]
    #[arg(short = 'e', long, env = "EXCHANGE", value_name = "NAME")]
    pub(crate) exchange: Option<String>,
    /// Type of the exchange
    #[arg(short = 't', long = "type", env = "TYPE", default_value = "direct")]
    pub(crate) exchange_type: String,
    /// Routing key; %d in it is replaced by 0 up to --key-count
    #[arg(short = 'k', long, env = "ROUTING_KEY", value_name = "KEY")]
    pub(crate) routing_key: Option<String>,
    /// A random routing key per message, out of --routing-key-cache-size many
    #[arg(short = 'K', long, env = "RANDOM_ROUTING_KEY")]
    pub(crate) random_routing_key: bool,
    /// Random routing keys to choose from (-rkcs)
    #[arg(long, env = "ROUTING_KEY_CACHE_SIZE", value_name = "COUNT", default_value_t = 1000)]
    pub(crate) routing_key_cache_size: u32,
    /// Routing keys that %d in --routing-key stands for, used in turns
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) key_count: u32,
    /// Binding key; repeatable, all queues have all of them. %q is the queue's number
    #[arg(long, value_name = "KEY")]
    pub(crate) bind: Vec<String>,
    /// Further bindings per queue that no message matches
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) cold_bindings: u32,
    /// Headers of messages, as name=value, separated by commas
    #[arg(long, value_name = "HEADERS")]
    pub(crate) headers: Option<String>,
    /// Arguments of the bindings (headers exchange), as x-match=all,name=value
    #[arg(long, value_name = "ARGUMENTS")]
    pub(crate) bind_headers: Option<String>,
    /// Exchange and queues exist: declare and bind nothing
    #[arg(short = 'p', long, env = "PREDECLARED")]
    pub(crate) predeclared: bool,
    /// Names of many queues, with %d (-qp)
    #[arg(long, env = "QUEUE_PATTERN", value_name = "PATTERN")]
    pub(crate) queue_pattern: Option<String>,
    /// First number of --queue-pattern (-qpf)
    #[arg(long, env = "QUEUE_PATTERN_FROM", value_name = "N", requires = "queue_pattern")]
    pub(crate) queue_pattern_from: Option<u32>,
    /// Last number of --queue-pattern (-qpt)
    #[arg(long, env = "QUEUE_PATTERN_TO", value_name = "N", requires = "queue_pattern")]
    pub(crate) queue_pattern_to: Option<u32>,
    /// Queues delete themselves after their last consumer (-ad)
    #[arg(
        long, env = "AUTO_DELETE", value_name = "true|false", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub(crate) auto_delete: bool,
    /// Arguments of the queues, as name=value, separated by commas (-qa)
    #[arg(long, env = "QUEUE_ARGS", value_name = "ARGUMENTS")]
    pub(crate) queue_args: Option<String>,
    /// Arguments of the consumers (-ca)
    #[arg(long, env = "CONSUMER_ARGS", value_name = "ARGUMENTS")]
    pub(crate) consumer_args: Option<String>,
    /// Quorum queues: durable, not auto-delete (-qq)
    #[arg(long, env = "QUORUM_QUEUE")]
    pub(crate) quorum_queue: bool,
    /// Empty the queues before the start
    #[arg(long)]
    pub(crate) purge: bool,

    // Messages.
    /// Octets of a body; less than 12 are 12, as in PerfTest; from 24 on everything is checked and
    /// timed
    #[arg(short = 's', long, env = "SIZE", default_value_t = 24)]
    pub(crate) size: usize,
    /// Files with bodies, separated by commas; used in turns
    #[arg(short = 'B', long, env = "BODY", value_name = "FILES", value_delimiter = ',')]
    pub(crate) body: Vec<PathBuf>,
    /// Content type of the bodies
    #[arg(short = 'T', long, env = "BODY_CONTENT_TYPE", value_name = "TYPE")]
    pub(crate) body_content_type: Option<String>,
    /// persistent: delivery mode 2 and durable queues; mandatory: return what is unroutable
    #[arg(short = 'f', long, env = "FLAG", value_delimiter = ',')]
    pub(crate) flag: Vec<MessageFlag>,
    /// Properties, as name=value, separated by commas: priority, expiration, ... (-mp)
    #[arg(long, env = "MESSAGE_PROPERTIES", value_name = "PROPERTIES")]
    pub(crate) message_properties: Option<String>,

    // Pace.
    /// Messages per second and producer: an open loop, timed from the intended moment; -1 is as
    /// fast as possible, 0 is none
    #[arg(short = 'r', long, env = "RATE", default_value_t = -1.0, allow_negative_numbers = true)]
    pub(crate) rate: f64,
    /// Look for the highest rate, of all producers together, that the broker holds
    #[arg(long, value_name = "FROM:TO", conflicts_with_all = ["rate", "total_rate"])]
    pub(crate) sweep: Option<SweepRange>,
    /// p99 in milliseconds up to which a rate counts as held by --sweep
    #[arg(long, value_name = "MS", default_value_t = 10.0)]
    pub(crate) knee_p99: f64,
    /// As --rate, for all producers together
    #[arg(long, value_name = "RATE", conflicts_with = "rate")]
    pub(crate) total_rate: Option<f64>,
    /// Spread of the intended moments
    #[arg(long, value_enum, default_value_t = Arrivals::Constant)]
    pub(crate) arrivals: Arrivals,
    /// RATE:SECONDS, repeatable, in turns (-vr)
    #[arg(
        long,
        env = "VARIABLE_RATE",
        value_name = "RATE:SECONDS",
        value_delimiter = ',',
        conflicts_with = "total_rate"
    )]
    pub(crate) variable_rate: Vec<VariableStep>,
    /// OCTETS:SECONDS, repeatable, in turns (-vs)
    #[arg(
        long,
        env = "VARIABLE_SIZE",
        value_name = "OCTETS:SECONDS",
        value_delimiter = ',',
        conflicts_with = "body"
    )]
    pub(crate) variable_size: Vec<VariableStep>,
    /// Seconds between two messages of a producer
    #[arg(short = 'P', long, env = "PUBLISHING_INTERVAL", value_name = "SECONDS")]
    pub(crate) publishing_interval: Option<f64>,
    /// Seconds over which the producers' starts are spread at random (-prsd)
    #[arg(long, env = "PRODUCER_RANDOM_START_DELAY", value_name = "SECONDS")]
    pub(crate) producer_random_start_delay: Option<f64>,
    /// Messages per second and consumer, at most
    #[arg(
        short = 'R',
        long,
        env = "CONSUMER_RATE",
        default_value_t = -1.0,
        allow_negative_numbers = true
    )]
    pub(crate) consumer_rate: f64,
    /// Microseconds that a consumer takes for a message
    #[arg(short = 'L', long, env = "CONSUMER_LATENCY", value_name = "US", default_value_t = 0)]
    pub(crate) consumer_latency: u64,
    /// Seconds before the consumers begin (-csd)
    #[arg(long, env = "CONSUMER_START_DELAY", value_name = "SECONDS", default_value_t = 0.0)]
    pub(crate) consumer_start_delay: f64,
    /// Unconfirmed messages per producer, at most; -1 is without confirms
    #[arg(short = 'c', long, env = "CONFIRM", default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) confirm: i64,
    /// Seconds without a confirm (or, of --rpc, a reply) after which the run ends (-ct)
    #[arg(long, env = "CONFIRM_TIMEOUT", value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) confirm_timeout: f64,

    // Requests and replies.
    /// Producers send requests and wait for replies, consumers reply; the latency is that of the
    /// round trip. private: a reply queue per producer; direct: amq.rabbitmq.reply-to
    #[arg(long, value_enum, conflicts_with_all = ["exchange", "queue_pattern", "raw", "polling"])]
    pub(crate) rpc: Option<RpcMode>,
    /// Requests per producer that may wait for their reply, if no rate is set
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) rpc_window: u64,

    // Things instead of messages.
    /// Make and unmake these, on a thread per producer; or (idle-*) make one per producer, hold
    /// them, and tell what each costs
    #[arg(long, value_enum)]
    pub(crate) churn: Option<Churn>,
    /// Bindings that --churn binding asks for before it waits for the answers
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) churn_batch: u32,

    // Consuming.
    /// Prefetch count per consumer; 0 is unlimited
    #[arg(short = 'q', long, env = "QOS", default_value_t = 0)]
    pub(crate) qos: u16,
    /// Prefetch count per channel; 0 is unlimited
    #[arg(short = 'Q', long, env = "GLOBAL_QOS", default_value_t = 0)]
    pub(crate) global_qos: u16,
    /// Consume without acknowledgements
    #[arg(short = 'a', long, env = "AUTOACK")]
    pub(crate) autoack: bool,
    /// One acknowledgement for so many messages
    #[arg(short = 'A', long, env = "MULTI_ACK_EVERY", default_value_t = 1, value_name = "COUNT")]
    pub(crate) multi_ack_every: u32,
    /// Nack instead of ack (-na)
    #[arg(long, env = "NACK")]
    pub(crate) nack: bool,
    /// Whether a nack puts the message back (-re)
    #[arg(
        long, env = "REQUEUE", value_name = "true|false", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub(crate) requeue: bool,
    /// Put each message back once, and ack it when it comes again
    #[arg(long, conflicts_with_all = ["nack", "autoack"])]
    pub(crate) requeue_once: bool,
    /// Consume with basic.get (-po)
    #[arg(long, env = "POLLING")]
    pub(crate) polling: bool,
    /// Milliseconds between two basic.get after an empty one (-pi)
    #[arg(long, env = "POLLING_INTERVAL", value_name = "MS", default_value_t = 1)]
    pub(crate) polling_interval: u64,

    // How long.
    /// Seconds of publishing; 0 is until interrupted
    #[arg(short = 'z', long, env = "TIME", value_name = "SECONDS", default_value_t = 0.0)]
    pub(crate) time: f64,
    /// Messages per producer; 0 is unlimited
    #[arg(short = 'C', long, env = "PMESSAGES", default_value_t = 0)]
    pub(crate) pmessages: u64,
    /// Messages per consumer; 0 is unlimited
    #[arg(short = 'D', long, env = "CMESSAGES", default_value_t = 0)]
    pub(crate) cmessages: u64,
    /// First seconds that do not count in the summary
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub(crate) warmup: f64,
    /// Seconds for which consumers may go on after the last publish, while messages still come
    /// (-st)
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) shutdown_timeout: f64,

    // Connections.
    /// frame_max to ask for; 0 takes the broker's
    #[arg(short = 'M', long, env = "FRAMEMAX", default_value_t = 131_072)]
    pub(crate) framemax: u32,
    /// Heartbeat timeout in seconds; 0 is off
    #[arg(short = 'b', long, env = "HEARTBEAT", default_value_t = 0)]
    pub(crate) heartbeat: u16,

    // The generator itself.
    /// Threads: auto (one), a count, or CPUs to pin to, as 1-1 or 0,2
    #[arg(long, value_name = "auto|N|LIST", default_value = "auto")]
    pub(crate) cores: CoreSelection,
    /// Pin the threads also if --cores is a count
    #[arg(long)]
    pub(crate) pin: bool,
    /// The broker's process, for its CPU and memory [default: found by its listening socket]
    #[arg(long, value_name = "PID")]
    pub(crate) broker_pid: Option<u32>,
    /// Frames of publishes, from a byte relay (relay --mode bytes), instead of deliveries
    #[arg(long, hide = true)]
    pub(crate) raw: bool,

    // Output.
    /// Seconds between two lines
    #[arg(short = 'i', long, env = "INTERVAL", value_name = "SECONDS", default_value_t = 1.0)]
    pub(crate) interval: f64,
    /// `json` or `csv` to standard output; else a file, in the form that its ending names
    #[arg(short = 'o', long, env = "OUTPUT_FILE", value_name = "json|csv|FILE")]
    pub(crate) output_file: Option<String>,
    /// Form of the lines while it runs
    #[arg(long, value_enum, default_value_t = LineFormat::Auto)]
    pub(crate) format: LineFormat,
    /// Write a report with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the latency histograms per interval
    #[arg(long, value_name = "FILE")]
    pub(crate) hlog: Option<PathBuf>,
    /// Record what was sent, confirmed and consumed, for `haremq-perf check`
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
}

/// What `--flag` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFlag {
    /// Delivery mode 2 and durable queues.
    Persistent,
    /// Return what no queue takes.
    Mandatory,
}

/// What is made and unmade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Churn {
    /// A connection.
    Connection,
    /// A channel of one connection.
    Channel,
    /// An exclusive queue.
    Queue,
    /// Bindings of one queue.
    Binding,
    /// A consumer of one queue.
    Consumer,
    /// Connections with a channel each, held.
    IdleConnections,
    /// Channels, 1,000 per connection, held.
    IdleChannels,
    /// Exclusive queues, held.
    IdleQueues,
}

/// Where replies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RpcMode {
    /// To an exclusive queue per producer.
    Private,
    /// To `amq.rabbitmq.reply-to`, where the broker has it.
    Direct,
}

/// Form of the lines while a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineFormat {
    /// A table on a terminal, PerfTest's lines in a pipe.
    Auto,
    /// A table with a sparkline.
    Table,
    /// PerfTest's lines.
    Perftest,
    /// Short lines.
    Compact,
    /// None.
    Quiet,
}

/// `VALUE:SECONDS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct VariableStep {
    /// Rate or size.
    pub(crate) value: f64,
    /// Nanoseconds.
    pub(crate) duration_ns: f64,
}

impl FromStr for VariableStep {
    type Err = String;

    fn from_str(text: &str) -> Result<VariableStep, String> {
        let parts = text.split_once(':').and_then(|(value, seconds)| {
            Some((value.parse::<f64>().ok()?, seconds.parse::<f64>().ok()?))
        });
        match parts {
            Some((value, seconds)) if value >= 0.0 && seconds > 0.0 => {
                Ok(VariableStep { value, duration_ns: seconds * 1e9 })
            }
            _ => Err("write VALUE:SECONDS, as 1000:30".to_owned()),
        }
    }
}

/// `FROM:TO`, in messages per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SweepRange {
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl FromStr for SweepRange {
    type Err = String;

    fn from_str(text: &str) -> Result<SweepRange, String> {
        let parts = text
            .split_once(':')
            .and_then(|(from, to)| Some((from.parse::<f64>().ok()?, to.parse::<f64>().ok()?)));
        match parts {
            Some((from, to)) if from > 0.0 && from <= to && to.is_finite() => {
                Ok(SweepRange { from, to })
            }
            _ => Err("write FROM:TO, as 1000:1000000".to_owned()),
        }
    }
}

impl From<VariableStep> for Step {
    fn from(step: VariableStep) -> Step {
        Step { rate: step.value, duration_ns: step.duration_ns }
    }
}

/// A stand-in for a broker.
#[derive(Clone, Debug, Args)]
pub(crate) struct RelayOptions {
    /// bytes: R0, copies what publishers send; frames: R1, makes deliveries of publishes; confirms:
    /// R2, also keeps the books of acks and confirms
    #[arg(long, value_enum, default_value_t = RelayMode::Frames)]
    pub(crate) mode: RelayMode,
    /// Where to listen; port 0 picks a free one and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5680")]
    pub(crate) listen: std::net::SocketAddr,
    /// CPU to pin to
    #[arg(long, value_name = "CPU")]
    pub(crate) cpu: Option<usize>,
    /// Make a mistake with message 100 and every 1000th from there
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
    /// Octets of the receive buffer
    #[arg(long, value_name = "OCTETS", default_value_t = 131_072)]
    pub(crate) receive_buffer: usize,
    /// Microseconds that the loop looks for work before it sleeps
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub(crate) spin_us: u64,
}

/// How much of a broker a relay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RelayMode {
    /// R0.
    Bytes,
    /// R1.
    Frames,
    /// R2.
    Confirms,
}

/// What a relay does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// A message does not arrive.
    Lose,
    /// A message arrives twice.
    Double,
    /// A message arrives after the next one.
    Reorder,
    /// A bit of a body flips.
    Corrupt,
}

/// Two brokers in turns.
#[derive(Clone, Debug, Args)]
pub(crate) struct AbOptions {
    /// First broker
    #[arg(long, value_name = "URI")]
    pub(crate) a: BrokerUri,
    /// Second broker
    #[arg(long, value_name = "URI")]
    pub(crate) b: BrokerUri,
    /// Runs of each
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Write all outcomes and the verdicts here
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Flags of `run`, after `--`
    #[arg(last = true, value_name = "RUN FLAGS")]
    pub(crate) run: Vec<String>,
}

/// Two files.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareOptions {
    /// Outcomes of the first kind
    pub(crate) a: PathBuf,
    /// Outcomes of the second kind
    pub(crate) b: PathBuf,
}

/// A ledger and the broker after its restart.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckOptions {
    /// Written by `run --ledger`
    pub(crate) ledger: PathBuf,
    /// Broker
    #[arg(long, value_name = "URI", default_value = "amqp://localhost")]
    pub(crate) uri: BrokerUri,
    /// Seconds without a message after which a queue counts as empty
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(crate) quiet: f64,
    /// Put the messages back instead of taking them
    #[arg(long)]
    pub(crate) keep: bool,
}
