//! The model: what exchanges, queues, bindings, channels and confirms *are*, with no clock, no
//! socket, no file and no thread in it. Machines are told what happened and answer with effects.

#![forbid(unsafe_code)]

pub mod catalog;
pub mod channel;
pub mod exchange;
pub mod ids;
pub mod octets;
pub mod queue;
mod rare;
pub mod router;
pub mod sparse_ring;
pub mod store;
