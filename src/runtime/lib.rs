//! Shards on cores: one pinned executor with a core loop per shard, the rings between them, the
//! listeners, and the dealing of connections. It moves bytes and events, and knows no AMQP method.

#![forbid(unsafe_code)]

mod broker;
mod config;
mod core_loop;
mod heap;
mod links;
mod report_log;
mod shared;
mod sockets;
mod watchdog;

pub use broker::{Broker, Stopper, start};
pub use config::{Config, RunError, StartError};
pub use links::WriterLink;
