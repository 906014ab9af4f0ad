//! One core's composition: connections and channels in front, queues at home, and what leads from
//! one to the other. A shard is a plain value: it is told what happened and answers with what is
//! to be done.

#![forbid(unsafe_code)]

pub mod event;
mod front;
mod home;
pub mod limits;
pub mod mesh;
mod report;
mod shard;
mod timers;
mod turns;
pub mod wheel;
pub mod writer;

pub use event::{ConnectionSlot, Effect, Event, Peer};
pub use haremq_broker::ids::{ShardId, Time};
pub use report::{ClosedChannel, Report, ReportKind};
pub use shard::{Counters, Settings, Shard};
